"""The two opt-in ways of sampling: what they store, and when a video is embedded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vsdb
from tests import clips
from vsdb.database import Connection
from vsdb.model.encoder import Encoder
from vsdb.types import IngestResult, Sampling


@pytest.fixture
def still_clip(tmp_path: Path) -> Path:
    """Eight seconds of a wall, with a dark thing at the top left from second 3 to 5."""
    wall = np.kron(np.random.default_rng(0).integers(60, 200, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    with_thing = wall.copy()
    with_thing[8:24, 8:24] = 0
    images = [with_thing if 3 <= second <= 5 else wall for second in range(8)]
    return clips.write_video(tmp_path / "still.mp4", range(0, 8000, 1000), size=(128, 96), images=images)


def ingest(index: vsdb.Index, path: Path, **sampling: Any) -> IngestResult:
    (result,) = index.ingest([path], sampling=Sampling(**sampling))
    return result


def embeddings(connection: Connection) -> np.ndarray:
    rows = connection.execute("select embedding::real[] from vsdb.patches order by frame_index, patch_index").fetchall()
    return np.array(rows, np.float32).reshape(8, -1, len(rows[0][0]))


def test_skipping_what_did_not_change_stores_the_same_rows_with_fewer_embeddings(
    index: vsdb.Index, still_clip: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(index, still_clip)
    every = embeddings(connection)
    counts: list[int] = []
    encode = Encoder.encode

    def count(self: Encoder, pictures: Any) -> Any:
        counts.append(sum(map(len, pictures)))
        return encode(self, pictures)

    monkeypatch.setattr(Encoder, "encode", count)
    result = ingest(index, still_clip, skip_unchanged=True)
    assert (result.status, result.num_frames, result.num_patches) == ("ingested", 8, 8 * every.shape[1])
    assert every.shape[1] < sum(counts) < 4 * every.shape[1]
    some = embeddings(connection)
    assert (some * every).sum(2).min() > 0.98
    assert np.array_equal(some[1], some[0])
    assert not np.array_equal(some[3], some[2])  # the thing has come
    assert np.array_equal(some[3, -1], some[2, -1])  # but not at the bottom right


def test_a_video_sampled_in_another_way_is_embedded_again_when_that_is_asked_for(
    index: vsdb.Index, still_clip: Path
) -> None:
    assert ingest(index, still_clip).status == "ingested"
    assert ingest(index, still_clip, skip_unchanged=False, keyframes=False).status == "unchanged"
    for ways in ({"skip_unchanged": True}, {"keyframes": True}):
        assert ingest(index, still_clip, **ways).status == "ingested"
        assert ingest(index, still_clip, **ways).status == "unchanged"
        assert ingest(index, still_clip).status == "unchanged"  # nothing was asked for that differs
    (video,) = index.videos()
    assert (video.keyframes, video.skip_unchanged) == (True, False)
    assert ingest(index, still_clip, keyframes=False).status == "ingested"


def test_key_frames_are_stored_at_their_real_times(index: vsdb.Index, tmp_path: Path, connection: Connection) -> None:
    path = clips.write_video(
        tmp_path / "a.mp4", range(0, 10_000, 200), size=(64, 48), codec_options={"g": "17", "sc_threshold": "0"}
    )
    result = ingest(index, path, keyframes=True)
    assert (result.status, result.num_frames) == ("ingested", 3)
    rows = connection.execute("select distinct pts_seconds from vsdb.patches order by 1").fetchall()
    assert [row[0] for row in rows] == pytest.approx([0, 3.4, 6.8])
    (video,) = index.videos()
    assert video.keyframes
    assert video.duration_seconds == pytest.approx(10, abs=0.01)
