"""Ingest with many videos at once under way: order, failures of one, stops in any stage, and nothing left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import torch
from av.video.frame import VideoFrame

import vsdb
from tests import clips
from vsdb.database import Connection
from vsdb.ingest.channels import BrokenStageError
from vsdb.ingest.reporter import SilentReporter
from vsdb.media.images import decode_image
from vsdb.media.thumbnails import thumbnail
from vsdb.media.video import VideoReader
from vsdb.model.encoder import Encoder
from vsdb.types import Sampling


def make_clips(folder: Path, count: int, *, num_frames: int = 2) -> list[Path]:
    """Clips of some frames, one a second, each of another length in its name and another grey."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(count):
        image = np.full((48, 64, 3), clips.frame_grey(number), np.uint8)
        image[:, : number + 1] = 0
        path = folder / f"{number:03}.mp4"
        paths.append(clips.write_video(path, range(0, num_frames * 1000, 1000), size=(64, 48), images=[image] * 99))
    return paths


def stored(connection: Connection) -> dict[str, tuple[int, int, int]]:
    rows = connection.execute(
        """select v.video_path, v.num_patches, count(*), count(distinct p.frame_index)
           from vsdb.videos v join vsdb.patches p using (video_id) group by v.video_id"""
    ).fetchall()
    return {Path(row[0]).stem: row[1:] for row in rows}


def test_many_short_videos_keep_their_order_and_their_rows(
    index: vsdb.Index, tmp_path: Path, connection: Connection
) -> None:
    paths = make_clips(tmp_path, 40)
    results = index.ingest(paths)
    assert [result.video_path for result in results] == list(map(str, paths))
    assert {result.status for result in results} == {"ingested"}
    assert stored(connection) == {path.stem: (26, 26, 2) for path in paths}


def test_a_video_embeds_the_same_alone_and_among_others(
    index: vsdb.Index, tmp_path: Path, connection: Connection
) -> None:
    paths = make_clips(tmp_path, 6)
    index.ingest(paths)
    question = """select e.embedding::real[] from vsdb.patch_embeddings e
                  where e.video_path = %s order by e.pts_seconds, e.patch_index"""
    among = np.array(connection.execute(question, [str(paths[4])]).fetchall(), np.float32)[:, 0]
    index.ingest([paths[4]], force=True)
    alone = np.array(connection.execute(question, [str(paths[4])]).fetchall(), np.float32)[:, 0]
    other = np.array(connection.execute(question, [str(paths[0])]).fetchall(), np.float32)[:, 0]
    assert (among * alone).sum(1).min() > 0.9999
    assert (among * other).sum(1).min() < 0.999


def test_a_batch_too_large_for_the_device_is_halved_once_for_all_videos(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    """With room for ten patches: 64, 32 and 16 are tried at most once each, and 8 from then on."""
    paths = make_clips(tmp_path, 8)
    index.ingest(paths)
    question = """select e.embedding::real[] from vsdb.patch_embeddings e
                  order by e.video_path, e.pts_seconds, e.patch_index"""
    roomy = np.array(connection.execute(question).fetchall(), np.float32)[:, 0]
    tried: list[int] = []
    encode = Encoder._encode

    def encode_ten(self: Encoder, patches: Any) -> Any:
        tried.append(len(patches))
        if len(patches) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(self, patches)

    monkeypatch.setattr(Encoder, "_encode", encode_ten)
    results = index.ingest(paths, force=True)
    assert {result.status for result in results} == {"ingested"}
    tight = np.array(connection.execute(question).fetchall(), np.float32)[:, 0]
    assert len(tight) == 8 * 26
    assert (tight * roomy).sum(1).min() > 0.999
    assert 1 <= sum(num > 10 for num in tried) <= 3
    assert sum(num for num in tried if num <= 10) == 8 * 26


def test_thumbnails_are_made_by_the_decoders(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    """There are several of them; the one thread that cuts has to keep a fast device busy."""
    makers: set[str] = set()

    def thumbnail_here(image: Any) -> bytes:
        makers.add(threading.current_thread().name)
        return thumbnail(image)

    monkeypatch.setattr("vsdb.ingest.stages.thumbnail", thumbnail_here)
    index.ingest(make_clips(tmp_path, 2))
    assert makers == {"vsdb-decode"}
    assert connection.execute("select count(*) from vsdb.frames").fetchone() == (4,)


def test_the_same_content_twice_in_one_run_is_decoded_and_stored_once(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = make_clips(tmp_path, 2)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(first.read_bytes())
    decoded: list[Path] = []
    sample = VideoReader.sample

    def note_and_sample(reader: VideoReader, **arguments: Any) -> Any:
        decoded.append(reader.path)
        return sample(reader, **arguments)

    monkeypatch.setattr(VideoReader, "sample", note_and_sample)
    results = index.ingest([first, copy, other])
    assert [result.status for result in results] == ["ingested", "unchanged", "ingested"]
    assert results[1].reason == f"same content as {first}"
    assert decoded == [first, other]


def test_a_failure_in_a_stage_fails_its_video_alone(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    """The last pictures of one video are more than the device can hold, alone or in a batch with others'."""
    paths = make_clips(tmp_path, 5)
    index.ingest(paths[:1])
    cut, encode = Encoder.cut, Encoder.encode
    black = np.zeros((48, 64, 3), np.uint8)
    clips.write_video(paths[2], [0, 1000], size=(64, 48), images=[black, black])

    def encode_if_not_black(self: Encoder, pictures: Any) -> Any:
        if any(not picture.float().mean(dim=(1, 2, 3)).min() > 8 for picture in pictures if len(picture)):
            raise RuntimeError("out of memory\nwith details")
        return encode(self, pictures)

    monkeypatch.setattr(Encoder, "encode", encode_if_not_black)
    results = index.ingest(paths)
    assert [result.status for result in results] == ["unchanged", "ingested", "failed", "ingested", "ingested"]
    assert results[2].reason == "RuntimeError: out of memory"

    def cut_out_of_memory(self: Encoder, image: Any, boxes: Any) -> Any:
        if image.mean() < 8:
            raise MemoryError
        return cut(self, image, boxes)

    monkeypatch.setattr(Encoder, "cut", cut_out_of_memory)
    results = index.ingest(paths, force=True)
    assert [result.status for result in results] == ["ingested", "ingested", "failed", "ingested", "ingested"]
    assert sorted(stored(connection)) == ["000", "001", "003", "004"]


def test_a_broken_stage_ends_the_run_with_its_cause(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a mistake in the code")

    monkeypatch.setattr(Encoder, "fetch", broken)
    with pytest.raises(BrokenStageError, match="a mistake in the code"):
        index.ingest(make_clips(tmp_path, 3))
    assert stored(connection) == {}


def test_a_decoder_that_fails_in_the_middle_stores_nothing_of_its_video(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection
) -> None:
    paths = make_clips(tmp_path, 3, num_frames=6)
    show = VideoReader.show

    def fails_late(self: VideoReader, frame: VideoFrame) -> Any:
        if self.path == paths[1] and float((frame.pts or 0) * self.stream.time_base) > 3:
            raise ValueError("the decoder is confused")
        return show(self, frame)

    monkeypatch.setattr(VideoReader, "show", fails_late)
    with pytest.raises(ValueError, match="confused"):  # no kind of error that is expected of a video
        index.ingest(paths)
    assert sorted(stored(connection)) == ["000"]


@pytest.mark.parametrize("stage", ["hash", "decode", "prepare", "embed", "store"])
def test_ctrl_c_ends_every_stage_at_once(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: Connection, stage: str
) -> None:
    """The interrupt arrives where Python puts it, in the main thread, while one stage is as slow as it can be."""
    paths = make_clips(tmp_path, 4, num_frames=8)
    owners: dict[str, tuple[Any, str]] = {
        "decode": (VideoReader, "show"),
        "prepare": (Encoder, "cut"),
        "embed": (Encoder, "_encode"),
    }
    if stage in owners:
        slow_down(monkeypatch, *owners[stage])
    if stage == "hash":
        monkeypatch.setattr("vsdb.ingest.stages.content_sha256", hash_slowly)

    sent: list[float] = []

    class Impatient(SilentReporter):
        def started(self, path: Path, duration_seconds: float) -> None:
            del duration_seconds
            if stage not in ("hash", "store") and path == paths[0]:
                timer.start()  # the model is loaded, which an interrupt could not have ended at once

        def advanced(self, pts_seconds: float, num_patches: int) -> None:
            del pts_seconds
            if stage == "store" and num_patches > 26:
                sent.append(time.monotonic())
                raise KeyboardInterrupt

    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(1, interrupt, [main, sent])
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest runs in the background
    if stage == "hash":
        timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            index.ingest(paths, reporter=Impatient())
            time.sleep(10)  # the interrupt is on its way
    finally:
        signal.signal(signal.SIGINT, handler)
    assert time.monotonic() - sent[0] < 9
    assert all(counts == (104, 104, 8) for counts in stored(connection).values())
    monkeypatch.undo()
    assert {result.status for result in index.ingest(paths)} <= {"ingested", "unchanged"}
    assert stored(connection) == {path.stem: (104, 104, 8) for path in paths}


def interrupt(main: int, sent: list[float]) -> None:
    sent.append(time.monotonic())
    signal.pthread_kill(main, signal.SIGINT)


def slow_down(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    original = getattr(owner, name)

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.4)
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, slow)


def hash_slowly(path: Path, *, check: Callable[[], None]) -> bytes:
    for _ in range(200):
        check()
        time.sleep(0.1)
    raise AssertionError(f"{path} was to be interrupted")


def test_a_database_that_is_gone_in_the_middle_fails_that_video(
    index: vsdb.Index, tmp_path: Path, dsn: str, connection: Connection
) -> None:
    paths = make_clips(tmp_path, 4, num_frames=4)

    class Cut(SilentReporter):
        num_videos = 0

        def started(self, path: Path, duration_seconds: float) -> None:
            del path, duration_seconds
            self.num_videos += 1

        def advanced(self, pts_seconds: float, num_patches: int) -> None:
            if self.num_videos == 2 and pts_seconds > 1 and num_patches < 50:
                terminate_others(dsn)

    connection.execute("set application_name = 'keep'")
    results = index.ingest(paths, reporter=Cut())
    assert [result.status for result in results] == ["ingested", "failed", "ingested", "ingested"]
    assert sorted(stored(connection)) == ["000", "002", "003"]


def test_a_database_that_is_gone_before_the_model_is_loaded_lets_the_next_video_go_on(
    index: vsdb.Index, tmp_path: Path, dsn: str, connection: Connection
) -> None:
    """The first video's decoder has filled the memory meant for frames, and nobody takes them."""
    images = [np.zeros((3000, 4000, 3), np.uint8)] * 8
    huge = clips.write_video(tmp_path / "0.mkv", range(0, 8000, 1000), size=(4000, 3000), images=images)
    (small,) = make_clips(tmp_path, 1)

    class Cut(SilentReporter):
        times = 0

        def preparing(self, step: str, share: float | None = None) -> None:  # noqa: ARG002
            if step.startswith("loading"):
                self.times += 1
                time.sleep(3)  # for the decoder
                if self.times == 1:
                    terminate_others(dsn)

    connection.execute("set application_name = 'keep'")
    results = index.ingest([huge, small], reporter=Cut(), sampling=Sampling(patch_size=40))
    assert [result.status for result in results] == ["failed", "ingested"]
    assert (results[0].reason or "").startswith("database: ")


def terminate_others(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute(
            """select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and application_name <> 'keep' and pid <> pg_backend_pid()"""
        )


def test_a_copy_that_fails_fails_that_video(index: vsdb.Index, tmp_path: Path, connection: Connection) -> None:
    """As a full disk does: the server refuses rows in the middle of a video."""
    paths = make_clips(tmp_path, 3)
    connection.execute(
        """create function public.refuse() returns trigger language plpgsql as $$
           begin
               if (select video_path like '%/001.mp4' from vsdb.videos where video_id = new.video_id) then
                   raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
               end if;
               return new;
           end $$;
           create trigger refuse before insert on vsdb.patches for each row execute function public.refuse()"""
    )
    results = index.ingest(paths)
    assert [result.status for result in results] == ["ingested", "failed", "ingested"]
    assert results[1].reason == "database: could not extend file: No space left on device"
    assert sorted(stored(connection)) == ["000", "002"]


def test_a_frame_size_that_changes_in_the_middle_keeps_the_first_frame_s_boxes(
    index: vsdb.Index, tmp_path: Path, connection: Connection
) -> None:
    path = clips.join(
        [
            clips.write_video(tmp_path / "small.ts", range(0, 2000, 200), size=(64, 48)),
            clips.write_video(tmp_path / "large.ts", range(2000, 4000, 200), size=(128, 96)),
        ],
        tmp_path / "both.ts",
    )
    (result,) = index.ingest([path])
    assert (result.status, result.num_frames, result.reason) == ("ingested", 4, None)
    boxes = connection.execute("select count(*), max(x + width), max(y + height) from vsdb.patches").fetchone()
    assert boxes == (4 * 13, 64, 48)


def test_one_huge_frame_after_another_passes(index: vsdb.Index, tmp_path: Path) -> None:
    image = np.zeros((3000, 4000, 3), np.uint8)
    path = clips.write_video(tmp_path / "huge.mkv", [0, 1000, 2000], size=(4000, 3000), images=[image] * 3)
    (result,) = index.ingest([path], sampling=Sampling(patch_size=3000))
    assert (result.status, result.num_frames, result.num_patches) == ("ingested", 3, 6)


def test_a_video_whose_decoding_begins_late_does_not_wait_for_later_ones(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second file is passed over as a copy of the first; the third then fills all that waits for its turn."""
    monkeypatch.setattr("vsdb.ingest.stages.WAITING_FRAME_BYTES", 1)
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(b"rubbish" * 99)
    (long,) = make_clips(tmp_path, 1, num_frames=20)
    index.ingest([long])
    results: list[vsdb.IngestResult] = []
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4", long]
    ingest = threading.Thread(target=lambda: results.extend(index.ingest(paths, force=True)), daemon=True)
    ingest.start()
    ingest.join(120)
    assert [result.status for result in results] == ["failed", "failed", "ingested"]


def test_a_name_that_changes_hands_does_not_stop_the_run(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content is known when the run looks ahead, and gone when its turn comes, while the next one is decoded."""
    monkeypatch.setattr("vsdb.ingest.jobs.WAITING_PATCHES", 300)  # more than a batch
    one, two, three = make_clips(tmp_path, 3)
    (long,) = make_clips(tmp_path / "long", 1, num_frames=90)
    index.ingest([one, two])
    results: list[vsdb.IngestResult] = []

    def run() -> None:
        for result in index.ingest_each([three, two, long], force=False):
            results.append(result)
            index.connection.execute("delete from vsdb.videos where video_path = %s", [str(two)])

    ingest = threading.Thread(target=run, daemon=True)
    ingest.start()
    ingest.join(120)
    assert [result.status for result in results] == ["ingested"] * 3


def test_renamed_files_keep_their_rows_when_their_names_are_taken(
    index: vsdb.Index, tmp_path: Path, connection: Connection
) -> None:
    """As recorders rename: new.mp4 becomes new.1.mp4, which becomes new.2.mp4."""
    contents = [path.read_bytes() for path in make_clips(tmp_path, 3)]
    first, second, third = (tmp_path / name for name in ("cam.mp4", "cam.mp4.1.mp4", "cam.mp4.2.mp4"))
    first.write_bytes(contents[0])
    second.write_bytes(contents[1])
    index.ingest([first, second])
    keys = "select array_agg(video_id order by video_path) from vsdb.videos"
    before = connection.execute(keys).fetchone()
    for path, content in zip((first, second, third), (contents[2], *contents[:2]), strict=True):
        path.write_bytes(content)
    results = index.ingest([first, second, third])
    assert [result.status for result in results] == ["ingested", "unchanged", "unchanged"]
    after = connection.execute(keys).fetchone()
    assert before
    assert after
    assert after[0][1:] == before[0]
    assert {video.video_path for video in index.videos()} == {str(first), str(second), str(third)}


@pytest.mark.parametrize("by_rename", [True, False])
def test_a_file_that_changes_while_it_is_read_is_not_stored(
    index: vsdb.Index, tmp_path: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch, by_rename: bool
) -> None:
    path, other = make_clips(tmp_path, 2)
    sample = VideoReader.sample

    def change_and_sample(reader: VideoReader, **arguments: Any) -> Any:
        yield from sample(reader, **arguments)
        if by_rename:
            other.rename(path)
        else:
            path.write_bytes(path.read_bytes() + b"more")

    monkeypatch.setattr(VideoReader, "sample", change_and_sample)
    (result,) = index.ingest([path])
    assert (result.status, stored(connection)) == ("failed", {})
    assert ("changed while it was read" if by_rename else "is still being written") in (result.reason or "")


def test_a_name_that_is_no_text_fails_alone(index: vsdb.Index, tmp_path: Path) -> None:
    paths = make_clips(tmp_path, 4)
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    paths[1].rename(bad)
    results = index.ingest([paths[0], bad, paths[2], paths[3]])
    assert [result.status for result in results] == ["ingested", "failed", "ingested", "ingested"]
    assert results[1].reason == "the file's name is not valid UTF-8; rename it"


@pytest.mark.parametrize("keyframes", [False, True])
def test_what_is_damaged_is_stored_and_said(index: vsdb.Index, tmp_path: Path, keyframes: bool) -> None:
    path = clips.write_video(tmp_path / "a.mp4", range(0, 8000, 40), codec_options={"g": "50", "sc_threshold": "0"})
    clips.zero_packets(path, [100])
    (result,) = index.ingest([path], sampling=Sampling(keyframes=keyframes))
    assert (result.status, result.num_frames) == ("ingested", 3 if keyframes else 8)
    assert "damaged packet" in (result.reason or "")
    assert keyframes or "s missing at" in (result.reason or "")


def test_thumbnails_are_of_the_pictures_that_players_show(
    index: vsdb.Index, tmp_path: Path, connection: Connection
) -> None:
    options = {"x264opts": "interlaced=1"}
    path = clips.write_fields(tmp_path / "a.mts", codec="libx264", is_top_first=True, options=options)
    (result,) = index.ingest([path])
    assert (result.status, result.num_frames) == ("ingested", 3)
    rows = connection.execute("select jpeg from vsdb.frames").fetchall()
    for (jpeg,) in rows:
        assert float(decode_image(bytes(jpeg)).mean()) > 180  # the light field alone


def test_an_interrupt_in_the_middle_of_a_command_leaves_an_index_that_works(index: vsdb.Index, tmp_path: Path) -> None:
    (path,) = make_clips(tmp_path, 1)

    class Interrupting(SilentReporter):
        def advanced(self, pts_seconds: float, num_patches: int) -> None:
            del pts_seconds, num_patches
            index.connection.pgconn.send_query(b"select 1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.ingest([path], reporter=Interrupting())
    assert [result.status for result in index.ingest([path])] == ["ingested"]


def test_files_that_swapped_their_names_are_ingested_anew(index: vsdb.Index, tmp_path: Path) -> None:
    one, two = paths = make_clips(tmp_path, 2)
    index.ingest(paths)
    contents = [path.read_bytes() for path in paths]
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    assert [result.status for result in index.ingest(paths, force=True)] == ["ingested", "ingested"]
    assert {video.video_path for video in index.videos()} == {str(one), str(two)}
