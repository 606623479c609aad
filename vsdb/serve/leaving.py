"""What a client that has gone away no longer needs is ended in PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import ContextVar

import anyio
import psycopg
from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from vsdb.database import Connection
from vsdb.errors import DatabaseError

WATCHED = frozenset({"/api/search", "/api/scores", "/api/videos"})  # their requests have no body
CANCEL_SECONDS = 2.0


class Asker:
    """Who waits for an answer, and the connection that is working on it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a statement is ended only while the connection is this asker's
        self._connection: Connection | None = None
        self._has_left = False

    def takes(self, connection: Connection) -> None:
        """Note the connection that works for this asker.

        Raises:
            DatabaseError: the asker has left; nothing needs to be done.
        """
        with self._lock:
            if self._has_left:
                raise DatabaseError("whoever asked has left")
            self._connection = connection

    def gives_back(self) -> None:
        """Note that the connection is somebody else's from now on."""
        with self._lock:
            self._connection = None

    def leave(self) -> None:
        """End the statement that runs for this asker."""
        with self._lock:
            self._has_left = True
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=CANCEL_SECONDS)


asker: ContextVar[Asker | None] = ContextVar("asker", default=None)
"""Who asks, in the thread that answers."""


class Leaving:
    """ASGI middleware that watches whether the client is still there while a question is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and let the asker leave when the client does."""
        if scope["type"] != "http" or scope["path"] not in WATCHED:
            return await self._app(scope, receive, send)
        asking = Asker()
        asker.set(asking)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            await to_thread.run_sync(asking.leave)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await self._app(scope, receive, send)
            tasks.cancel_scope.cancel()
        return None
