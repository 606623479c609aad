"""From a file to frames: decoding, time stamps, and what is wrong with a file."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.media.clock import WRAP_SECONDS, Clock, has_flag, seconds
from vsdb.media.containers import MAX_PIXELS, choose_track, declared_end, missing_bytes, open_container
from vsdb.media.damage import Damage
from vsdb.media.shown import Screen
from vsdb.stopping import go_on

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .m2ts .m2v .m4v .mjpeg .mkv .mov .mp4 .mpe .mpeg .mpg .mts "
    ".mxf .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)
SAME_TIME_SECONDS = 5e-4  # half of the coarsest time base in use (1 ms, Matroska)
STEPS_BACK_SECONDS = (0.0, 2.0, 10.0, 60.0)  # formats without an index can land after the time asked for
MAX_READ_ERRORS = 100
NUM_PROBES = 16
NEEDING_OTHERS = (PictureType.P, PictureType.B, PictureType.S, PictureType.SP)


def next_due(pts_seconds: float, every_seconds: float) -> float:
    """Time from which on the next frame is sampled: the next multiple of the step, in seconds."""
    return (math.floor((pts_seconds + SAME_TIME_SECONDS) / every_seconds) + 1) * every_seconds


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One sampled frame."""

    frame_index: int
    """Place among the sampled frames, from 0."""
    pts_seconds: float
    """Presentation time stamp, in seconds from the start of the video."""
    image: NDArray[np.uint8]
    """RGB in [0, 255], shape (H, W, 3), as players show it: see :class:`vsdb.media.shown.Screen`."""


class VideoReader:
    """Reads the picture track of one video file with FFmpeg, for all that vsdb does with videos.

    Time stamps are the container's presentation time stamps, counted from its start, as players do
    (:class:`vsdb.media.clock.Clock`); they are right for variable frame rates, where a count divided by frames per
    second is not.

    Raises:
        VideoError: the file is missing, unreadable, empty, encrypted, or holds no picture track that can be decoded.
    """

    def __init__(self, path: Path, *, num_threads: int = 0, keyframes: bool = False) -> None:
        """
        Args:
            path: of the file.
            num_threads: to decode with; 0 for as many as there are cores.
            keyframes: decode key frames only: many times faster, and as coarse as these lie apart.
        """
        self.path = path
        self._num_threads = num_threads
        self._keyframes = keyframes
        self._screen: Screen | None = None
        self._open(skip_others=keyframes)
        if keyframes and self._clock.wraps:
            self._reopen(skip_others=self.can_seek())

    def _open(self, *, skip_others: bool = False) -> None:
        """Begin at the start of the file."""
        self.container = open_container(self.path)
        try:
            self.stream, self._choice = choose_track(self.container)
        except VideoError:
            self.container.close()
            raise
        context = self.stream.codec_context
        context.thread_type, context.thread_count = "AUTO", self._num_threads
        context.options = {"max_pixels": str(MAX_PIXELS)}
        self._reorder_depth = context.reorder_depth
        # AVI holds the order of decoding alone; of MPEG-4 FFmpeg makes the order of showing, of these it cannot.
        is_unordered = self.container.format.name == "avi" and self.stream.codec_context.name in ("h264", "hevc")
        self._has_stamps = not (is_unordered or has_flag(self.container, "no_timestamps"))
        self._order: list[float] | None = [] if is_unordered else None
        self._skips_others = skip_others and self._has_stamps  # else they tell when a key frame is shown
        if self._skips_others:
            context.skip_frame = "NONKEY"
        self._time_base = self.stream.time_base  # PyAV makes a new Fraction at each look
        self._clock = Clock(self.stream)
        self._damage = Damage(self._clock.step)
        self._declared_end = declared_end(self.stream)
        self._packets_end = -math.inf  # by their time stamps, in seconds

    @property
    def declared_seconds(self) -> float:
        """Length that the file's header claims, in seconds; 0.0 when it claims none that can be."""
        length = self._declared_end + self.offset
        return round(max(0.0, length), 6) if length < WRAP_SECONDS / 2 or not self._clock.wraps else 0.0

    @property
    def duration_seconds(self) -> float:
        """Length of what was read so far, in seconds."""
        end = self._damage.end_seconds
        return round(max(end, self._packets_end + self.offset) if self._skips_others else end, 6)

    @property
    def notes(self) -> list[str]:
        """What is to be said of the file once it is read: track, clock, damage, and an end that comes too soon."""
        clock = self._clock
        said = [self._choice, self._damage.note]
        if clock.num_restarts:
            said.append(f"its clock starts again ({clock.num_restarts} x), and times go on")
        if clock.num_guessed:
            said.append(f"time stamps guessed from the frame rate: {clock.num_guessed}")
        if self._is_short:
            said.append(f"its pictures end at {self.duration_seconds:.1f} s of {self.declared_seconds:.1f} s")
        return [each for each in said if each]

    def sample(self, *, every_seconds: float, check: Callable[[], None] = go_on) -> Iterator[Frame]:
        """Yield the first frame, then the first one at or after each multiple of the step.

        Args:
            every_seconds: sampling step, in seconds; a video with fewer frames a second yields every frame.
            check: is called at each packet; what it raises ends the sampling.

        Yields:
            Frames with rising ``pts_seconds``; memory holds one at a time.

        Raises:
            VideoError: no frame can be decoded, or the file is cut off well before the end that its header claims.
        """
        due = -math.inf
        num_sampled = 0
        for pts, frame in self.frames(check):
            if pts < due - SAME_TIME_SECONDS:
                continue
            yield Frame(frame_index=num_sampled, pts_seconds=pts, image=self.show(frame))
            num_sampled += 1
            due = next_due(pts, every_seconds)
        if (self._is_short or not self.declared_seconds) and missing_bytes(self.path) > 0:
            expected = f"{self.declared_seconds:.1f} s" if self.declared_seconds else "a file that is cut off"
            raise VideoError(f"truncated or damaged: {self.duration_seconds:.1f} s of {expected} can be decoded")
        if num_sampled == 0 and self._keyframes:  # the only one may lie before what an edit list shows
            self._keyframes = False
            self._reopen()
            yield from self.sample(every_seconds=every_seconds, check=check)
        elif num_sampled == 0:
            raise VideoError("no frame can be decoded (is the file whole?)")

    @property
    def _is_short(self) -> bool:
        """Whether the pictures end well before the header says."""
        return self.duration_seconds < 0.95 * self.declared_seconds - 1.0

    def show(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The picture of a decoded frame; RGB in [0, 255], shape (H, W, 3)."""
        if self._screen is None:  # the shape of pixels is known only now, where the container does not tell
            self._screen = Screen(self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio)
        return self._screen.show(frame)

    @property
    def offset(self) -> float:
        """What is added to a time stamp in seconds to count from the start of the video, once that has begun."""
        return self._clock.offset or 0.0

    @property
    def frame_rate(self) -> Fraction:
        """Usual frames a second."""
        return Fraction(1 / self._clock.step).limit_denominator(1001)

    def frames(self, check: Callable[[], None] = go_on) -> Iterator[tuple[float, VideoFrame]]:
        """Decode from where the file is; frames in the order of showing, with rising times in seconds."""
        for frame in self._decoded(check):
            stamp = seconds(frame.pts, self._time_base)  # of the last frames PyAV does not tell it
            if self._order is not None:
                stamp = heapq.heappop(self._order) if self._order else None
            time = self._clock.time(stamp)
            if time is not None:
                self._damage.shown(time, stamp, seconds(frame.duration, self._time_base) or 0.0)
                if frame.key_frame or not self._keyframes:
                    yield time, frame
        self._damage.finish()

    def begin(self) -> bool:
        """Decode the first frame: it tells where time begins, and at which size all are shown. Whether there is one."""
        first = next(self.frames(), None)
        if first:
            self.show(first[1])
        return first is not None

    def time_of(self, timed: Any) -> float | None:
        """Time of a packet of any track, in seconds from the start of the video, once that has begun."""
        stamp = seconds(timed.pts, timed.time_base)
        return None if stamp is None else stamp + self.offset

    def can_seek(self) -> bool:
        """Whether time stamps tell places: there are some, and they rise through the file."""
        found: list[int] = []
        for probe in range(NUM_PROBES if self._clock.wraps and self._has_stamps else 0):
            with suppress(av.FFmpegError):
                self.container.seek(self.container.size * probe // NUM_PROBES, unsupported_byte_offset=True)
                found += islice((each.dts for each in self.container.demux(self.stream) if each.dts is not None), 1)
        return self._has_stamps and found == sorted(found)

    def seek(self, pts_seconds: float) -> None:
        """Go to the last key frame before a time, or where the format takes that to be; the video has begun."""
        with suppress(av.FFmpegError):  # a file that cannot seek is read from where it is
            self.container.seek(int((pts_seconds - self.offset) / self.stream.time_base), stream=self.stream)
        self.stream.codec_context.reorder_depth = self._reorder_depth  # else frames are dropped until it is learnt
        self._clock.forget()

    def starts_before(self, pts_seconds: float) -> Iterator[Iterator[tuple[float, VideoFrame]]]:
        """Ways to decode up to a time, each from further back than the one before, the last from the file's start.

        A way begins at a frame that needs no other, at or before the time.
        """
        if self.begin() and self.can_seek():
            for back in STEPS_BACK_SECONDS:
                self.seek(pts_seconds - back)
                frames = self.frames()
                start = next(frames, None)
                if start and start[0] <= pts_seconds + SAME_TIME_SECONDS and start[1].pict_type not in NEEDING_OTHERS:
                    yield chain([start], frames)
        self._reopen()
        yield self.frames()

    def _reopen(self, *, skip_others: bool = False) -> None:
        self.close()
        self._open(skip_others=skip_others)

    def close(self) -> None:
        """Let go of the file."""
        self.container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoded(self, check: Callable[[], None]) -> Iterator[VideoFrame]:
        for packet in self._packets():
            check()
            if packet.is_keyframe and packet.has_sidedata("encryption_info"):  # this look takes some µs
                raise VideoError("the video is encrypted")
            self._note_sent(packet)
            yield from self._decode(packet)
        yield from self._decode(None)

    def _note_sent(self, packet: Any) -> None:
        dts, stamp = seconds(packet.dts, self._time_base), seconds(packet.pts, self._time_base)
        if self._order is not None and dts is not None:
            heapq.heappush(self._order, dts)
        elif stamp is not None and not packet.is_discard and not self._skips_others:
            self._damage.sent(stamp)
        stamp = dts if self._order is not None else stamp
        if stamp is not None:
            length = seconds(packet.duration, self._time_base) or self._clock.step
            self._packets_end = max(self._packets_end, stamp + length)

    def _packets(self) -> Iterator[Any]:
        """The track's packets with bytes in them; an empty one would tell the decoder that all is over."""
        for _ in range(MAX_READ_ERRORS):
            try:
                for packet in self.container.demux(self.stream):
                    if packet.is_corrupt and not self._clock.wraps:  # the file ends in it; MPEG means less by that
                        self._damage.num_errors += 1
                    elif packet.size:
                        yield packet
            except av.FFmpegError:
                self._damage.num_errors += 1
            else:
                return

    def _decode(self, packet: Any) -> list[VideoFrame]:
        try:
            return self.stream.codec_context.decode(packet)  # type: ignore[no-any-return]
        except av.EOFError:
            return []
        except av.FFmpegError:
            self._damage.num_errors += 1
            return []
