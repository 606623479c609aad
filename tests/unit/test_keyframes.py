"""Key frames only: the same pictures and times as when all frames are decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import clips
from vsdb.errors import VideoError
from vsdb.media.keyframes import KeyframeReader
from vsdb.media.video import Frame, VideoReader


def key_frames(path: Path, every_seconds: float = 0.001) -> list[Frame]:
    with KeyframeReader(path) as reader:
        return list(reader.sample(every_seconds=every_seconds))


def all_frames(path: Path) -> dict[float, Frame]:
    with VideoReader(path) as reader:
        return {frame.pts_seconds: frame for frame in reader.sample(every_seconds=0.001)}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten seconds at five frames a second, a key frame every 1.4 s, two frames between others."""
    return clips.write_video(
        tmp_path / "clip.mp4", range(0, 10_000, 200), codec_options={"g": "7", "sc_threshold": "0", "bf": "2"}
    )


def test_key_frames_have_their_real_times_and_pictures(clip: Path) -> None:
    found = key_frames(clip)
    assert [frame.pts_seconds for frame in found] == [pytest.approx(1.4 * number) for number in range(8)]
    assert [frame.frame_index for frame in found] == list(range(8))
    whole = all_frames(clip)
    for frame in found:
        assert np.abs(frame.image.astype(int) - whole[frame.pts_seconds].image).max() <= 2


def test_at_most_one_key_frame_a_step(clip: Path) -> None:
    times = [frame.pts_seconds for frame in key_frames(clip, every_seconds=2)]
    assert times == pytest.approx([0, 2.8, 4.2, 7.0, 8.4])


def test_length_and_times_do_not_depend_on_where_a_stream_begins(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "late.ts", range(5000, 7000, 200), codec_options={"g": "5"})
    with KeyframeReader(path) as reader:
        times = [frame.pts_seconds for frame in reader.sample(every_seconds=0.001)]
        assert reader.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert times == pytest.approx([0, 1], abs=0.01)


def test_pictures_that_begin_after_the_sound_count_from_its_start(tmp_path: Path) -> None:
    path = clips.write_with_sound(tmp_path / "a.mp4", sound="aac", seconds=3, sound_seconds=5, delay_frames=50)
    with KeyframeReader(path) as reader:
        assert [frame.pts_seconds for frame in reader.sample(every_seconds=1)] == [2.0, 4.0]
        assert reader.duration_seconds == pytest.approx(reader.declared_seconds) == pytest.approx(5.0, abs=0.05)


def test_a_matroska_file_that_begins_late_is_whole(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "late.mkv", range(5000, 7000, 200), codec_options={"g": "5"})
    assert [frame.pts_seconds for frame in key_frames(path)] == pytest.approx([0, 1])


def test_sound_that_outlasts_the_pictures_is_no_damage(tmp_path: Path) -> None:
    path = clips.write_with_sound(tmp_path / "a.mkv", sound="aac", seconds=4, sound_seconds=12)
    assert [frame.pts_seconds for frame in key_frames(path)] == [0.0, 2.0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match=r"truncated or damaged: \d\.\d s of 12\.0 s"):
        key_frames(path)


def test_a_clock_that_starts_again_is_said(tmp_path: Path) -> None:
    parts = [clips.write_video(tmp_path / f"{part}.ts", range(0, 3000, 40)) for part in range(2)]
    with pytest.raises(VideoError, match=r"jumps back by 3\.0 s at 3\.0 s"):
        key_frames(clips.join(parts, tmp_path / "both.ts"), every_seconds=1)


def test_a_title_that_is_not_utf_8_does_no_harm(tmp_path: Path) -> None:
    plain = clips.write_video(tmp_path / "plain.mp4", range(0, 1000, 40))
    path = clips.title_in_latin_1(plain, tmp_path / "a.mp4", recorded_at="2026-05-04T09:00:00Z")
    assert len(key_frames(path)) == 1


def test_rotation_is_applied_as_for_all_frames(tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 255
    flat = clips.write_video(tmp_path / "flat.mp4", [0, 200], size=(64, 48), images=[image] * 2)
    (frame,) = key_frames(clips.rotate(flat, tmp_path / "turned.mp4"))
    assert frame.image.shape == (64, 48, 3)
    (same, *_) = all_frames(tmp_path / "turned.mp4").values()
    assert np.abs(frame.image.astype(int) - same.image).mean() < 1


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    clips.write_sound(tmp_path / "sound.mp4")
    for name in ("text.mp4", "sound.mp4"):
        with pytest.raises(VideoError, match="not a video"):
            key_frames(tmp_path / name)
    with pytest.raises(VideoError, match="no such file"):
        key_frames(tmp_path / "missing.mp4")


def test_a_truncated_video_is_refused(tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (200, 48, 64, 3), dtype=np.uint8))
    path = clips.write_video(
        tmp_path / "a.mp4", range(0, 8000, 40), size=(64, 48), images=noise, options={"movflags": "faststart"}
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match="truncated or damaged"):
        key_frames(path)
