"""The database's schema: what is applied once, what is applied again, and whether both are up to date."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from psycopg import errors, sql

from vsdb.database import Connection
from vsdb.database.locks import lock_error, set_lock_timeout
from vsdb.errors import DatabaseError

MIN_SERVER = 15
MIN_PGVECTOR = (0, 8)
OTHER_MIGRATE_SECONDS = 120.0  # so long does this one wait for others, which are known to end
TABLE_LOCK_SECONDS = 0.1  # so long may readers have to queue behind a migration that cannot have its tables yet
PATIENCE_SECONDS = 30.0
RETRY_SECONDS = 0.5
FUNCTIONS_ID = 0  # the row of vsdb.migrations that stands for the re-applied files

_BOOTSTRAP = """
create schema if not exists vsdb;
create table if not exists vsdb.migrations (
    migration_id  integer primary key,
    name          text not null,
    sha256        bytea not null check (octet_length(sha256) = 32),
    applied_at    timestamptz not null default now()
);
comment on table vsdb.migrations is 'Which files of sql/ this database has; row 0 stands for the re-applied ones.';
comment on column vsdb.migrations.migration_id is 'Number of the file; 0 for the re-applied ones together.';
comment on column vsdb.migrations.name is 'Name of the file.';
comment on column vsdb.migrations.sha256 is 'SHA-256 of what was applied, 32 bytes.';
comment on column vsdb.migrations.applied_at is 'When it was applied.';
"""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file of ``sql/migrations``, applied once and frozen."""

    migration_id: int
    path: Path

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the file; 32 bytes."""
        return hashlib.sha256(self.path.read_bytes()).digest()


def sql_folder() -> Path:
    """Folder of the SQL files: inside the installed package, else at the top of the source tree."""
    package = Path(__file__).parents[1]
    installed, source = package / "sql", package.parent / "sql"
    return installed if installed.is_dir() else source


def all_migrations() -> list[Migration]:
    """Every migration of this program, in order."""
    files = sorted((sql_folder() / "migrations").glob("[0-9]*.sql"))
    return [Migration(migration_id=int(path.name.split("_")[0]), path=path) for path in files]


def function_files() -> list[Path]:
    """The files that every migrate applies again, in the order of ``sql/functions/order.txt``; grants come last."""
    folder = sql_folder() / "functions"
    return [folder / name for name in (folder / "order.txt").read_text().split()]


def migrate(connection: Connection) -> list[str]:
    """Bring the database up to date in one transaction; safe to run twice, or twice at the same time.

    Returns:
        Names of the migrations applied; empty when only views and functions were applied again.

    Raises:
        DatabaseError: server or pgvector too old, pgvector missing, or a database newer than this program.
    """
    check_server(connection)
    began = time.monotonic()
    while True:
        try:
            return _migrate(connection)
        except errors.LockNotAvailable:
            waited = time.monotonic() - began
            if waited > PATIENCE_SECONDS:
                raise lock_error(connection, "the migration", round(waited)) from None
            time.sleep(RETRY_SECONDS)


def _migrate(connection: Connection) -> list[str]:
    with connection.transaction():
        connection.execute("set local statement_timeout = 0")
        _wait_for_other_migrates(connection)
        set_lock_timeout(connection, TABLE_LOCK_SECONDS, local=True)
        applied = _applied(connection)
        _check_history(applied)
        pending = [each for each in all_migrations() if each.migration_id not in applied]
        if pending:
            drop_functions(connection)  # those of the version before are bound to its tables
        _apply([each.path for each in pending], connection)
        for each in pending:
            _record(connection, each.migration_id, each.path.name, each.sha256)
        apply_functions(connection)
        _measure_background(connection)
    return [each.path.stem for each in pending]


def _wait_for_other_migrates(connection: Connection) -> None:
    """Let one migration at a time go on: the first makes the schema, and each locks the table that notes them.

    Not an advisory lock: those may be taken by everybody who can connect. This one needs the owner's rights, and does
    not keep readers away.
    """
    set_lock_timeout(connection, OTHER_MIGRATE_SECONDS, local=True)
    while True:
        try:
            with connection.transaction():
                create_vector_extension(connection)
                connection.execute(_BOOTSTRAP)
            break
        except (errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable, errors.DuplicateObject):
            continue  # another migration has just made it; now it is there
    connection.execute("lock table vsdb.migrations in share row exclusive mode")


def _measure_background(connection: Connection) -> None:
    """Measure the neutral prompts where a migration has emptied their figures: without them nothing is refused."""
    connection.execute(
        """select vsdb.refresh_background()
           where exists (select from vsdb.videos) and not exists (select from vsdb.background)
             and not exists (select from vsdb.neutral_prompts where embedding is null)"""
    )


def apply_functions(connection: Connection) -> None:
    """Apply views, functions and grants again, inside the caller's transaction; drop functions that are none of these.

    One that another version left, with other arguments, would make calls ambiguous.

    Raises:
        DatabaseError: something that others built on a function stands in the way.
    """
    before = _functions(connection)
    *definitions, grants = function_files()
    try:
        with connection.transaction():
            _apply(definitions, connection)
    except (errors.InvalidFunctionDefinition, errors.AmbiguousFunction):  # other result columns, or more arguments
        drop_functions(connection)
        _apply(definitions, connection)
    _drop(before & _functions(connection), connection)
    _apply([grants], connection)  # last: it touches every function
    _record(connection, FUNCTIONS_ID, "functions", _functions_sha256())


def ensure(connection: Connection) -> None:
    """Set up a database that has no vsdb schema yet; otherwise check that it is up to date.

    Raises:
        DatabaseError: the database is older (run ``vsdb migrate``) or newer than this program.
    """
    if is_empty(connection):
        migrate(connection)
    else:
        check(connection)


def check(connection: Connection) -> None:
    """Raise DatabaseError unless the schema is exactly what this program needs."""
    if is_empty(connection):
        raise DatabaseError('the database has no vsdb schema yet; run "vsdb ingest PATH" or "vsdb migrate"')
    applied = _applied(connection)
    _check_history(applied)
    have, need = max(applied), max(each.migration_id for each in all_migrations())
    if have < need:
        raise DatabaseError(f'database is at migration {have}, vsdb needs {need}; run "vsdb migrate"')
    if applied.get(FUNCTIONS_ID) != _functions_sha256():
        raise DatabaseError('the database\'s functions are of another vsdb version; run "vsdb migrate"')


def check_server(connection: Connection) -> None:
    """Raise DatabaseError when the server is older than vsdb supports, or the database is not UTF-8."""
    if connection.info.server_version < MIN_SERVER * 10_000:
        raise DatabaseError(
            f"PostgreSQL {connection.info.server_version // 10_000} is too old, vsdb needs {MIN_SERVER} or newer"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise DatabaseError(
            f"the database's encoding is {encoding}, and prompts and paths need UTF8; make another database: "
            "create database vsdb encoding 'UTF8' template template0"
        )


def create_vector_extension(connection: Connection) -> None:
    """Create pgvector where it is missing and check its version.

    Raises:
        DatabaseError: not installed on the server, no right to create it, or too old.
    """
    try:
        with connection.transaction():
            connection.execute("set local client_min_messages = warning")
            connection.execute("create extension if not exists vector")
    except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
        raise DatabaseError(
            "the server has no pgvector; install it (https://github.com/pgvector/pgvector#installation) "
            "or use the embedded database (no --dsn)"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise DatabaseError(
            'no right to create the extension; ask an administrator for "create extension vector" in this database'
        ) from error
    version = pgvector_version(connection)
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_PGVECTOR:
        raise DatabaseError(
            f"pgvector {version} is too old, vsdb needs {'.'.join(map(str, MIN_PGVECTOR))} or newer; "
            'update the server\'s package, then "alter extension vector update"'
        )


def pgvector_version(connection: Connection) -> str:
    """Version of the extension in this database, such as ``0.8.5``; empty when it is not there."""
    row = connection.execute("select extversion from pg_extension where extname = 'vector'").fetchone()
    return str(row[0]) if row else ""


def set_embedding_dim(connection: Connection, dim: int) -> None:
    """Make an empty database hold embeddings of ``dim`` numbers, inside the caller's transaction.

    Views and functions that use the column stand in the way of changing its type: they are dropped and applied
    again.
    """
    columns = connection.execute(
        """select attrelid::regclass::text from pg_attribute
           where attrelid::regclass in ('vsdb.patches', 'vsdb.patch_runs', 'vsdb.neutral_prompts')
             and attname = 'embedding' and atttypmod <> %s""",
        [dim],
    ).fetchall()
    if not columns:
        return
    drop_functions(connection)
    connection.execute("drop view vsdb.patch_embeddings")
    halfvec = sql.SQL("{}.halfvec({})").format(sql.Identifier(_vector_schema(connection)), sql.Literal(dim))
    for (table,) in columns:
        connection.execute(sql.SQL("alter table {} alter column embedding type {}").format(sql.SQL(table), halfvec))
    apply_functions(connection)


def drop_functions(connection: Connection) -> None:
    """Drop all functions but triggers.

    Raises:
        DatabaseError: something that others built on them stands in the way.
    """
    _drop(_functions(connection), connection)


def _functions(connection: Connection) -> set[tuple[int, str]]:
    """Every function but triggers: its oid, and the place of its row, which is another one once it was replaced."""
    return set(
        connection.execute(
            """select oid, ctid::text from pg_proc
               where pronamespace = 'vsdb'::regnamespace and prorettype <> 'trigger'::regtype"""
        )
    )


def _drop(functions: set[tuple[int, str]], connection: Connection) -> None:
    """Drop functions in one statement, so that they do not stand in each other's way."""
    row = connection.execute(
        "select string_agg(oid::regprocedure::text, ', ') from unnest(%s::oid[]) oid", [[oid for oid, _ in functions]]
    ).fetchone()
    try:
        if row and row[0]:
            connection.execute("drop routine " + row[0])
    except errors.DependentObjectsStillExist as error:
        raise DatabaseError(
            f"functions of vsdb have to be replaced, but {error.diag.message_detail}; "
            "drop what depends on them, run the command again, and create it anew"
        ) from error


def is_empty(connection: Connection) -> bool:
    """Whether the database has no vsdb schema yet."""
    row = connection.execute("select to_regclass('vsdb.migrations') is null").fetchone()
    return bool(row and row[0])


def _applied(connection: Connection) -> dict[int, bytes]:
    return dict(connection.execute("select migration_id, sha256 from vsdb.migrations").fetchall())


def _check_history(applied: dict[int, bytes]) -> None:
    known = {each.migration_id: each for each in all_migrations()}
    newest = max(known)
    if applied and max(applied) > newest:
        raise DatabaseError(
            f"database is at migration {max(applied)}, this vsdb knows {newest}; upgrade it: pip install -U vsdb"
        )
    for migration_id, sha256 in applied.items():
        if migration_id != FUNCTIONS_ID and known[migration_id].sha256 != sha256:
            raise DatabaseError(
                f"migration {known[migration_id].path.name} is not the one that was applied to this database; "
                "it was made by another build of vsdb: use that one, or ingest into a new database"
            )


def _apply(files: list[Path], connection: Connection) -> None:
    """Run files with a search path on which each name has one meaning; functions bind to it when created."""
    path = sql.SQL("set local search_path = vsdb, {}").format(sql.Identifier(_vector_schema(connection)))
    connection.execute(path)
    connection.execute("set local client_min_messages = warning")
    for file in files:
        connection.execute(file.read_bytes())
    connection.execute("set local search_path to default")


def _vector_schema(connection: Connection) -> str:
    row = connection.execute(
        "select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'"
    ).fetchone()
    return str(row[0]) if row else "public"


def _record(connection: Connection, migration_id: int, name: str, sha256: bytes) -> None:
    connection.execute(
        "insert into vsdb.migrations (migration_id, name, sha256) values (%s, %s, %s) "
        "on conflict (migration_id) do update set sha256 = excluded.sha256, applied_at = now()",
        [migration_id, name, sha256],
    )


def _functions_sha256() -> bytes:
    digest = hashlib.sha256()
    for file in function_files():
        digest.update(file.read_bytes())
    return digest.digest()
