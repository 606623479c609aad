"""``vsdb serve`` among other sites' pages, dawdlers, crowds, guessers and clients that leave."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import vsdb
from tests.attack.conftest import Count
from tests.conftest import StreetCopy
from tests.serving import Served, serving
from vsdb.serve.protocol import HEAD_SECONDS

TOKEN = "abcdefghijkl-0123456789"
FEW_FILES = 256
CROWD = 600


@pytest.fixture
def guarded(small_dsn: str) -> Iterator[Served]:
    with serving(VSDB_DSN=small_dsn, VSDB_TOKEN=TOKEN) as running:
        yield running


def ended(served: Served) -> tuple[str, str]:
    """What the server printed on stdout and stderr, once it is stopped."""
    assert served.interrupt()[0] == 0
    assert served.process.stdout is not None
    assert served.process.stderr is not None
    return served.process.stdout.read(), served.process.stderr.read()


def is_closed(client: socket.socket) -> bool:
    """Whether the server ends the connection without a word, in the time that it gives a request."""
    client.settimeout(HEAD_SECONDS + 20)
    with contextlib.suppress(ConnectionResetError):
        return client.recv(1) == b""
    return True


def connect(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=30)


def test_pages_of_other_sites_may_follow_a_link_and_nothing_else(served: Served, count: Count) -> None:
    tried = 0
    for site in ("cross-site", "same-site"):  # the latter: another port of this machine
        for mode, dest in (
            ("navigate", "document"),
            ("navigate", "iframe"),
            ("navigate", "object"),
            ("no-cors", "image"),
            ("cors", "empty"),
            ("websocket", "websocket"),
        ):
            for method, path in (
                ("GET", "/"),
                ("GET", "/?q=a"),
                ("POST", "/"),
                ("GET", "/api/videos"),
                ("GET", "/api/video/1"),
                ("POST", "/api/images"),
                ("GET", "/page.js"),
            ):
                headers = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
                answer = served.request(method, path, b"" if method == "POST" else None, **headers)
                may = (mode, dest, method) == ("navigate", "document", "GET") and path.startswith("/?") | (path == "/")
                assert answer.status == (200 if may else 403), (site, mode, dest, method, path)
                tried += 1
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        (f"http://127.0.0.1:{served.port}", 422),
    ):
        assert served.request("POST", "/api/images", b"x", Origin=origin).status == status
        tried += 1
    own = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}
    assert served.request("POST", "/api/images", b"x", **own).status == 422
    count("requests of other sites' pages", tried)


def test_half_a_request_is_closed_and_the_page_lives_on(served: Served) -> None:
    halves = [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 3000]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(served)) for _ in halves]
        for client, half in zip(clients, halves, strict=True):
            client.sendall(half)
        assert served.get("/api/videos").status == 200
        assert all(map(is_closed, clients))
    assert ended(served) == ("", "")


def test_a_whole_request_after_a_pause_and_in_pieces_is_answered(served: Served) -> None:
    with connect(served) as client:
        for piece in (b"GET /api/vi", b"deos HTTP/1.1\r\nHost: 127", b".0.0.1\r\n\r\n"):
            client.sendall(piece)
            time.sleep(0.2)
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_a_crowd_neither_floods_the_log_nor_ends_the_page(small_dsn: str, count: Count) -> None:
    """More connections than the process may have open files."""
    with serving(VSDB_DSN=small_dsn, max_files=FEW_FILES) as served:
        with contextlib.ExitStack() as stack:
            for _ in range(CROWD):
                with contextlib.suppress(OSError):
                    client = stack.enter_context(socket.socket())
                    client.settimeout(1)
                    client.connect(("127.0.0.1", served.port))
            assert len(list(Path(f"/proc/{served.process.pid}/fd").iterdir())) < FEW_FILES
        for _ in range(100):
            with contextlib.suppress(OSError):
                if served.get("/api/videos").status == 200:
                    break
            time.sleep(0.1)
        assert served.get("/api/videos").status == 200
        assert ended(served) == ("", "")
    count("connections at once", CROWD)


@pytest.mark.parametrize("route", ["search?prompt=a+dog", "scores?prompt=a+dog&video_id=1", "videos"])
def test_a_client_that_leaves_ends_its_search(small_dsn: str, route: str) -> None:
    waiting = """select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'"""

    def num_waiting() -> int:
        row = watcher.execute(waiting).fetchone()
        assert row is not None
        return int(row[0])

    with (
        psycopg.connect(small_dsn, autocommit=True) as watcher,
        serving(VSDB_DSN=small_dsn) as served,
        psycopg.connect(small_dsn) as locker,
        connect(served) as client,
    ):
        locker.execute("lock table vsdb.videos")  # every question now waits
        client.sendall(f"GET /api/{route} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for _ in range(600):
            if num_waiting():
                break
            time.sleep(0.05)
        assert num_waiting() == 1
        client.close()
        for _ in range(200):
            if num_waiting() == 0:
                break
            time.sleep(0.05)
        assert num_waiting() == 0
        locker.rollback()
        assert served.get("/api/videos").status == 200
        assert ended(served) == ("", "")


def test_a_guesser_is_slowed_down_and_never_told(guarded: Served, count: Count) -> None:
    guesses = 200
    statuses = [
        guarded.request("GET", "/api/videos", Authorization=f"Bearer wrong-token-{number:06}").status
        for number in range(guesses)
    ]
    assert set(statuses) == {401, 429}
    assert statuses.index(429) == 20
    assert statuses.count(401) < 60  # of what the 20 and one a second allow on a slow machine
    answer = guarded.request("GET", "/api/videos", Authorization=f"Bearer {TOKEN}")
    assert (answer.status, answer.headers.get("retry-after")) in ((429, "1"), (200, None))
    for _ in range(100):
        if guarded.request("GET", "/api/videos", Authorization=f"Bearer {TOKEN}").status == 200:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the right token is refused for ever")
    count("wrong tokens", guesses)


def test_the_token_leaves_the_address_and_stands_in_no_log(guarded: Served) -> None:
    cookie = f"vsdb_token_{guarded.port}={TOKEN}"
    for token in (TOKEN, "an-older-token-of-yesterday"):
        answer = guarded.request("GET", f"/?q=a&token={token}", Cookie=cookie)
        assert (answer.status, answer.headers["location"]) == (303, "/?q=a")
    for path in (f"/?token={TOKEN}&x=%00", f"/api/nothing?token={TOKEN}", f"/api/video/{TOKEN}"):
        guarded.request("GET", path, Cookie=cookie)
    with connect(guarded) as client:
        client.sendall(f"GET /?token={TOKEN} HTTP/9\r\n\r\n".encode())
    assert ended(guarded) == ("", "")


def test_broken_uploads_and_downloads_are_no_tracebacks(served: Served, count: Count) -> None:
    heads = [
        "POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc",
        "POST /api/images HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST /api/images HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        "POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "GET /api/video/1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "y" * 100_000 + "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ]
    for head in heads * 3:
        with connect(served) as client, contextlib.suppress(OSError):
            client.sendall(head.encode("latin-1"))
            time.sleep(0.05)
    for _ in range(5):  # what is left of the uploads does not stand in the way of whole ones
        assert served.request("POST", "/api/images", b"no picture").status == 422
    assert served.get("/api/videos").status == 200
    assert ended(served) == ("", "")
    count("broken requests", len(heads) * 3)


def test_a_file_that_shrinks_while_it_is_sent_cuts_the_answer_short(street_copy: StreetCopy) -> None:
    with street_copy.path.open("ab") as file:
        file.write(bytes(80_000_000))  # more than sockets hold
    with psycopg.connect(street_copy.dsn) as connection:
        connection.execute(
            "update vsdb.videos set size_bytes = %s, file_changed_ns = %s",
            [street_copy.path.stat().st_size, street_copy.path.stat().st_ctime_ns],
        )
    with serving(VSDB_DSN=street_copy.dsn) as served:
        with connect(served) as client:
            client.sendall(b"GET /api/video/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            os.truncate(street_copy.path, 1000)
            received = 0
            with contextlib.suppress(ConnectionResetError):
                while block := client.recv(1 << 20):
                    received += len(block)
            assert received < 80_000_000
        assert ended(served) == ("", "")


def test_no_clock_lets_a_replaced_file_through(street_copy: StreetCopy) -> None:
    """The database's clock is years ahead of the file system's, or behind it."""
    other = street_copy.path.with_name("letters")
    other.write_bytes(b"secret".ljust(street_copy.path.stat().st_size, b"!"))
    with vsdb.connect(dsn=street_copy.dsn, model="tiny", device="cpu") as index:
        index.ingest([street_copy.path], force=True)
        whole = street_copy.path.read_bytes()
        shutil.move(other, street_copy.path)
        with serving(VSDB_DSN=street_copy.dsn) as served:
            for clock in ("2099-01-01", "1999-01-01"):
                index.connection.execute("update vsdb.videos set ingested_at = %s", [clock])
                answer = served.request("GET", f"/api/video/{index.videos()[0].video_id}")
                assert (answer.status, b"secret" in answer.body) == (404, False)
        assert b"secret" not in whole


def test_an_etag_is_answered_with_304(served: Served) -> None:
    whole = served.request("GET", "/api/video/1")
    etag = whole.headers["etag"]
    for method in ("GET", "HEAD"):
        for given in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            answer = served.request(method, "/api/video/1", If_None_Match=given)
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert served.request("GET", "/api/video/1", If_None_Match=etag, Range="bytes=0-9").status == 304
    assert served.request("GET", "/api/video/1", If_None_Match='"other"').body == whole.body


@pytest.mark.parametrize("digits", [19, 20, 40, 4000])
def test_a_range_of_very_many_digits_is_a_range(served: Served, digits: int) -> None:
    data = served.request("GET", "/api/video/1").body
    large = "9" * digits
    for asked, status, body in (
        (f"bytes={large}-", 416, b""),
        (f"bytes={large}-{large}", 416, b""),
        (f"bytes=-{large}", 206, data),
        (f"bytes=5-{large}", 206, data[5:]),
        (f"bytes={'0' * digits}1-{'0' * digits}3", 206, data[1:4]),
    ):
        answer = served.request("GET", "/api/video/1", Range=asked)
        assert (answer.status, answer.body) == (status, body), asked


@pytest.mark.parametrize(
    "time_of_day",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01",
        "9999-12-31",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Niue"])
def test_times_at_the_ends_of_the_calendar_are_answered(zoned: dict[str, Served], zone: str, time_of_day: str) -> None:
    for name in ("recorded_from", "recorded_to"):
        answer = zoned[zone].get("/api/search", prompt="a dog", **{name: time_of_day})
        assert answer.status in (200, 422), answer.body
        json.loads(answer.body)


@pytest.fixture(scope="module")
def zoned(small_dsn: str) -> Iterator[dict[str, Served]]:
    """Servers whose local time is early, late and between."""
    with contextlib.ExitStack() as stack:
        yield {
            zone: stack.enter_context(serving(VSDB_DSN=small_dsn, TZ=zone))
            for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Niue")
        }


def test_many_uploads_that_dawdle_leave_the_page_alone(served: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(connect(served))
            client.sendall(b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\nabc")
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(served.get("/api/search", prompt="a dog").status))
        asking.start()
        asking.join(60)
        assert answers == [200]
    assert served.request("POST", "/api/images", b"no picture").status == 422
