"""From embeddings to rows: one transaction a video, binary COPY for its patches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsdb.database import Connection
from vsdb.database.binary_copy import Columns, copy_columns
from vsdb.database.catalog import other_model_error
from vsdb.database.thumbnails import copy_thumbnails
from vsdb.types import EmbeddedFrame, ModelInfo, OpenedVideo

_PATCHES = "vsdb.patches (video_id, pts_seconds, frame_index, patch_index, x, y, width, height, embedding)"
FRAMES_A_COPY = 64  # a trigger gathers runs of alike patches from each COPY: they must not depend on the device


@dataclass(frozen=True, kw_only=True)
class NewVideo:
    """A video about to be stored; see the comments on ``vsdb.videos`` for the units."""

    video_path: str
    content_sha256: bytes
    size_bytes: int
    opened: OpenedVideo
    file_changed_ns: int | None = None
    replaces: int | None = None
    """video_id of this content's rows, which are to be made anew."""


class VideoWriter:
    """Writes the rows of one video inside the transaction that :func:`write_video` opened."""

    def __init__(self, connection: Connection, video_id: int, boxes: NDArray[np.int32]) -> None:
        self._connection = connection
        self._video_id = video_id
        self._boxes = boxes
        self._waiting: list[EmbeddedFrame] = []
        self.num_frames = 0
        self.num_patches = 0

    def write(self, frame: EmbeddedFrame) -> None:
        """Take the patches of the next frame; every so many frames are one COPY, however they come."""
        self._waiting.append(frame)
        self.num_frames += 1
        self.num_patches += len(frame.embeddings)
        if len(self._waiting) == FRAMES_A_COPY:
            self._copy_waiting()

    def finish(self, *, duration_seconds: float) -> None:
        """Write what is left, and the counts and the length, known only now."""
        if self._waiting:
            self._copy_waiting()
        self._connection.execute(
            "update vsdb.videos set num_frames = %s, num_patches = %s, duration_seconds = %s where video_id = %s",
            [self.num_frames, self.num_patches, duration_seconds, self._video_id],
        )

    def _copy_waiting(self) -> None:
        frames, self._waiting = self._waiting, []
        with self._connection.cursor() as cursor:
            copy_columns(cursor, _PATCHES, (_columns(self._video_id, self._boxes, frame) for frame in frames))
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
        values = _video_row(video)
        row = connection.execute(
            f"""insert into vsdb.videos ({", ".join(values)}) values ({", ".join(["%s"] * len(values))})
                on conflict do nothing returning video_id""",
            list(values.values()),
        ).fetchone()
        yield VideoWriter(connection, row[0], video.opened.boxes) if row else None


def _video_row(video: NewVideo) -> dict[str, Any]:
    """A row of ``vsdb.videos``; length and counts are known when the last frame is written."""
    return {
        "video_path": video.video_path,
        "content_sha256": video.content_sha256,
        "size_bytes": video.size_bytes,
        "file_changed_ns": video.file_changed_ns,
        "width": video.opened.width,
        "height": video.opened.height,
        "recorded_at": video.opened.recorded_at,
        **vars(video.opened.sampling),
        "duration_seconds": 0,
        "num_frames": 1,
        "num_patches": 1,
    }


def _columns(video_id: int, boxes: NDArray[np.int32], frame: EmbeddedFrame) -> Columns:
    num_patches = len(frame.embeddings)
    return [
        np.full(num_patches, video_id, np.int64),
        np.full(num_patches, frame.pts_seconds, np.float64),
        np.full(num_patches, frame.frame_index, np.int32),
        np.arange(num_patches, dtype=np.int16),
        *boxes.astype(np.int16).T,
        frame.embeddings,
    ]
