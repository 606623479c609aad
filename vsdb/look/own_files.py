"""Files that vsdb writes for a person: whole or not at all, and never over a file of someone else's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vsdb.errors import OutputError, UsageError
from vsdb.types import Moment

MARK = "made by vsdb"
"""Stands in the comment of every picture and clip, so that a later run knows its own files."""
MARK_REACH = 1 << 16  # bytes from either end of a file in which the comment lies
MAX_PART_BYTES = 80  # of a name's prompt and video; a file system takes 255 in all


def check_folder(folder: Path) -> None:
    """Raise UsageError when a path cannot be a folder to write to."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder to write to")


@contextmanager
def own_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written; it appears under its name when it is whole, and its folder with it.

    Raises:
        OutputError: a file that vsdb did not make has that name, or it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not is_own(path):
            raise OutputError(f"{path} was not made by vsdb and is left alone; take another folder or move the file")
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink()


def is_own(path: Path) -> bool:
    """Whether vsdb made a file: the mark stands near its beginning or its end."""
    mark = MARK.encode()
    with path.open("rb") as file:
        if mark in file.read(MARK_REACH):
            return True
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - MARK_REACH))
        return mark in file.read()


def comment(moment: Moment) -> str:
    """What a picture or clip says of itself."""
    return f"{MARK} from {Path(moment.video_path).name}, {moment.start_seconds:g} s to {moment.end_seconds:g} s"


def moment_name(prompt: str, moment: Moment, num_moments: int, seconds: float) -> str:
    """A file's name without suffix: prompt, rank, video and time, such as ``a-red-car_01_street_00h00m03.0s``."""
    rank = f"{moment.rank:0{max(2, len(str(num_moments)))}}"
    return f"{slug(prompt)}_{rank}_{slug(Path(moment.video_path).stem)}_{_clock_name(seconds)}"


def slug(text: str) -> str:
    """Text as part of a file's name: words joined by hyphens, cut where it grows too long."""
    words = re.sub(r"[^\w.]+", "-", text.casefold()).strip("-.")
    return words.encode(errors="replace")[:MAX_PART_BYTES].decode(errors="ignore") or "untitled"


def _clock_name(seconds: float) -> str:
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    return "{:02}h{:02}m{:04.1f}s".format(*divmod(minutes, 60), tenths / 10)
