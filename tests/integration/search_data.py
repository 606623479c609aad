"""Videos with known answers: every frame's score against every prompt can be computed by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector

EMBEDDING_DIM = 640
NOTHING = EMBEDDING_DIM - 1  # the axis that no prompt asks for

MODEL = """
insert into vsdb.models (model_name, weights_sha256, embedding_dim, image_size, image_mean, image_std,
                         interpolation, resize_mode)
values ('test', sha256('test'), 640, 288, '{0,0,0}', '{1,1,1}', 'bicubic', 'shortest')
on conflict do nothing
"""


@dataclass(frozen=True)
class Moment:
    """One row of vsdb.search_embedding, under the names of its columns."""

    rank: int
    video_path: str
    start_seconds: float
    end_seconds: float
    best_seconds: float
    score: float
    x: int
    y: int
    width: int
    height: int
    video_id: int


def axis(index: int) -> str:
    """The halfvec literal of one axis, length 1."""
    return mixture({index: 1.0})


def mixture(parts: Mapping[int, float]) -> str:
    """A halfvec literal of length 1 with these cosines to the axes, the rest of it on NOTHING."""
    values = [0.0] * EMBEDDING_DIM
    for index, cosine in parts.items():
        values[index] = cosine
    values[NOTHING] += max(0.0, 1.0 - sum(cosine**2 for cosine in parts.values())) ** 0.5
    return "[" + ",".join(f"{value:g}" for value in values) + "]"


def add_video(
    connection: psycopg.Connection[Any],
    path: str,
    frames: Sequence[Mapping[int, float]],
    *,
    every: float = 1.0,
    seconds: Sequence[float] | None = None,
    duration: float | None = None,
    num_patches: int = 1,
    recorded_at: str | None = None,
) -> int:
    """Store a video of 640 x 360 whose last patch of each frame has the given cosines; the others have none.

    Returns:
        Its video_id.
    """
    times = [every * index for index in range(len(frames))] if seconds is None else list(seconds)
    if duration is None:
        duration = times[-1] + every
    connection.execute(MODEL)
    row = connection.execute(
        "insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,"
        " every_seconds, patch_size, stride, num_frames, num_patches, recorded_at)"
        " values (%s, %s, 1, %s, 640, 360, %s, 180, 90, %s, %s, %s) returning video_id",
        (
            path,
            hashlib.sha256(path.encode()).digest(),
            duration,
            every,
            len(frames),
            len(frames) * num_patches,
            recorded_at,
        ),
    ).fetchone()
    assert row is not None
    video_id = int(row[0])
    with connection.cursor().copy("copy vsdb.patches from stdin") as copy:
        for frame_index, (pts, parts) in enumerate(zip(times, frames, strict=True)):
            for patch_index in range(num_patches):
                embedding = mixture(parts if patch_index == num_patches - 1 else {})
                copy.write_row((video_id, pts, frame_index, patch_index, 10 * patch_index, 0, 180, 180, embedding))
    return video_id


def scores(values: Sequence[float], *, prompt: int = 0) -> list[dict[int, float]]:
    """Frames that score these values (100 x cosine) for one prompt axis."""
    return [{prompt: value / 100} for value in values]


def search(connection: psycopg.Connection[Any], query: str, **arguments: object) -> list[Moment]:
    """vsdb.search_embedding with named arguments."""
    names = "".join(f", {name} => %({name})s" for name in arguments)
    rows = connection.execute(
        "select rank, video_path, start_seconds, end_seconds, best_seconds, score,"
        f" x, y, width, height, video_id from vsdb.search_embedding(%(query)s{names})",
        {"query": query, **arguments},
    ).fetchall()
    return [Moment(*row) for row in rows]


def spans(moments: Sequence[Moment]) -> list[tuple[str, float, float]]:
    """Path, start and end of each moment, in order of rank."""
    return [(moment.video_path, moment.start_seconds, moment.end_seconds) for moment in moments]


def add_random_videos(
    connection: psycopg.Connection[Any], *, num_videos: int, num_frames: int, num_patches: int, seed: int = 0
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Store videos of slowly changing random embeddings.

    Returns:
        float32, shape (num_videos, num_frames, num_patches, 640), rows of length 1: what was stored.
    """
    rng = np.random.default_rng(seed)
    shape = (num_videos, num_frames, num_patches, EMBEDDING_DIM)
    steps = rng.standard_normal(shape, dtype=np.float32)
    vectors = np.cumsum(steps, axis=1) + 3 * rng.standard_normal((num_videos, 1, 1, EMBEDDING_DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    register_vector(connection)
    for number, video in enumerate(vectors):
        video_id = add_video(connection, f"/random/{number:03}.mp4", scores([0] * num_frames))
        for table in ("patches", "patch_runs"):
            connection.execute(f"delete from vsdb.{table} where video_id = %s", (video_id,))
        connection.execute(
            "update vsdb.videos set num_patches = %s where video_id = %s",
            (num_frames * num_patches, video_id),
        )
        with connection.cursor().copy("copy vsdb.patches from stdin (format binary)") as copy:
            copy.set_types(["int8", "float8", "int4", "int2", "int2", "int2", "int2", "int2", "halfvec"])
            for frame_index, frame in enumerate(video):
                for patch_index, embedding in enumerate(frame):
                    row = (video_id, float(frame_index), frame_index, patch_index, 0, 0, 180, 180)
                    copy.write_row((*row, HalfVector(embedding)))
    connection.execute("analyze vsdb.patches, vsdb.patch_runs")
    return vectors


def pretend_size(connection: psycopg.Connection[Any], num_patches: int) -> None:
    """Say of every video that it holds so many patches, so that the search picks the scan of that size."""
    connection.execute("update vsdb.videos set num_patches = %s", (num_patches,))
