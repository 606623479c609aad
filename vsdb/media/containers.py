"""What a video's container says: where its picture track begins, and whether the file is whole."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from vsdb.errors import VideoError
from vsdb.stopping import go_on

LEAST_DELAY_SECONDS = 0.2  # below: priming of sound, reordering of frames; the tracks are taken to begin together
SLACK_SECONDS = 1.0  # and a twentieth of the length, by which headers are off
JITTER_SECONDS = 1.0  # by which time stamps may fall, at two frames a second or more


def open_container(path: Path) -> InputContainer:
    """Open a file to be read; metadata that is not UTF-8 does no harm.

    Raises:
        av.FFmpegError: it is no container that FFmpeg knows.
    """
    return av.open(str(path), metadata_errors="replace")


def origin_seconds(video: Any) -> Fraction:
    """The picture track's time stamp, in seconds, that counts as 0: the container's start, as players count."""
    return _start_seconds(video) - delay_seconds(video)


def delay_seconds(video: Any) -> Fraction:
    """How long after the container's start its picture track begins, in seconds; 0 below a fifth of a second."""
    container = video.container
    container_start: Fraction = Fraction(max(0, container.start_time or 0), av.time_base)
    delay = _start_seconds(video) - container_start
    if container.duration and delay * av.time_base >= container.duration:  # another programme's clock
        return Fraction(0)
    return delay if delay >= LEAST_DELAY_SECONDS else Fraction(0)


def picture_start(path: Path) -> tuple[float, bool]:
    """The delay of a file's picture track, in seconds, and whether the header counts that track's frames."""
    try:
        with open_container(path) as container:
            video = container.streams.video[0]
            return float(delay_seconds(video)), video.frames > 0
    except (av.FFmpegError, IndexError):
        return 0.0, False


def check_clock(seconds: float, *, latest_seconds: float, step_seconds: float) -> None:
    """Raise VideoError when the time stamps begin again; in some files they fall a little now and then.

    Args:
        seconds: time of a frame.
        latest_seconds: the highest before; minus infinity at the first.
        step_seconds: usual step from frame to frame.
    """
    fall = latest_seconds - seconds
    if fall > max(JITTER_SECONDS, 2 * step_seconds):
        raise VideoError(
            f"its clock jumps back by {fall:.1f} s at {latest_seconds:.1f} s: recordings joined as they are? "
            'Write it anew with one clock: "ffmpeg -i OLD -c copy NEW.mkv"'
        )


def check_whole(path: Path, *, read_seconds: float, declared_seconds: float, check: Callable[[], None] = go_on) -> None:
    """Raise VideoError when the pictures of a file end well before its header says.

    Some headers (Matroska, FLV) give the length of the longest track only: then the other tracks are looked at.

    Args:
        path: of the file.
        read_seconds: end of the pictures read, in seconds from the start of the video.
        declared_seconds: end that the header claims, likewise.
        check: is called at each packet that is looked at; what it raises ends the looking.
    """
    if not _is_short(read_seconds, declared_seconds):
        return
    end = _end_of_pictures(path, declared_seconds, check)
    expected = declared_seconds if end is None else end
    if _is_short(read_seconds, expected):
        raise VideoError(f"truncated or damaged: {read_seconds:.1f} s of {expected:.1f} s can be decoded")


def _is_short(seconds: float, expected_seconds: float) -> bool:
    return seconds < 0.95 * expected_seconds - SLACK_SECONDS


def _end_of_pictures(path: Path, declared_seconds: float, check: Callable[[], None]) -> float | None:
    """End of the picture track, in seconds, where some track lasts as long as the header claims for the whole file.

    None where none does, or where the header knows the picture track's own length.
    """
    try:
        with open_container(path) as container:
            video = container.streams.video[0]
            ends = {} if _has_own_length(video) else _track_ends(container, check)
            index, origin = video.index, float(origin_seconds(video))  # gone when the container is closed
    except (av.FFmpegError, IndexError):
        return None
    if not ends or _is_short(max(ends.values()) - origin, declared_seconds):
        return None
    return ends.get(index, origin) - origin


def _has_own_length(video: Any) -> bool:
    """Whether the header gives the track's length; FFmpeg fills in the container's where a track begins late."""
    if video.frames > 0 or video.duration is None:
        return video.frames > 0  # type: ignore[no-any-return]
    return bool(
        abs(video.duration * video.time_base - Fraction(video.container.duration or 0, av.time_base)) > video.time_base
    )


def _track_ends(container: InputContainer, check: Callable[[], None]) -> dict[int, float]:
    """Where the last packet of each track ends, in seconds of the container's clock."""
    ends: dict[int, float] = {}
    for packet in container.demux():
        check()
        if packet.pts is not None and packet.time_base is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
    return ends


def _start_seconds(video: Any) -> Fraction:
    return Fraction((video.start_time or 0) * video.time_base)
