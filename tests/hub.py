"""A model hub on loopback, as the hub's own client asks it: one repository, one file, and what can go wrong."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40
BLOCK = 1 << 20


class Hub:
    """Serves ``/OWNER/REPOSITORY/resolve/REVISION/FILE`` for one file."""

    def __init__(self, repository: str, file: Path) -> None:
        self.repository = repository
        self.file = file
        self.sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        self.cut_after: int | None = None
        """Bytes of the file after which the next answer breaks off, once."""
        self.seconds_a_block = 0.0
        """How slow it is: a pause after each MB."""
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and range of every request."""
        self.address = ""

    @contextmanager
    def serving(self) -> Iterator[Hub]:
        """Serve on a free port until the block ends."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_GET(self) -> None:
                hub.answer(self)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, name="hub")
        thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request as the real hub does."""
        self.requests.append((request.command, request.path, request.headers.get("Range", "")))
        found = re.fullmatch(rf"/{self.repository}/resolve/[^/]+/(.+)", request.path)
        if found is None or found[1] != self.file.name:
            request.send_response(404)
            request.send_header("X-Error-Code", "EntryNotFound" if found else "RepoNotFound")
            request.send_header("X-Repo-Commit", COMMIT)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        size = self.file.stat().st_size
        start = int(re.findall(r"\d+", request.headers.get("Range", "0"))[0])
        request.send_response(206 if start else 200)
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("ETag", f'"{self.sha256}"')
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(size - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        request.end_headers()
        if request.command == "GET":
            self._send(request, start)

    def _send(self, request: BaseHTTPRequestHandler, start: int) -> None:
        with self.file.open("rb") as file:
            file.seek(start)
            while block := file.read(BLOCK):
                if self.cut_after is not None and file.tell() > self.cut_after:
                    self.cut_after = None
                    hang_up(request)
                    return
                request.wfile.write(block)
                time.sleep(self.seconds_a_block)


def hang_up(request: BaseHTTPRequestHandler) -> None:
    """End a connection in the middle of an answer."""
    request.close_connection = True
    request.connection.shutdown(socket.SHUT_RDWR)
