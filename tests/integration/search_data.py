"""Videos with known answers: every frame's score against every prompt can be computed by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

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
                copy.write_row(
                    (video_id, pts, frame_index, patch_index, 10 * patch_index, 0, 180, 180, embedding)
                )
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
