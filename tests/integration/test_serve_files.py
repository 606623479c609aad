"""``vsdb serve`` hands out the files that were ingested, their bytes and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest

import vsdb
from tests.conftest import StreetCopy
from tests.serving import Served, serving
from vsdb.demo import CLIP
from vsdb.media.images import decode_image
from vsdb.media.video import VideoReader

PATH_TRICKS = [
    "/api/video/../../../../../../etc/passwd",
    "/api/video/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/api/video/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/api/video//etc/passwd",
    "/api/video/%2fetc%2fpasswd",
    "/api/video/1/../../../../../etc/passwd",
    "/api/video/1%00",
    "/api/video/1/etc/passwd",
    "/../../../../../../etc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2f..%2fpyproject.toml",
    "/..%5c..%5cpyproject.toml",
    "//etc/passwd",
    "/../app.py",
    "/%2e%2e/app.py",
    "/page.js/../../app.py",
    "/__init__.py",
    "/api/frame?video_id=/etc/passwd&pts_seconds=0",
]


@pytest.fixture
def film(street_copy: StreetCopy, tmp_path: Path) -> Path:
    """The copy's file, in a folder of its own."""
    (tmp_path / "films").mkdir()
    path = street_copy.path.rename(tmp_path / "films" / "film.mp4")
    with psycopg.connect(street_copy.dsn) as connection:
        connection.execute("update vsdb.videos set video_path = %s", [str(path)])
    return path


@pytest.fixture
def served(street_copy: StreetCopy) -> Iterator[Served]:
    with serving(VSDB_DSN=street_copy.dsn) as running:
        yield running


@pytest.fixture(scope="module")
def street_served(street_dsn: str) -> Iterator[Served]:
    with serving(VSDB_DSN=street_dsn) as running:
        yield running


def test_ranges_are_the_file_s_bytes(street_served: Served) -> None:
    served = street_served
    data = CLIP.read_bytes()
    size = len(data)
    for asked, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=1000-", 1000, size - 1),
        ("bytes=-500", size - 500, size - 1),
        (f"bytes=-{size + 9}", 0, size - 1),
        (f"bytes=5-{size + 9}", 5, size - 1),
    ):
        answer = served.request("GET", "/api/video/1", Range=asked)
        assert answer.status == 206
        assert answer.body == data[first : last + 1]
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert answer.headers["content-length"] == str(last - first + 1)
    for ignored in ("bytes=9-3", "bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=٣-٤"):
        answer = served.request("GET", "/api/video/1", Range=ignored.encode().decode("latin-1"))
        assert (answer.status, answer.body) == (200, data)
    for outside in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0", "bytes=9999999999999999999-"):
        answer = served.request("GET", "/api/video/1", Range=outside)
        assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_a_range_of_an_older_content_is_not_mixed_in(street_served: Served) -> None:
    served = street_served
    whole = served.request("GET", "/api/video/1")
    assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
    etag = whole.headers["etag"]
    assert served.request("GET", "/api/video/1", Range="bytes=0-9", If_Range=etag).status == 206
    assert served.request("GET", "/api/video/1", Range="bytes=0-9", If_Range='"other"').status == 200
    head = served.request("HEAD", "/api/video/1")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(CLIP.stat().st_size))


def test_path_tricks_get_nothing(street_served: Served) -> None:
    for path in PATH_TRICKS:
        answer = street_served.request("GET", path)
        assert answer.status in (404, 422), path
        assert set(answer.json) == {"error"}


def test_a_file_that_is_gone_or_changed_is_refused_and_shown_by_its_thumbnail(
    served: Served, street_copy: StreetCopy, film: Path
) -> None:
    data = film.read_bytes()

    def refusal() -> str:
        answer = served.request("GET", "/api/video/1")
        assert (answer.status, set(answer.json)) == (404, {"error"})
        assert str(film) in answer.json["error"]
        assert served.get("/api/frame", video_id=1, pts_seconds=2).headers["content-type"] == "image/jpeg"
        assert served.get("/api/frame", video_id=1, pts_seconds=2, full="true").status == 404
        return str(answer.json["error"])

    film.rename(film.with_suffix(".elsewhere"))
    assert "gone" in refusal()
    film.write_bytes(data + b"more")
    assert "changed" in refusal()
    film.write_bytes(bytes(len(data)))  # the same size
    assert "changed" in refusal()
    film.unlink()
    os.mkfifo(film)
    assert "changed" in refusal()
    film.unlink()
    film.mkdir()
    assert "changed" in refusal() or "cannot be read" in refusal()
    film.rmdir()
    film.write_bytes(data)  # another inode, the same content
    assert served.request("GET", "/api/video/1").body == data
    with vsdb.connect(dsn=street_copy.dsn) as index:
        index.remove(film)
    answer = served.request("GET", "/api/video/1")
    assert (answer.status, answer.json) == (404, {"error": "no video 1 here"})


def test_a_link_swapped_in_for_another_file_gets_nothing(served: Served, film: Path, tmp_path: Path) -> None:
    data = film.read_bytes()
    private = tmp_path / "private.txt"
    private.write_bytes(b"secret".ljust(len(data), b"!"))  # of the same size
    long_ago = time.time() - 1e6
    os.utime(private, (long_ago, long_ago))
    film.rename(tmp_path / "kept.mp4")
    film.symlink_to(private)
    answer = served.request("GET", "/api/video/1")
    assert (answer.status, b"secret" in answer.body) == (404, False)

    film.unlink()
    film.parent.rename(tmp_path / "old")
    others = tmp_path / "others"
    others.mkdir()
    private.rename(others / film.name)
    film.parent.symlink_to(others)
    assert served.request("GET", "/api/video/1").status == 404

    (others / film.name).unlink()
    (tmp_path / "kept.mp4").rename(others / film.name)  # what was ingested, behind a link
    assert served.request("GET", "/api/video/1").body == data


def test_a_link_that_was_ingested_is_played(served: Served, street_copy: StreetCopy, film: Path) -> None:
    link = film.with_name("link.mp4")
    real = film.rename(film.with_name("real.mp4"))
    link.symlink_to(real)
    with vsdb.connect(dsn=street_copy.dsn, model="tiny", device="cpu") as index:
        index.ingest([link])
        assert [video.video_path for video in index.videos()] == [str(link)]
    assert served.request("GET", "/api/video/1").body == real.read_bytes()


def test_without_thumbnails_the_picture_comes_from_the_file(
    served: Served, street_copy: StreetCopy, film: Path
) -> None:
    with psycopg.connect(street_copy.dsn) as connection:
        connection.execute("delete from vsdb.frames")
    small = served.get("/api/frame", video_id=1, pts_seconds=2.7)
    full = served.get("/api/frame", video_id=1, pts_seconds=2.7, full="true")
    assert decode_image(small.body).shape == (180, 320, 3)
    assert decode_image(full.body).shape == (720, 1280, 3)
    film.unlink()
    gone = served.get("/api/frame", video_id=1, pts_seconds=2.7)
    assert (gone.status, "gone" in gone.json["error"]) == (404, True)


def test_a_full_frame_is_the_frame_of_that_time(street_served: Served) -> None:
    with VideoReader(CLIP) as reader:
        frames = {frame.pts_seconds: frame.image for frame in reader.sample(every_seconds=1)}
    for asked, at in ((4.0, 4.0), (4.9, 4.0), (0, 0.0), (1e6, 59.0)):
        shown = decode_image(street_served.get("/api/frame", video_id=1, pts_seconds=asked, full="true").body)
        nearest = min(frames, key=lambda time: float(cv2.absdiff(frames[time], shown).astype(np.float64).mean()))
        assert nearest == at
