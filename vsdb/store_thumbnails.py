"""Thumbnails as rows of ``vsdb.frames``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg.rows import class_row

from vsdb.schema import Connection

_COPY = "copy vsdb.frames (video_id, frame_index, pts_seconds, jpeg) from stdin (format binary)"


@dataclass(frozen=True, kw_only=True)
class FrameRow:
    """What the database holds of a sampled frame, and of the file it came from."""

    width: int
    """Of the frame in its video, in pixels."""
    height: int
    size_bytes: int
    """Of the file when it was ingested."""
    jpeg: bytes | None
    """The thumbnail; None where there is none."""


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


class FrameRows:
    """Reads frames of a database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, video_id: int, pts_seconds: float) -> FrameRow | None:
        """What is stored of the sampled frame at a time of a video; None when the video was removed since."""
        with self._connection.cursor(row_factory=class_row(FrameRow)) as cursor:
            cursor.execute(
                """select v.width, v.height, v.size_bytes, f.jpeg
                   from vsdb.videos v
                   left join vsdb.frames f on f.video_id = v.video_id and f.pts_seconds = %s
                   where v.video_id = %s""",
                [pts_seconds, video_id],
            )
            return cursor.fetchone()
