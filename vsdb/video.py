"""From a file to sampled frames: decoding, time stamps, and what is wrong with a file."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.pipeline import go_on

# Decoder messages would land between progress bar and results; what matters of them is in VideoError.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# A picture of few bytes can say that it has a thousand million pixels; OpenCV looks before it takes the memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "200000000")

import cv2

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

    Time stamps are the container's presentation time stamps, counted from the first frame's; they are right for
    variable frame rates, where a count divided by frames per second is not.

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
        self._declared_frames = self._property(cv2.CAP_PROP_FRAME_COUNT)
        self._last_pts = 0.0
        self._step = 1 / self._fps if self._fps > 0 else 0.0

    @property
    def declared_seconds(self) -> float:
        """Length that the file's header claims, in seconds; 0.0 when it claims none."""
        return self._declared_frames / self._fps if self._fps > 0 and self._declared_frames > 0 else 0.0

    @property
    def duration_seconds(self) -> float:
        """Length of what was decoded so far, in seconds: the last time stamp plus the step that led to it."""
        return round(self._last_pts + self._step, 6)

    def sample(self, *, every_seconds: float, check: Callable[[], None] = go_on) -> Iterator[Frame]:
        """Yield the first frame, then the first one at or after each multiple of the step.

        Args:
            every_seconds: sampling step, in seconds; a video with fewer frames a second yields every frame.
            check: is called at each frame, sampled or not; what it raises ends the sampling.

        Yields:
            Frames with rising ``pts_seconds``; memory holds one at a time.

        Raises:
            VideoError: no frame can be decoded, or the file ends well before its header says.
        """
        due = 0.0
        num_sampled = num_grabbed = 0
        first_pts = 0.0
        while self._capture.grab():
            check()
            pts = round(max(0.0, self._property(cv2.CAP_PROP_POS_MSEC) / 1000), 6)
            if num_grabbed == 0:
                first_pts = max(0.0, self._property(cv2.CAP_PROP_PTS))
            num_grabbed += 1
            self._note_time(pts)
            if pts < due - SAME_TIME_SECONDS:
                continue
            yield Frame(frame_index=num_sampled, pts_seconds=pts, image=self._retrieve(pts))
            num_sampled += 1
            due = next_due(pts, every_seconds)
        if num_grabbed == 0:
            raise VideoError("no frame can be decoded (is the file whole?)")
        self._check_whole(num_grabbed, first_pts)

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

    def _note_time(self, pts: float) -> None:
        if pts > self._last_pts:
            self._step = pts - self._last_pts
            self._last_pts = pts

    def _retrieve(self, pts: float) -> NDArray[np.uint8]:
        decoded, image = self._capture.retrieve()
        if not decoded or image is None:
            raise VideoError(f"the frame at {pts:.2f} s cannot be decoded")
        rgb: Any = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return rgb  # type: ignore[no-any-return]

    def _check_whole(self, num_grabbed: int, first_pts: float) -> None:
        """Raise when both frames and time fall short of the header; either alone is often wrong in sound files.

        Where the container keeps no frame count, OpenCV multiplies its length (which counts from 0, not from the
        first frame) by the frame rate: ``first_pts``, in frames, takes that offset out again.
        """
        promised = self._declared_frames - first_pts
        slack = self._fps + 0.05 * promised
        missing_seconds = promised / self._fps - self.duration_seconds if self._fps > 0 else 0.0
        if num_grabbed < promised - slack and missing_seconds > slack / self._fps:
            raise VideoError(
                f"truncated or damaged: {self.duration_seconds:.1f} s of {promised / self._fps:.1f} s can be decoded"
            )


def recorded_at(path: Path) -> datetime | None:
    """When the recording began, as the container says; None where it does not say, or says nothing sensible."""
    import av  # OpenCV does not show it

    try:
        with av.open(str(path)) as container:
            said = container.metadata.get("creation_time", "")
        time = datetime.fromisoformat(said.replace("Z", "+00:00"))
    except (av.FFmpegError, ValueError):
        return None
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return time if time.year > EPOCH_YEAR else None  # unset clocks say 1904 (QuickTime) or 1970


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture file; RGB in [0, 255], shape (H, W, 3), upright (EXIF rotation applied).

    Raises:
        VideoError: the file is missing, unreadable or no picture.
    """
    try:
        check_readable(path)
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from None
    image: Any = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise VideoError(f"{path}: not a picture that can be decoded")
    return image  # type: ignore[no-any-return]


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture file's bytes; RGB in [0, 255], shape (H, W, 3), upright (EXIF rotation applied).

    Raises:
        VideoError: not a picture that can be decoded, or one of more pixels than are taken.
    """
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise VideoError("not a picture that can be decoded; JPEG, PNG and WebP are, up to 200 million pixels")
    return image  # type: ignore[no-any-return]


def check_readable(path: Path) -> None:
    """Raise VideoError when ``path`` is not a regular file with bytes in it that we may read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise VideoError("a folder that cannot be read" if not os.access(path, os.R_OK) else "a folder, not a file")
        if not stat.S_ISREG(mode):  # a pipe or a device could be read for ever
            raise VideoError("not a regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise VideoError("the file is empty")
    except FileNotFoundError:
        raise VideoError("no such file") from None
    except PermissionError:
        raise VideoError("no permission to read the file") from None
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror or error}") from None


def content_sha256(path: Path, *, check: Callable[[], None] = go_on) -> bytes:
    """SHA-256 of the file's bytes; 32 bytes.

    Args:
        path: of the file.
        check: is called between the blocks; what it raises ends the reading.

    Raises:
        VideoError: the file cannot be read.
    """
    check_readable(path)
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            check()
            digest.update(block)
    return digest.digest()
