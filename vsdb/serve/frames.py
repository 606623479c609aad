"""Pictures of frames: the stored thumbnail, else the frame from the file."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import Any

from vsdb.errors import VideoError
from vsdb.schema import Connection

FULL_QUALITY = 90


def frame_time(connection: Connection, video_id: int, pts_seconds: float) -> float:
    """Time of the sampled frame at a time, or else of the one before, or else of the first; in seconds."""
    row = connection.execute(
        """select pts_seconds from vsdb.patches
           where video_id = %s and patch_index = 0 and (pts_seconds <= %s or frame_index = 0)
           order by frame_index desc limit 1""",
        [video_id, pts_seconds],
    ).fetchone()
    return float(row[0]) if row else 0.0


def stored_thumbnail(connection: Connection, video_id: int, pts_seconds: float) -> bytes | None:
    """The thumbnail of the frame at a time, or else of the one before; a JPEG, None where none is stored."""
    row = connection.execute(
        """select jpeg from vsdb.frames
           where video_id = %s and (pts_seconds <= %s or frame_index = 0)
           order by frame_index desc limit 1""",
        [video_id, pts_seconds],
    ).fetchone()
    return bytes(row[0]) if row else None


def frame_of_file(file: FileIO, pts_seconds: float, *, full: bool) -> bytes:
    """The frame of an open video file at exactly a time, as a JPEG: at its own size or as small as a thumbnail.

    Raises:
        VideoError: it cannot be decoded, or has no frame at that time.
    """
    from vsdb.frames import read_frame  # most pictures come from the database
    from vsdb.opencv import cv2
    from vsdb.thumbnails import thumbnail

    image = read_frame(Path(f"/dev/fd/{file.fileno()}"), pts_seconds)  # the file that was checked, not its path again
    if not full:
        return thumbnail(image)
    encoded, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, FULL_QUALITY]
    )
    if not encoded:
        raise VideoError(f"a frame of {image.shape[1]}x{image.shape[0]} pixels cannot be written as JPEG")
    data: Any = jpeg.tobytes()
    return data  # type: ignore[no-any-return]
