"""What is done for a database after an ingest: fresh statistics."""

from __future__ import annotations

import pytest

from tests.integration import search_data
from vsdb.database import Connection, upkeep


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """A database with 1,600 patches, and statistics from when it had 3,200."""
    search_data.add_random_videos(connection, num_videos=8, num_frames=100, num_patches=4)
    connection.execute("delete from vsdb.neutral_prompts")  # there is no text tower to embed them
    connection.execute("delete from vsdb.videos where video_id in (select video_id from vsdb.videos limit 4)")
    return connection


def test_statistics_are_fresh(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PATCHES_WORTH_STATISTICS", 1000)
    steps: list[str] = []
    warnings: list[str] = []
    upkeep.after_ingest(filled, on_step=steps.append, on_warning=warnings.append)
    assert warnings == []
    assert "refreshing statistics" in steps
    assert filled.execute("select reltuples from pg_class where oid = 'vsdb.patches'::regclass").fetchone() == (1600,)
