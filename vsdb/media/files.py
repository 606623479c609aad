"""Files as they lie on the disk: whether they can be read, what they hold, whether they have changed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vsdb.errors import VideoError
from vsdb.stopping import go_on


@dataclass(frozen=True, kw_only=True)
class FileState:
    """Tells whether a path still leads to the same, unchanged file; bytes and nanoseconds."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int = field(compare=False)
    """When the file system last changed it in any way, also its name or rights."""


def file_state(path: Path) -> FileState:
    """Which file lies at a path, and in what state."""
    found = path.stat()
    return FileState(
        device=found.st_dev,
        inode=found.st_ino,
        size_bytes=found.st_size,
        modified_ns=found.st_mtime_ns,
        changed_ns=found.st_ctime_ns,
    )


def check_readable(path: Path) -> None:
    """Raise VideoError when ``path`` is not a regular file with bytes in it that we may read."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise VideoError("a folder that cannot be read" if not os.access(path, os.R_OK) else "a folder, not a file")
        if not stat.S_ISREG(mode):  # a pipe or a device could be read for ever
            raise VideoError("not a regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise VideoError("the file is empty")
    except FileNotFoundError:
        raise VideoError("no such file") from None
    except PermissionError:
        raise VideoError("no permission to read the file") from None
    except OSError as error:
        raise VideoError(f"cannot be read: {error.strerror or error}") from None


def content_sha256(path: Path, *, check: Callable[[], None] = go_on) -> bytes:
    """SHA-256 of the file's bytes; 32 bytes.

    Args:
        path: of the file.
        check: is called between the blocks; what it raises ends the reading.

    Raises:
        VideoError: the file cannot be read.
    """
    check_readable(path)
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            check()
            digest.update(block)
    return digest.digest()
