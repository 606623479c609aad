"""Pictures of frames: the stored thumbnail, else the frame from the file."""

from __future__ import annotations

from io import FileIO

from vsdb.errors import VideoError
from vsdb.schema import Connection


def thumbnail_before(connection: Connection, video_id: int, pts_seconds: float) -> bytes | None:
    """The thumbnail of the frame at a time, or else of the one before; a JPEG, None where none is stored."""
    row = connection.execute(
        """select jpeg from vsdb.frames
           where video_id = %s and (pts_seconds <= %s or frame_index = 0)
           order by frame_index desc limit 1""",
        [video_id, pts_seconds],
    ).fetchone()
    return bytes(row[0]) if row else None


def frame_of_file(file: FileIO, pts_seconds: float, *, full: bool) -> bytes:
    raise VideoError("not yet")
