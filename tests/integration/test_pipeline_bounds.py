"""What waits between the stages of an ingest: no more than is allowed, and nothing for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vsdb
from tests import clips, reference
from vsdb.database import Connection
from vsdb.ingest import jobs, stages
from vsdb.ingest.reporter import SilentReporter
from vsdb.ingest.stages import Stages
from vsdb.media.patches import patch_boxes
from vsdb.media.video import VideoReader
from vsdb.model.encoder import Encoder
from vsdb.model.load import load_model
from vsdb.types import Sampling

PATCHES_A_FRAME = 13  # of 64x48
PATIENCE_SECONDS = 120  # for what must come; nothing waits so long where all is well
GRACE_SECONDS = 0.3  # for what must not come: without it a mistake could be missed, but never seen where there is none


@pytest.fixture
def on_sampled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], None]], None]:
    """Calls something with the path of each frame that is decoded, before the frame goes on."""
    sample = VideoReader.sample

    def watch(tell: Callable[[Path], None]) -> None:
        def tell_and_sample(reader: VideoReader, **arguments: Any) -> Iterator[Any]:
            for frame in sample(reader, **arguments):
                tell(reader.path)
                yield frame

        monkeypatch.setattr(VideoReader, "sample", tell_and_sample)

    return watch


def write_seconds(path: Path, seconds: int) -> Path:
    """A video of one frame a second."""
    return clips.write_video(path, range(0, seconds * 1000, 1000), size=(64, 48))


def test_a_frame_of_more_patches_than_a_batch_keeps_them_all_in_order(
    index: vsdb.Index, tmp_path: Path, connection: Connection
) -> None:
    frames = [reference.picture(seed, side=72)[:48, :64] for seed in range(2)]
    path = clips.write_video(
        tmp_path / "a.mkv", [0, 1000], size=(64, 48), codec="ffv1", pixel_format="bgr0", images=frames
    )
    (result,) = index.ingest([path], sampling=Sampling(patch_size=8, stride=4))
    encoder = Encoder(load_model("tiny"), device="cpu")
    boxes = patch_boxes(64, 48, patch_size=8, stride=4)
    assert 2 * encoder.batch_size < len(boxes) == 166
    assert (result.status, result.num_frames, result.num_patches) == ("ingested", 2, 2 * 166)
    rows = connection.execute(
        """select frame_index, patch_index, x, y, width, height, embedding::real[]
           from vsdb.patches order by frame_index, patch_index"""
    ).fetchall()
    assert [row[:6] for row in rows] == [(n, place, *box) for n in range(2) for place, box in enumerate(boxes.tolist())]
    stored = np.array([row[6] for row in rows], np.float32)
    for number, frame in enumerate(frames):
        for place in (0, 1, 63, 64, 65, 127, 128, 165):
            alone = encoder.embed_frames([frame], boxes[place : place + 1])[0, 0].astype(np.float32)
            distances = np.linalg.norm(stored - alone, axis=1)
            nearest, next_nearest = np.argsort(distances)[:2]
            assert nearest == number * 166 + place
            assert distances[nearest] < distances[next_nearest] / 2


def test_a_decoder_runs_ahead_as_far_as_patches_may_wait(
    index: vsdb.Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_sampled: Callable[[Callable[[Path], None]], None],
) -> None:
    """Ten frames wait, one is stored and one is decoded and waits for room; later all find room."""
    monkeypatch.setattr(jobs, "WAITING_PATCHES", 10 * PATCHES_A_FRAME)
    decoded: list[Path] = []
    is_full = threading.Event()
    seen: list[int] = []

    def count(path: Path) -> None:
        decoded.append(path)
        if len(decoded) == 12:
            is_full.set()

    class Looking(SilentReporter):
        def advanced(self, pts_seconds: float, num_patches: int) -> None:
            del pts_seconds
            if num_patches == PATCHES_A_FRAME:
                assert is_full.wait(PATIENCE_SECONDS)
                time.sleep(GRACE_SECONDS)
                seen.append(len(decoded))

    on_sampled(count)
    (result,) = index.ingest([write_seconds(tmp_path / "a.mp4", 40)], reporter=Looking())
    assert (result.status, result.num_frames, result.reason) == ("ingested", 40, None)
    assert seen == [12]


def test_a_decoder_that_waits_for_room_goes_on_when_its_video_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_sampled: Callable[[Callable[[Path], None]], None]
) -> None:
    """There is one decoder, and no encoder that would take a frame."""
    monkeypatch.setattr(stages, "num_cores", lambda: 1)
    monkeypatch.setattr(stages, "WAITING_FRAME_BYTES", 1)
    decoded: list[Path] = []
    has_second = threading.Event()

    def count(path: Path) -> None:
        decoded.append(path)
        if len(decoded) == 2:
            has_second.set()

    on_sampled(count)
    with closing(Stages(Sampling())) as running:
        first, second = (running.announce(write_seconds(tmp_path / f"{name}.mp4", 5)) for name in "ab")
        for job in (first, second):
            job.sha256.result(PATIENCE_SECONDS)
            running.decode(job)
        assert has_second.wait(PATIENCE_SECONDS)
        time.sleep(GRACE_SECONDS)  # for the decoder to reach the place where it waits
        assert decoded == [first.path] * 2
        assert not second.opened.done()
        running.forget(first)
        assert second.opened.result(PATIENCE_SECONDS).width == 64
