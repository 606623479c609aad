"""The embedded server: starts by itself, stays up, survives a crash, listens when told to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests import clips
from tests.conftest import clean_environment
from vsdb.database.embedded import EmbeddedServer


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="vsdb-home-"))
    yield path
    EmbeddedServer(path).stop()
    shutil.rmtree(path, ignore_errors=True)


def vsdb(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vsdb", *arguments],
        env={**clean_environment(), "VSDB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_commands_share_a_server_that_stays_up_until_it_is_stopped(home: Path, tmp_path: Path) -> None:
    clip = clips.write_video(tmp_path / "a.mp4", [0, 1000], size=(64, 48))
    assert vsdb(home, "ingest", str(clip), "--model", "tiny").returncode == 0
    assert EmbeddedServer(home).is_running()
    assert len(json.loads(vsdb(home, "videos", "--json").stdout)) == 1
    counted = vsdb(home, "db", "psql", "-Atc", "select count(*) from vsdb.patch_embeddings")
    assert counted.stdout.strip() == "26"
    dsn = vsdb(home, "db", "dsn").stdout.strip()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select count(*) from vsdb.videos_view").fetchone() == (1,)
    assert "stopped" in vsdb(home, "db", "stop").stderr
    assert not EmbeddedServer(home).is_running()
    assert "not running" in vsdb(home, "db", "stop").stderr
    assert len(json.loads(vsdb(home, "videos", "--json").stdout)) == 1


def test_a_crashed_server_is_started_again(home: Path) -> None:
    assert vsdb(home, "db", "start").returncode == 0
    pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    status = vsdb(home, "status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["num_videos"] == 0


def test_many_commands_at_once_start_one_server(home: Path) -> None:
    command = [sys.executable, "-m", "vsdb", "status", "--json"]
    environment = {**clean_environment(), "VSDB_HOME": str(home)}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 4, outputs


def test_a_folder_deleted_under_its_server_begins_anew(home: Path) -> None:
    assert vsdb(home, "db", "start").returncode == 0
    old = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    shutil.rmtree(home / "postgres")
    assert vsdb(home, "status").returncode == 0
    assert int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]) != old
    assert not psutil.pid_exists(old) or psutil.Process(old).status() == psutil.STATUS_ZOMBIE


def test_a_start_that_was_killed_while_it_made_the_folder_is_repeated(home: Path) -> None:
    half_made = home / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    assert vsdb(home, "status").returncode == 0


def test_it_listens_on_loopback_with_a_password_and_for_the_reader_alone(home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    vsdb(home, "db", "start")  # running without TCP: --listen restarts it
    told = vsdb(home, "db", "start", "--listen", str(port))
    assert f"listening on 127.0.0.1:{port}" in told.stderr
    password_file = home / "reader-password"
    password = password_file.read_text().strip()
    assert password_file.stat().st_mode & 0o777 == 0o600
    assert password not in told.stderr + told.stdout + (home / "postgres" / "log").read_text()
    assert vsdb(home, "migrate").returncode == 0
    address = f"host=127.0.0.1 port={port} dbname=vsdb"
    with psycopg.connect(f"{address} user=vsdb_reader password={password}") as connection:
        assert connection.execute("select count(*) from vsdb.videos_view").fetchone() == (0,)
    for login in ("user=vsdb_reader password=wrong", "user=vsdb_reader", "user=postgres"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"{address} {login}")


def test_output_into_a_pipe_ends_when_the_command_does(home: Path) -> None:
    """The server outlives the command that started it and must not hold its pipes open."""
    piped = subprocess.run(
        f"{sys.executable} -m vsdb db start | cat",
        shell=True,
        env={**clean_environment(), "VSDB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert piped.stdout.startswith("postgresql://")


@pytest.mark.parametrize("name", ['O\'Brien "q" \\ $HOME `id` é', "a, b"])
def test_a_home_may_have_any_name(home: Path, name: str) -> None:
    server = EmbeddedServer(home / name)
    try:
        with psycopg.connect(server.start()) as connection:
            assert connection.execute("show data_directory").fetchone() == (str(server.data),)
            assert connection.execute("show shared_buffers").fetchone() == ("512MB",)
        assert server.log.is_file()
    finally:
        socket_folder = psycopg.conninfo.conninfo_to_dict(server.dsn() or "")["host"]
        assert server.stop()
    assert Path(str(socket_folder)) == server.data or not Path(str(socket_folder)).exists()


def test_a_home_that_cannot_be_written_is_said(home: Path) -> None:
    (home / "lock").mkdir()  # as good as no right to write, which root always has
    run = vsdb(home, "videos")
    assert run.returncode == 1
    assert run.stderr.startswith(f"error: cannot make the embedded database in {home}")
    assert len(run.stderr.splitlines()) == 1


def test_a_home_with_a_long_path_keeps_its_socket_private(home: Path) -> None:
    long_home = home / ("x" * 120)
    try:
        assert vsdb(long_home, "db", "start").returncode == 0
        dsn = vsdb(long_home, "db", "dsn").stdout.strip()
        folder = Path(str(psycopg.conninfo.conninfo_to_dict(dsn)["host"]))
        assert long_home not in folder.parents
        assert folder.stat().st_mode & 0o777 == 0o700
        assert vsdb(long_home, "status").returncode == 0
    finally:
        EmbeddedServer(long_home).stop()
