"""One frame at a time: exactly the one that ingest saw, in every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import clips
from vsdb.errors import VideoError
from vsdb.media.seek import read_frame
from vsdb.media.video import VideoReader

VARIABLE = [0, 131, 238, 900, 1040, 1041, 1300, 2999, 3001, 5500, 5540]


def assert_the_frames_that_ingest_sees(path: Path, every_seconds: float) -> None:
    """From the end to the start, so that every frame needs a seek."""
    with VideoReader(path) as reader:
        sampled = list(reader.sample(every_seconds=every_seconds))
    assert len(sampled) > 1
    for frame in reversed(sampled):
        image = read_frame(path, frame.pts_seconds)
        assert image.shape == frame.image.shape
        assert np.abs(image.astype(int) - frame.image).mean() < 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate(tmp_path: Path, suffix: str) -> None:
    path = clips.write_video(tmp_path / f"a.{suffix}", VARIABLE)
    assert_the_frames_that_ingest_sees(path, 0.001)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("long_gop.mp4", "libx264", {}),
        ("no_index.ts", "libx264", {}),
        ("a.webm", "libvpx-vp9", {}),
        ("a.avi", "mpeg4", {}),
        ("fragmented.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ],
)
def test_containers(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    path = clips.write_video(tmp_path / name, range(0, 15_000, 40), codec=codec, options=options)
    assert_the_frames_that_ingest_sees(path, 0.9)


@pytest.mark.parametrize(("name", "codec"), [("a.mpg", "mpeg2video"), ("a.vob", "mpeg2video"), ("a.flv", "flv")])
def test_formats_that_count_a_little_wrong_after_a_seek(tmp_path: Path, name: str, codec: str) -> None:
    assert_the_frames_that_ingest_sees(clips.write_with_sound(tmp_path / name, codec=codec), 0.7)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_late_start(tmp_path: Path, suffix: str) -> None:
    path = clips.write_video(tmp_path / f"a.{suffix}", range(5000, 17_000, 40))
    assert_the_frames_that_ingest_sees(path, 0.9)


@pytest.mark.parametrize(("suffix", "delay_frames"), [("mp4", 75), ("mkv", 75), ("mkv", 250), ("ts", 75), ("mp4", 2)])
def test_pictures_that_begin_after_the_sound(tmp_path: Path, suffix: str, delay_frames: int) -> None:
    path = clips.write_with_sound(tmp_path / f"a.{suffix}", sound="aac", seconds=6, delay_frames=delay_frames)
    assert_the_frames_that_ingest_sees(path, 0.9)


def test_a_title_that_is_not_utf_8_does_no_harm(tmp_path: Path) -> None:
    plain = clips.write_video(tmp_path / "plain.mp4", range(0, 2000, 40))
    assert_the_frames_that_ingest_sees(
        clips.title_in_latin_1(plain, tmp_path / "a.mp4", recorded_at="2026-05-04T09:00:00Z"), 0.9
    )


def test_a_known_frame_has_its_known_colour(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "a.mp4", range(0, 8000, 40))
    for place in (0, 1, 7, 100, 199):
        assert abs(float(read_frame(path, place * 0.04).mean()) - clips.frame_grey(place)) < 3


def test_rotation_and_colours(tmp_path: Path) -> None:
    corners = np.zeros((96, 160, 3), np.uint8)
    corners[:48, :80, 0] = 255  # red, top left
    corners[48:, 80:, 2] = 255  # blue, bottom right
    flat = clips.write_video(tmp_path / "flat.mp4", [0, 40], size=(160, 96), images=[corners] * 2)
    portrait = clips.rotate(flat, tmp_path / "portrait.mp4")
    with VideoReader(portrait) as reader:
        (frame,) = reader.sample(every_seconds=1)
    image = read_frame(portrait, 0.0)
    assert image.shape == (160, 96, 3)
    assert np.abs(image.astype(int) - frame.image).mean() < 1


def test_the_shared_clips(shared_clips: Path) -> None:
    for path in [*shared_clips.glob("*.mp4"), *shared_clips.glob("*.webm")]:
        assert_the_frames_that_ingest_sees(path, 1.5 if path.name.startswith("mdn") else 9.7)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "a.mp4", range(0, 2000, 40))
    for seconds in (0.02, 1.01, 99.0):
        with pytest.raises(VideoError, match="has no frame at"):
            read_frame(path, seconds)
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    clips.write_sound(tmp_path / "sound.mp4")
    for name, reason in (
        ("gone.mp4", "no such file"),
        ("text.mp4", "cannot be decoded"),
        ("sound.mp4", "no picture track"),
        (".", "a folder"),
    ):
        with pytest.raises(VideoError, match=reason):
            read_frame(tmp_path / name, 0.0)


def test_nothing_of_the_decoder_reaches_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = clips.write_video(tmp_path / "a.mp4", range(0, 2000, 40), options={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError):
        read_frame(tmp_path / "cut.mp4", 1.92)
    assert capfd.readouterr().err == ""
