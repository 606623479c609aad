"""One frame of a video at a known time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.media.video import SAME_TIME_SECONDS, VideoReader


def read_frame(path: Path, pts_seconds: float) -> NDArray[np.uint8]:
    """Read the frame that has a time stamp of ``vsdb.patches``: byte for byte what was embedded.

    Args:
        path: the video.
        pts_seconds: its time, in seconds from the start of the video.

    Returns:
        RGB in [0, 255], shape (H, W, 3), as players show it.

    Raises:
        VideoError: the file is missing or unreadable, or has no frame at that time.
    """
    with VideoReader(path) as reader:
        for frames in reader.starts_before(pts_seconds):  # right after a seek some formats count a little wrong
            for time, frame in frames:
                if time >= pts_seconds - SAME_TIME_SECONDS:
                    if time <= pts_seconds + SAME_TIME_SECONDS:
                        return reader.show(frame)
                    break
    raise VideoError(f"it has no frame at {pts_seconds:g} s")
