"""DSNs that are malformed, misspelt or lead nowhere: for every command one line, an exit code, and no secret."""

from __future__ import annotations

import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

import vsdb
from tests.attack.conftest import Count
from tests.conftest import clean_environment
from vsdb.errors import VsdbError

SECRET = "s3same"
MALFORMED = [
    f"postgresql://user:{SECRET}@127.0.0.1:1/db",  # well-formed: nobody is there
    f"postgresql://user:{SECRET}@no.such.host.invalid/db",
    f"postgresql://user:{SECRET}@127.0.0.1:{SECRET}/db",
    f"postgresql://user:{SECRET}@127.0.0.1:99999/db",
    f"postgresql://user:pass@{SECRET}@127.0.0.1:1/db",
    f"postgresql://user:pass/{SECRET}@127.0.0.1:1/db",
    f"postgresql://user:pass?{SECRET}@127.0.0.1:1/db",
    f"postgresql://user:pass#{SECRET}@127.0.0.1:1/db",
    f"postgresql://user:%zz{SECRET}@127.0.0.1:1/db",
    f"postgresql://user:{SECRET}%00@127.0.0.1:1/db",
    f"postgresql://user:{SECRET}@[::1/db",
    f"postgresql://user:{SECRET}@127.0.0.1:1/db?nonsense={SECRET}",
    f"postgresql://user:{SECRET}@127.0.0.1:1/db?sslmode=nonsense",
    f"postgresql://user:{SECRET}@127.0.0.1:1/db?connect_timeout=soon",
    f"postgresql:/user:{SECRET}@127.0.0.1/db",
    f"postgres//user:{SECRET}@127.0.0.1/db",
    f"mysql://user:{SECRET}@127.0.0.1/db?a=b",
    f"user:{SECRET}@127.0.0.1/db",
    f"host=127.0.0.1 port=1 password={SECRET} {SECRET}",
    f"host=127.0.0.1 port=1 passwort={SECRET}",
    f"host=127.0.0.1 port=1 password='{SECRET}",
    f"host=127.0.0.1 port=1 user=u password={SECRET} sslmode=nonsense",
    f"password={SECRET} host='/no/such/folder'",
    f"host=127.0.0.1 port=1 sslmode=verify-full sslkey=/nothing sslpassword={SECRET} password=x",
    f"postgresql://user:{SECRET}\n@127.0.0.1:1/db",
    f"postgresql://user:{SECRET}\udcff@127.0.0.1:1/db",
    f"postgresql://user:{SECRET}\x1b[31m@127.0.0.1:x/db",
]
COMMANDS = [
    ["videos"],
    ["status", "--json"],
    ["query", "a dog"],
    ["explain", "a dog"],
    ["ingest", "nothing.mp4", "--model", "tiny"],
    ["remove", "/nothing.mp4"],
    ["migrate"],
    ["doctor"],
    ["demo"],
    ["serve", "--port", "0"],
    ["db", "psql", "-c", "select 1"],
    ["db", "start"],
    ["db", "stop"],
]


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "vsdb", *arguments],
        env={**clean_environment(), "VSDB_HOME": "/nowhere", **environment},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_a_secret(command: list[str], count: Count) -> None:
    """By flag and by variable in turn: each malformed DSN with each command is more than a suite has time for."""
    mine = MALFORMED if command == ["videos"] else MALFORMED[COMMANDS.index(command) % 2 :: 2]

    def attempt(number_and_dsn: tuple[int, str]) -> None:
        number, dsn = number_and_dsn
        by_flag = number % 2 == 0 or command[0] == "db"
        if by_flag:
            done = run([*command, "--dsn", dsn] if command[1:2] != ["psql"] else ["db", "psql", "--dsn", dsn], {})
        else:
            done = run(command, {"VSDB_DSN": dsn})
        output = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode in (1, 2), (dsn, output)
        assert SECRET not in output, (dsn, output)
        assert "Traceback" not in output, (dsn, output)
        assert "\x1b" not in output
        if command[0] not in ("doctor", "db"):
            assert done.stderr.count(b"\n") == 1, (dsn, output)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(attempt, enumerate(mine)))
    count("DSNs with a secret", len(mine))


@pytest.mark.parametrize("dsn", [*MALFORMED, f"postgresql://user:{SECRET}\0@127.0.0.1:1/db"])
def test_no_error_of_the_library_holds_a_secret(dsn: str) -> None:
    with pytest.raises(VsdbError) as caught:
        vsdb.connect(dsn=dsn)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
