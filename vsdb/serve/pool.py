"""Connections that can read and ask, and nothing else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from vsdb.config import Settings
from vsdb.database import Connection, connect
from vsdb.database.embedded import CONNECT_TIMEOUT_SECONDS, READER, EmbeddedServer
from vsdb.errors import DatabaseError
from vsdb.serve.leaving import Asker, asker

MAX_CONNECTIONS = 8
PATIENCE_SECONDS = 2.0  # then it is time to see whether the database is there at all
BUSY_SECONDS = 30.0
RECONNECT_SECONDS = 5.0  # after that the next question tries anew, at once: the pool's own pauses grow to minutes
STATEMENT_SECONDS = 60


class ReaderPool:
    """Lends connections in the role ``vsdb_reader``, read-only, a statement a transaction.

    The embedded server's address is asked for at every new connection: it changes when the server is started anew.
    A server that was stopped on purpose stays stopped.
    """

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL + 1)  # who asks is told what fails
        self._settings = settings
        self._checking = threading.Lock()
        self._refused_at = float("-inf")
        self._refusal = ""
        self._lent: set[Connection] = set()
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            self.dsn,
            # A plan made once would have to do for every filter: statements are planned each time.
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            },
            min_size=1,
            max_size=MAX_CONNECTIONS,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=become_reader,
            check=ConnectionPool.check_connection,
            open=False,
        )

    def open(self) -> None:
        """Begin to connect; does not wait."""
        self._pool.open()

    def close(self) -> None:
        """Close all connections, and end the statements of those that are lent."""
        for connection in list(self._lent):
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1)
        self._pool.close(timeout=0)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection.

        Raises:
            DatabaseError: the database cannot be reached, or all connections are busy for too long.
        """
        asking = asker.get() or Asker()
        connection = self._get()
        self._lent.add(connection)
        try:
            asking.takes(connection)
            yield connection
        finally:
            asking.gives_back()
            self._lent.discard(connection)
            self._pool.putconn(connection)

    def _get(self) -> Connection:
        try:
            return self._pool.getconn(timeout=PATIENCE_SECONDS)
        except PoolTimeout:
            self._check_server()
        try:
            return self._pool.getconn(timeout=BUSY_SECONDS)
        except PoolTimeout:
            raise DatabaseError(f"all {MAX_CONNECTIONS} connections to the database are busy; try again") from None

    def dsn(self) -> str:
        """Where the database is now.

        Raises:
            psycopg.errors.ConnectionException: the embedded server is stopped.
        """
        if self._settings.dsn:
            return self._settings.dsn
        dsn = EmbeddedServer(self._settings.home).dsn()
        if dsn is None:
            raise errors.ConnectionException("it is stopped")
        return dsn

    def _check_server(self) -> None:
        """Raise DatabaseError when the server cannot be reached; those who wait do not all knock at the door."""
        with self._checking:
            if time.monotonic() - self._refused_at > PATIENCE_SECONDS:
                dsn = self._settings.dsn or ""
                try:
                    dsn = self.dsn()
                    psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_SECONDS).close()
                    return
                except psycopg.Error as error:
                    self._refused_at = time.monotonic()
                    hint = "" if self._settings.dsn else '; "vsdb db start" starts the embedded one'
                    self._refusal = f"{connect.connection_error(dsn, error)}{hint}"
            raise DatabaseError(self._refusal)


def become_reader(connection: psycopg.Connection[Any]) -> None:
    """Give up every right but to read and ask; a user who may not take the role keeps its own, read-only.

    What others set for the role or the database (``alter role … set``) does not count here.
    """
    with suppress(errors.InsufficientPrivilege, errors.InvalidParameterValue):  # not a member; no such role
        connection.execute(f"set role {READER}")
    connection.execute("set default_transaction_read_only = on")
    connection.execute(f"set statement_timeout = '{STATEMENT_SECONDS}s'")
