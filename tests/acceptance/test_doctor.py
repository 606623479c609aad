"""What ``vsdb doctor`` finds in a database that is not well."""

from __future__ import annotations

import pytest

from vsdb.config import resolve
from vsdb.database import Connection
from vsdb.doctor import Check, examine

OLD_PGVECTOR = "update pg_extension set extversion = '0.8.2' where extname = 'vector'"
LARGE_VIDEO = """
insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,
                         every_seconds, patch_size, stride, num_frames, num_patches)
values ('/a.mp4', sha256('a'), 1, 1, 1, 1, 1, 1, 1, 1, 2000000);
"""
WITHOUT_WORKERS = """
do $$ begin
    execute format('alter database %I set max_parallel_workers_per_gather = 0', current_database());
end $$
"""


def not_well(dsn: str) -> list[Check]:
    return [check for check in examine(resolve(dsn=dsn, model="tiny", device="cpu")) if check.state != "ok"]


@pytest.mark.parametrize(
    ("damage", "name", "state", "found", "remedy"),
    [
        ("drop function vsdb.search", "schema", "fail", "without vsdb.search", "vsdb migrate"),
        ("drop function vsdb.search_embedding cascade", "schema", "fail", "vsdb.search_embedding", "vsdb migrate"),
        (LARGE_VIDEO + WITHOUT_WORKERS, "search", "warn", "every patch run of 2,000,000 patches", "alter system"),
        (OLD_PGVECTOR, "pgvector", "warn", "0.8.2", "alter extension vector update"),
        ("grant create on schema public to public", "pgvector", "warn", "public", "revoke create on schema public"),
    ],
)
def test_what_is_not_well_is_found(
    connection: Connection, dsn: str, damage: str, name: str, state: str, found: str, remedy: str
) -> None:
    assert not_well(dsn) == []
    connection.execute(damage.encode())
    (check,) = not_well(dsn)
    assert (check.name, check.state) == (name, state)
    assert found in check.found
    assert remedy in (check.remedy or "")
