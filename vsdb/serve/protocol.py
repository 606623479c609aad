"""HTTP as uvicorn speaks it, for clients that dawdle or come in crowds."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
MAX_CLIENTS = 500
BACKLOG = 64  # so many may be accepted before the first of them is refused
RESERVED_FILES = 128  # for the database, the model, the page


def max_clients() -> int:
    """How many connections there is room for: each may need a socket and a video file.

    The limit of open files is raised first, as far as this user may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CLIENTS + BACKLOG + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return max(8, min(MAX_CLIENTS, (files - BACKLOG - RESERVED_FILES) // 2))


def protocol_class(clients: int) -> type[H11Protocol]:
    """The protocol for at most so many connections at a time; uvicorn makes one for each connection."""

    class PatientProtocol(H11Protocol):
        """Closes a connection whose request does not arrive in time, or for which there is no room.

        A head has 10 s, a body 60 s. Answers may take any time: a paused player reads nothing for minutes.
        """

        _deadline: asyncio.TimerHandle | None = None
        _awaited: Any = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]
            if len(self.connections) > clients:
                self.transport.abort()
            else:
                self._watch()

        def handle_events(self) -> None:
            super().handle_events()
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._watch_for(None, 0)
            super().connection_lost(exc)

        def _watch(self) -> None:
            """Set a deadline for what the client is to send next."""
            seconds = {h11.IDLE: HEAD_SECONDS, h11.SEND_BODY: BODY_SECONDS}.get(self.conn.their_state)
            self._watch_for(self.conn.their_state if seconds else None, seconds or 0)

        def _watch_for(self, awaited: Any, seconds: float) -> None:
            if awaited is self._awaited:
                return
            if self._deadline is not None:
                self._deadline.cancel()
            self._awaited = awaited
            self._deadline = self.loop.call_later(seconds, self.transport.abort) if awaited is not None else None

    return PatientProtocol
