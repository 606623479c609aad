"""Patch runs: what a trigger makes of the patches, and a migration of the runs that older versions have turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pgvector import HalfVector

from tests.integration.search_data import EMBEDDING_DIM, add_random_videos, add_video
from vsdb.database import Connection, schema

RUNS = """select video_id - min(video_id) over (), first_frame, last_frame, patch_index, embedding
          from vsdb.patch_runs order by 1, 2, 4"""


def test_patch_runs_follow_the_patches(connection: Connection) -> None:
    still, other = {0: 0.9}, {1: 0.9}
    video_id = add_video(connection, "/a.mp4", [still] * 40 + [other] * 3)
    rows = connection.execute(
        "select first_frame, last_frame, start_seconds, last_seconds from vsdb.patch_runs order by 1"
    ).fetchall()
    assert rows == [(0, 31, 0, 31), (32, 39, 32, 39), (40, 42, 40, 42)]
    connection.execute("delete from vsdb.videos where video_id = %s", (video_id,))
    assert connection.execute("select count(*) from vsdb.patch_runs").fetchone() == (0,)


def test_run_embedding_is_the_mean_of_its_patches(connection: Connection) -> None:
    vectors = add_random_videos(connection, num_videos=2, num_frames=60, num_patches=1)
    runs = connection.execute(RUNS).fetchall()
    assert len(runs) > 2
    for video, first, last, patch, run in runs:
        mean = vectors[video, first : last + 1, patch].mean(axis=0)
        assert np.linalg.norm(run.to_numpy().astype(np.float32)) == pytest.approx(1, abs=1e-3)
        assert float(run.to_numpy() @ mean / np.linalg.norm(mean)) == pytest.approx(1, abs=1e-3)


def test_runs_that_were_turned_are_turned_back(connection: Connection) -> None:
    """Up to 0.1 the runs of a large database were stored turned, for an index that is gone."""
    add_random_videos(connection, num_videos=2, num_frames=60, num_patches=2)
    before = connection.execute(RUNS).fetchall()
    turn_runs(connection, before)
    connection.execute("delete from vsdb.migrations where migration_id = 11")
    assert schema.migrate(connection) == ["0011_compare_runs"]
    after = connection.execute(RUNS).fetchall()
    assert [row[:4] for row in after] == [row[:4] for row in before]
    for old, new in zip(before, after, strict=True):
        assert float(old[4].to_numpy().astype(np.float32) @ new[4].to_numpy()) == pytest.approx(1, abs=1e-3)
    gone = "select to_regclass('vsdb.turning'), to_regclass('vsdb.patch_runs_embedding_l2')"
    assert connection.execute(gone).fetchone() == (None, None)


def turn_runs(connection: Connection, runs: list[tuple[Any, ...]]) -> None:
    """Make the runs what they were in 0.1: moved, turned and stretched, with the table that says how, and indexed."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((EMBEDDING_DIM, EMBEDDING_DIM)))[0]
    centres, stretches = rng.normal(0, 0.02, EMBEDDING_DIM), rng.uniform(0.1, 0.5, EMBEDDING_DIM)
    connection.execute(
        """create table vsdb.turning (axis smallint primary key, direction halfvec not null, centre real not null,
                                      stretch real not null)"""
    )
    with connection.cursor() as cursor:
        for axis in range(EMBEDDING_DIM):
            row = (axis, HalfVector(directions[axis]), float(centres[axis]), float(stretches[axis]))
            cursor.execute("insert into vsdb.turning values (%s, %s, %s, %s)", row)
        for video, first, _, patch, embedding in runs:
            turned = HalfVector((directions @ embedding.to_numpy() - centres) / stretches)
            cursor.execute(
                """update vsdb.patch_runs set embedding = %s where first_frame = %s and patch_index = %s
                   and video_id = %s + (select min(video_id) from vsdb.videos)""",
                (turned, first, patch, video),
            )
    connection.execute(
        """create index patch_runs_embedding_l2 on vsdb.patch_runs
           using ivfflat (embedding halfvec_l2_ops) with (lists = 1)"""
    )
