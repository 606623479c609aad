"""Decoding: time stamps, rotation and the many ways in which a file can be wrong."""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import subprocess
import sys
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vsdb.media.containers
import vsdb.media.video
from tests import clips
from vsdb.errors import VideoError
from vsdb.media.containers import check_clock, check_whole, open_container
from vsdb.media.files import check_readable, content_sha256
from vsdb.media.images import decode_image, read_image
from vsdb.media.video import Frame, VideoReader, next_due, recorded_at


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


@pytest.mark.parametrize(
    ("pts_seconds", "every_seconds", "due"),
    [(0.0, 1.0, 1.0), (0.9994, 1.0, 1.0), (0.9996, 1.0, 2.0), (1.0, 1.0, 2.0), (1.3, 0.5, 1.5), (7.5, 2.0, 8.0)],
)
def test_the_next_frame_is_due_at_the_next_multiple(pts_seconds: float, every_seconds: float, due: float) -> None:
    """A time just short of a multiple is that multiple, which the container could not write."""
    assert next_due(pts_seconds, every_seconds) == due


def test_a_frame_just_short_of_a_second_is_that_second_s(tmp_path: Path) -> None:
    ticks = [0, 4998, 9994, 9996, 15_000, 20_003]  # of a tenth of a millisecond
    path = clips.write_video(tmp_path / "a.mp4", ticks, time_base=Fraction(1, 10_000))
    assert times(path) == [0.0, 0.9996, 2.0003]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_late_start_counts_from_the_first_frame(tmp_path: Path, suffix: str) -> None:
    path = clips.write_video(tmp_path / f"a.{suffix}", range(5000, 7000, 40))
    assert times(path) == [0.0, 1.0]


@pytest.mark.parametrize(("suffix", "seconds"), [("mp4", 2), ("mkv", 2), ("mkv", 10), ("ts", 2)])
def test_pictures_that_begin_after_the_sound_count_from_its_start(tmp_path: Path, suffix: str, seconds: int) -> None:
    path = tmp_path / f"a.{suffix}"
    clips.write_with_sound(path, sound="aac", seconds=3, sound_seconds=seconds + 3, delay_frames=25 * seconds)
    with VideoReader(path) as reader:
        frames = list(reader.sample(every_seconds=1))
        assert reader.duration_seconds == pytest.approx(seconds + 3, abs=0.05)
        assert reader.declared_seconds == pytest.approx(seconds + 3, abs=0.2)
    assert [frame.pts_seconds for frame in frames] == pytest.approx([seconds, seconds + 1, seconds + 2], abs=0.03)
    assert abs(float(frames[1].image.mean()) - clips.frame_grey(25)) < 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_delay_of_two_frames_is_none(tmp_path: Path, suffix: str) -> None:
    path = clips.write_with_sound(tmp_path / f"a.{suffix}", sound="aac", seconds=2, delay_frames=2)
    assert times(path)[:2] == [0.0, 1.0]


def test_an_ordinary_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [clips.write_with_sound(tmp_path / f"a.{suffix}", sound="aac", seconds=2) for suffix in ("mp4", "mkv")]
    monkeypatch.setattr(vsdb.media.video, "picture_start", pytest.fail)
    monkeypatch.setattr(vsdb.media.containers, "open_container", pytest.fail)
    assert [times(path) for path in paths] == [[0.0, 1.0]] * 2


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


def test_a_truncated_file_that_begins_late_is_refused(tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (100, 48, 64, 3), dtype=np.uint8))
    options = {"movflags": "faststart"}
    path = clips.write_video(tmp_path / "a.mp4", range(5000, 9000, 40), size=(64, 48), images=noise, options=options)
    assert len(times(path)) == 4
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"truncated or damaged: \d\.\d s of 4\.0 s"):
        sample(path)


@pytest.mark.parametrize(("suffix", "codec", "sound"), [("mkv", "libx264", "aac"), ("webm", "libvpx", "libopus")])
def test_sound_that_outlasts_the_pictures_is_no_damage(tmp_path: Path, suffix: str, codec: str, sound: str) -> None:
    path = clips.write_with_sound(tmp_path / f"a.{suffix}", codec=codec, sound=sound, seconds=4, sound_seconds=12)
    assert times(path) == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(VideoError, match=r"2\.0 s of 4\.0 s"):  # the pictures are known to last 4 s
        check_whole(path, read_seconds=2.0, declared_seconds=12.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match=r"truncated or damaged: \d\.\d s of 12\.0 s"):
        sample(path)


def test_a_clock_that_starts_again_is_said(tmp_path: Path) -> None:
    parts = [clips.write_video(tmp_path / f"{part}.ts", range(0, 3000, 40)) for part in range(2)]
    with pytest.raises(VideoError, match=r"jumps back by 2\.9 s at 3\.0 s.*ffmpeg -i OLD -c copy"):
        sample(clips.join(parts, tmp_path / "both.ts"))


def test_a_clock_may_fall_a_little() -> None:
    check_clock(9.1, latest_seconds=10.0, step_seconds=0.04)
    check_clock(0.0, latest_seconds=-math.inf, step_seconds=0.04)
    check_clock(7.0, latest_seconds=10.0, step_seconds=2.0)
    with pytest.raises(VideoError, match="jumps back"):
        check_clock(8.9, latest_seconds=10.0, step_seconds=0.04)


def test_a_held_last_frame_lasts_as_long_as_the_header_says(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "held.mkv", [*range(0, 1000, 40), 15_000])
    with VideoReader(path) as reader:
        assert [frame.pts_seconds for frame in reader.sample(every_seconds=1)] == [0.0, 15.0]
        assert reader.duration_seconds == pytest.approx(15.04, abs=0.001)


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_a_title_that_is_not_utf_8_does_no_harm(tmp_path: Path, suffix: str) -> None:
    plain = clips.write_video(tmp_path / "plain.mp4", range(0, 1000, 40), codec="mpeg4")
    path = clips.title_in_latin_1(plain, tmp_path / f"a.{suffix}", recorded_at="2026-05-04T09:00:00Z")
    with open_container(path) as container:
        assert container.metadata["title"] == "M\ufffdnchen"
    said = recorded_at(path)
    assert suffix == "avi" or (said and said.isoformat() == "2026-05-04T09:00:00+00:00")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-05-04T09:00:00Z", "2026-05-04T09:00:00+00:00"),
        ("2026-05-04T09:00:00", "2026-05-04T09:00:00+00:00"),
        ("2026-05-04T01:30:00+05:30", "2026-05-03T20:00:00+00:00"),
        ("2026-05-04T20:00:00.250-07:00", "2026-05-05T03:00:00.250000+00:00"),
        ("1971-01-01T00:00:00Z", "1971-01-01T00:00:00+00:00"),
        ("1970-01-01T00:00:00Z", None),
        ("1904-01-01T00:00:00Z", None),
        ("last Monday", None),
    ],
)
def test_the_time_of_recording_is_what_the_file_says(tmp_path: Path, said: str, expected: str | None) -> None:
    """FFmpeg writes UTC only, and FLV as it is what is no time: the words are put in its place."""
    plain = clips.write_video(tmp_path / "plain.mp4", [0, 40])
    path = clips.title_in_latin_1(plain, tmp_path / "a.flv", recorded_at="?" * len(said))
    path.write_bytes(path.read_bytes().replace(b"?" * len(said), said.encode()))
    with open_container(path) as container:
        assert container.metadata["creation_time"] == said
    assert recorded_at(path) == (datetime.fromisoformat(expected) if expected else None)


def test_too_many_pixels_are_an_error_whatever_was_imported_first(tmp_path: Path) -> None:
    path = clips.write_black_png(tmp_path / "big.png", side=15_000)
    program = (
        "import sys, vsdb.media.changes, vsdb.media.thumbnails\nfrom vsdb.media.images import VideoError, read_image\n"
        "try: read_image(__import__('pathlib').Path(sys.argv[1]))\nexcept VideoError as error: print(error)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"{path}: not a picture that can be decoded; JPEG, PNG and WebP are, up to 200 million pixels\n"
    )
    assert done.stderr == ""


def test_pictures_are_read_from_files_and_from_bytes(tmp_path: Path) -> None:
    path = clips.write_black_png(tmp_path / "a.png", side=16)
    assert read_image(path).shape == decode_image(path.read_bytes()).shape == (16, 16, 3)
    (tmp_path / "text.png").write_text("hello")
    for name, reason in (("text.png", "not a picture"), ("gone.png", "no such file")):
        with pytest.raises(VideoError, match=f"{name}: {reason}"):
            read_image(tmp_path / name)
    for data in (b"", b"hello"):
        with pytest.raises(VideoError, match="not a picture"):
            decode_image(data)


def test_opencv_is_imported_in_one_place() -> None:
    package = Path(vsdb.media.video.__file__).parent
    importing = [
        path.name for path in package.rglob("*.py") if re.search(r"^\s*(import|from) cv2", path.read_text(), re.M)
    ]
    assert importing == ["opencv.py"]


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
