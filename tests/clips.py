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


def write_fields(path: Path, *, codec: str, is_top_first: bool, options: dict[str, str]) -> Path:
    """Write 3 s of interlaced frames: the field that comes first is light, the other one dark."""
    image = np.full((128, 160, 3), 50, np.uint8)
    image[0 if is_top_first else 1 :: 2] = 200
    graph = av.filter.Graph()
    source = graph.add_buffer(width=160, height=128, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25))
    mark = graph.add("setfield", "mode=tff" if is_top_first else "mode=bff")
    graph.link_nodes(source, mark, graph.add("buffersink")).configure()
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for index in range(75):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            graph.push(frame)
            container.mux(stream.encode(graph.pull()))
        container.mux(stream.encode())
    return path


def quadrants(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture of four greys: 40 and 90 above, 150 and 220 below."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    half_height, half_width = size[1] // 2, size[0] // 2
    image[:half_height, :half_width], image[:half_height, half_width:] = 40, 90
    image[half_height:, :half_width], image[half_height:, half_width:] = 150, 220
    return image


def quadrant_greys(image: NDArray[np.uint8]) -> list[list[int]]:
    """The greys in the middle of the four quarters, to the nearest ten."""
    height, width = image.shape[:2]
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return [[10 * round(float(image[y - 2 : y + 3, x - 2 : x + 3].mean()) / 10) for x in columns] for y in rows]


def set_matrix(path: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the display matrix of an MP4: where the x axis (a, b) and the y axis (c, d) go."""
    rows = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    identity = b"".join(n.to_bytes(4, "big", signed=True) for n in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    data = path.read_bytes()
    at = data.index(identity, data.index(b"tkhd"))
    matrix = b"".join(n.to_bytes(4, "big", signed=True) for n in rows)
    target.write_bytes(data[:at] + matrix + data[at + len(matrix) :])
    return target


def zero_packets(path: Path, places: Sequence[int]) -> Path:
    """Overwrite the bytes of some packets of the picture track with zeros."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place in places:
        position, size = packets[place]
        assert position is not None
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    return path


def trim(source: Path, target: Path, *, start_seconds: float) -> Path:
    """Copy the packets so that the file shows what comes after a time: an edit list hides what is before."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        track = old.streams.video[0]
        assert track.time_base is not None
        stream = new.add_stream_from_template(track)
        start = round(start_seconds / track.time_base)
        for packet in old.demux(track):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - start, packet.dts - start
                packet.stream = stream
                new.mux(packet)
    return target


def later_fragments(source: Path, target: Path, *, skip: int) -> Path:
    """Of a fragmented MP4 the header and the fragments after some: what a recorder of segments leaves."""
    data, at, kept, num_fragments = source.read_bytes(), 0, b"", 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        num_fragments += kind == b"moof"
        kept += data[at : at + size] if num_fragments == 0 or num_fragments > skip else b""
        at += size
    target.write_bytes(kept)
    return target


def write_tracks(path: Path, tracks: Sequence[tuple[str, tuple[int, int], int, str]], *, sound: bool = False) -> Path:
    """Write picture tracks: of each the codec, size, number of frames (25 a second) and disposition."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for codec, size, _, disposition in tracks:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height = size
            stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            if disposition:
                stream.disposition = av.stream.Disposition[disposition]
            streams.append(stream)
        audio: Any = container.add_stream("aac", rate=48_000) if sound else None
        for place, (stream, (_, size, num_frames, _)) in enumerate(zip(streams, tracks, strict=True)):
            for index in range(num_frames):
                image = np.full((size[1], size[0], 3), 60 + 30 * place, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        for index in range(96 if audio else 0):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 48_000, index * 1000
            container.mux(audio.encode(tone))
        if audio:
            container.mux(audio.encode())
    return path
