"""Reaching a database: any PostgreSQL by its DSN, else the embedded one, started when it is needed."""

from __future__ import annotations

import psycopg
from psycopg import conninfo

from vsdb.config import Settings
from vsdb.database import Connection, schema
from vsdb.database.embedded import EmbeddedServer
from vsdb.errors import DatabaseError

CONNECT_TIMEOUT_SECONDS = 10


class Database:
    """The one connection of an index or an ingest, opened anew after it was lost."""

    def __init__(self, settings: Settings) -> None:
        """
        Args:
            settings: which database.

        Raises:
            DatabaseError: no connection.
        """
        self._settings = settings
        self._connection = open_connection(settings)
        self._is_ready = False

    @property
    def connection(self) -> Connection:
        """The connection, to a schema that fits; an embedded database is set up if it is new.

        Raises:
            DatabaseError: the schema is missing, older or newer; says what to run.
        """
        if not self._is_ready:
            self._make_ready(create=self._settings.dsn is None)
        return self._connection

    def reopen(self) -> Connection:
        """The connection, opened anew where it was lost; any new database is set up.

        Raises:
            DatabaseError: no connection, or as for :attr:`connection`.
        """
        if self._connection.closed:
            self._connection = open_connection(self._settings)
        self._make_ready(create=True)
        return self._connection

    @property
    def is_closed(self) -> bool:
        """Whether there is no connection (any more)."""
        return self._connection.closed

    @property
    def is_new(self) -> bool:
        """Whether the database has no tables of vsdb yet."""
        return not self._is_ready and schema.is_empty(self._connection)

    def close(self) -> None:
        """Close the connection; an embedded server stays up for the next one."""
        self._connection.close()

    def _make_ready(self, *, create: bool) -> None:
        (schema.ensure if create else schema.check)(self._connection)
        self._is_ready = True


def find_dsn(settings: Settings) -> str:
    """The DSN to use; starts the embedded server where none was given.

    Raises:
        DatabaseError: the embedded server does not start.
    """
    if settings.dsn:
        return settings.dsn
    server = EmbeddedServer(settings.home)
    return (server.dsn() if server.is_running() else None) or server.start()


def open_connection(settings: Settings) -> Connection:
    """Connect without a look at the schema; the session commits every statement by itself.

    Raises:
        DatabaseError: no connection; the message never shows the password.
    """
    if settings.dsn:
        return _open(settings.dsn)
    server = EmbeddedServer(settings.home)
    dsn = server.dsn()
    if dsn is not None:
        try:
            return psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
        except psycopg.OperationalError:
            pass  # stopped, crashed, or without its database: start sees to all three
    return _open(server.start())


def shown(dsn: str) -> str:
    """Where a DSN leads, as it may be shown: no password."""
    parts = conninfo.conninfo_to_dict(dsn)
    return " ".join(f"{key}={parts[key]}" for key in ("host", "port", "dbname", "user") if parts.get(key))


def _open(dsn: str) -> Connection:
    try:
        return psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        try:
            where = shown(dsn)
        except psycopg.ProgrammingError:
            raise DatabaseError("the DSN is malformed; it reads postgresql://USER@HOST:PORT/DATABASE") from None
        hint = "; is the server up?" if "refused" in reason or "timeout" in reason else ""
        raise DatabaseError(f"cannot connect to the database ({where}): {reason}{hint}") from None


def database_message(error: psycopg.Error) -> str:
    """What the server said and its hint, without the functions it was in at the time."""
    lines = str(error).strip().splitlines()
    text = error.diag.message_primary or (lines[0] if lines else type(error).__name__)
    return f"{text} ({error.diag.message_hint})" if error.diag.message_hint else text
