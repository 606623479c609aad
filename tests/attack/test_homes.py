"""Homes that were copied, renamed, restored, shared, killed or spoiled: never another home's rows, never silence."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest

import vsdb
from tests import clips
from tests.conftest import clean_environment
from vsdb.database.data_folder import SOCKET_FOLDER_PREFIX, DataFolder
from vsdb.database.embedded import EmbeddedServer
from vsdb.errors import DatabaseError

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def stopped_home() -> Iterator[Path]:
    """A home with one video, whose server was stopped."""
    folder = Path(tempfile.mkdtemp(prefix="vsdb-homes-"))
    folder.chmod(0o711)
    clip = clips.write_video(folder / "one.mp4", [0, 1000], size=(64, 48))
    home = folder / "home"
    assert run(home, "ingest", str(clip), "--model", "tiny").returncode == 0
    assert EmbeddedServer(home).stop()
    yield home
    shutil.rmtree(folder)


@pytest.fixture
def place(stopped_home: Path) -> Iterator[Path]:
    """A folder for homes, with a copy of the stopped one as ``home``; their servers are ended."""
    folder = Path(tempfile.mkdtemp(prefix="vsdb-homes-"))
    folder.chmod(0o711)
    copy(stopped_home, folder / "home")
    yield folder
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and any(str(folder) in word for word in process.info["cmdline"] or []):
            process.kill()
            process.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(place: Path) -> Path:
    return place / "home"


def run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vsdb", *arguments],
        env={**clean_environment(), "VSDB_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def refusal(home: Path, *words: str) -> str:
    """The one line with which a home is refused."""
    with pytest.raises(DatabaseError) as caught:
        EmbeddedServer(home).connect()
    message = str(caught.value)
    assert not [word for word in words if word not in message], message
    assert "\n" not in message
    return message


def paths(home: Path) -> list[str]:
    with EmbeddedServer(home).connect() as connection:
        return [row[0] for row in connection.execute("select video_path from vsdb.videos").fetchall()]


def pid_file(home: Path) -> Path:
    return home / "postgres" / "postmaster.pid"


def pid(home: Path) -> int:
    return int(pid_file(home).read_text().splitlines()[0])


def kill_server(home: Path) -> None:
    os.kill(pid(home), signal.SIGKILL)
    while DataFolder(home / "postgres").is_in_use():
        time.sleep(0.05)


def test_a_copy_of_a_running_home_never_reaches_the_original(home: Path, place: Path) -> None:
    (path,) = paths(home)
    copied = place / "copy"
    copy(home, copied)
    for arguments in (["remove", path], ["videos"], ["db", "psql", "-c", "delete from vsdb.videos"]):
        told = run(copied, *arguments)
        assert (told.returncode, told.stderr.count("\n")) == (1, 1), told.stderr
        assert f"VSDB_HOME={home} vsdb db stop" in told.stderr
    assert "not running" in run(copied, "db", "stop").stderr
    assert EmbeddedServer(home).is_running()
    assert not EmbeddedServer(copied).is_running()
    assert paths(home) == [path]


def test_a_copy_of_a_stopped_home_is_a_home_of_its_own(home: Path, place: Path) -> None:
    copied = place / "copy"
    copy(home, copied)
    (path,) = paths(home)
    with vsdb.connect(dsn=EmbeddedServer(copied).start()) as index:
        assert index.remove(path) == [path]
    assert (paths(home), paths(copied)) == ([path], [])
    assert EmbeddedServer(copied).stop()
    assert EmbeddedServer(home).is_running()


def test_a_renamed_home_is_refused_until_its_server_is_stopped(home: Path, place: Path) -> None:
    before = paths(home)
    moved = home.rename(place / "moved")
    refusal(moved, "renamed", str(home), "vsdb db stop")
    assert not EmbeddedServer(moved).is_running()
    old_name = refusal(home, str(moved), "still runs", f"VSDB_HOME={moved} vsdb db stop")
    assert "No such file" not in old_name
    assert "stopped" in run(moved, "db", "stop").stderr
    assert paths(moved) == before
    with EmbeddedServer(home).connect() as connection:  # now the old name begins anew
        assert connection.execute("select to_regnamespace('vsdb')").fetchone() == (None,)
    assert EmbeddedServer(home).stop()
    assert paths(moved) == before


def test_two_homes_that_changed_names_while_they_ran_are_told_apart(home: Path, place: Path) -> None:
    other = place / "other"
    copy(home, other)
    EmbeddedServer(home).start()
    with EmbeddedServer(other).connect() as connection:
        connection.execute("delete from vsdb.videos")
    home.rename(place / "between")
    other.rename(home)
    (place / "between").rename(other)
    for each in (home, other):
        refusal(each, "renamed", "vsdb db stop")
        assert EmbeddedServer(each).stop()
    assert (len(paths(home)), len(paths(other))) == (0, 1)


def test_a_home_restored_over_its_running_server_begins_from_the_backup(home: Path, stopped_home: Path) -> None:
    with EmbeddedServer(home).connect() as connection:
        connection.execute("delete from vsdb.videos")
    old = pid(home)
    shutil.rmtree(home)
    copy(stopped_home, home)
    assert len(paths(home)) == 1
    assert not psutil.pid_exists(old) or psutil.Process(old).status() == psutil.STATUS_ZOMBIE


def test_a_home_whose_server_runs_on_another_machine_is_refused(home: Path) -> None:
    """As another machine sees a shared disk: the lock is held, and no process here is the server."""
    lock = home / "postgres" / "vsdb.lock"
    lock.write_text("the-other-machine\n")
    with lock.open("r+b") as held, subprocess.Popen(["sleep", "600"]) as somebody:
        fcntl.flock(held, fcntl.LOCK_EX)
        pid_file(home).write_text(f"{somebody.pid}\n{home}/postgres\n1\n5432\n.\n\n 1 1\nready   \n")
        refusal(home, "another machine", "the-other-machine", "vsdb db stop")
        told = run(home, "db", "stop")
        assert (told.returncode, "another machine" in told.stderr) == (1, True)
        assert somebody.poll() is None
        somebody.kill()


@pytest.mark.parametrize("content", ["", "\0\0\0", "rubbish\n", "99999999999999\nx\n", "{pid}\n", "{whole}"])
def test_a_stale_or_spoiled_pid_file_is_no_obstacle(home: Path, content: str) -> None:
    """``{whole}`` is a whole file whose number now belongs to another process of the server's user."""
    EmbeddedServer(home).start()
    whole = pid_file(home).read_text()
    kill_server(home)
    user = pid_file(home).stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=user) as somebody:
        rest = whole.partition("\n")[2]
        pid_file(home).write_text(content.format(pid=somebody.pid, whole=f"{somebody.pid}\n{rest}"))
        assert len(paths(home)) == 1
        assert somebody.poll() is None
        somebody.kill()


def test_a_server_that_recovers_is_waited_for(home: Path) -> None:
    dsn = EmbeddedServer(home).start()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table public.much as select repeat('x', 500) from generate_series(1, 200000)")
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError, match="recovery|starting up|closed the connection"):
            while True:  # until the server has noticed
                psycopg.connect(dsn).close()
    assert len(paths(home)) == 1


def test_too_many_clients_are_said(home: Path) -> None:
    server = EmbeddedServer(home)
    dsn = server.start()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("alter system set max_connections = 8")
        connection.execute("alter system set superuser_reserved_connections = 0")
        connection.execute("alter system set max_wal_senders = 0")
    server.stop()
    server.start()
    with ExitStack() as stack:
        with pytest.raises(psycopg.OperationalError):
            for _ in range(9):
                stack.enter_context(psycopg.connect(dsn))
        told = run(home, "videos")
        assert (told.returncode, "too many clients" in told.stderr, "lock file" in told.stderr) == (1, True, False)
        assert told.stderr.count("\n") == 1


def test_what_initdb_and_postgres_say_last_is_shown(home: Path, place: Path) -> None:
    (home / "postgres" / "postgresql.conf").write_text("shared_bufers = 1\n")
    refusal(home, 'postgresql.conf" contains errors', str(home / "postgres" / "log"))
    fresh = place / "fresh"
    (place / "PATH").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "no_SUCH.locale")
        refusal(fresh, "initdb fails", "locale")
    assert not (fresh / "postgres").exists()
    assert EmbeddedServer(fresh).start()


def test_data_of_another_major_version_are_refused_with_the_way_over(home: Path) -> None:
    (home / "postgres" / "PG_VERSION").write_text("17\n")
    for arguments in (["videos"], ["db", "start"], ["serve", "--port", "0"], ["doctor"]):
        told = run(home, *arguments)
        assert told.returncode == 1
        assert "Traceback" not in told.stderr
        for words in ("PostgreSQL 17", "PostgreSQL 18", "pg_dump", "pg_restore"):
            assert words in told.stderr + told.stdout


def test_the_way_over_to_another_version_carries_everything(home: Path, place: Path) -> None:
    """The commands of the sentence, from one home to another."""
    programs = EmbeddedServer(home).program("pg_dump").parent
    dump = place / "vsdb.dump"
    subprocess.run(
        [programs / "pg_dump", "--format=custom", f"--file={dump}", EmbeddedServer(home).start()], check=True
    )
    fresh = place / "fresh"
    assert run(fresh, "db", "start").returncode == 0
    dsn = run(fresh, "db", "dsn").stdout.strip()
    restored = subprocess.run([programs / "pg_restore", f"--dbname={dsn}", dump], capture_output=True, text=True)
    assert restored.returncode == 0, restored.stderr[:3000]
    assert paths(fresh) == paths(home)
    assert run(fresh, "query", "a dog", "--min-z", "-9").stdout == run(home, "query", "a dog", "--min-z", "-9").stdout


def test_nothing_that_lies_in_the_shared_folder_is_followed(place: Path, home: Path) -> None:
    """A long home's socket lies in the temporary folder: under a name that nobody can have taken before."""
    shared = place / "tmp"
    shared.mkdir(mode=0o777)
    victim = place / "victim"
    victim.mkdir(mode=0o755)
    owner = victim.stat().st_uid
    long_home = place / ("x" * 100) / "home"
    long_home.parent.mkdir()
    home.rename(long_home)
    names = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(shared))
        for _ in range(2):
            server = EmbeddedServer(long_home)
            server.start()
            (folder,) = [each for each in shared.iterdir() if each.name.startswith(SOCKET_FOLDER_PREFIX)]
            assert folder.stat().st_mode & 0o777 == 0o700
            names.add(folder.name)
            assert len(paths(long_home)) == 1
            server.stop()
            assert list(shared.iterdir()) == []
            for name in names:  # what a stranger could have guessed
                (shared / name).symlink_to(victim)
                (shared / name).unlink()
    assert len(names) == 2
    assert (victim.stat().st_uid, victim.stat().st_mode & 0o777) == (owner, 0o755)
