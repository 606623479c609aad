"""Another model without starting over: embedded beside, switched to under running searches; the old rows dropped."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import open_clip
import psycopg
import pytest
import torch
from safetensors.torch import save_file

import vsdb
from tests import clips
from vsdb.database import Connection
from vsdb.errors import DatabaseError
from vsdb.ingest.reporter import SilentReporter
from vsdb.model.load import load_model
from vsdb.types import IngestResult, Sampling

Run = Callable[..., subprocess.CompletedProcess[str]]
PROMPT = "a red car"
SMALL = "vsdb-small"
ASK = "select video_path, start_seconds, score from vsdb.search(%s, min_z => '-infinity') order by rank"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of an architecture with embeddings of 48 numbers."""
    folder = tmp_path_factory.mktemp("small")
    (folder / f"{SMALL}.json").write_text(
        json.dumps(
            {
                "embed_dim": 48,
                "quick_gelu": True,
                "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
                "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
            }
        )
    )
    open_clip.add_model_config(folder / f"{SMALL}.json")
    torch.manual_seed(0)
    state = open_clip.create_model(SMALL).state_dict()
    save_file({name: each.contiguous() for name, each in state.items()}, folder / "small.safetensors")
    return folder / "small.safetensors"


@pytest.fixture
def videos(index: vsdb.Index, street: Path, tmp_path: Path) -> list[Path]:
    """The street, and two grey clips of which one is sampled otherwise; all in the database."""
    paths = [Path(shutil.copy(street, tmp_path / "street.mp4"))]
    paths += [clips.write_video(tmp_path / f"{n}.mp4", range(0, 3000 + 1000 * n, 500)) for n in (1, 2)]
    results = index.ingest(paths[:2]) + index.ingest(paths[2], sampling=Sampling(every_seconds=0.5))
    assert {each.status for each in results} == {"ingested"}
    return paths


def everything(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        """select v.video_id, v.video_path, v.content_sha256, v.recorded_at, v.ingested_at, v.every_seconds,
                  v.num_frames,
                  (select array_agg((p.frame_index, p.patch_index, p.pts_seconds, p.x, p.y)::text
                                    order by p.frame_index, p.patch_index)
                   from vsdb.patches p where p.video_id = v.video_id),
                  (select array_agg(f.jpeg order by f.frame_index) from vsdb.frames f where f.video_id = v.video_id)
           from vsdb.videos v order by 1"""
    ).fetchall()


def value(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


class Asking:
    """Threads that ask one question over and over, and keep what they were answered."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self.answers: list[object] = []
        self._ask = ask
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                self.answers.append(self._ask())
            except Exception as error:
                self.answers.append(error)


@pytest.mark.usefixtures("videos")
def test_a_database_changes_its_model_under_running_searches(index: vsdb.Index, small: Path, dsn: str) -> None:
    before = everything(index.connection)

    def ask(one: vsdb.Index) -> object:
        return [(each.video_path, each.start_seconds, each.score) for each in one.search(PROMPT, min_z=float("-inf"))]

    old = ask(index)
    with (
        vsdb.connect(dsn=dsn) as other,
        psycopg.connect(dsn, autocommit=True) as plain,
        Asking(lambda: ask(other)) as library,
        Asking(lambda: plain.execute(ASK, [PROMPT]).fetchall()) as raw,
    ):
        results = list(index.reembed_each(SMALL, weights=small))
        new = ask(index)
        for asking in (library, raw):  # each asks once more
            done = len(asking.answers)
            while len(asking.answers) < done + 2:
                pass
    assert [each.status for each in results] == ["ingested"] * 3
    assert new != old
    assert library.answers[0] == old
    assert library.answers[-1] == new
    assert all(answer in (old, new) for answer in library.answers)
    wrong = [answer for answer in raw.answers if answer not in (old, new)]
    assert all(isinstance(each, psycopg.Error) for each in wrong), wrong  # at the very moment, and never half of each
    assert len(wrong) <= 1
    assert raw.answers[-1] == new

    assert everything(index.connection) == before
    assert value(index.connection, "select vector_dims(embedding) from vsdb.patches limit 1") == 48
    assert index.model_name == SMALL
    assert value(index.connection, "select count(*) from vsdb.background") == 1
    assert index.search(PROMPT, min_z=float("-inf"))[0].z is not None


@pytest.mark.usefixtures("videos")
def test_judgements_come_along_and_are_measured_anew(index: vsdb.Index, small: Path) -> None:
    moment = index.search(PROMPT, min_z=float("-inf"))[0]
    index.judge(PROMPT, moment, True)
    index.connection.execute("insert into vsdb.calibrations (possible, likely, num_judgements) values (2, 4, 20)")
    list(index.reembed_each(SMALL, weights=small))
    assert value(index.connection, "select array[possible, likely] from vsdb.line") == [1, 3]
    assert value(index.connection, "select is_right from vsdb.judgements") is True
    measured = value(index.connection, "select z from vsdb.judgements")
    assert measured != moment.z
    index.judge(PROMPT, moment, False)
    assert value(index.connection, "select array_agg(z) from vsdb.judgements") == [measured]


@pytest.mark.usefixtures("videos")
def test_the_old_rows_go_when_asked(index: vsdb.Index, small: Path, dsn: str, tmp_path: Path) -> None:
    list(index.reembed_each(SMALL, weights=small))
    with pytest.raises(DatabaseError, match="--drop-unused"):
        list(index.reembed_each("tiny"))
    index.connection.execute("create view public.theirs as select * from vsdb_before.patch_embeddings")
    with pytest.raises(DatabaseError, match="views of yours read vsdb_before: theirs"):
        index.drop_unused()
    index.connection.execute("drop view public.theirs")
    assert index.drop_unused() == ["vsdb_before"]
    assert index.drop_unused() == []
    with vsdb.connect(dsn=dsn, device="cpu") as other:
        (more,) = other.ingest([clips.write_video(tmp_path / "more.mp4", [0, 1000])])
    assert more.status == "ingested"
    assert value(index.connection, "select max(video_id) from vsdb.videos") > 3
    assert [each.status for each in index.reembed_each("tiny")] == ["ingested"] * 4


def test_a_run_that_is_cut_off_goes_on(index: vsdb.Index, small: Path, videos: list[Path], dsn: str) -> None:
    old = [each.score for each in index.search(PROMPT)]
    with closing(index.reembed_each(SMALL, weights=small)) as results:  # type: ignore[type-var]
        assert next(results).status == "ingested"
    assert [each.score for each in index.search(PROMPT)] == old
    with pytest.raises(DatabaseError, match=f"an unfinished run embeds with {SMALL}"):
        list(index.reembed_each("tiny", weights=small))
    index.remove(videos[1])
    more = clips.write_video(videos[0].with_name("more.mp4"), [0, 1000])
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as other:
        assert other.ingest([more])[0].status == "ingested"
    assert sorted(each.status for each in index.reembed_each(SMALL, weights=small)) == [
        "ingested",
        "ingested",
        "unchanged",
    ]
    assert [each.video_path for each in index.videos()] == sorted(map(str, [more, videos[0], videos[2]]))


def test_what_is_missing_or_changed_is_told_and_keeps_the_old_model(
    index: vsdb.Index, small: Path, videos: list[Path]
) -> None:
    class Told(SilentReporter):
        lines: list[str] = []  # noqa: RUF012

        def skipped(self, path: Path, reason: str) -> None:
            self.lines.append(f"{path.name}: {reason}")

    away = videos[0].rename(videos[0].with_name("away.mp4"))
    kept = videos[1].read_bytes()
    clips.write_video(videos[1], [0, 2000])
    results: list[IngestResult] = []

    def run() -> None:
        for result in index.reembed_each(SMALL, weights=small, reporter=Told()):
            assert Told.lines == ["street.mp4: the file is not there"]
            results.append(result)

    with pytest.raises(DatabaseError, match="2 of 3 videos are not embedded with the new model"):
        run()
    assert [each.status for each in results] == ["failed", "ingested"] or [each.status for each in results] == [
        "ingested",
        "failed",
    ]
    assert "the file is not what was ingested" in " ".join(str(each.reason) for each in results)
    assert index.model_name == "tiny"
    away.rename(videos[0])
    videos[1].write_bytes(kept)
    assert sorted(each.status for each in index.reembed_each(SMALL, weights=small)) == [
        "ingested",
        "ingested",
        "unchanged",
    ]
    assert index.model_name == SMALL


@pytest.mark.usefixtures("videos")
def test_two_runs_at_once_are_one_too_many(index: vsdb.Index, small: Path, dsn: str) -> None:
    first = index.reembed_each(SMALL, weights=small)
    next(first)
    with vsdb.connect(dsn=dsn) as other, pytest.raises(DatabaseError, match="another vsdb reembed"):
        list(other.reembed_each(SMALL, weights=small))
    assert len(list(first)) == 2


def test_an_ingest_of_the_old_model_is_refused_after_the_switch(
    index: vsdb.Index, small: Path, videos: list[Path], dsn: str
) -> None:
    """Also one that holds the old model's encoder while the switch is made."""
    more = [clips.write_video(videos[0].with_name(f"more{n}.mp4"), range(0, 1000 * (n + 2), 500)) for n in range(2)]
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as other:
        running = other.ingest_each(more)
        assert next(running).status == "ingested"
        list(index.reembed_each(SMALL, weights=small))
        with pytest.raises(DatabaseError, match="one database holds one model"):
            next(running)
    assert value(index.connection, "select count(distinct vector_dims(embedding)) from vsdb.patches") == 1


def test_the_command(run_vsdb: Run, street: Path, tmp_path: Path, connection: Connection) -> None:
    state = load_model("tiny").module.state_dict()
    weights = tmp_path / "other.safetensors"
    save_file(
        {name: (0.9 * each if each.is_floating_point() else each).contiguous() for name, each in state.items()}, weights
    )
    assert run_vsdb("ingest", str(street), "--model", "tiny", "--weights", str(weights)).returncode == 0
    old = value(connection, "select weights_sha256 from vsdb.models")
    run = run_vsdb("reembed", "--model", "tiny", "--json")
    assert (run.returncode, json.loads(run.stdout)["status"]) == (0, "ingested"), run.stderr
    assert "--drop-unused" in run.stderr
    assert value(connection, "select weights_sha256 from vsdb.models") != old
    assert run_vsdb("reembed", "--drop-unused").stdout == "dropped  vsdb_before\n"
    again = run_vsdb("reembed", "--model", "tiny")
    assert (again.returncode, again.stderr) == (2, "error: the videos are embedded with tiny already\n")
    assert run_vsdb("reembed").returncode == 2
