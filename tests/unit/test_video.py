"""Decoding: time stamps, rotation and the many ways in which a file can be wrong."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from tests import clips
from vsdb.errors import VideoError
from vsdb.video import Frame, VideoReader, check_readable, content_sha256


def sample(path: Path, every_seconds: float = 1.0) -> list[Frame]:
    with VideoReader(path) as reader:
        return list(reader.sample(every_seconds=every_seconds))


def times(path: Path, every_seconds: float = 1.0) -> list[float]:
    return [frame.pts_seconds for frame in sample(path, every_seconds)]


def test_constant_rate_is_sampled_on_the_second(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "a.mp4", range(0, 3400, 40))
    assert times(path) == [0.0, 1.0, 2.0, 3.0]
    with VideoReader(path) as reader:
        assert [frame.frame_index for frame in reader.sample(every_seconds=1)] == [0, 1, 2, 3]
        assert reader.duration_seconds == pytest.approx(3.4)


def test_a_frame_is_the_picture_of_its_time(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "a.mp4", range(0, 3400, 40))
    for frame in sample(path, 0.4):
        shown = clips.frame_grey(round(frame.pts_seconds / 0.04))
        assert abs(float(frame.image.mean()) - shown) < 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_keeps_the_container_s_time_stamps(tmp_path: Path, suffix: str) -> None:
    stamps = [0, 131, 238, 900, 1040, 1041, 1300, 2999, 3001, 5500, 5540]
    path = clips.write_video(tmp_path / f"a.{suffix}", stamps)
    assert times(path) == [0.0, 1.04, 2.999, 3.001, 5.5]
    assert times(path, 0.001) == [stamp / 1000 for stamp in stamps]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_late_start_counts_from_the_first_frame(tmp_path: Path, suffix: str) -> None:
    path = clips.write_video(tmp_path / f"a.{suffix}", range(5000, 7000, 40))
    assert times(path) == [0.0, 1.0]


def test_rotation_is_honoured(tmp_path: Path) -> None:
    flat = clips.write_video(tmp_path / "flat.mp4", range(0, 400, 40), size=(160, 96))
    portrait = clips.rotate(flat, tmp_path / "portrait.mp4")
    assert sample(flat)[0].image.shape == (96, 160, 3)
    assert sample(portrait)[0].image.shape == (160, 96, 3)


@pytest.mark.parametrize(
    ("name", "size", "codec", "pixel_format"),
    [
        ("ten_bit.mp4", (160, 120), "libx264", "yuv420p10le"),
        ("odd.mkv", (161, 97), "ffv1", "yuv444p"),
        ("tiny.mkv", (2, 2), "ffv1", "yuv444p"),
        ("vp9.webm", (160, 120), "libvpx-vp9", "yuv420p"),
    ],
)
def test_unusual_formats_decode(
    tmp_path: Path, name: str, size: tuple[int, int], codec: str, pixel_format: str
) -> None:
    path = clips.write_video(tmp_path / name, range(0, 1200, 40), size=size, codec=codec, pixel_format=pixel_format)
    frames = sample(path)
    assert [frame.pts_seconds for frame in frames] == [0.0, 1.0]
    assert frames[0].image.shape == (size[1], size[0], 3)
    assert frames[0].image.dtype == np.uint8


def test_colours_are_rgb(tmp_path: Path) -> None:
    red = np.zeros((120, 160, 3), np.uint8)
    red[..., 0] = 255
    path = clips.write_video(tmp_path / "red.mp4", [0], images=[red])
    red_mean, green_mean, blue_mean = sample(path)[0].image.reshape(-1, 3).mean(0)
    assert red_mean > 200
    assert max(green_mean, blue_mean) < 60


def test_a_one_frame_video_is_one_frame(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "a.mp4", [0])
    assert times(path) == [0.0]


def test_bad_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    clips.write_sound(tmp_path / "sound.mp4")
    whole = clips.write_video(tmp_path / "whole.mp4", range(0, 2000, 40)).read_bytes()
    (tmp_path / "no_index.mp4").write_bytes(whole[: len(whole) // 2])
    expected = {
        "missing.mp4": "no such file",
        "empty.mp4": "the file is empty",
        "text.mp4": "not a video",
        "sound.mp4": "not a video",
        "no_index.mp4": "not a video",
        ".": "a folder",
    }
    for name, reason in expected.items():
        with pytest.raises(VideoError, match=reason):
            sample(tmp_path / name)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_a_truncated_file_is_refused_at_its_end(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (250, 120, 160, 3), dtype=np.uint8)
    codec = "libvpx" if suffix == "webm" else "libx264"
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = clips.write_video(
        tmp_path / f"a.{suffix}", range(0, 10_000, 40), codec=codec, images=list(noise), options=options
    )
    whole = path.read_bytes()
    assert len(times(path)) == 10
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"truncated or damaged: \d\.\d s of 10\.0 s"):
        sample(path)


def test_no_permission_is_said(tmp_path: Path) -> None:
    path = tmp_path / "private.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=_check_as_nobody, args=(path, answer))
    child.start()
    child.join(30)
    assert answer.get() == "no permission to read the file"


def _check_as_nobody(path: Path, answer: multiprocessing.SimpleQueue[str]) -> None:
    if os.geteuid() == 0:
        os.setuid(65_534)
    try:
        check_readable(path)
        answer.put("readable")
    except VideoError as error:
        answer.put(str(error))


def test_nothing_of_the_decoder_reaches_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = clips.write_video(tmp_path / "a.mp4", range(0, 2000, 40)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError):
        sample(tmp_path / "cut.mp4")
    assert capfd.readouterr().err == ""


def test_content_decides_the_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    (tmp_path / "c").write_bytes(b"other")
    assert content_sha256(tmp_path / "a") == content_sha256(tmp_path / "b") != content_sha256(tmp_path / "c")
