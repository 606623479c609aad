"""Cut a moment out of its video as a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from vsdb.errors import VideoError
from vsdb.media.containers import open_container
from vsdb.media.video import SAME_TIME_SECONDS, STEPS_BACK_SECONDS, VideoReader

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".webm": "webm", ".mkv": "matroska"}
INTERLEAVE_SECONDS = 2.0  # how far apart sound and picture of one time may stand in a file
ENCODED_TIME_BASE = Fraction(1, 90_000)
ENCODER_OPTIONS = {"crf": "18", "preset": "veryfast"}


def clip_suffix(source: Path, *, reencode: bool = False) -> str:
    """Suffix of a clip of a video: its own kind of file where that is a common one, else Matroska."""
    if reencode:
        return ".mp4"
    return source.suffix.lower() if source.suffix.lower() in FORMATS else ".mkv"


def cut_clip(source: Path, target: IO[bytes], *, start_seconds: float, end_seconds: float, comment: str) -> list[str]:
    """Copy a stretch of a video, as it is, from the last key frame at or before its start.

    A clip so begins a little earlier than asked for, and may run a few frames longer: nothing is encoded again.

    Args:
        source: the video.
        target: file to write; its name's suffix does not count.
        start_seconds: in seconds from the start of the video.
        end_seconds: likewise.
        comment: what the clip's metadata should say.

    Returns:
        What was left out: sound tracks that this kind of file cannot hold.

    Raises:
        VideoError: the video cannot be read, or this kind of file cannot hold its picture track.
        OSError: the clip cannot be written.
    """
    kind = FORMATS[clip_suffix(source)]
    with VideoReader(source) as reader, _new_file(target, kind) as new:
        new.metadata["comment"] = comment
        if not reader.begin() or not reader.can_seek():
            raise VideoError("its time stamps do not tell where to cut it; use --reencode")
        video = reader.stream
        sound, left_out = _sound(reader.container.streams.audio, new)
        copies = {each.index: _copy_of(each, new, kind) for each in (video, *sound)}
        _begin(new, kind)
        begin: Fraction | None = None
        shown_until = 0.0
        for packet in _with_decoding_times(_packets_from(reader, [video, *sound], start_seconds)):
            if begin is None:
                begin = packet.pts * packet.time_base
            decoded_at = float(packet.dts * packet.time_base) + reader.offset
            if decoded_at >= end_seconds + INTERLEAVE_SECONDS:
                break
            if decoded_at < end_seconds:
                if packet.stream is video:
                    shown_until = max(shown_until, (reader.time_of(packet) or 0.0) + _length(packet, reader))
                _copy(packet, begin, copies[packet.stream.index], new)
        if shown_until <= start_seconds:
            raise VideoError(f"it has no frame from {start_seconds:g} s to {end_seconds:g} s")
    return left_out


def encode_clip(
    source: Path, target: IO[bytes], *, start_seconds: float, end_seconds: float, comment: str
) -> list[str]:
    """Cut exactly: encode the pictures as they are shown, as H.264 in MP4; sound is copied. As :func:`cut_clip`."""
    with VideoReader(source) as reader, open_container(source) as old, _new_file(target, "mp4") as new:
        new.metadata["comment"] = comment
        sound, left_out = _sound(old.streams.audio, new)
        pictures = _Encoder(new, reader)
        copies = {each.index: new.add_stream_from_template(each) for each in sound}
        waiting: Iterator[Any] = iter(())
        packet: Any = None
        for time, frame in _frames_between(reader, start_seconds, end_seconds):
            if not pictures.has_begun and sound:
                waiting = _sound_between(old, sound, reader, start_seconds, end_seconds)
                packet = next(waiting, None)
            pictures.encode(frame, time - start_seconds)
            while packet is not None and (reader.time_of(packet) or 0.0) <= time:
                _copy(packet, Fraction(start_seconds - reader.offset), copies[packet.stream.index], new)
                packet = next(waiting, None)
        if not pictures.has_begun:
            raise VideoError(f"it has no frame from {start_seconds:g} s to {end_seconds:g} s")
        pictures.finish()
        for each in chain([packet] if packet is not None else [], waiting):
            _copy(each, Fraction(start_seconds - reader.offset), copies[each.stream.index], new)
    return left_out


def _frames_between(reader: VideoReader, start: float, end: float) -> Iterator[tuple[float, Any]]:
    """The frames from one time up to another; the decoder gives all it holds."""
    for frames in reader.starts_before(start):
        is_there = False
        for time, frame in frames:
            if time >= end:
                break
            if time >= start - SAME_TIME_SECONDS:
                is_there = True
                yield time, frame
        if is_there:
            return


def _sound_between(
    container: InputContainer, tracks: Sequence[Any], reader: VideoReader, start: float, end: float
) -> Iterator[Any]:
    with suppress(av.FFmpegError):  # a file that cannot seek is read from its start
        container.seek(int((start - reader.offset) * av.time_base))
    for packet in container.demux(*tracks):
        at = reader.time_of(packet)
        if at is not None and at >= end + INTERLEAVE_SECONDS:
            return
        if at is not None and start <= at < end:
            yield packet


def _packets_from(reader: VideoReader, streams: Sequence[Any], seconds: float) -> Iterator[Any]:
    """Packets in the order of the file, from the last key frame at or before a time, if there is one by then."""
    for back in STEPS_BACK_SECONDS:
        reader.seek(seconds - back)
        packets = reader.container.demux(*streams)
        for packet in packets:
            if packet.stream is reader.stream and packet.is_keyframe and packet.pts is not None:
                if (reader.time_of(packet) or 0.0) <= seconds + SAME_TIME_SECONDS:
                    return chain([packet], packets)
                break
    reader.seek(-1.0)
    return reader.container.demux(*streams)


@contextmanager
def _new_file(target: IO[bytes], kind: str) -> Iterator[OutputContainer]:
    """Open a file to be written; what goes wrong with it is the OSError that it was, not FFmpeg's word for it."""
    watched = _Watched(target)
    try:
        with av.open(watched, "w", format=kind) as container:
            yield container
    except (av.FFmpegError, OSError):
        if watched.error is not None:
            raise watched.error from None
        raise


class _Watched:
    """A file that remembers its first error."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        return self._watch(self._file.write, data)

    def seek(self, offset: int, whence: int = 0) -> int:  # writes what the file has gathered
        return self._watch(self._file.seek, offset, whence)

    def _watch(self, do: Callable[..., int], *arguments: Any) -> int:
        try:
            return do(*arguments)
        except OSError as error:
            self.error = self.error or error
            raise


class _Encoder:
    """Encodes frames of a video as H.264."""

    def __init__(self, container: OutputContainer, reader: VideoReader) -> None:
        self._container = container
        self._reader = reader
        self._stream: Any = container.add_stream("libx264", rate=reader.frame_rate, options=ENCODER_OPTIONS)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = self._stream.time_base = ENCODED_TIME_BASE

    @property
    def has_begun(self) -> bool:
        """Whether there was a first frame."""
        return bool(self._stream.codec_context.is_open)

    def encode(self, frame: Any, seconds: float) -> None:
        """Add a frame at a time in the clip; times rise."""
        image = self._reader.show(frame)
        image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]  # H.264 counts colours in pairs
        if not self.has_begun:
            self._stream.height, self._stream.width = image.shape[:2]
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        shown.time_base = ENCODED_TIME_BASE
        shown.pts = max(0, round(seconds / ENCODED_TIME_BASE))
        self._container.mux(self._stream.encode(shown))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode())


def _begin(container: OutputContainer, kind: str) -> None:
    """Write the header; raise VideoError where the kind of file cannot hold these tracks after all."""
    try:
        container.start_encoding()
    except av.FFmpegError:
        raise VideoError(f"a {kind} file cannot hold its tracks as they are; use --reencode") from None


def _length(packet: Any, reader: VideoReader) -> float:
    return float((packet.duration or 0) * packet.time_base) or float(1 / reader.frame_rate)


def _copy_of(track: Any, container: OutputContainer, kind: str) -> Any:
    """A track that takes another one's packets as they are; FFmpeg need not be able to encode them."""
    name = track.codec_context.codec.canonical_name
    try:
        return container.add_stream_from_template(track, opaque=True)
    except (av.FFmpegError, ValueError):
        raise VideoError(f"a {kind} file cannot hold its {name} pictures; use --reencode") from None


def _sound(tracks: Sequence[Any], container: OutputContainer) -> tuple[list[Any], list[str]]:
    """The sound tracks that the container takes, and what is to be said of the others."""
    fits = [track for track in tracks if track.codec_context.name in container.supported_codecs]
    left_out = [track.codec_context.name for track in tracks if track not in fits]
    return fits, [f"its {name} sound, which a {container.format.name} file cannot hold" for name in left_out]


def _with_decoding_times(packets: Iterable[Any]) -> Iterator[Any]:
    """Fill in the decoding times that demuxers do not know right after a seek; they count up to the first known one."""
    waiting: list[Any] = []
    for packet in packets:
        if packet.pts is None:
            continue
        waiting.append(packet)
        if packet.dts is not None and all(each.dts is not None or each.stream is packet.stream for each in waiting):
            yield from _filled(waiting, packet.dts)
            waiting.clear()
    yield from _filled(waiting, min((packet.pts for packet in waiting), default=0))


def _filled(packets: Sequence[Any], next_dts: int) -> Iterator[Any]:
    unknown = [packet for packet in packets if packet.dts is None]
    for place, packet in enumerate(unknown):
        packet.dts = next_dts - len(unknown) + place
    yield from packets


def _copy(packet: Any, begin: Fraction, stream: Any, container: OutputContainer) -> None:
    """Add a packet, its times counted from ``begin``; what would lie before is left out."""
    offset = round(begin / packet.time_base)
    if packet.pts < offset:
        return
    packet.pts -= offset
    packet.dts -= offset
    packet.stream = stream
    container.mux(packet)
