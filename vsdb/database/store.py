"""From embeddings to rows: one transaction a video, binary COPY for its patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsdb.database import Connection
from vsdb.database.catalog import other_model_error
from vsdb.database.thumbnails import copy_thumbnails
from vsdb.types import ModelInfo

_COPY = """copy vsdb.patches
    (video_id, pts_seconds, frame_index, patch_index, x, y, width, height, embedding) from stdin (format binary)"""
FRAMES_A_COPY = 64  # a trigger gathers runs of alike patches from each COPY: they must not depend on the device
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


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
