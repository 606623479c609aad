"""Pictures of moments: from the video, else the thumbnail, with the box where the patch is."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vsdb
from tests import clips
from tests.conftest import StreetCopy
from vsdb.errors import UsageError, VideoError
from vsdb.look.contact_sheet import MAX_CELLS, contact_sheet
from vsdb.look.pictures import BOX_COLOUR


@pytest.fixture
def copied(street_copy: StreetCopy) -> Iterator[vsdb.Index]:
    """The street's first seconds, whose file may be moved and changed."""
    with vsdb.connect(dsn=street_copy.dsn) as index:
        yield index


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, int) - np.asarray(other.resize(one.size), int)).mean())


def box_edges(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is drawn in the box's colour."""
    down, across = np.nonzero((np.abs(np.asarray(image, int) - BOX_COLOUR) < 4).all(axis=2))
    return int(across.min()), int(down.min()), int(across.max()), int(down.max())


def test_a_moment_shows_its_best_frame_and_box(street_index: vsdb.Index) -> None:
    best = street_index.search("a red car")[0]
    image = best.frame()
    assert (image.size, image.mode) == ((1280, 720), "RGB")
    x, y, width, height = best.box
    inside = np.asarray(image, int)[y : y + height, x : x + width].reshape(-1, 3)
    red = (inside[:, 0] > 180) & (inside[:, 1] < 70) & (inside[:, 2] < 80)
    assert red.mean() > 0.1  # the car is in its box
    assert box_edges(best.frame(box=True)) == pytest.approx((x, y, x + width, y + height), abs=8)
    assert difference(image, best.frame()) == 0  # drawing changes nothing that is kept


@pytest.mark.parametrize("change", ["gone", "moved", "other", "text"])
def test_without_its_video_a_moment_shows_the_thumbnail(
    copied: vsdb.Index, street_copy: StreetCopy, change: str
) -> None:
    path = street_copy.path
    best = copied.search("a red car")[0]
    whole, boxed = best.frame(), best.frame(box=True)
    if change == "gone":
        path.unlink()
    elif change == "moved":
        path.rename(path.with_name("moved.mp4"))
    elif change == "other":
        clips.write_video(path, range(0, 20_000, 40))
    else:
        path.write_bytes(b"x" * path.stat().st_size)
    image = best.frame()
    assert image.size == (320, 180)
    assert difference(image, whole) < 6
    for edge, full in zip(box_edges(best.frame(box=True)), box_edges(boxed), strict=True):
        assert edge == pytest.approx(full / 4, abs=3)


def test_with_neither_it_says_why(copied: vsdb.Index, street_copy: StreetCopy) -> None:
    best = copied.search("a red car")[0]
    copied.connection.execute("delete from vsdb.frames")
    street_copy.path.unlink()
    with pytest.raises(VideoError, match=r"my street\.mp4: no such file, and it has no thumbnail"):
        best.frame()
    copied.remove(street_copy.path)
    with pytest.raises(VideoError, match="the database no longer holds it"):
        best.frame()
    copied.close()
    with pytest.raises(VideoError, match="the database cannot be asked for the thumbnail"):
        best.frame()


def test_a_moment_is_a_value_that_can_be_sent(street_index: vsdb.Index) -> None:
    found = street_index.search("a red car")
    sent = pickle.loads(pickle.dumps(found))
    assert sent == found
    assert type(sent) is vsdb.Moments
    assert sent[0].frame_source is vsdb.Moment.frame_source  # that of no database
    assert difference(sent[0].frame(), found[0].frame()) == 0
    assert "frame_source" not in asdict(found[0])
    assert "frame_source" not in repr(found[0])
    lost = replace(sent[0], video_path="/gone.mp4")
    with pytest.raises(VideoError, match="no such file, and a moment that was pickled has no thumbnail"):
        lost.frame()


def test_an_answer_is_a_list_and_shows_itself(street_index: vsdb.Index) -> None:
    found = street_index.search("a red car")
    assert isinstance(found, list)
    assert all(isinstance(moment, vsdb.Moment) for moment in found)
    jpeg = found._repr_jpeg_()
    assert jpeg is not None
    sheet = Image.open(io.BytesIO(jpeg))
    assert sheet.size == found.contact_sheet().size
    assert 40 * len(found) * 320 < sheet.width * sheet.height
    assert street_index.search("a dog", min_score=99)._repr_jpeg_() is None
    with pytest.raises(UsageError, match="at least one moment"):
        vsdb.Moments().contact_sheet()


def test_a_sheet_has_a_cell_a_moment_whatever_their_shape(index: vsdb.Index, tmp_path: Path) -> None:
    flat = clips.write_video(tmp_path / "flat.mp4", [0, 1000, 2000], size=(640, 360))
    clips.rotate(flat, tmp_path / "portrait.mp4")
    clips.write_video(tmp_path / "small.mkv", [0], size=(8, 6), codec="ffv1", pixel_format="yuv444p")
    name = "an extremely long name that does not fit below a picture " * 3 + "猫.mp4"
    shutil.copy(clips.write_video(tmp_path / "x.mp4", [0, 7], size=(64, 48)), tmp_path / name)
    index.ingest([tmp_path])
    found = index.search("a dog", min_z=-99.0, gap_seconds=0)
    assert {Path(moment.video_path).name for moment in found} >= {"flat.mp4", "portrait.mp4", "small.mkv"}
    assert contact_sheet(found).width == 3 * 336 + 16
    one = contact_sheet(found[:1])
    assert one.width == 336 + 16
    many = contact_sheet([found[0]] * (MAX_CELLS + 5))
    assert many.width == 8 * 336 + 16
    assert many.height < 8 * (320 + 48 + 16) + 17


def test_a_sheet_has_a_grey_field_where_there_is_no_picture(copied: vsdb.Index, street_copy: StreetCopy) -> None:
    found = copied.search("a red car")
    copied.connection.execute("delete from vsdb.frames")
    street_copy.path.unlink()
    assert contact_sheet(found).getpixel((20, 20)) == (52, 52, 58)
