"""Cut a moment out of its video as a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
from av.container import OutputContainer

from vsdb.errors import VideoError
from vsdb.media.containers import origin_seconds
from vsdb.media.seek import no_frame, open_video, packets_from, seconds_of, upright

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
    with open_video(source) as old, _new_file(target, kind) as new:
        new.metadata["comment"] = comment
        video = old.streams.video[0]
        if video.codec_context.name not in new.supported_codecs:
            raise VideoError(f"a {kind} file cannot hold its {video.codec_context.name} pictures; use --reencode")
        sound, left_out = _sound(old.streams.audio, new)
        copies = {each.index: new.add_stream_from_template(each) for each in (video, *sound)}
        _begin(new, kind)
        begin: Fraction | None = None
        for packet in _with_decoding_times(packets_from(old, [video, *sound], start_seconds)):
            if begin is None:
                begin = packet.pts * packet.time_base
            decoded_at = float(packet.dts * packet.time_base - origin_seconds(video))
            if decoded_at >= end_seconds + INTERLEAVE_SECONDS:
                break
            if decoded_at < end_seconds:
                _copy(packet, begin, copies[packet.stream.index], new)
        if begin is None:
            raise no_frame(start_seconds)
    return left_out


def encode_clip(
    source: Path, target: IO[bytes], *, start_seconds: float, end_seconds: float, comment: str
) -> list[str]:
    """Cut exactly: encode the pictures again, as H.264 in MP4, upright; sound is copied. As :func:`cut_clip`."""
    with open_video(source) as old, _new_file(target, "mp4") as new:
        new.metadata["comment"] = comment
        video = old.streams.video[0]
        video.thread_type = "AUTO"
        sound, left_out = _sound(old.streams.audio, new)
        pictures = _Encoder(new, video)
        copies = {each.index: new.add_stream_from_template(each) for each in sound}
        begin = Fraction(start_seconds) + origin_seconds(video)
        waiting: list[Any] = []  # sound before the first picture: the file begins when the picture's size is known
        for packet in packets_from(old, [video, *sound], start_seconds):
            at = seconds_of(packet, video)
            if at is not None and at >= end_seconds + INTERLEAVE_SECONDS:
                break
            if packet.stream is video:
                for frame in packet.decode():
                    pictures.encode(frame, start_seconds, end_seconds)
            elif at is not None and start_seconds <= at < end_seconds:
                waiting.append(packet)
            while waiting and pictures.has_begun:
                _copy(waiting[0], begin, copies[waiting.pop(0).stream.index], new)
        pictures.finish(start_seconds)
    return left_out


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

    def __init__(self, container: OutputContainer, video: Any) -> None:
        self._container = container
        self._video = video
        self._last_pts = -1
        self._stream: Any = container.add_stream("libx264", rate=video.average_rate or 25, options=ENCODER_OPTIONS)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = self._stream.time_base = ENCODED_TIME_BASE

    @property
    def has_begun(self) -> bool:
        """Whether there was a first frame."""
        return bool(self._stream.codec_context.is_open)

    def encode(self, frame: Any, start_seconds: float, end_seconds: float) -> None:
        """Add a frame if it lies between the times."""
        seconds = seconds_of(frame, self._video)
        if seconds is None or not start_seconds <= seconds < end_seconds:
            return
        image = upright(frame)
        image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]  # H.264 counts colours in pairs
        if not self.has_begun:
            self._stream.height, self._stream.width = image.shape[:2]
        pts = round((seconds - start_seconds) / ENCODED_TIME_BASE)
        if pts <= self._last_pts:
            return  # a file that counts a little wrong; the encoder takes rising times only
        self._last_pts = pts
        upright_frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        upright_frame.time_base = ENCODED_TIME_BASE
        upright_frame.pts = pts
        self._container.mux(self._stream.encode(upright_frame))

    def finish(self, start_seconds: float) -> None:
        """Write what the encoder still holds; raise VideoError if there was no frame from ``start_seconds`` on."""
        if not self.has_begun:
            raise no_frame(start_seconds)
        self._container.mux(self._stream.encode())


def _begin(container: OutputContainer, kind: str) -> None:
    """Write the header; raise VideoError where the kind of file cannot hold these tracks after all."""
    try:
        container.start_encoding()
    except av.FFmpegError:
        raise VideoError(f"a {kind} file cannot hold its tracks as they are; use --reencode") from None


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
