"""Reaching a database: any PostgreSQL by its DSN, else the embedded one, started when it is needed."""

from __future__ import annotations

import re

import psycopg
from psycopg import conninfo

from vsdb.config import Settings
from vsdb.database import Connection, schema
from vsdb.database.embedded import CONNECT_TIMEOUT_SECONDS, EmbeddedServer
from vsdb.errors import DatabaseError, UsageError

SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_MALFORMED = (
    "the DSN is malformed (it is not shown, for it may hold a password); it reads "
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with @ : / ? # and % in the password written as %40 %3A %2F %3F "
    "%23 and %25"
)


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
        _end_no_sooner(self._connection)
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


def _end_no_sooner(connection: Connection) -> None:
    """Take the server's timeouts off this session: an ingest decodes for minutes between two statements."""
    names = ["statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"]
    connection.execute(
        "select set_config(name, '0', false) from pg_settings where name = any (%s) and setting <> '0'", [names]
    )


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
        UsageError: the DSN is malformed.
    """
    if not settings.dsn:
        return EmbeddedServer(settings.home).connect()
    parse_dsn(settings.dsn)
    try:
        return psycopg.connect(settings.dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
    except (psycopg.Error, ValueError) as error:
        raise connection_error(settings.dsn, error) from None


def parse_dsn(dsn: str) -> dict[str, str]:
    """The parts of a DSN.

    Raises:
        UsageError: it is malformed, or a part of a password has most likely landed in another part: a / in it begins
            the database, an @ the host. Nothing of it is shown.
    """
    try:
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items() if value is not None}
    except (psycopg.Error, ValueError):  # ValueError: bytes that are no text
        raise UsageError(_MALFORMED) from None
    is_odd = any("@" in parts.get(name, "") for name in ("host", "hostaddr", "port", "dbname"))
    if is_odd or not re.fullmatch(r"(\d{0,5},?)*", parts.get("port", "")):
        raise UsageError(_MALFORMED)
    return parts


def connection_error(dsn: str, error: Exception) -> DatabaseError:
    """Any failure to connect, in words that hold no secret."""
    parts = parse_dsn(dsn)
    reason = " ".join(str(error).split())
    for secret in sorted((parts[name] for name in SECRETS if parts.get(name)), key=len, reverse=True):
        reason = reason.replace(secret, "***")
    hint = "; is the server up?" if "refused" in reason or "timeout" in reason else ""
    return DatabaseError(f"cannot connect to the database ({shown(dsn) or 'the embedded one'}): {reason}{hint}")


def shown(dsn: str) -> str:
    """Where a DSN leads, as it may be shown: no password."""
    parts = parse_dsn(dsn)
    return " ".join(f"{key}={parts[key]}" for key in ("host", "port", "dbname", "user") if parts.get(key))


def database_message(error: psycopg.Error) -> str:
    """What the server said and its hint, without the functions it was in at the time."""
    lines = str(error).strip().splitlines()
    text = error.diag.message_primary or (lines[0] if lines else type(error).__name__)
    return f"{text} ({error.diag.message_hint})" if error.diag.message_hint else text
