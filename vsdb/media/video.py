"""From a file to sampled frames: decoding, time stamps, and what is wrong with a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.media.containers import LEAST_DELAY_SECONDS, check_clock, check_whole, open_container, picture_start
from vsdb.media.files import check_readable
from vsdb.media.opencv import cv2
from vsdb.stopping import go_on

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .m2ts .m2v .m4v .mjpeg .mkv .mov .mp4 .mpe .mpeg .mpg .mts "
    ".mxf .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)
EPOCH_YEAR = 1970
SAME_TIME_SECONDS = 5e-4  # half of the coarsest time base in use (1 ms, Matroska)


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
    """RGB in [0, 255], shape (H, W, 3), upright (the file's rotation applied)."""


class VideoReader:
    """Reads one video file with OpenCV.

    Time stamps are the container's presentation time stamps, counted from its start, as players do; they are right
    for variable frame rates, where a count divided by frames per second is not.

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
        settings = [cv2.CAP_PROP_N_THREADS, num_threads] if num_threads else []
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, settings)
        if not self._capture.isOpened():
            raise VideoError("not a video: no picture track that can be decoded (is the file whole?)")
        self._fps = self._property(cv2.CAP_PROP_FPS)
        self._usual_step = self._step = 1 / self._fps if self._fps > 0 else 0.0
        self._declared_seconds = max(0.0, self._property(cv2.CAP_PROP_FRAME_COUNT)) * self._usual_step
        self._promised_end = 0.0  # of the pictures, by the header, counted as the frames' times
        self._delay = 0.0  # of the picture track, which OpenCV takes off, in seconds
        self._first_pts = self._last_pts = 0.0
        self._latest = -math.inf  # position, in seconds

    @property
    def declared_seconds(self) -> float:
        """Length that the file's header claims, in seconds; 0.0 when it claims none."""
        return self._declared_seconds

    @property
    def duration_seconds(self) -> float:
        """Length of what was decoded so far, in seconds: the last time stamp plus the step that led to it.

        A step much longer than is usual counts only as far as the header's length allows.
        """
        step = self._step
        is_possible = self._promised_end >= self._last_pts  # it may be a count of frames, at a rate that varies
        if step > 2 * self._usual_step and is_possible:
            step = min(step, max(self._usual_step, self._promised_end - self._last_pts))
        return round(self._last_pts + step, 6)

    def sample(self, *, every_seconds: float, check: Callable[[], None] = go_on) -> Iterator[Frame]:
        """Yield the first frame, then the first one at or after each multiple of the step.

        Args:
            every_seconds: sampling step, in seconds; a video with fewer frames a second yields every frame.
            check: is called at each frame, sampled or not; what it raises ends the sampling.

        Yields:
            Frames with rising ``pts_seconds``; memory holds one at a time.

        Raises:
            VideoError: no frame can be decoded, the time stamps begin again, or the file ends well before its header
                says.
        """
        due = 0.0
        num_sampled = num_grabbed = 0
        while self._capture.grab():
            check()
            position = self._property(cv2.CAP_PROP_POS_MSEC) / 1000  # from the start of the picture track, if known
            if num_grabbed == 0:
                self._note_start(position)
            num_grabbed += 1
            pts = round(max(0.0, position) + self._delay, 6)
            self._note_time(pts, position)
            if pts < due - SAME_TIME_SECONDS:
                continue
            yield Frame(frame_index=num_sampled, pts_seconds=pts, image=self._retrieve(pts))
            num_sampled += 1
            due = next_due(pts, every_seconds)
        if num_grabbed == 0:
            raise VideoError("no frame can be decoded (is the file whole?)")
        self._check_whole(num_grabbed, check)

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _property(self, number: int) -> float:
        value = float(self._capture.get(number))
        return value if math.isfinite(value) else 0.0

    def _note_start(self, position: float) -> None:
        """Find out by how much the picture track begins after the file, and so where the header says that it ends.

        Where the container keeps no frame count, OpenCV multiplies its length (which counts from 0, not from the
        first frame) by the frame rate: the first time stamp takes that offset out again.
        """
        stamp = max(0.0, self._property(cv2.CAP_PROP_PTS)) * self._usual_step  # to the nearest frame
        has_count = False
        if stamp - position >= LEAST_DELAY_SECONDS - self._usual_step / 2:  # seldom: the file is opened once more
            self._delay, has_count = picture_start(self.path)
        self._first_pts = max(0.0, position) + self._delay
        if has_count:
            self._declared_seconds += self._first_pts
        self._promised_end = self._declared_seconds + (0.0 if has_count else self._first_pts - stamp)

    def _note_time(self, pts: float, position: float) -> None:
        if position != 0:  # which also stands for a frame without a time stamp
            check_clock(position, latest_seconds=self._latest, step_seconds=self._usual_step)
        self._latest = max(self._latest, position)
        if pts > self._last_pts:
            self._step = pts - self._last_pts
            self._last_pts = pts

    def _retrieve(self, pts: float) -> NDArray[np.uint8]:
        decoded, image = self._capture.retrieve()
        if not decoded or image is None:
            raise VideoError(f"the frame at {pts:.2f} s cannot be decoded")
        rgb: Any = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return rgb  # type: ignore[no-any-return]

    def _check_whole(self, num_grabbed: int, check: Callable[[], None]) -> None:
        """Raise when both frames and time fall short of the header; either alone is often wrong in sound files."""
        promised = (self._promised_end - self._first_pts) * self._fps
        if num_grabbed < promised - self._fps - 0.05 * promised:
            check_whole(self.path, read_seconds=self.duration_seconds, declared_seconds=self._promised_end, check=check)


def recorded_at(path: Path) -> datetime | None:
    """When the recording began, as the container says; None where it does not say, or says nothing sensible."""
    try:
        with open_container(path) as container:
            said = container.metadata.get("creation_time", "")
        time = datetime.fromisoformat(said.replace("Z", "+00:00"))
    except (av.FFmpegError, ValueError):
        return None
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return time if time.year > EPOCH_YEAR else None  # unset clocks say 1904 (QuickTime) or 1970
