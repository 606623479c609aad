"""The commands as people run them: real processes, a real database, stdout apart from stderr."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests import clips
from tests.conftest import clean_environment
from vsdb.database import Connection

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_ingest_query_and_sql_agree(run_vsdb: Run, street: Path, connection: Connection) -> None:
    ingested = run_vsdb("ingest", str(street), "--model", "tiny", "--json")
    assert ingested.returncode == 0, ingested.stderr
    result = json.loads(ingested.stdout)
    assert set(result) == {"video_path", "status", "num_frames", "num_patches", "seconds", "reason"}
    assert (result["video_path"], result["status"], result["num_frames"]) == (str(street), "ingested", 10)

    answer = json.loads(run_vsdb("query", "a red car", "--json").stdout)
    assert (answer["prompt"], answer["model"]) == ("a red car", "tiny")
    rows = connection.execute(
        """select rank, video_path, start_seconds, end_seconds, best_seconds, score, x, y, width, height
           from vsdb.search('a red car')"""
    ).fetchall()
    assert rows
    assert [
        (m["rank"], m["video_path"], m["start_seconds"], m["end_seconds"], m["best_seconds"], m["score"], *m["box"])
        for m in answer["moments"]
    ] == rows
    best = answer["moments"][0]
    assert 0.6 <= best["best_seconds"] <= 7.0  # when the red car is to be seen
    assert best["start_seconds"] <= best["best_seconds"] <= best["end_seconds"]


def test_the_design_s_second_query_runs_as_it_is_written(run_vsdb: Run, street: Path, connection: Connection) -> None:
    run_vsdb("ingest", str(street), "--model", "tiny")
    rows = connection.execute(
        """select video_path, pts_seconds from vsdb.patch_embeddings
           order by embedding <#> vsdb.embed('a red car') limit 10"""
    ).fetchall()
    assert len(rows) == 10
    assert all(path == str(street) and 0.6 <= seconds <= 7.0 for path, seconds in rows)


def test_output_for_people_and_for_programs(run_vsdb: Run, street: Path) -> None:
    run_vsdb("ingest", str(street), "--model", "tiny")
    people = run_vsdb("query", "a red car", "-n", "2")
    assert people.stdout.splitlines()[0].split() == "rank score z match start - end best box (px) video".split()
    assert people.stderr == ""
    table = list(csv.DictReader(io.StringIO(run_vsdb("query", "a red car", "--min-z", "-9", "--csv").stdout)))
    moments = json.loads(run_vsdb("query", "a red car", "--min-z", "-9", "--json").stdout)["moments"]
    assert moments
    for row, moment in zip(table, moments, strict=True):
        box = [int(row[name]) for name in ("x", "y", "width", "height")]
        assert (row["video_path"], box) == (moment["video_path"], moment["box"])
        for name in ("rank", "start_seconds", "end_seconds", "best_seconds", "score", "z"):
            assert float(row[name]) == moment[name], name
    listed = json.loads(run_vsdb("videos", "--json").stdout)
    assert [video["video_path"] for video in listed] == [str(street)]
    status = json.loads(run_vsdb("status", "--json").stdout)
    assert (status["num_videos"], status["num_frames"], status["model"]) == (1, 10, "tiny")


def test_results_reach_a_pipe_while_the_bar_lives_on_a_terminal(street: Path, tmp_path: Path, dsn: str) -> None:
    clip = Path(shutil.copy(street, tmp_path / ("a rather long name " * 4 + ".mp4")))
    terminal, stderr = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vsdb", "ingest", str(clip), "--model", "tiny", "--json"],
        env={**clean_environment(), "VSDB_DSN": dsn, "TERM": "xterm", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    os.close(stderr)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal whose other end is closed reads as an error
        while block := os.read(terminal, 4096):
            shown += block
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert json.loads(out)["status"] == "ingested"
    assert b"loading tiny" in shown
    assert b"patches/s" in shown


def test_commands_that_read_create_nothing(new_database: Callable[[str], str], run_vsdb: Run) -> None:
    foreign = new_database("template0")
    for arguments in (["videos"], ["query", "a dog"], ["status"], ["remove", "/x.mp4"]):
        run = run_vsdb(*arguments, VSDB_DSN=foreign)
        assert (run.returncode, "no vsdb schema yet" in run.stderr) == (1, True)
    with psycopg.connect(foreign) as connection:
        assert connection.execute("select to_regnamespace('vsdb')").fetchone() == (None,)


def test_an_empty_path_names_nothing(run_vsdb: Run, street: Path, connection: Connection) -> None:
    run_vsdb("ingest", str(street), "--model", "tiny")
    for command in ("remove", "ingest"):
        assert run_vsdb(command, "").returncode == 2
    assert connection.execute("select count(*) from vsdb.videos").fetchone() == (1,)


def test_pipes_devices_and_bytes_that_are_no_text_are_reported(run_vsdb: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    bad_name = os.fsdecode(bytes(tmp_path) + b"/\xff.mp4")
    Path(bad_name).write_bytes(b"x")
    good = clips.write_video(tmp_path / "good.mp4", [0], size=(64, 48))
    run = run_vsdb("ingest", str(tmp_path / "pipe.mp4"), "/dev/zero", bad_name, str(good), "--model", "tiny", "--json")
    assert run.returncode == 1
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert [result["status"] for result in results] == ["failed", "failed", "failed", "ingested"]
    assert ["not a regular file" in (result["reason"] or "") for result in results[:2]] == [True, True]
    assert "not valid UTF-8" in results[2]["reason"]


def test_a_name_neither_steers_the_terminal_nor_breaks_a_line(run_vsdb: Run, tmp_path: Path) -> None:
    odd = "red \x1b[31m\nand \x9b2J.mp4"
    clips.write_video(tmp_path / odd, range(0, 2400, 200), size=(64, 48))
    (tmp_path / "\x1b[2J.mp4").write_bytes(b"no video")
    shown = "red \\x1b[31m\\nand \\x9b2J.mp4"
    ingested = run_vsdb("ingest", str(tmp_path), "--model", "tiny")
    assert shown in ingested.stdout
    assert "\\x1b[2J.mp4" in ingested.stderr
    answers = [ingested, run_vsdb("videos"), run_vsdb("query", "a dog", "--min-z", "-9"), run_vsdb("query", "a dog")]
    for answer in [*answers, run_vsdb("remove", str(tmp_path))]:
        assert shown in answer.stdout + answer.stderr
        assert not set("\x1b\x9b") & set(answer.stdout + answer.stderr)


def test_no_match_is_an_empty_list_and_a_sentence(run_vsdb: Run, street: Path) -> None:
    run_vsdb("ingest", str(street), "--model", "tiny")
    nothing = run_vsdb("query", "a dog", "--min-score", "99", "--json")
    assert nothing.returncode == 0
    assert json.loads(nothing.stdout)["moments"] == []
    assert "nothing matches" in nothing.stderr


def test_filters_narrow_the_search(run_vsdb: Run, street: Path) -> None:
    run_vsdb("ingest", str(street), "--model", "tiny")
    narrowed = json.loads(run_vsdb("query", "a red car", "--from", "2", "--to", "4", "--json").stdout)["moments"]
    assert narrowed
    assert all(2 <= moment["start_seconds"] <= moment["best_seconds"] <= 4 for moment in narrowed)
    assert json.loads(run_vsdb("query", "a red car", "--video", "other.mp4", "--json").stdout)["moments"] == []
    assert len(json.loads(run_vsdb("query", "a red car", "--video", "street.mp4", "--json").stdout)["moments"]) > 0
    no_text = run_vsdb("query", "a red car", "--video", "\udcff%")
    assert (no_text.returncode, "not valid UTF-8" in no_text.stderr) == (2, True)


def test_failures_are_named_on_stderr_and_exit_with_1(run_vsdb: Run, tmp_path: Path) -> None:
    good = clips.write_video(tmp_path / "good.mp4", range(0, 1400, 200), size=(64, 48))
    (tmp_path / "notes.txt").write_text("not a video")
    (tmp_path / "bad.mp4").write_bytes(good.read_bytes()[:900])
    run = run_vsdb("ingest", str(tmp_path), "--model", "tiny", "--json")
    assert run.returncode == 1
    results = {json.loads(line)["video_path"]: json.loads(line) for line in run.stdout.splitlines()}
    assert results[str(good)]["status"] == "ingested"
    assert results[str(tmp_path / "bad.mp4")]["status"] == "failed"
    lines = run.stderr.splitlines()
    assert f"skipping {tmp_path / 'notes.txt'}: not a video" in lines
    assert [line for line in lines if line.startswith(f"failed {tmp_path / 'bad.mp4'}: not a video")]
    assert "1 of 2 videos failed" in lines
    assert len(lines) == 3  # nothing of OpenCV's and FFmpeg's


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest"],
        ["query"],
        ["query", "a dog", "--json", "--csv"],
        ["query", "a dog", "-n", "0"],
        ["query", "a dog", "--gap", "-1"],
        ["ingest", "x.mp4", "--every", "0"],
        ["ingest", "x.mp4", "--every", "nan"],
        ["ingest", "x.mp4", "--device", "tpu"],
        ["ingest", "x.mp4", "--patch-size", "0"],
        ["no-such-command"],
        ["db", "start", "--dsn", "postgresql://x"],
        ["remove", "/x/\udcff.mp4"],
        ["remove", "\udcff%"],
        ["videos", "--dsn", "postgresql://someone:sesame\udcff@127.0.0.1/nowhere"],
    ],
)
def test_wrong_usage_exits_with_2(run_vsdb: Run, arguments: list[str]) -> None:
    run = run_vsdb(*arguments)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr
    assert not {word for word in ("Traceback", "sesame") if word in run.stderr}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["ingest", "status"])  # the one flushes what it prints, the other does not
def test_output_that_cannot_be_written_is_a_failure(dsn: str, tmp_path: Path, command: str) -> None:
    clip = clips.write_video(tmp_path / "a.mp4", [0], size=(64, 48))
    arguments = ["ingest", str(clip), "--model", "tiny"] if command == "ingest" else [command]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "vsdb", *arguments],
            env={**clean_environment(), "VSDB_DSN": dsn},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert (run.returncode, run.stderr) == (1, "error: [Errno 28] No space left on device\n")


def test_what_to_do_next_is_said(run_vsdb: Run, tmp_path: Path) -> None:
    assert 'run "vsdb ingest PATH" first' in run_vsdb("query", "a dog").stderr
    assert "vsdb ingest PATH" in run_vsdb("videos").stderr
    missing = run_vsdb("remove", str(tmp_path / "gone.mp4"))
    assert (missing.returncode, '"vsdb videos" lists them' in missing.stderr) == (1, True)
    offline = run_vsdb("ingest", str(clips.write_video(tmp_path / "a.mp4", [0])), VSDB_MODEL="RN50x4")
    assert offline.returncode == 1
    assert "--weights FILE" in offline.stderr
    assert "--model tiny" in offline.stderr
    unknown = run_vsdb("ingest", str(tmp_path / "a.mp4"), "--model", "RN5x4")
    assert (unknown.returncode, "unknown model" in unknown.stderr) == (1, True)


def test_a_password_is_never_shown(run_vsdb: Run) -> None:
    run = run_vsdb("status", VSDB_DSN="postgresql://someone:sesame@127.0.0.1:1/nowhere")
    assert run.returncode == 1
    assert "cannot connect" in run.stderr
    assert "sesame" not in run.stderr + run.stdout


def test_doctor_finds_what_is_there(run_vsdb: Run, street: Path) -> None:
    run_vsdb("ingest", str(street), "--model", "tiny")
    run = run_vsdb("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(run.stdout)}
    assert run.returncode == 0, run.stdout
    assert {name: check["state"] for name, check in checks.items() if check["state"] != "ok"} == {}
    assert "tiny (the database's)" in checks["model"]["found"]
    broken = run_vsdb("doctor", VSDB_DSN="postgresql://nobody@127.0.0.1:1/none")
    assert broken.returncode == 1
    assert "cannot connect" in broken.stderr


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_stores_no_half_video_and_can_be_repeated(
    run_vsdb: Run, tmp_path: Path, dsn: str, connection: Connection, sent: signal.Signals
) -> None:
    """Stopped at random moments, from its start to its end; the last run completes what is missing."""
    videos = [
        clips.write_video(tmp_path / f"{name}.mp4", range(0, length, 200), size=(64, 48))
        for name, length in (("a", 12_000), ("b", 16_000), ("c", 8_000))
    ]
    command = [sys.executable, "-m", "vsdb", "ingest", str(tmp_path), "--model", "tiny", "--every", "0.2"]
    began = time.monotonic()
    assert run_vsdb(*command[3:]).returncode == 0
    whole_run_seconds = time.monotonic() - began
    expected = stored(connection)
    assert [row[1] for row in expected] == [60, 80, 40]
    connection.execute("truncate vsdb.videos cascade")

    rng = random.Random(7)
    for _ in range(5):
        process = subprocess.Popen(
            command, env={**clean_environment(), "VSDB_DSN": dsn}, stderr=subprocess.PIPE, text=True
        )
        try:
            process.wait(rng.uniform(0.3, 1.0) * whole_run_seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(sent)
        _, messages = process.communicate(timeout=60)
        if process.returncode == 130:  # -2: Python was still starting
            assert "run the same command to go on" in messages
            assert "Traceback" not in messages
        assert process.returncode in (0, 130, -sent), messages
        assert set(stored(connection)) <= set(expected)
    assert run_vsdb(*command[3:]).returncode == 0
    assert stored(connection) == expected
    assert len(videos) == 3


def stored(connection: Connection) -> list[tuple[object, ...]]:
    """Each video with what it should hold and what it holds; sees what a stopped run has left once it is gone."""
    for _ in range(100):  # the server notices a vanished client when it next speaks to it
        busy = connection.execute(
            """select count(*) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null"""
        ).fetchone()
        if busy == (0,):
            break
        time.sleep(0.1)
    return connection.execute(
        """select v.video_path, v.num_frames, v.num_patches, count(*), count(distinct p.frame_index)
           from vsdb.videos v join vsdb.patches p using (video_id) group by v.video_id order by 1"""
    ).fetchall()


def test_two_at_once_store_each_video_once(tmp_path: Path, dsn: str, connection: Connection) -> None:
    for name, length in (("a", 4_000), ("b", 6_000)):
        clips.write_video(tmp_path / f"{name}.mp4", range(0, length, 200), size=(64, 48))
    command = [sys.executable, "-m", "vsdb", "ingest", str(tmp_path), "--model", "tiny", "--json"]
    environment = {**clean_environment(), "VSDB_DSN": dsn}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    statuses = [json.loads(line)["status"] for out, _ in outputs for line in out.splitlines()]
    assert sorted(statuses) == ["ingested", "ingested", "unchanged", "unchanged"]
    assert [row[1:3] for row in stored(connection)] == [(4, 52), (6, 78)]
