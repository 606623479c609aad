"""Locks, timeouts and settings of others: nothing waits in silence, nobody queues, nothing is left behind."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

import vsdb
from tests import clips
from tests.attack.conftest import Count
from tests.conftest import clean_environment
from vsdb.database import Connection, locks, schema
from vsdb.database.embedded import EmbeddedServer
from vsdb.errors import DatabaseError

MIGRATES = 20
OLD_LOCK_KEY = 0x76736462


@contextmanager
def session(dsn: str, *statements: str) -> Iterator[Connection]:
    """A session that has run some statements in a transaction, and waits."""
    with psycopg.connect(dsn, application_name="somebody") as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection


def test_twenty_migrates_at_once_install_once(new_database: Callable[[str], str], count: Count) -> None:
    """As processes, on a database with nothing in it."""
    dsn = new_database("template0")
    command = [sys.executable, "-m", "vsdb", "migrate"]
    environment = {**clean_environment(), "VSDB_DSN": dsn}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(MIGRATES)
    ]
    outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0] * MIGRATES, outputs
    assert sorted(out.count("applied") for out, _ in outputs) == [0] * (MIGRATES - 1) + [len(schema.all_migrations())]
    with psycopg.connect(dsn, autocommit=True) as connection:
        schema.check(connection)
    count("migrates at once", MIGRATES)


def test_a_migration_that_cannot_have_its_tables_says_who_has_them(
    dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "PATIENCE_SECONDS", 2.0)
    with session(dsn, "select count(*) from vsdb.videos_view") as reader:
        with pytest.raises(DatabaseError) as caught:
            schema.migrate(connection)
        message = str(caught.value)
        for words in (f"process {reader.info.backend_pid} (somebody", "idle in transaction", "pg_terminate_backend"):
            assert words in message
    assert schema.migrate(connection) == []


def test_readers_do_not_queue_behind_a_migration_that_waits(
    dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader with a statement timeout of a second is answered all the time."""
    monkeypatch.setattr(schema, "PATIENCE_SECONDS", 3.0)
    refused: list[str] = []

    def migrate() -> None:
        try:
            schema.migrate(connection)
        except DatabaseError as error:
            refused.append(str(error))

    answered = 0
    with session(dsn, "select count(*) from vsdb.videos_view"):
        waiting = threading.Thread(target=migrate)
        waiting.start()
        with psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=1s") as reader:
            while waiting.is_alive():
                reader.execute("select count(*) from vsdb.videos_view")
                answered += 1
        waiting.join()
    assert len(refused) == 1
    assert answered > 5


def test_a_lock_that_the_reader_can_take_blocks_nobody(dsn: str, connection: Connection, tmp_path: Path) -> None:
    """Advisory locks are for everybody who can connect; the owner's work takes none that it would wait for."""
    keys = [OLD_LOCK_KEY, *(OLD_LOCK_KEY << 16 | number for number in range(16)), 8243106990490943490]
    clip = clips.write_video(tmp_path / "a.mp4", [0, 1000], size=(64, 48))
    takes = [f"select pg_advisory_lock({key})" for key in keys]
    with session(dsn, "set role vsdb_reader", *takes):
        connection.execute("set statement_timeout = '60s'")
        schema.migrate(connection)
        with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as index:
            assert [result.status for result in index.ingest([clip])] == ["ingested"]
            assert index.remove(clip) == [str(clip)]
    source = "".join(path.read_text() for path in Path(schema.__file__).parent.glob("*.py"))
    assert "advisory" not in re.sub(r"#.*|[Nn]ot an advisory lock", "", source)


def test_a_removal_that_waits_says_for_whom(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks.bounded_wait.__wrapped__, "__kwdefaults__", {"seconds": 1.0})  # type: ignore[attr-defined]
    clip = clips.write_video(tmp_path / "a.mp4", [0, 1000], size=(64, 48))
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as index:
        index.ingest([clip])
        for statement in ("update vsdb.videos set every_seconds = 2", "lock table vsdb.patches in exclusive mode"):
            with session(dsn, statement) as other:
                with pytest.raises(DatabaseError, match=f"process {other.info.backend_pid} .somebody"):
                    index.remove(clip)
                assert len(index.videos()) == 1
        assert index.connection.execute("show lock_timeout").fetchone() == ("0",)
        assert index.remove(clip) == [str(clip)]


def test_timeouts_of_the_server_do_not_fail_an_ingest(dsn: str, connection: Connection, tmp_path: Path) -> None:
    """Each is shorter than any of the pauses of an ingest, which loads a model and decodes."""
    clip = clips.write_video(tmp_path / "a.mp4", range(0, 20_000, 200), size=(640, 480))
    names = ["idle_in_transaction_session_timeout", "idle_session_timeout"]
    names += ["transaction_timeout"] if connection.info.server_version >= 170_000 else []
    for name in names:
        connection.execute(f"alter database {connection.info.dbname} set {name} = '50ms'")
    connection.execute(f"alter database {connection.info.dbname} set statement_timeout = '300ms'")
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as index:
        (result,) = index.ingest([clip])
    assert (result.status, result.reason) == ("ingested", None)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    home = tmp_path_factory.mktemp("embedded")
    for folder in (home, *home.parents[:2]):
        folder.chmod(0o711)
    server = EmbeddedServer(home)
    with psycopg.connect(server.start(), autocommit=True) as connection:
        schema.migrate(connection)
    yield server
    server.stop()


@pytest.mark.parametrize(
    "statement",
    [
        "select lo_create(0)",
        "select lo_creat(-1)",
        "select lo_from_bytea(0, '\\x00')",
        "select lo_put(1, 0, '\\x00')",
        "select lo_import('/etc/passwd')",
        "select lowrite(0, '\\x00')",
        "create temporary table mine (x int)",
        "create temporary sequence mine",
        "create table mine (x int)",
        "create table public.mine (x int)",
        "create schema mine",
        "create function public.mine() returns int language sql as 'select 1'",
        "copy (select 1) to '/tmp/mine'",
        "copy (select 1) to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('/')",
        "alter system set work_mem = '1GB'",
        "create role mine",
        "create database mine",
        "set session authorization postgres",
        "set role postgres",
        "delete from vsdb.videos",
        "begin; lock table vsdb.videos in share mode",
        "load 'plpgsql'",
    ],
)
def test_the_reader_writes_nothing_anywhere(embedded: EmbeddedServer, statement: str, count: Count) -> None:
    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        connection.execute("set session authorization vsdb_reader")
        if statement.startswith("set session"):
            connection.execute("set session authorization default")
            connection.execute("set role vsdb_reader")
            pytest.skip("a superuser's session may always go back; over TCP the reader is none")
        if statement.startswith("set role"):
            pytest.skip("likewise")
        with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedObject)):
            connection.execute(statement)
    count("statements of the reader that want more than to read", 1)


def test_the_reader_leaves_no_settings_behind(embedded: EmbeddedServer) -> None:
    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        connection.execute("set session authorization vsdb_reader")
        connection.execute("alter role vsdb_reader set statement_timeout = '1ms'")
        connection.execute("alter role vsdb_reader in database vsdb set search_path = mine")
    settings = "select setconfig from pg_db_role_setting where setrole = 'vsdb_reader'::regrole"
    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        assert connection.execute(settings).fetchall() == []


def test_max_moments_is_checked_by_every_way_to_search(street_dsn: str) -> None:
    ways = [
        "vsdb.search('a dog', max_moments => {})",
        "vsdb.search_embedding(vsdb.embed('a dog'), max_moments => {})",
        "vsdb.search_then(vsdb.embed('a dog'), vsdb.embed('a bus'), max_moments => {})",
        "vsdb.moments('a dog', {})",
    ]
    with psycopg.connect(street_dsn, autocommit=True) as connection:
        for way in ways:
            for number in ("-1", "0", "null", "2147483647"):
                with pytest.raises(errors.InvalidParameterValue, match="max_moments is .*, expected 1 to 100000"):
                    connection.execute(f"select * from {way.format(number)}")
