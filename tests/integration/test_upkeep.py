"""What is done for a database after an ingest: the index, with its progress, and fresh statistics."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.integration import search_data
from vsdb.database import Connection, upkeep


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """A database with 1,600 patches, no index, and statistics from when it had 3,200."""
    search_data.add_random_videos(connection, num_videos=8, num_frames=100, num_patches=4)
    connection.execute("drop index vsdb.patch_runs_embedding_l2")
    connection.execute("delete from vsdb.neutral_prompts")  # there is no text tower to embed them
    connection.execute("delete from vsdb.videos where video_id in (select video_id from vsdb.videos limit 4)")
    return connection


def test_the_index_is_built_and_statistics_are_fresh(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MIN_PATCHES", 1000)
    monkeypatch.setattr(upkeep, "PATCHES_WORTH_STATISTICS", 1000)
    monkeypatch.setattr(upkeep, "PROGRESS_SECONDS", 0.01)
    steps: list[tuple[str, str]] = []
    warnings: list[str] = []
    upkeep.after_ingest(
        filled,
        on_step=lambda step: steps.append((step, threading.current_thread().name)),
        on_warning=warnings.append,
    )
    assert warnings == []
    assert {thread for _, thread in steps} == {threading.current_thread().name}
    assert "building the index" in [step for step, _ in steps]
    assert filled.execute("select vsdb.has_index()").fetchone() == (True,)
    assert filled.execute("select reltuples from pg_class where oid = 'vsdb.patches'::regclass").fetchone() == (1600,)


def test_an_index_that_is_not_valid_is_none_and_is_built_again(connection: Connection) -> None:
    """As a build of ``create index concurrently`` leaves it behind that was cut off."""
    search_data.add_video(connection, "/a.mp4", search_data.scores([0, 80, 0, 60, 0, 0]))
    search_data.pretend_size(connection, 10_000_000)
    upkeep.build_index(connection, min_patches=0)
    told = """select vsdb.has_index(), vsdb.needs_index(0),
                     (select scan from vsdb.choose_scan(null, null, false))"""
    assert connection.execute(told).fetchone() == (True, False, "index")
    connection.execute(
        "update pg_index set indisvalid = false where indexrelid = 'vsdb.patch_runs_embedding_l2'::regclass"
    )
    assert connection.execute(told).fetchone() == (False, True, "runs")
    assert upkeep.build_index(connection, min_patches=0)
    assert connection.execute(told).fetchone() == (True, False, "index")


def test_the_index_holds_no_rows_from_before_the_turning(connection: Connection) -> None:
    search_data.add_video(connection, "/a.mp4", search_data.scores([0, 80, 0, 60, 0, 0]))
    upkeep.build_index(connection, min_patches=0)
    assert connection.execute("select count(*) > 0 from vsdb.turning").fetchone() == (True,)
    assert connection.execute(
        """select i.reltuples = (select count(*) from vsdb.patch_runs)
           from pg_class i where i.oid = 'vsdb.patch_runs_embedding_l2'::regclass"""
    ).fetchone() == (True,)


def test_an_older_transaction_does_not_keep_the_index_from_use(connection: Connection, dsn: str) -> None:
    search_data.add_video(connection, "/a.mp4", search_data.scores([0, 80, 0, 60, 0, 0]))
    with psycopg.connect(dsn) as older:
        older.execute("set transaction isolation level repeatable read")
        older.execute("select from vsdb.videos")
        upkeep.build_index(connection, min_patches=0)
        assert connection.execute(
            "select indcheckxmin from pg_index where indexrelid = 'vsdb.patch_runs_embedding_l2'::regclass"
        ).fetchone() == (False,)


def test_turning_the_runs_and_removing_a_video_wait_for_each_other(connection: Connection, dsn: str) -> None:
    for name in ("/a.mp4", "/b.mp4"):
        search_data.add_video(connection, name, search_data.scores([0, 80, 0, 60, 0, 0]))
    with psycopg.connect(dsn) as remover, psycopg.connect(dsn, autocommit=True) as builder:
        remover.execute("delete from vsdb.videos where false")  # takes the lock that removing begins with
        building = threading.Thread(target=upkeep.build_index, args=[builder], kwargs={"min_patches": 0})
        building.start()
        waits = "select exists (select from pg_locks where relation = 'vsdb.videos'::regclass and not granted)"
        while building.is_alive() and connection.execute(waits).fetchone() != (True,):
            pass
        assert building.is_alive()
        remover.execute("delete from vsdb.videos where video_path = '/b.mp4'")  # no deadlock
        remover.commit()
        building.join(30)
    assert connection.execute("select vsdb.has_index()").fetchone() == (True,)
    assert connection.execute("select count(distinct video_id) from vsdb.patch_runs").fetchone() == (1,)


def test_progress_says_phase_and_share(filled: Connection, dsn: str) -> None:
    """Seen from a second connection while the build waits for the table."""
    assert upkeep._index_progress(filled) is None
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as builder:
        holder.execute("insert into vsdb.patch_runs select * from vsdb.patch_runs limit 0")
        building = threading.Thread(
            target=builder.execute,
            args=["create index concurrently on vsdb.patch_runs (start_seconds)"],
        )
        building.start()
        seen = None
        while building.is_alive() and seen is None:
            seen = upkeep._index_progress(filled)
        holder.rollback()
        building.join(30)
    assert seen is not None
    assert seen.startswith("building the index: ")
