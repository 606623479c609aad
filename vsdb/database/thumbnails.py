"""Thumbnails as rows of ``vsdb.frames``."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg.rows import class_row

from vsdb.database import Connection
from vsdb.types import StoredFrame

_COPY = "copy vsdb.frames (video_id, frame_index, pts_seconds, jpeg) from stdin (format binary)"


def copy_thumbnails(connection: Connection, video_id: int, thumbnails: Iterable[tuple[int, float, bytes]]) -> None:
    """Store thumbnails of a video, inside the caller's transaction.

    Args:
        connection: to the database.
        video_id: the video's key.
        thumbnails: frame_index, pts_seconds and JPEG of each.
    """
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(["int8", "int4", "float8", "bytea"])
        for frame_index, pts_seconds, jpeg in thumbnails:
            copy.write_row((video_id, frame_index, pts_seconds, jpeg))


def stored_frame(connection: Connection, video_id: int, pts_seconds: float) -> StoredFrame | None:
    """What is stored of the sampled frame at a time of a video; None when the video was removed since."""
    with connection.cursor(row_factory=class_row(StoredFrame)) as cursor:
        cursor.execute(
            """select v.width, v.height, v.size_bytes, f.jpeg
               from vsdb.videos v
               left join vsdb.frames f on f.video_id = v.video_id and f.pts_seconds = %s
               where v.video_id = %s""",
            [pts_seconds, video_id],
        )
        return cursor.fetchone()


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
