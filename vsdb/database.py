"""Reaching a database: any PostgreSQL by its DSN, else the embedded one, started when it is needed."""

from __future__ import annotations

import psycopg
from psycopg import conninfo

from vsdb import schema
from vsdb.config import Settings
from vsdb.embedded import EmbeddedServer
from vsdb.errors import DatabaseError
from vsdb.schema import Connection

CONNECT_TIMEOUT_SECONDS = 10


def find_dsn(settings: Settings) -> str:
    """The DSN to use; starts the embedded server where none was given.

    Raises:
        DatabaseError: the embedded server does not start.
    """
    if settings.dsn:
        return settings.dsn
    server = EmbeddedServer(settings.home)
    return (server.dsn() if server.is_running() else None) or server.start()


def connect(settings: Settings, *, create: bool = False) -> Connection:
    """Connect and check that the schema is this program's.

    Args:
        create: set the schema up in a database that has none, instead of raising.

    Raises:
        DatabaseError: no connection, or a schema that is missing, older or newer; says what to run.
    """
    connection = open_connection(settings)
    try:
        if create or settings.dsn is None:
            schema.ensure(connection)
        else:
            schema.check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


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


def without_password(dsn: str) -> str:
    """The DSN as it may be shown."""
    parts = conninfo.conninfo_to_dict(dsn)
    parts.pop("password", None)
    return conninfo.make_conninfo("", **parts)


def _open(dsn: str) -> Connection:
    try:
        return psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        try:
            shown = without_password(dsn)
        except psycopg.ProgrammingError:
            raise DatabaseError("the DSN is malformed; it reads postgresql://USER@HOST:PORT/DATABASE") from None
        raise DatabaseError(f"cannot connect to the database ({shown}): {reason}; is the server up?") from None
