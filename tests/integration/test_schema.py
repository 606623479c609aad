"""Migrations: once, twice, many at once, and between versions; what every object says of itself."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import vsdb
from tests.servers import Server
from vsdb.database import Connection, catalog, schema
from vsdb.errors import DatabaseError
from vsdb.types import ModelInfo

NewDatabase = Callable[[str], str]


def connect(dsn: str) -> Connection:
    return psycopg.connect(dsn, autocommit=True)


def describe(connection: Connection) -> list[tuple[object, ...]]:
    """Columns, functions and indexes of the schema, to compare two databases."""
    return connection.execute(
        """select table_name, column_name, data_type, is_nullable from information_schema.columns
           where table_schema = 'vsdb'
           union all select proname, pg_get_function_arguments(oid), pg_get_function_result(oid), ''
           from pg_proc where pronamespace = 'vsdb'::regnamespace and prokind = 'f'
           union all select indexname, indexdef, '', '' from pg_indexes where schemaname = 'vsdb'
           order by 1, 2, 3"""
    ).fetchall()


def test_a_second_migrate_changes_nothing(connection: Connection) -> None:
    before = describe(connection)
    assert len(before) > 50
    assert schema.migrate(connection) == []
    assert describe(connection) == before
    schema.check(connection)


def test_many_at_once_install_once(new_database: NewDatabase) -> None:
    dsn = new_database("template0")
    results: list[object] = []

    def run() -> None:
        with connect(dsn) as connection:
            try:
                results.append(schema.migrate(connection))
            except Exception as error:  # shown by the assertion below
                results.append(error)

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [each.path.stem for each in schema.all_migrations()]
    assert sorted(map(str, results)) == sorted(map(str, [everything] + [[]] * 11))
    with connect(dsn) as connection:
        schema.check(connection)


def test_the_empty_older_newer_and_altered_are_told_apart(new_database: NewDatabase) -> None:
    with connect(new_database("template0")) as connection:
        with pytest.raises(DatabaseError, match='no vsdb schema yet; run "vsdb ingest PATH" or "vsdb migrate"'):
            schema.check(connection)
        schema.ensure(connection)
        schema.check(connection)
        newest = max(each.migration_id for each in schema.all_migrations())
        connection.execute("update vsdb.migrations set sha256 = sha256('other') where migration_id = 0")
        with pytest.raises(DatabaseError, match='of another vsdb version; run "vsdb migrate"'):
            schema.check(connection)
        connection.execute("delete from vsdb.migrations where migration_id = %s", [newest])
        with pytest.raises(DatabaseError, match=f'vsdb needs {newest}; run "vsdb migrate"'):
            schema.check(connection)
        connection.execute("insert into vsdb.migrations values (9999, 'later', sha256('later'))")
        for use in (schema.check, schema.migrate):
            with pytest.raises(DatabaseError, match="is at migration 9999.*upgrade it"):
                use(connection)
        connection.execute("delete from vsdb.migrations where migration_id = 9999")
        connection.execute("update vsdb.migrations set sha256 = sha256('edited') where migration_id = 1")
        with pytest.raises(DatabaseError, match="0001_.*is not the one that was applied"):
            schema.migrate(connection)


def test_a_database_without_a_schema_has_no_model_yet(new_database: NewDatabase) -> None:
    dsn = new_database("template0")
    with vsdb.connect(dsn=dsn) as index:
        assert index.model_name is None
    with connect(dsn) as connection:
        assert schema.is_empty(connection)


def test_the_index_of_older_versions_goes(connection: Connection) -> None:
    connection.execute(
        "create index patch_runs_embedding_ivf on vsdb.patch_runs"
        " using ivfflat (embedding halfvec_ip_ops) with (lists = 1)"
    )
    connection.execute("delete from vsdb.migrations where migration_id = 6")
    assert schema.migrate(connection) == ["0006_index_by_distance"]
    assert connection.execute("select to_regclass('vsdb.patch_runs_embedding_ivf')").fetchone() == (None,)


def test_a_failed_migrate_leaves_nothing(new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise errors.DiskFull("no space left")

    with connect(new_database("template0")) as connection:
        monkeypatch.setattr(schema, "apply_functions", fail)
        with pytest.raises(errors.DiskFull):
            schema.migrate(connection)
        assert connection.execute("select to_regnamespace('vsdb')").fetchone() == (None,)


def test_every_public_object_is_described(connection: Connection) -> None:
    missing = connection.execute(
        """select c.relname, a.attname from pg_class c
           join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           where c.relnamespace = 'vsdb'::regnamespace and c.relkind in ('r', 'v', 'c')
             and (col_description(c.oid, a.attnum) is null
                  or coalesce(obj_description(c.oid), obj_description(c.reltype)) is null)
           union all
           select proname, '' from pg_proc
           where pronamespace = 'vsdb'::regnamespace and obj_description(oid, 'pg_proc') is null"""
    ).fetchall()
    assert missing == []


def test_the_files_are_plain_sql_for_psql(new_database: NewDatabase) -> None:
    """Each file runs by itself with the default search path, in the order of the runner."""
    with connect(new_database("template0")) as connection:
        for path in [each.path for each in schema.all_migrations()] + schema.function_files():
            connection.execute(path.read_bytes())


def test_the_reader_reads_and_writes_nothing(connection: Connection) -> None:
    connection.execute("set role vsdb_reader")
    connection.execute("set search_path = ''")
    for view in ("patch_embeddings", "videos_view"):
        assert connection.execute(f"select count(*) from vsdb.{view}").fetchone() == (0,)
    for statement in ("delete from vsdb.videos", "truncate vsdb.patches", "drop view vsdb.videos_view"):
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


OTHER_MODEL = ModelInfo(
    model_name="ViT-B-32",
    weights_sha256=bytes(32),
    weights_path=None,
    embedding_dim=512,
    image_size=224,
    image_mean=[0.5, 0.5, 0.5],
    image_std=[0.5, 0.5, 0.5],
    interpolation="bicubic",
    resize_mode="shortest",
)


def test_another_dimension_changes_the_column_and_keeps_the_views(connection: Connection) -> None:
    catalog.register_model(connection, OTHER_MODEL)
    typed = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = %s::regclass and attname = %s"
    assert connection.execute(typed, ["vsdb.patches", "embedding"]).fetchone() == ("halfvec(512)",)
    assert connection.execute("select count(*) from vsdb.patch_embeddings").fetchone() == (0,)
    schema.check(connection)


def test_a_function_of_another_version_is_replaced(connection: Connection) -> None:
    connection.execute("drop function vsdb.may_remember cascade")
    connection.execute("create function vsdb.may_remember() returns text language sql as $$ select 'old' $$")
    schema.migrate(connection)
    assert connection.execute("select vsdb.may_remember()").fetchone() == (True,)


def test_what_another_version_left_makes_no_call_ambiguous(connection: Connection) -> None:
    connection.execute(
        "create function vsdb.may_remember(old integer default 1) returns text language sql return 'old'"
    )
    connection.execute("create function vsdb.gone() returns text language sql return 'old'")
    schema.migrate(connection)
    assert connection.execute("select vsdb.may_remember(), to_regproc('vsdb.gone')").fetchone() == (True, None)


def test_a_view_on_a_function_that_has_to_go_is_named(connection: Connection) -> None:
    connection.execute("create function vsdb.may_remember(old integer) returns text language sql return 'old'")
    connection.execute("create view public.report as select vsdb.may_remember(1)")
    with pytest.raises(DatabaseError, match="view report depends on function"):
        schema.migrate(connection)
    schema.check(connection)


def test_a_database_of_another_encoding_is_refused(new_database: NewDatabase) -> None:
    with (
        connect(new_database("template0 encoding 'LATIN1' locale 'C'")) as connection,
        pytest.raises(DatabaseError, match="encoding is LATIN1"),
    ):
        schema.migrate(connection)


def test_a_backup_is_restored_by_an_owner_who_is_no_superuser(
    server: Server, street_dsn: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """As on a managed server, where an administrator creates the extension."""
    dsn = new_database("template0")
    with connect(dsn) as connection:
        connection.execute("create extension vector; create role restorer login")
        connection.execute(f"alter database {connection.info.dbname} owner to restorer")
    backup = str(tmp_path / "backup")
    owned = make_conninfo(dsn, user="restorer")
    subprocess.run([server.program("pg_dump"), "-Fc", "-n", "vsdb", "-f", backup, street_dsn], check=True)
    subprocess.run([server.program("pg_restore"), "-O", "-x", "-d", owned, backup], check=True)
    with connect(owned) as restored, connect(street_dsn) as original:
        schema.check(restored)
        asked = "select rank, start_seconds, end_seconds, score, z from vsdb.search('a red car')"
        assert restored.execute(asked).fetchall() == original.execute(asked).fetchall() != []
        restored.execute("drop owned by restorer")
    with connect(street_dsn) as connection:
        connection.execute(f"alter database {conninfo_to_dict(dsn)['dbname']} owner to current_user")
        connection.execute("drop role restorer")
