"""Thumbnails as rows of ``vsdb.frames``."""

from __future__ import annotations

from collections.abc import Iterable

from vsdb.schema import Connection

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
