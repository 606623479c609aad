"""A real ``vsdb serve`` in a process of its own, and a client that sends paths as they are."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.conftest import clean_environment


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server."""

    process: subprocess.Popen[str]
    address: str
    """As it was printed, with the token if there is one."""
    port: int

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Answer:
        """Send a request; the path is not normalised."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def get(self, path: str, /, **parameters: Any) -> Answer:
        """GET with a query string."""
        query = urlencode(parameters, doseq=True)
        return self.request("GET", f"{path}?{query}" if query else path)

    @property
    def has_torch(self) -> bool:
        """Whether the process has loaded torch."""
        return "libtorch" in Path(f"/proc/{self.process.pid}/maps").read_text()

    def interrupt(self) -> tuple[int, float]:
        """Ctrl-C; gives the exit code and the seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30), time.monotonic() - start


@contextmanager
def serving(*arguments: str, max_files: int | None = None, **environment: str) -> Iterator[Served]:
    """Run ``vsdb serve`` on a free port until the block ends; it may have at most ``max_files`` files open."""
    limited = ["prlimit", f"--nofile={max_files}:{max_files}"] if max_files else []
    process = subprocess.Popen(
        [*limited, sys.executable, "-m", "vsdb", "serve", "--port", "0", *arguments],
        env={**clean_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"vsdb serves (http://\S+:(\d+)/\S*) until Ctrl-C\n", line)
        assert match, line + process.stderr.read()
        yield Served(process, match.group(1), int(match.group(2)))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        process.stdout.close()
        process.stderr.close()
