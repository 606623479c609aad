"""What cameras, phones, discs and recorders write: small files of known content, read back."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import clips
from vsdb.errors import VideoError
from vsdb.media.seek import read_frame
from vsdb.media.shown import Screen
from vsdb.media.video import Frame, VideoReader

EIGHT_SECONDS = range(0, 8000, 40)
B_FRAMES = {"g": "50", "bf": "2", "sc_threshold": "0"}


def read(path: Path, *, keyframes: bool = False, every_seconds: float = 1.0) -> tuple[list[Frame], VideoReader]:
    """The sampled frames; each is read again by its time, and must be the same byte for byte."""
    with VideoReader(path, keyframes=keyframes) as reader:
        frames = list(reader.sample(every_seconds=every_seconds))
    for frame in reversed(frames):
        assert np.array_equal(read_frame(path, frame.pts_seconds), frame.image)
    return frames, reader


def times(frames: list[Frame]) -> list[float]:
    return [frame.pts_seconds for frame in frames]


def grey(frame: Frame) -> float:
    return float(frame.image.mean())


def assert_numbered(frames: list[Frame], *, first: int = 0) -> None:
    """Each frame has the grey of its place in the source, 25 a second, of which ``first`` is the first one shown."""
    for frame in frames:
        assert grey(frame) == pytest.approx(clips.frame_grey(first + round(frame.pts_seconds * 25)), abs=10)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"x264opts": "interlaced=1"}),
        ("a.mts", "libx264", {"x264opts": "interlaced=1"}),
        ("a.vob", "mpeg2video", {"flags": "+ildct+ilme", "b": "4000000"}),
        ("a.mpg", "mpeg2video", {"flags": "+ildct+ilme", "b": "4000000"}),
    ],
)
@pytest.mark.parametrize("is_top_first", [True, False])
@pytest.mark.parametrize("keyframes", [False, True])
def test_of_interlaced_frames_the_first_field_is_shown(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], is_top_first: bool, keyframes: bool
) -> None:
    path = clips.write_fields(tmp_path / name, codec=codec, is_top_first=is_top_first, options=options)
    frames, _ = read(path, keyframes=keyframes)
    for frame in frames:
        inner = frame.image[8:-8, 8:-8].astype(int)
        assert np.abs(inner[1:] - inner[:-1]).max() < 30  # no comb
        assert inner.mean() > 180


@pytest.mark.parametrize(
    ("name", "codec", "is_guessed"),
    [
        ("a.h264", "libx264", True),
        ("a.hevc", "libx265", True),
        ("a.m2v", "mpeg2video", False),
        ("a.mpg", "mpeg2video", False),
        ("h264.avi", "libx264", False),
        ("mpeg4.avi", "mpeg4", False),
    ],
)
@pytest.mark.parametrize("keyframes", [False, True])
def test_times_without_time_stamps(tmp_path: Path, name: str, codec: str, is_guessed: bool, keyframes: bool) -> None:
    options = {"x265-params": "log-level=none:keyint=50:scenecut=0"} if codec == "libx265" else B_FRAMES
    if codec in ("mpeg2video", "mpeg4"):
        options = {"g": "50", "bf": "2", "sc_threshold": "1000000000"}
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(200):
            image = np.full((120, 160, 3), clips.frame_grey(index), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    frames, reader = read(path, keyframes=keyframes)
    assert len(frames) > 2 if keyframes else times(frames) == pytest.approx(range(8), abs=0.001)
    assert_numbered(frames)
    assert reader.duration_seconds == pytest.approx(8.0, abs=0.1)
    assert any("guessed" in note for note in reader.notes) or not is_guessed


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_av1(tmp_path: Path, suffix: str, pixel_format: str) -> None:
    options = {"preset": "12", "g": "25", "svtav1-params": "lp=1"}
    path = clips.write_video(
        tmp_path / f"a.{suffix}",
        range(0, 3000, 40),
        codec="libsvtav1",
        pixel_format=pixel_format,
        codec_options=options,
    )
    frames, _ = read(path)
    assert times(frames) == [0.0, 1.0, 2.0]
    assert_numbered(frames)


@pytest.mark.parametrize(
    ("places", "note"),
    [
        ([110], r"^\d+ damaged packets?; 0\.\d s missing at 4\.\d s$"),
        ([0], r"^50 damaged packets; 2\.0 s missing at 0\.0 s$"),
        ([198, 199], r"^\d+ damaged packets; 0\.\d s missing at 7\.\d s$"),
        ([], None),
    ],
)
def test_what_is_damaged_is_left_out_and_said(tmp_path: Path, places: list[int], note: str | None) -> None:
    path = clips.write_video(tmp_path / "a.mp4", EIGHT_SECONDS, codec_options=B_FRAMES)
    frames, reader = read(clips.zero_packets(path, places))
    assert_numbered(frames)
    assert len(frames) >= (6 if places == [0] else 8)
    assert len(reader.notes) == (1 if note else 0)
    if note:
        assert re.search(note, reader.notes[0])


def test_empty_packets_are_no_end(tmp_path: Path) -> None:
    """Theora's way to say that a frame is as the one before; to a decoder an empty packet means the end."""
    source = clips.write_video(tmp_path / "a.mkv", EIGHT_SECONDS, codec="mpeg4")
    path = tmp_path / "empty.nut"  # other formats of FFmpeg do not write them
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for place, packet in enumerate(old.demux(video=0)):
            if packet.dts is not None:
                if place % 50 == 49:
                    empty: Any = av.Packet(b"")
                    empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
                    packet = empty
                packet.stream = stream
                new.mux(packet)
    with av.open(str(path)) as container:
        assert sum(packet.size == 0 for packet in container.demux(video=0)) == 5  # four, and the one at the end
    frames, reader = read(path)
    assert times(frames)[-1] == 7.0
    assert reader.notes == []


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("start_seconds", [0.52, 3.28, 6.0])
@pytest.mark.parametrize("keyframes", [False, True])
def test_a_trim_by_edit_list_is_whole(tmp_path: Path, suffix: str, start_seconds: float, keyframes: bool) -> None:
    source = clips.write_video(tmp_path / "whole.mp4", EIGHT_SECONDS, codec_options={"g": "400", "sc_threshold": "0"})
    path = clips.trim(source, tmp_path / f"trim.{suffix}", start_seconds=start_seconds)
    frames, reader = read(path, keyframes=keyframes)
    assert reader.notes == []
    assert reader.duration_seconds == pytest.approx(8 - start_seconds, abs=0.05)
    assert_numbered(frames, first=round(start_seconds * 25))


@pytest.mark.parametrize("name", ["a.ts", "a.m2ts", "a.wmv", "a.asf", "fragmented.mp4"])
def test_sound_may_outlast_the_pictures(tmp_path: Path, name: str) -> None:
    codec, sound = ("wmv2", "aac") if name[2:] in ("wmv", "asf") else ("libx264", "aac")
    path = clips.write_with_sound(tmp_path / name, codec=codec, sound=sound, seconds=4, sound_seconds=12)
    for keyframes in (False, True):
        frames, reader = read(path, keyframes=keyframes)
        assert reader.duration_seconds == pytest.approx(4.0, abs=0.05)
        assert len(frames) >= (2 if keyframes else 4)


@pytest.mark.parametrize("keyframes", [False, True])
def test_segments_from_the_middle_are_whole(tmp_path: Path, keyframes: bool) -> None:
    whole = clips.write_video(
        tmp_path / "whole.mp4",
        EIGHT_SECONDS,
        codec_options=B_FRAMES,
        options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    )
    frames, _ = read(clips.later_fragments(whole, tmp_path / "later.mp4", skip=2), keyframes=keyframes)
    assert times(frames) == ([0.0, 2.0] if keyframes else [0.0, 1.0, 2.0, 3.0])
    assert_numbered(frames, first=100)


def test_a_header_that_promises_more_is_said(tmp_path: Path) -> None:
    path = clips.write_video(tmp_path / "a.mkv", range(0, 4000, 40))
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Matroska's length, a float of 8 bytes, in ms
    path.write_bytes(data[:at] + np.array([60_000.0], ">f8").tobytes() + data[at + 8 :])
    frames, reader = read(path)
    assert len(frames) == 4
    assert reader.notes == ["its pictures end at 4.0 s of 60.0 s"]


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), [[40, 90], [150, 220]]),
        ((0, 1, -1, 0), [[150, 40], [220, 90]]),
        ((-1, 0, 0, -1), [[220, 150], [90, 40]]),
        ((0, -1, 1, 0), [[90, 220], [40, 150]]),
        ((-1, 0, 0, 1), [[90, 40], [220, 150]]),
        ((1, 0, 0, -1), [[150, 220], [40, 90]]),
        ((0, 1, 1, 0), [[40, 150], [90, 220]]),
        ((0, -1, -1, 0), [[220, 90], [150, 40]]),
    ],
)
def test_orientations(tmp_path: Path, matrix: tuple[int, int, int, int], shown: list[list[int]]) -> None:
    images = [clips.quadrants((160, 96))] * 2
    flat = clips.write_video(tmp_path / "flat.mp4", [0, 40], size=(160, 96), images=images)
    (frame,), _ = read(clips.set_matrix(flat, tmp_path / "turned.mp4", *matrix))
    assert clips.quadrant_greys(frame.image) == shown
    assert frame.image.shape == ((96, 160, 3) if matrix[0] else (160, 96, 3))


def write_coloured(path: Path, image: NDArray[np.uint16], **properties: Any) -> Path:
    """Write 10 bit H.264 of one picture, luma and neutral chroma, with properties of the encoder set."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "yuv420p10le"
        for name, value in properties.items():
            setattr(stream.codec_context, name, value)
        for _ in range(30):
            planes = [image, np.full((image.shape[0] // 2, image.shape[1]), 512, np.uint16)]
            frame = av.VideoFrame.from_ndarray(np.concatenate(planes), format="yuv420p10le")
            for name, value in properties.items():
                if name != "sample_aspect_ratio":
                    setattr(frame, name, value)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("transfer", "white"),
    [(16, 0.5807), (18, 0.75)],  # where PQ and HLG have the white of SDR, 203 nits (ITU-R BT.2408)
)
def test_hdr_is_shown_as_sdr(tmp_path: Path, transfer: int, white: float) -> None:
    levels = np.repeat(np.array([0.0, white / 2, white, 1.0]), 40)
    luma = np.tile((64 + levels * 876).round().astype(np.uint16), (96, 1))
    path = write_coloured(tmp_path / "a.mp4", luma, color_trc=transfer, color_primaries=9, colorspace=9)
    (frame, _), _ = read(path)
    black, dark, white_shown, brightest = (frame.image[48, x].astype(int) for x in (20, 60, 100, 140))
    assert black.max() <= 4
    assert 25 < dark.mean() < 120
    assert 200 < white_shown.mean() < 250  # room is kept above it
    assert brightest.min() >= 250
    assert max(np.ptp(each) for each in (dark, white_shown, brightest)) <= 3  # grey stays grey


@pytest.mark.parametrize(("color_range", "level", "shown"), [(1, 64, 0), (1, 940, 255), (2, 0, 0), (2, 1023, 255)])
def test_ranges(tmp_path: Path, color_range: int, level: int, shown: int) -> None:
    luma = np.full((96, 160), level, np.uint16)
    (frame, _), _ = read(write_coloured(tmp_path / "a.mp4", luma, color_range=color_range))
    assert grey(frame) == pytest.approx(shown, abs=3)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    luma = np.full((96, 160), 500, np.uint16)
    (frame, _), _ = read(write_coloured(tmp_path / "a.mp4", luma, sample_aspect_ratio=2))
    assert frame.image.shape == (96, 320, 3)
    (frame, _), _ = read(write_coloured(tmp_path / "b.mp4", luma, sample_aspect_ratio=10_000))
    assert frame.image.shape == (96, 160, 3)  # a damaged header's


def test_the_track_that_moves_is_read(tmp_path: Path) -> None:
    path = clips.write_tracks(
        tmp_path / "cover.mp4", [("png", (640, 480), 1, "attached_pic"), ("libx264", (160, 96), 50, "")]
    )
    frames, reader = read(path)
    assert len(frames) == 2
    assert reader.notes == []
    path = clips.write_tracks(tmp_path / "image.mkv", [("mjpeg", (640, 480), 1, ""), ("libx264", (160, 96), 50, "")])
    frames, reader = read(path)
    assert len(frames) == 2
    assert reader.notes == ["read track 2 (h264, 160x96) of its 2 picture tracks"]


@pytest.mark.parametrize(
    ("dispositions", "size"), [(("", ""), (320, 192)), (("default", ""), (160, 96)), (("", "default"), (320, 192))]
)
def test_of_several_tracks_the_default_or_largest(
    tmp_path: Path, dispositions: tuple[str, str], size: tuple[int, int]
) -> None:
    first, second = dispositions
    path = clips.write_tracks(
        tmp_path / "two.mkv", [("libx264", (160, 96), 30, first), ("libx264", (320, 192), 30, second)]
    )
    (frame, _), reader = read(path)
    assert frame.image.shape == (size[1], size[0], 3)
    assert "of its 2 picture tracks" in reader.notes[0]


def test_a_song_with_cover_art_is_no_video(tmp_path: Path) -> None:
    path = clips.write_tracks(tmp_path / "song.mp4", [("png", (160, 96), 1, "attached_pic")], sound=True)
    with pytest.raises(VideoError, match="no picture track but cover art"):
        read(path)


def test_what_changes_size_is_fitted_into_the_first_size(tmp_path: Path) -> None:
    parts = [
        clips.write_video(
            tmp_path / f"{size[0]}.ts", range(start, start + 2000, 40), size=size, images=[clips.quadrants(size)] * 50
        )
        for start, size in ((0, (160, 120)), (2000, (320, 240)), (4000, (120, 160)))
    ]
    frames, _ = read(clips.join(parts, tmp_path / "all.ts"))
    assert {frame.image.shape for frame in frames} == {(120, 160, 3)}
    assert len(frames) == 6
    assert [clips.quadrant_greys(frame.image) for frame in frames[:4]] == [[[40, 90], [150, 220]]] * 4
    tall = frames[-1].image
    assert tall[:, :30].max() < 20  # black beside it
    assert clips.quadrant_greys(tall[:, 35:125]) == [[40, 90], [150, 220]]


def test_size_and_clock_that_change_together(tmp_path: Path) -> None:
    """Such a file is decoded from its start to read a frame again, and still shown at the first size."""
    parts = [
        clips.write_video(
            tmp_path / f"{size[0]}.ts", range(0, 2000, 40), size=size, images=[clips.quadrants(size)] * 50
        )
        for size in ((160, 120), (320, 240))
    ]
    frames, _ = read(clips.join(parts, tmp_path / "both.ts"))
    assert [frame.image.shape for frame in frames] == [(120, 160, 3)] * 4


def test_clocks(tmp_path: Path) -> None:
    first = clips.write_video(tmp_path / "first.ts", range(1_000_000, 1_004_000, 40))
    second = clips.write_video(tmp_path / "second.ts", range(0, 4000, 40))
    for parts in ((first, second), (second, second), (second, first)):
        frames, reader = read(clips.join(parts, tmp_path / "both.ts"))
        is_gap = parts == (second, first)  # a clock that goes on later may mean a gap
        assert times(frames)[-1] == pytest.approx(1003 if is_gap else 7, abs=0.1)
        assert any("clock starts again" in note for note in reader.notes) is not is_gap
        assert reader.declared_seconds < 2000
    wrapped = clips.write_video(tmp_path / "wrap.ts", range(95_440_000, 95_448_000, 40))  # 2^33 / 90 kHz = 95,443.7 s
    frames, reader = read(wrapped)
    assert times(frames) == pytest.approx(range(8), abs=0.05)
    assert reader.notes == []
    negative = clips.write_video(tmp_path / "negative.nut", range(-2000, 2000, 40), codec="mpeg4")
    assert times(read(negative)[0]) == pytest.approx(range(4), abs=0.05)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4"))
    clips.write_video(tmp_path / "a.mp4", [0]).rename(path)
    with pytest.raises(VideoError, match="not valid UTF-8"):
        VideoReader(path)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile whole.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\nwhole.ts\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/9\n",
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_playlists_are_refused(tmp_path: Path, text: str, suffix: str) -> None:
    for kind in ("mp4", "ts"):
        clips.write_video(tmp_path / f"whole.{kind}", range(0, 2000, 40))
    path = tmp_path / f"list.{suffix}"
    path.write_text(text)
    with pytest.raises(VideoError, match="not a video"):
        read(path)


@pytest.mark.parametrize("keyframes", [False, True])
def test_encrypted_files_are_said_to_be_so(tmp_path: Path, keyframes: bool) -> None:
    path = tmp_path / "a.mp4"
    keys = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}
    clips.write_video(path, range(0, 2000, 40), options={"encryption_scheme": "cenc-aes-ctr", **keys})
    with pytest.raises(VideoError, match="the video is encrypted"):
        read(path, keyframes=keyframes)


def test_after_a_seek_only_frames_that_need_no_others_begin(tmp_path: Path) -> None:
    """With periodic intra refresh no frame is whole by itself but the first."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 96, 128, 3), dtype=np.uint8)
    options = {"x264opts": "intra-refresh=1:keyint=50"}
    path = clips.write_video(
        tmp_path / "a.mp4", EIGHT_SECONDS, size=(128, 96), codec_options=options, images=list(noise)
    )
    frames, _ = read(path)
    assert len(frames) == 8


def test_an_index_that_takes_all_frames_for_key_frames_misleads_nobody(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (25, 96, 128, 3), dtype=np.uint8)
    path = tmp_path / "a.avi"
    clips.write_video(path, range(0, 8000, 40), size=(128, 96), codec="mpeg4", images=[*noise] * 8)
    data = bytearray(path.read_bytes())
    index = data.rindex(b"idx1") + 8
    for entry in range(index, len(data) - 15, 16):
        data[entry + 4] |= 0x10
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    frames, _ = read(path)
    assert len(frames) == 8


def test_every_shared_clip_is_read_back_as_it_was_sampled(shared_clips: Path) -> None:
    for path in [*shared_clips.glob("*.mp4"), *shared_clips.glob("*.webm")]:
        for keyframes in (False, True):
            frames, reader = read(path, keyframes=keyframes, every_seconds=3.1)
            assert frames
            assert reader.notes == []


def test_colours_are_those_of_opencv_where_nothing_is_special(shared_clips: Path) -> None:
    """Parity with the article's loop."""
    import cv2

    for path in sorted(shared_clips.glob("intel*.mp4")):
        capture = cv2.VideoCapture(str(path))
        _, theirs = capture.read()
        with VideoReader(path) as reader:
            ours = next(reader.sample(every_seconds=1)).image
        assert np.abs(ours.astype(int) - theirs[..., ::-1]).mean() < 1.5


def test_a_screen_takes_what_pixel_formats_there_are() -> None:
    for name in ("gray", "pal8", "yuyv422", "uyvy422", "nv12", "yuva420p", "gbrp12le", "rgb555le", "yuv410p", "ya8"):
        frame = av.VideoFrame(64, 48, name)
        assert Screen(None).show(frame).shape == (48, 64, 3)
