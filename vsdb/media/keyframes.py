"""Sampling key frames only: many times faster than decoding all frames, and coarser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.media.containers import check_clock, check_whole, delay_seconds, open_container, origin_seconds
from vsdb.media.files import check_readable
from vsdb.media.video import SAME_TIME_SECONDS, Frame, next_due
from vsdb.stopping import go_on


class KeyframeReader:
    """Reads the key frames of a video file with PyAV; the interface is that of :class:`vsdb.media.video.VideoReader`.

    All packets are read, none but those of key frames is decoded; time stamps are the real ones of these frames.

    Raises:
        VideoError: the file is missing, unreadable, empty, or holds no picture track that can be decoded.
    """

    def __init__(self, path: Path, *, num_threads: int = 0) -> None:
        """
        Args:
            path: of the file.
            num_threads: to decode with; 0 for as many as there are cores.
        """
        check_readable(path)
        self.path = path
        try:
            self._container: InputContainer = open_container(path)
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError):
            raise VideoError("not a video: no picture track that can be decoded (is the file whole?)") from None
        context = self._stream.codec_context
        context.skip_frame = "NONKEY"
        context.thread_count = num_threads
        self._latest = -math.inf  # start of a packet, in seconds
        self._end_seconds = 0.0
        self._step = float(1 / self._stream.average_rate) if self._stream.average_rate else 0.0

    @property
    def declared_seconds(self) -> float:
        """Length that the file's header claims, in seconds; 0.0 when it claims none."""
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base + delay_seconds(self._stream))
        return max(0.0, (self._container.duration or 0) / av.time_base - float(origin_seconds(self._stream)))

    @property
    def duration_seconds(self) -> float:
        """Length of what was read so far, in seconds."""
        return round(self._end_seconds, 6)

    def sample(self, *, every_seconds: float, check: Callable[[], None] = go_on) -> Iterator[Frame]:
        """Yield the first key frame, then the first one at or after each multiple of the step.

        Args:
            every_seconds: sampling step, in seconds.
            check: is called at each key frame; what it raises ends the sampling.

        Raises:
            VideoError: no frame can be decoded, the time stamps begin again, or the file ends well before its header
                says.
        """
        due = 0.0
        num_sampled = 0
        for pts, frame in self._key_frames():
            check()
            if pts < due - SAME_TIME_SECONDS:
                continue
            yield Frame(frame_index=num_sampled, pts_seconds=pts, image=_upright(frame))
            num_sampled += 1
            due = next_due(pts, every_seconds)
        if num_sampled == 0:
            raise VideoError("no frame can be decoded (is the file whole?)")
        check_whole(self.path, read_seconds=self.duration_seconds, declared_seconds=self.declared_seconds, check=check)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def __enter__(self) -> KeyframeReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def _key_frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """Key frames with their time in seconds from the start of the video; VideoError when they begin again."""
        origin = origin_seconds(self._stream)
        try:
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.time_base is not None:
                    start = float(packet.pts * packet.time_base - origin)
                    length = float((packet.duration or 0) * packet.time_base) or self._step
                    if packet.is_keyframe:  # other packets come in the order of decoding
                        check_clock(start, latest_seconds=self._latest, step_seconds=self._step)
                    self._latest = max(self._latest, start)
                    self._end_seconds = max(self._end_seconds, start + length)
                for frame in _decode(packet):
                    if frame.pts is not None and frame.time_base is not None:
                        yield round(max(0.0, float(frame.pts * frame.time_base - origin)), 6), frame
        except av.FFmpegError as error:
            raise VideoError(f"the file cannot be read on: {error.strerror}") from None


def _decode(packet: av.Packet[VideoStream]) -> list[VideoFrame]:
    try:
        return [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]
    except av.InvalidDataError:  # one damaged key frame does not end a video
        return []


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
