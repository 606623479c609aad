"""The data folder of the embedded server: whether a server runs in it, and whether that server is its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vsdb.database.programs import MAJOR, give_to_server, let_server_in, run_program
from vsdb.errors import DatabaseError

# The folder, and so the socket, is its owner's alone; over TCP comes the reader, to its database.
ACCESS_RULES = "local all all trust\nhost vsdb vsdb_reader 127.0.0.1/32 scram-sha-256\n"
MAX_SOCKET_BYTES = 103  # of a socket's path, on the strictest system
SOCKET_NAME = ".s.PGSQL.65535"
SOCKET_FOLDER_PREFIX = "vsdb-socket-"


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """What a server wrote of itself into ``postmaster.pid``. Source: PostgreSQL's ``pidfile.h``."""

    pid: int
    data: Path
    """The folder under the name by which it was started."""
    port: int
    socket_folder: str
    """``.`` for the data folder itself."""
    listen_address: str
    is_ready: bool


@dataclass(frozen=True)
class DataFolder:
    """A folder in which a server may run.

    A server keeps a lock on a file in its folder as long as one of its processes lives. It belongs to the folder and
    not to its name or to a process id: a copy does not have it, a renamed folder keeps it, and file systems that
    machines share tell it to the other machines.
    """

    path: Path

    @property
    def _lock_path(self) -> Path:
        return self.path / "vsdb.lock"

    @property
    def _pid_path(self) -> Path:
        return self.path / "postmaster.pid"

    def is_in_use(self) -> bool:
        """Whether a server runs in the folder, or its processes are still going away."""
        try:
            with self._lock_path.open("rb") as file:
                return not _lock(file.fileno(), fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    @contextmanager
    def taken(self) -> Iterator[int]:
        """Take the folder's lock for a server that is about to start; gives the descriptor that it is to inherit.

        Raises:
            DatabaseError: another one has it.
        """
        file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            give_to_server(self._lock_path)
            if not _lock(file, fcntl.LOCK_EX):
                raise DatabaseError(f"another server has just been started in {self.path}; run the command again")
            os.truncate(file, 0)
            os.pwrite(file, f"{socket.gethostname()}\n".encode(), 0)
            yield file
        finally:
            os.close(file)

    def postmaster(self) -> Postmaster | None:
        """What the server wrote of itself; None where there is nothing or it is no such file."""
        try:
            lines = [line.strip() for line in os.fsdecode(self._pid_path.read_bytes()).splitlines()]
            return Postmaster(
                pid=int(lines[0]),
                data=Path(lines[1]),
                port=int(lines[3]),
                socket_folder=lines[4],
                listen_address=lines[5],
                is_ready=len(lines) > 7 and lines[7] == "ready",
            )
        except (FileNotFoundError, ValueError, IndexError):
            return None

    def is_named_by(self, postmaster: Postmaster) -> bool:
        """Whether the name under which a server was started leads to this folder."""
        return is_same_folder(postmaster.data, self.path)

    def check_name(self, postmaster: Postmaster) -> None:
        """Raise DatabaseError unless the server that runs here was started under this folder's name."""
        if not self.is_named_by(postmaster):
            self.check_is_here(postmaster)
            raise DatabaseError(
                f"the server of {self.path} was started as {postmaster.data}, and the folder was renamed since; "
                'stop it: "vsdb db stop", then run the command again (nothing that is stored is lost)'
            )

    def check_is_here(self, postmaster: Postmaster) -> None:
        """Raise DatabaseError unless the server that runs in this folder is a process of this machine."""
        if not runs_here(postmaster):
            host = self._lock_path.read_text(errors="replace").strip()
            raise DatabaseError(
                f"the server of {self.path} runs on another machine or in another container ({host}); "
                'use it from there, or stop it there: "vsdb db stop"'
            )

    def check_startable(self) -> None:
        """Raise DatabaseError where a server in this folder, in which none runs, would do harm or cannot run."""
        version = (self.path / "PG_VERSION").read_text(errors="replace").strip()
        if version != str(MAJOR):
            raise DatabaseError(
                f"{self.path} holds data of PostgreSQL {version}, and this vsdb runs PostgreSQL {MAJOR}. To carry them "
                'over: with the vsdb that made them, pg_dump --format=custom --file=vsdb.dump "$(vsdb db dsn)"; '
                f"move {self.path} away; with this vsdb, vsdb db start and "
                'pg_restore --dbname="$(vsdb db dsn)" vsdb.dump. VSDB_HOME=FOLDER begins a new database elsewhere'
            )
        postmaster = self.postmaster()
        if postmaster is not None and not self.is_named_by(postmaster):
            raise DatabaseError(
                f"{self.path} is a copy of {postmaster.data} that was taken while its server ran, and can be torn: "
                f'"VSDB_HOME={postmaster.data.parent} vsdb db stop", then copy again. If the folder was only renamed '
                f"after a crash, or is a snapshot of one moment, delete {self._pid_path}: the server then recovers"
            )
        if postmaster is not None and runs_here(postmaster):
            raise DatabaseError(
                f"a server that vsdb did not start runs in {self.path} (process {postmaster.pid}); "
                f'stop it: "kill -INT {postmaster.pid}"'
            )

    def new_socket_folder(self) -> str:
        """Where the server's socket lies: the data folder, whatever its name, else a new folder that is private.

        Whoever reaches the socket is the database's superuser. In the shared place the name is a new one each time,
        so that nobody can have put something there before.
        """
        can_be_named = len(os.fsencode(self.path / SOCKET_NAME)) <= MAX_SOCKET_BYTES and "," not in str(self.path)
        if can_be_named:  # by libpq, for which a comma ends a host
            return "."
        folder = Path(tempfile.mkdtemp(prefix=SOCKET_FOLDER_PREFIX))
        if len(os.fsencode(folder / SOCKET_NAME)) > MAX_SOCKET_BYTES:
            folder.rmdir()
            raise DatabaseError(f"no socket fits into {self.path} or {folder.parent}: both have too long a path")
        give_to_server(folder)
        return str(folder)

    def forget_postmaster(self) -> None:
        """Delete what a server that is gone left of itself: its process id may be another program's by now."""
        for path in (self._pid_path, *self.path.glob(".s.PGSQL.*")):
            path.unlink(missing_ok=True)

    def end_leftovers(self) -> None:
        """End servers whose folder was deleted under them: they would write to files of that name that are now ours.

        Raises:
            DatabaseError: such a server's folder is not deleted but renamed.
        """
        for process, folder in _servers(self.path):
            if folder is not None:
                raise DatabaseError(
                    f"the server of {self.path} still runs in {folder}, to which the folder was renamed, and would "
                    f'write here; stop it: "VSDB_HOME={folder.parent} vsdb db stop"'
                )
            os.kill(process, 9)

    def make(self) -> None:
        """Run initdb beside the final place, so that a killed one leaves nothing that looks finished."""
        new = self.path.with_name(self.path.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        give_to_server(new)
        let_server_in(new)
        run_program("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", f"--pgdata={new}", folder=new)
        (new / "pg_hba.conf").write_text(ACCESS_RULES)
        new.rename(self.path)


def forget_socket_folder(postmaster: Postmaster) -> None:
    """Delete the folder that was made for a server's socket, if there was one."""
    if Path(postmaster.socket_folder).name.startswith(SOCKET_FOLDER_PREFIX):
        shutil.rmtree(postmaster.socket_folder, ignore_errors=True)


def is_same_folder(one: Path, other: Path) -> bool:
    """Whether two names lead to one folder: device and inode."""
    with suppress(OSError):
        return one.samefile(other)
    return False


def runs_here(postmaster: Postmaster) -> bool:
    """Whether a server is a process of this machine: a number alone may be any program's by now, or elsewhere."""
    import psutil

    try:
        process = psutil.Process(postmaster.pid)
        return process.name() == "postgres" and str(postmaster.data) in process.cmdline()
    except psutil.Error:
        return False


def _servers(path: Path) -> Iterator[tuple[int, Path | None]]:
    """Servers that were started as ``path``, where none runs: process id, and folder (None where it is deleted)."""
    import psutil

    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] != "postgres" or str(path) not in (process.info["cmdline"] or []):
            continue
        with suppress(psutil.Error, OSError):  # gone already, of another container, or not ours to look at
            if Path(f"/proc/{process.pid}/root").exists() and not is_same_folder(
                Path(f"/proc/{process.pid}/root"), Path("/")
            ):
                continue
            folder = Path(process.cwd())
            is_deleted = not folder.exists() or is_same_folder(folder, path)
            yield process.pid, None if is_deleted else folder


def _lock(file: int, kind: int) -> bool:
    """Lock an open file unless somebody else has it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
