"""Clips: what they hold, where they begin and end, and what becomes of the sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests import clips
from vsdb.errors import VideoError
from vsdb.look.cut import clip_suffix, cut_clip, encode_clip
from vsdb.media.seek import upright


def cut(source: Path, start: float, end: float, *, reencode: bool = False) -> tuple[Path, list[str]]:
    target = source.with_name("clip" + clip_suffix(source, reencode=reencode))
    with target.open("wb") as file:
        left_out = (encode_clip if reencode else cut_clip)(
            source, file, start_seconds=start, end_seconds=end, comment="a comment"
        )
    return target, left_out


def frames(path: Path) -> list[tuple[float, float]]:
    """Time and grey of every frame."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        start = float((video.start_time or 0) * (video.time_base or 0))
        return [(round((f.time or 0.0) - start, 3), float(upright(f).mean())) for f in container.decode(video=0)]


def first_time(path: Path) -> float:
    """The file's first time stamp of a picture, as it stands there."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).time


def assert_frames_of_the_source(path: Path, first: int, seconds: float, *, slack: int) -> None:
    assert first_time(path) == pytest.approx(0, abs=0.002)
    found = frames(path)
    assert seconds * 25 <= len(found) <= seconds * 25 + slack
    for place, (time, grey) in enumerate(found[: round(seconds * 25)]):
        assert time == pytest.approx(place / 25, abs=0.002)
        assert abs(grey - clips.frame_grey(first + place)) < 6


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("a.mp4", "libx264", "aac"),
        ("a.mov", "libx264", "aac"),
        ("a.mkv", "libx264", "aac"),
        ("a.webm", "libvpx-vp9", "libopus"),
        ("a.ts", "libx264", "aac"),
        ("a.avi", "mpeg4", None),
    ],
)
def test_a_clip_begins_at_the_key_frame_before_and_keeps_its_sound(
    tmp_path: Path, name: str, codec: str, sound: str | None
) -> None:
    clip, left_out = cut(clips.write_with_sound(tmp_path / name, codec=codec, sound=sound), 5.0, 7.0)
    assert left_out == []
    assert_frames_of_the_source(clip, 100, 3.0, slack=4)  # from the key frame at 4 s
    with av.open(str(clip)) as container:
        assert container.metadata.get("comment", container.metadata.get("COMMENT")) == "a comment"
        assert len(container.streams.audio) == (1 if sound else 0)
        if sound:
            heard = [float(f.time or 0) for f in container.decode(audio=0)]
            assert heard[0] == pytest.approx(0, abs=0.15)
            assert heard[-1] == pytest.approx(3.0, abs=0.15)


def test_encoding_again_cuts_exactly(tmp_path: Path) -> None:
    clip, left_out = cut(clips.write_with_sound(tmp_path / "a.mp4", sound="aac"), 5.04, 7.0, reencode=True)
    assert left_out == []
    assert_frames_of_the_source(clip, 126, 1.96, slack=0)
    with av.open(str(clip)) as container:
        heard = [float(f.time or 0) for f in container.decode(audio=0)]
        assert heard[0] == pytest.approx(0, abs=0.05)
        assert heard[-1] == pytest.approx(1.96, abs=0.05)


def test_the_end_of_the_video_is_the_end_of_the_clip(tmp_path: Path) -> None:
    source = clips.write_with_sound(tmp_path / "a.mp4")
    assert_frames_of_the_source(cut(source, 10.0, 99.0)[0], 250, 2.0, slack=0)
    assert_frames_of_the_source(cut(source, 11.0, 99.0, reencode=True)[0], 275, 1.0, slack=0)


def test_a_late_start_counts_from_the_first_frame(tmp_path: Path) -> None:
    source = clips.write_video(tmp_path / "a.mkv", range(5000, 9000, 40))
    assert frames(cut(source, 0.0, 1.0)[0])[0][1] == pytest.approx(clips.frame_grey(0), abs=4)
    first, *_, last = frames(cut(source, 1.0, 2.0, reencode=True)[0])
    assert first[1] == pytest.approx(clips.frame_grey(25), abs=4)
    assert last[0] == pytest.approx(0.96)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_pictures_that_begin_after_the_sound_are_cut_at_their_time(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a.{suffix}"
    clips.write_with_sound(source, sound="aac", seconds=4, sound_seconds=7, delay_frames=75)
    assert_frames_of_the_source(cut(source, 5.0, 6.0)[0], 50, 1.0, slack=4)
    assert_frames_of_the_source(cut(source, 5.04, 6.0, reencode=True)[0], 51, 0.96, slack=0)


@pytest.mark.parametrize("reencode", [False, True])
def test_a_title_that_is_not_utf_8_does_no_harm(tmp_path: Path, reencode: bool) -> None:
    plain = clips.write_with_sound(tmp_path / "plain.mp4", seconds=3)
    source = clips.title_in_latin_1(plain, tmp_path / "a.mp4", recorded_at="2026-05-04T09:00:00Z")
    assert_frames_of_the_source(cut(source, 2.0, 3.0, reencode=reencode)[0], 50, 1.0, slack=0)


@pytest.mark.parametrize("reencode", [False, True])
def test_a_portrait_clip_stays_upright(tmp_path: Path, reencode: bool) -> None:
    corners = np.zeros((96, 160, 3), np.uint8)
    corners[:48, :80, 0] = 255
    flat = clips.write_video(tmp_path / "flat.mp4", range(0, 2000, 40), size=(160, 96), images=[corners] * 50)
    portrait = clips.rotate(flat, tmp_path / "portrait.mp4")
    with av.open(str(portrait)) as container:
        expected = upright(next(container.decode(video=0)))
    clip, _ = cut(portrait, 0.5, 1.0, reencode=reencode)
    with av.open(str(clip)) as container:
        shown = upright(next(container.decode(video=0)))
    assert shown.shape == expected.shape == (160, 96, 3)
    assert np.abs(shown.astype(int) - expected).mean() < 8


def test_odd_sizes_and_variable_rates_can_be_encoded(tmp_path: Path) -> None:
    stamps = [0, 131, 900, 1040, 2999, 3001, 5500]
    source = clips.write_video(tmp_path / "odd.mkv", stamps, size=(161, 97), codec="ffv1", pixel_format="yuv444p")
    clip, _ = cut(source, 0.9, 5.5, reencode=True)
    assert [time for time, _ in frames(clip)] == pytest.approx([0, 0.14, 2.099, 2.101], abs=0.002)


def test_sound_that_the_file_cannot_hold_is_left_out_and_said(tmp_path: Path) -> None:
    source = clips.write_with_sound(tmp_path / "a.mkv", sound="wavpack", seconds=3)
    clip, left_out = cut(source, 1.0, 2.0, reencode=True)
    assert left_out == ["its wavpack sound, which a mp4 file cannot hold"]
    assert len(frames(clip)) == 25


def test_what_cannot_be_cut_is_said(tmp_path: Path) -> None:
    source = clips.write_with_sound(tmp_path / "a.mp4", seconds=2)
    with pytest.raises(VideoError, match="has no frame at 50 s"):
        cut(source, 50.0, 51.0, reencode=True)
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    for name, reason in (("gone.mp4", "no such file"), ("text.mp4", "cannot be decoded")):
        with pytest.raises(VideoError, match=reason):
            cut(tmp_path / name, 0.0, 1.0)


@pytest.mark.parametrize("buffering", [0, 4096])
@pytest.mark.parametrize("make", [cut_clip, encode_clip])
def test_a_full_disk_is_an_error_of_writing(tmp_path: Path, make: Any, buffering: int) -> None:
    source = clips.write_with_sound(tmp_path / "a.mp4")
    with pytest.raises(OSError, match="No space left") as caught, open("/dev/full", "wb", buffering=buffering) as full:  # noqa: PTH123
        make(source, full, start_seconds=0.0, end_seconds=10.0, comment="")
    assert not isinstance(caught.value, VideoError)
