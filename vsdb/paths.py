"""Which files a command means: files, folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vsdb.video import VIDEO_SUFFIXES


def find_videos(paths: Iterable[str | Path], *, on_skip: Callable[[Path, str], None]) -> list[Path]:
    """Expand files, folders (searched recursively) and globs to video files.

    Args:
        paths: a file is taken whatever its name; a folder gives the files whose suffix is a video's.
        on_skip: called with path and reason for every file of a folder that is passed over.

    Returns:
        Absolute paths in the order given, folders sorted by name, each file once. What does not exist is
        included, so that it is reported like any other bad video.
    """
    found: dict[Path, None] = {}
    for path in paths:
        for match in _expand(path):
            if match.is_dir():
                found.update(dict.fromkeys(_in_folder(match, on_skip)))
            else:
                found[match] = None
    return list(found)


def _expand(path: str | Path) -> list[Path]:
    literal = Path(os.path.abspath(Path(path).expanduser()))  # links stay as they were given
    if literal.exists() or not glob.has_magic(str(path)):
        return [literal]
    matches = sorted(glob.glob(str(literal), recursive=True))
    return [Path(match) for match in matches] or [literal]


def _in_folder(folder: Path, on_skip: Callable[[Path, str], None]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield path
        else:
            on_skip(path, "not a video")
