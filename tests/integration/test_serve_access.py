"""Who may ask ``vsdb serve``, as whom it asks the database, and how it starts and ends."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.conftest import clean_environment
from tests.serving import Served, serving
from vsdb.config import resolve
from vsdb.database import Connection
from vsdb.database.embedded import EmbeddedServer
from vsdb.errors import DatabaseError
from vsdb.serve.pool import ReaderPool

TOKEN = "abcdefghijkl-0123456789"
ROUTES = (
    "/ /page.js /page.css /icon.svg /nothing /api/videos /api/search?prompt=a /api/video/1 /api/openapi.json".split()
)


@pytest.fixture
def guarded(dsn: str) -> Iterator[Served]:
    with serving(VSDB_DSN=dsn, VSDB_TOKEN=TOKEN) as running:
        yield running


def test_without_the_token_there_is_nothing(guarded: Served) -> None:
    strangers: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer wrong-token-wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Cookie": f"vsdb_token_{guarded.port}=wrong"},
        {"Cookie": f"vsdb_token_1={TOKEN}"},
        {"Cookie": '"; =;;'},
        {"Authorization": "Bearer " + "é" * 9},
    ]
    for route in [*ROUTES, "/?token=wrong-token-wrong", f"/page.js?token={TOKEN}", f"/api/videos?token={TOKEN}"]:
        for headers in strangers:
            answer = guarded.request("GET", route, **headers)
            assert answer.status in (401, 429)  # too many wrong ones
            assert set(answer.json) == {"error"}
            assert "set-cookie" not in answer.headers
    assert guarded.request("POST", "/api/images", b"x").status in (401, 429)
    assert guarded.request("OPTIONS", "/").status in (401, 429)


def test_a_missing_token_is_said_to_be(guarded: Served) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong-token-wrong"}):
        answer = guarded.request("GET", "/api/videos", **headers)
        assert (answer.status, answer.json) == (401, {"error": "a token is missing or wrong"})


def test_the_token_opens_every_route(guarded: Served) -> None:
    assert guarded.address == f"{guarded.base}/"  # a token that was given is not shown again
    first = guarded.request("GET", f"/?q=a+red+car&token={TOKEN}&n=3")
    assert (first.status, first.headers["location"]) == (303, "/?q=a+red+car&n=3")
    cookie = first.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    for headers in ({"Cookie": 'odd="; {"a":1}; ' + cookie.split(";")[0]}, {"Authorization": f"Bearer {TOKEN}"}):
        assert guarded.request("GET", "/", **headers).status == 200
        assert guarded.request("GET", "/api/videos", **headers).json["num_videos"] == 0
        assert guarded.request("GET", "/", Host="videos.example.org", **headers).status == 200


def test_only_its_own_names_and_pages_reach_a_server_without_token(dsn: str) -> None:
    with serving(VSDB_DSN=dsn) as served:
        for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
            assert served.request("GET", "/", Host=f"{name}:{served.port}").status == 200
        for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]", "127.0.0.1@x"):
            for route in ROUTES:
                answer = served.request("GET", route, Host=name)
                assert (answer.status, set(answer.json)) == (421, {"error"})
        cross = {"Sec_Fetch_Site": "cross-site"}
        assert served.request("GET", "/api/videos", Sec_Fetch_Mode="no-cors", **cross).status == 403
        assert served.request("GET", "/?q=a", Sec_Fetch_Mode="navigate", **cross).status == 200
        for route in ROUTES:
            headers = served.request("GET", route).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers


def test_another_address_gets_a_token_by_itself(dsn: str) -> None:
    with serving("--host", "0.0.0.0", VSDB_DSN=dsn) as served:
        token = served.address.partition("?token=")[2]
        assert len(token) >= 20
        assert served.request("GET", "/").status == 401
        assert served.request("GET", "/", Authorization=f"Bearer {token}").status == 200


def run_serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vsdb", "serve", *arguments],
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_cannot_be_served_says_why(dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, code, words in (
            (["--port", str(port)], 1, f"--port {port + 1}"),
            (["--token", "short"], 2, "5 characters"),
            (["--token", "quite-long; but=odd"], 2, "letters"),
            (["--host", "no.such.name.invalid"], 2, "no.such.name.invalid"),
            (["--host", "203.0.113.7", "--port", "0"], 2, "203.0.113.7"),
        ):
            run = run_serve(*arguments, VSDB_DSN=dsn)
            assert run.returncode == code, run.stderr
            assert words in run.stderr
            assert run.stderr.count("\n") == 1
            assert run.stdout == ""
    run = run_serve(VSDB_DSN="postgresql://nobody@127.0.0.1:1/none")
    assert (run.returncode, "is the server up?" in run.stderr) == (1, True)


def test_it_ends_at_once_also_in_the_middle_of_a_search(dsn: str, connection: Connection) -> None:
    with serving(VSDB_DSN=dsn) as served:
        with psycopg.connect(dsn) as locker:
            locker.execute("lock table vsdb.text_towers")  # a search now waits

            def ask() -> None:
                with suppress(OSError, Exception):
                    served.get("/api/search", prompt="a dog")

            thread = threading.Thread(target=ask)
            thread.start()
            time.sleep(1)
            code, seconds = served.interrupt()
            thread.join()
            waiting = connection.execute(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            ).fetchone()
        assert code == 0
        assert seconds < 5
        assert waiting == (0,)
        assert served.process.stdout is not None
        assert served.process.stderr is not None
        assert (served.process.stdout.read(), served.process.stderr.read()) == ("", "")


def test_it_asks_as_the_reader_and_writes_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSDB_DSN", dsn)
    pool = ReaderPool(resolve())
    pool.open()
    with pool.connection() as connection:
        row = connection.execute("select current_user, current_setting('transaction_read_only')").fetchone()
        assert row == ("vsdb_reader", "on")
        for statement in ("delete from vsdb.videos", "create table vsdb.mine ()", "drop schema vsdb cascade"):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from vsdb.videos")
    pool.close()


def test_it_comes_back_with_the_database() -> None:
    home = Path(tempfile.mkdtemp(prefix="vsdb-test-"))
    embedded = EmbeddedServer(home)
    try:
        with serving(VSDB_HOME=str(home)) as served:  # sets the database up
            assert served.get("/api/videos").json["num_videos"] == 0
            answer = served.get("/api/search", prompt="a dog")
            assert (answer.status, "vsdb ingest" in answer.json["error"]) == (503, True)
            embedded.stop()
            answer = served.get("/api/videos")
            assert (answer.status, "vsdb db start" in answer.json["error"]) == (503, True)
            assert served.get("/").status == 200
            embedded.start()
            assert served.get("/api/videos").status == 200
            assert served.interrupt()[0] == 0
    finally:
        embedded.stop()
        shutil.rmtree(home, ignore_errors=True)


def test_a_database_that_refuses_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSDB_DSN", "postgresql://someone:hidden-word@127.0.0.1:1/none")
    pool = ReaderPool(resolve())
    pool.open()
    with pytest.raises(DatabaseError, match="cannot connect") as caught, pool.connection():
        pass
    assert "hidden-word" not in str(caught.value)
    pool.close()
