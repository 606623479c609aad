"""Runs the application until it is interrupted."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable

import uvicorn

from vsdb.config import Settings
from vsdb.serve.app import make_app
from vsdb.serve.guard import Access

GRACE_SECONDS = 1


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


def run(settings: Settings, access: Access, listener: socket.socket, *, ready: Callable[[], None]) -> None:
    """Serve on a listening socket; ends the process on SIGINT or SIGTERM, with exit code 0.

    Args:
        settings: which database.
        access: who is let in.
        listener: where to listen.
        ready: called once requests are answered.
    """
    config = uvicorn.Config(
        make_app(settings, access),
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="on",
    )
    _Server(config, ready).run(sockets=[listener])
