"""Makes small video files of known content, in the many ways that files come."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

MILLISECOND = Fraction(1, 1000)
KEY_FRAMES = {"g": "50", "keyint_min": "50"}  # every 2 s
NO_OTHERS = {"libx264": {"sc_threshold": "0"}, "mpeg4": {"sc_threshold": "1000000000"}}


def write_video(
    path: Path,
    pts: Sequence[int],
    *,
    time_base: Fraction = MILLISECOND,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    images: Sequence[NDArray[np.uint8]] | None = None,
) -> Path:
    """Write one frame at each time, in milliseconds unless told otherwise.

    Frame i is a grey of level ``frame_grey(i)`` unless images are given.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=codec_options or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = stream.time_base = time_base
        for index, time in enumerate(pts):
            image = images[index] if images else np.full((size[1], size[0], 3), frame_grey(index), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """Write a second of silence, with no picture track."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        for index in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44_100, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_with_sound(
    path: Path,
    *,
    codec: str = "libx264",
    sound: str | None = None,
    seconds: int = 12,
    sound_seconds: int | None = None,
    delay_frames: int = 0,
) -> Path:
    """Write 25 frames a second, frame i of grey ``frame_grey(i)``, a key frame every 2 s, and a tone.

    The tone lasts as long as the pictures, unless told otherwise; these begin ``delay_frames`` after it.
    """
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(codec, rate=25, options=KEY_FRAMES | NO_OTHERS.get(codec, {}))
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        audio: Any = container.add_stream(sound, rate=48_000) if sound else None
        for index in range(seconds * 25):
            image = np.full((120, 160, 3), frame_grey(index), np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = index + delay_frames, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode())
        for index in range((sound_seconds or seconds) * 48 if audio else 0):
            tone = np.sin(np.arange(1000) / 20).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, index * 1000
            container.mux(audio.encode(frame))
        if audio:
            container.mux(audio.encode())
    return path


def cut(source: Path, target: Path, *, seconds: float) -> Path:
    """Copy the packets of the first seconds, as they are."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is None or packet.dts * packet.time_base >= seconds:
                continue
            packet.stream = stream
            new.mux(packet)
    return target


def title_in_latin_1(source: Path, target: Path, *, recorded_at: str) -> Path:
    """Copy a video and give it a title that is not UTF-8, and a time of recording."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        new.metadata.update(title="MXnchen", creation_time=recorded_at)
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    data = target.read_bytes()
    assert data.count(b"MXnchen") == 1
    target.write_bytes(data.replace(b"MXnchen", b"M\xfcnchen"))
    return target


def write_black_png(path: Path, *, side: int) -> Path:
    """Write a square picture of one bit a pixel: few bytes, however many pixels."""
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side, 1)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def join(sources: Sequence[Path], target: Path) -> Path:
    """Put the bytes of transport streams one after the other, as recorders do that change their mind."""
    target.write_bytes(b"".join(source.read_bytes() for source in sources))
    return target


def rotate(path: Path, target: Path) -> Path:
    """Set the display matrix of an MP4 to a quarter turn, as phones do for portrait video."""
    identity = b"".join(n.to_bytes(4, "big", signed=True) for n in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    turned = b"".join(n.to_bytes(4, "big", signed=True) for n in (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30))
    data = path.read_bytes()
    track = data.index(b"tkhd")
    matrix = data.index(identity, track)
    target.write_bytes(data[:matrix] + turned + data[matrix + len(turned) :])
    return target


def frame_grey(index: int) -> int:
    """Grey level of the frame at a place in the file: apart from its neighbours, within video range."""
    return 20 + index * 37 % 210
