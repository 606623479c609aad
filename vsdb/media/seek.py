"""One frame of a video at a known time, and the packets from a known time on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.media.containers import open_container, origin_seconds
from vsdb.media.files import check_readable
from vsdb.media.video import SAME_TIME_SECONDS

STEPS_BACK_SECONDS = (0.0, 2.0, 10.0, 60.0)  # formats without an index can land after the time asked for


def read_frame(path: Path, pts_seconds: float) -> NDArray[np.uint8]:
    """Read the frame that has a time stamp of ``vsdb.patches``.

    Args:
        path: the video.
        pts_seconds: its time, in seconds from the start of the video.

    Returns:
        RGB in [0, 255], shape (H, W, 3), upright (the file's rotation applied).

    Raises:
        VideoError: the file is missing or unreadable, or has no frame at that time.
    """
    for back in (*STEPS_BACK_SECONDS, None):  # right after a seek some formats count a little wrong
        with open_video(path) as container:
            video = container.streams.video[0]
            video.thread_type = "AUTO"
            packets = container.demux(video) if back is None else packets_from(container, [video], pts_seconds - back)
            image = _find(packets, video, pts_seconds)
            if image is not None:
                return image
    raise no_frame(pts_seconds)


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """Open a file that has a picture track.

    Raises:
        VideoError: it is missing, unreadable or no video; also for what goes wrong in the decoder while it is open.
    """
    check_readable(path)
    try:
        with open_container(path) as container:
            if not container.streams.video:
                raise VideoError("not a video: no picture track")
            yield container
    except av.FFmpegError as error:
        raise VideoError(f"cannot be decoded: {error.strerror or error}") from None


def packets_from(container: InputContainer, streams: Sequence[Any], seconds: float) -> Iterator[Any]:
    """Give the packets from the last key frame at or before a time.

    Args:
        container: the open file.
        streams: whose packets; the first is the picture track.
        seconds: the time, in seconds from the start of the video.

    Returns:
        Packets in the order of the file; the first is a key frame, if the file has one by then.
    """
    video = streams[0]
    for back in STEPS_BACK_SECONDS:
        packets = _packets_after(container, streams, seconds - back)
        for packet in packets:
            if packet.stream is video and packet.is_keyframe and packet.pts is not None:
                if (seconds_of(packet, video) or 0.0) <= seconds + SAME_TIME_SECONDS:
                    return chain([packet], packets)
                break
    return _packets_after(container, streams, -1.0)


def seconds_of(timed: Any, video: Any) -> float | None:
    """Time of a frame or packet as ingest counts it, in seconds from the start of the video."""
    if timed.pts is None:
        return None
    return max(0.0, round(float(timed.pts * timed.time_base - origin_seconds(video)), 6))


def upright(frame: Any) -> NDArray[np.uint8]:
    """The picture of a decoded frame, turned as its file says; RGB, shape (H, W, 3)."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90)))


def _find(packets: Iterator[Any], video: Any, pts_seconds: float) -> NDArray[np.uint8] | None:
    """The picture of that time among those in the packets."""
    for packet in packets:
        for frame in packet.decode():
            seconds = seconds_of(frame, video)
            if seconds is not None and seconds >= pts_seconds - SAME_TIME_SECONDS:
                return upright(frame) if seconds <= pts_seconds + SAME_TIME_SECONDS else None
    return None


def _packets_after(container: InputContainer, streams: Sequence[Any], seconds: float) -> Iterator[Any]:
    video = streams[0]
    with suppress(av.FFmpegError):  # a file that cannot seek is read from where it is
        container.seek(int(origin_seconds(video) / video.time_base) + int(seconds / video.time_base), stream=video)
    return container.demux(*streams)


def no_frame(pts_seconds: float) -> VideoError:
    """The error of a video that does not have what the database says."""
    return VideoError(f"it has no frame at {pts_seconds:g} s; has it changed since it was ingested?")
