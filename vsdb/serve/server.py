"""Runs the application until it is interrupted."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable

import uvicorn
from starlette.requests import ClientDisconnect

from vsdb.config import Settings
from vsdb.serve.app import make_app
from vsdb.serve.files import CutShortError
from vsdb.serve.guard import Access
from vsdb.serve.protocol import BACKLOG, max_clients, protocol_class

GRACE_SECONDS = 1
QUIET_SECONDS = 10.0  # between two lines of the log that say the same


class _Sparing(logging.Filter):
    """Lets a line through once in ten seconds, and nothing of an answer that only the client is the worse for."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (ClientDisconnect, CutShortError)):
            return False
        now = time.monotonic()
        what = f"{record.msg} {type(error).__name__}"
        if now - self._said_at.get(what, float("-inf")) < QUIET_SECONDS:
            return False
        self._said_at[what] = now
        return True


class _Server(uvicorn.Server):
    """Says when it is ready, and ends at once when it is told to."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)  # what is cut short now is no error
        await super().shutdown(sockets)
        # A thread that loads a model or hashes a file cannot be ended, and nothing here needs to be written.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def run(
    settings: Settings, access: Access, listener: socket.socket, *, may_judge: bool, ready: Callable[[], None]
) -> None:
    """Serve on a listening socket; ends the process on SIGINT or SIGTERM, with exit code 0.

    Args:
        settings: which database.
        access: who is let in.
        listener: where to listen.
        may_judge: whether visitors may note which moments are right.
        ready: called once requests are answered.
    """
    config = uvicorn.Config(
        make_app(settings, access, may_judge=may_judge),
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="on",
        backlog=BACKLOG,
        http=protocol_class(max_clients()),
        ws="none",
    )
    for name in ("asyncio", "uvicorn.error"):
        logging.getLogger(name).addFilter(_Sparing())
    _Server(config, ready).run(sockets=[listener])
