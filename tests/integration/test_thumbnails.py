"""Thumbnails as rows: one a sampled frame, gone with its video, left out where nobody wants them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from psycopg import errors

import vsdb
from tests import clips
from vsdb.database import Connection
from vsdb.types import Sampling

WITHOUT = Sampling(thumbnails=False)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three sampled frames of 64x48."""
    return clips.write_video(tmp_path / "clip.mp4", range(0, 2400, 200), size=(64, 48))


def frames(connection: Connection) -> list[tuple[int, float, bytes]]:
    return connection.execute("select frame_index, pts_seconds, jpeg from vsdb.frames order by 1").fetchall()


def grey(jpeg: bytes) -> float:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return float(image.mean())


def test_each_sampled_frame_has_its_own_picture(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    stored = frames(index.connection)
    assert [row[:2] for row in stored] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    for _, pts_seconds, jpeg in stored:
        assert abs(grey(jpeg) - clips.frame_grey(round(pts_seconds / 0.2))) < 4
    patches = index.connection.execute("select distinct frame_index, pts_seconds from vsdb.patches order by 1")
    assert patches.fetchall() == [row[:2] for row in stored]
    assert [video.has_thumbnails for video in index.videos()] == [True]


def test_a_portrait_video_has_upright_pictures(index: vsdb.Index, tmp_path: Path) -> None:
    flat = clips.write_video(tmp_path / "flat.mp4", [0, 40], size=(640, 360))
    index.ingest([clips.rotate(flat, tmp_path / "portrait.mp4")])
    ((_, _, jpeg),) = frames(index.connection)
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (569, 320, 3)


def test_they_can_be_left_out_and_made_later(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip], sampling=WITHOUT)
    assert frames(index.connection) == []
    assert [video.has_thumbnails for video in index.videos()] == [False]
    assert [result.status for result in index.ingest([clip])] == ["unchanged"]
    assert frames(index.connection) == []
    index.ingest([clip], force=True)
    assert len(frames(index.connection)) == 3
    index.ingest([clip], force=True, sampling=WITHOUT)
    assert frames(index.connection) == []


def test_they_go_with_their_video(index: vsdb.Index, clip: Path) -> None:
    other = clips.write_video(clip.with_name("other.mp4"), [0, 1000], size=(64, 48))
    index.ingest([clip, other])
    assert len(frames(index.connection)) == 5
    index.remove(other)
    assert len(frames(index.connection)) == 3


def test_more_frames_than_a_copy_takes(index: vsdb.Index, tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "long.mp4", range(0, 70_000, 500), size=(64, 48))
    index.ingest([path], sampling=Sampling(patch_size=48, stride=48))
    assert [row[0] for row in frames(index.connection)] == list(range(70))


def test_the_reader_may_see_them(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    index.connection.execute("set role vsdb_reader")
    index.connection.execute("set search_path = ''")
    assert len(frames(index.connection)) == 3
    with pytest.raises(errors.InsufficientPrivilege):
        index.connection.execute("delete from vsdb.frames")


def test_they_are_not_compressed_a_second_time(connection: Connection) -> None:
    row = connection.execute(
        "select attstorage::text from pg_attribute where attrelid = 'vsdb.frames'::regclass and attname = 'jpeg'"
    ).fetchone()
    assert row == ("e",)
