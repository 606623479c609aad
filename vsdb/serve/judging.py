"""The one thing that the server may write, and only when it was started with --judge."""

from __future__ import annotations

import threading

import psycopg

from vsdb import search
from vsdb.database.connect import connection_error
from vsdb.database.embedded import CONNECT_TIMEOUT_SECONDS
from vsdb.serve.images import Encoders
from vsdb.serve.parameters import Judgement
from vsdb.serve.pool import STATEMENT_SECONDS, ReaderPool


class Judging:
    """Notes which moments are right, over a connection of its own with the rights of who started the server.

    It lives for one judgement: everything else is asked over those that can only read.
    """

    def __init__(self, pool: ReaderPool, encoders: Encoders) -> None:
        self._pool = pool
        self._encoders = encoders
        self._one_at_a_time = threading.Lock()

    def note(self, judgement: Judgement) -> None:
        """Store a judgement.

        Raises:
            DatabaseError: the database cannot be reached.
        """
        with self._one_at_a_time:
            dsn = self._pool.dsn()
            try:
                connection = psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
            except psycopg.Error as error:
                raise connection_error(dsn, error) from None
            with connection:
                connection.execute(f"set statement_timeout = '{STATEMENT_SECONDS}s'")
                search.judge(connection, **judgement.model_dump(), load=self._encoders)
