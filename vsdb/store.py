"""From embeddings to rows: one transaction a video, binary COPY for its patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import class_row

from vsdb import schema
from vsdb.errors import DatabaseError
from vsdb.schema import Connection
from vsdb.store_thumbnails import copy_thumbnails
from vsdb.types import ModelInfo, Video

_COPY = """copy vsdb.patches
    (video_id, pts_seconds, frame_index, patch_index, x, y, width, height, embedding) from stdin (format binary)"""
FRAMES_A_COPY = 64  # a trigger gathers runs of alike patches from each COPY: they must not depend on the device
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


@dataclass(frozen=True, kw_only=True)
class StoredVideo:
    """What the database knows of one content."""

    video_id: int
    video_path: str
    every_seconds: float
    patch_size: int
    stride: int
    keyframes: bool
    skip_unchanged: bool
    num_frames: int
    num_patches: int


@dataclass(frozen=True, kw_only=True)
class NewVideo:
    """A video about to be stored; see the comments on ``vsdb.videos`` for the units."""

    video_path: str
    content_sha256: bytes
    size_bytes: int
    width: int
    height: int
    every_seconds: float
    patch_size: int
    stride: int
    recorded_at: datetime | None
    keyframes: bool = False
    skip_unchanged: bool = False
    replaces: int | None = None
    """video_id of this content's rows, which are to be made anew."""


@dataclass(frozen=True, kw_only=True)
class FrameEmbeddings:
    """The patch embeddings of one sampled frame."""

    frame_index: int
    pts_seconds: float
    boxes: NDArray[np.int32]
    """Shape (P, 4): x, y, width, height in pixels."""
    embeddings: NDArray[np.float16]
    """Shape (P, embedding_dim), rows of length 1."""
    thumbnail: bytes | None = None
    """The frame as a small JPEG; None stores no picture of it."""


class VideoWriter:
    """Writes the rows of one video inside the transaction that :func:`write_video` opened."""

    def __init__(self, connection: Connection, video_id: int) -> None:
        self._connection = connection
        self._video_id = video_id
        self._waiting: list[FrameEmbeddings] = []
        self.num_frames = 0
        self.num_patches = 0

    def write(self, frames: list[FrameEmbeddings]) -> None:
        """Take the patches of some frames; every so many frames are one COPY, however they come."""
        self._waiting += frames
        self.num_frames += len(frames)
        self.num_patches += sum(len(frame.embeddings) for frame in frames)
        while len(self._waiting) >= FRAMES_A_COPY:
            self._copy(self._waiting[:FRAMES_A_COPY])
            del self._waiting[:FRAMES_A_COPY]

    def finish(self, *, duration_seconds: float) -> None:
        """Write what is left, and the counts and the length, known only now."""
        if self._waiting:
            self._copy(self._waiting)
        self._connection.execute(
            "update vsdb.videos set num_frames = %s, num_patches = %s, duration_seconds = %s where video_id = %s",
            [self.num_frames, self.num_patches, duration_seconds, self._video_id],
        )

    def _copy(self, frames: list[FrameEmbeddings]) -> None:
        rows = b"".join(_copy_rows(self._video_id, frame) for frame in frames)
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(_COPY_HEADER + rows + _COPY_TRAILER)
        thumbnails = [(each.frame_index, each.pts_seconds, each.thumbnail) for each in frames if each.thumbnail]
        if thumbnails:
            copy_thumbnails(self._connection, self._video_id, thumbnails)


@contextmanager
def write_video(connection: Connection, video: NewVideo, model: ModelInfo) -> Iterator[VideoWriter | None]:
    """Open a transaction that stores a video in place of what it replaces and of other content at its path.

    Yields:
        A writer; or None when the same content is stored already, such as by another process just now.

    Raises:
        DatabaseError: the database is not (or no longer) that model's.
    """
    with connection.transaction():
        row = connection.execute("select model_name, weights_sha256 from vsdb.models for share").fetchone()
        if row is None or row[1] != model.weights_sha256:
            raise other_model_error(row[0] if row else "no model", model.model_name)
        connection.execute(
            "delete from vsdb.videos where video_id = %s or video_path = %s and content_sha256 <> %s",
            [video.replaces, video.video_path, video.content_sha256],
        )
        # Two ingests of one video: the second waits here for the first one's commit and finds its row.
        row = connection.execute(
            """insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,
                                        every_seconds, patch_size, stride, recorded_at, keyframes, skip_unchanged,
                                        num_frames, num_patches)
               values (%s, %s, %s, 0, %s, %s, %s, %s, %s, %s, %s, %s, 1, 1)
               on conflict do nothing returning video_id""",
            [
                video.video_path,
                video.content_sha256,
                video.size_bytes,
                video.width,
                video.height,
                video.every_seconds,
                video.patch_size,
                video.stride,
                video.recorded_at,
                video.keyframes,
                video.skip_unchanged,
            ],
        ).fetchone()
        yield VideoWriter(connection, row[0]) if row else None


def find_content(connection: Connection, content_sha256: bytes) -> StoredVideo | None:
    """The stored video with this content, wherever it lay when it was ingested."""
    with connection.cursor(row_factory=class_row(StoredVideo)) as cursor:
        cursor.execute(
            """select video_id, video_path, every_seconds, patch_size, stride, keyframes, skip_unchanged,
                      num_frames, num_patches
               from vsdb.videos where content_sha256 = %s""",
            [content_sha256],
        )
        return cursor.fetchone()


def move_video(connection: Connection, video_id: int, new_path: str) -> None:
    """Note that a video now lies elsewhere; what was stored under that path before is gone with it."""
    with connection.transaction():
        connection.execute("delete from vsdb.videos where video_path = %s and video_id <> %s", [new_path, video_id])
        connection.execute("update vsdb.videos set video_path = %s where video_id = %s", [new_path, video_id])


def list_videos(
    connection: Connection,
    *,
    video_id: int | None = None,
    video_like: str | None = None,
    max_videos: int | None = None,
    offset: int = 0,
) -> list[Video]:
    """Videos by path: all, the one of that key, or those whose path is LIKE that; ``offset`` are passed over."""
    with connection.cursor(row_factory=class_row(Video)) as cursor:
        return cursor.execute(
            """select * from vsdb.videos_view
               where (%(video_id)s::bigint is null or video_id = %(video_id)s)
                 and (%(video_like)s::text is null or video_path like %(video_like)s)
               order by video_path limit %(max_videos)s offset %(offset)s""",
            {"video_id": video_id, "video_like": video_like, "max_videos": max_videos, "offset": offset},
        ).fetchall()


def count_videos(connection: Connection, *, video_like: str | None = None) -> tuple[int, float]:
    """How many videos there are, or have a path LIKE that, and their length in seconds."""
    row = connection.execute(
        """select count(*), coalesce(sum(duration_seconds), 0) from vsdb.videos
           where %(video_like)s::text is null or video_path like %(video_like)s""",
        {"video_like": video_like},
    ).fetchone()
    assert row is not None  # an aggregate without group by has one row
    return row[0], row[1]


def has_path(connection: Connection, path: str) -> bool:
    """Whether a video is stored under exactly this path."""
    return connection.execute("select from vsdb.videos where video_path = %s", [path]).rowcount > 0


def remove_videos(connection: Connection, pattern: str) -> list[str]:
    """Delete the video at a path; else those in a folder, or, where ``pattern`` holds a %, that SQL's LIKE matches.

    Returns:
        Their paths.
    """
    rows = connection.execute(
        """delete from vsdb.videos
           where video_path = %(path)s
              or not exists (select from vsdb.videos v where v.video_path = %(path)s)
                 and (starts_with(video_path, rtrim(%(path)s, '/') || '/')
                      or strpos(%(path)s, '%%') > 0 and video_path like %(path)s)
           returning video_path""",
        {"path": pattern},
    ).fetchall()
    return sorted(row[0] for row in rows)


def get_model(connection: Connection) -> ModelInfo | None:
    """The model whose embeddings the database holds; None while it holds no video."""
    row = connection.execute(
        """select model_name, weights_sha256, weights_path, embedding_dim, image_size, image_mean, image_std,
                  interpolation, resize_mode from vsdb.models where exists (select from vsdb.videos)"""
    ).fetchone()
    if row is None:
        return None
    name, sha256, path, dim, size, mean, std, interpolation, mode = row
    return ModelInfo(
        model_name=name,
        weights_sha256=sha256,
        weights_path=path,
        embedding_dim=dim,
        image_size=size,
        image_mean=tuple(mean),
        image_std=tuple(std),
        interpolation=interpolation,
        resize_mode=mode,
    )


def register_model(connection: Connection, info: ModelInfo) -> None:
    """Make a database without videos this model's, or check that it already is.

    Raises:
        DatabaseError: the database holds embeddings of other weights.
    """
    with connection.transaction():
        connection.execute("select from vsdb.models for update")  # until no one stores a video with it
        stored = get_model(connection)
        if stored is None:
            _replace_model(connection, info)
        elif stored.weights_sha256 != info.weights_sha256:
            raise other_model_error(stored.model_name, info.model_name)


def _replace_model(connection: Connection, info: ModelInfo) -> None:
    values = _model_row(info)
    # The same model's row stays in place: another process may be waiting for it to store its first video.
    if connection.execute(
        "update vsdb.models set weights_path = %s where weights_sha256 = %s", [info.weights_path, info.weights_sha256]
    ).rowcount:
        return
    connection.execute("delete from vsdb.models")
    connection.execute("delete from vsdb.background")
    connection.execute("update vsdb.neutral_prompts set embedding = null")
    schema.set_embedding_dim(connection, info.embedding_dim)
    connection.execute(
        f"""insert into vsdb.models ({", ".join(values)}) values ({", ".join(["%s"] * len(values))})
            on conflict do nothing""",
        list(values.values()),
    )


def other_model_error(stored: str, asked: str) -> DatabaseError:
    """The refusal to mix two models in one database."""
    what = f"other weights of {stored}" if stored == asked else f"embeddings of {stored}"
    return DatabaseError(
        f"this database holds {what}, and one database holds one model ({asked} was asked for); "
        "put the other model in a database of its own: --dsn DSN, or VSDB_HOME=FOLDER for a second embedded one"
    )


def _model_row(info: ModelInfo) -> dict[str, Any]:
    return {
        "model_name": info.model_name,
        "weights_sha256": info.weights_sha256,
        "weights_path": info.weights_path,
        "embedding_dim": info.embedding_dim,
        "image_size": info.image_size,
        "image_mean": list(info.image_mean),
        "image_std": list(info.image_std),
        "interpolation": info.interpolation,
        "resize_mode": info.resize_mode,
    }


def _copy_rows(video_id: int, frame: FrameEmbeddings) -> bytes:
    """Rows of one frame in COPY's binary format: field count, then length and big-endian value of each field.

    Source: PostgreSQL documentation, COPY, "Binary Format"; halfvec's own layout (dimension, zero, numbers) is
    that of pgvector's ``halfvec_send``.
    """
    num_patches, dim = frame.embeddings.shape
    rows = np.zeros(num_patches, dtype=_row_dtype(dim))
    rows["num_fields"] = 9
    for name in _FIELDS:
        rows[f"{name}_length"] = rows.dtype[name].itemsize
    rows["video_id"] = video_id
    rows["pts_seconds"] = frame.pts_seconds
    rows["frame_index"] = frame.frame_index
    rows["patch_index"] = np.arange(num_patches)
    for column, name in enumerate(("x", "y", "width", "height")):
        rows[name] = frame.boxes[:, column]
    rows["embedding"]["dim"] = dim
    rows["embedding"]["values"] = frame.embeddings
    return rows.tobytes()


_FIELDS = {
    "video_id": ">i8",
    "pts_seconds": ">f8",
    "frame_index": ">i4",
    "patch_index": ">i2",
    "x": ">i2",
    "y": ">i2",
    "width": ">i2",
    "height": ">i2",
    "embedding": None,
}


def _row_dtype(dim: int) -> np.dtype[Any]:
    halfvec = [("dim", ">i2"), ("zero", ">i2"), ("values", ">f2", (dim,))]
    fields: list[Any] = [("num_fields", ">i2")]
    for name, kind in _FIELDS.items():
        fields += [(f"{name}_length", ">i4"), (name, kind or halfvec)]
    return np.dtype(fields)
