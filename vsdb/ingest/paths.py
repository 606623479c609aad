"""Which files a command means: files, folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vsdb.media.video import VIDEO_SUFFIXES


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
            if os.path.isdir(match):
                found.update(dict.fromkeys(_in_folder(match, on_skip)))
            else:
                found[match] = None
    return list(found)


def _expand(path: str | Path) -> list[Path]:
    given = os.path.expanduser(path)
    literal = Path(os.path.abspath(given))  # links stay as they were given
    if os.path.lexists(literal) or not glob.has_magic(given):
        return [literal]
    pattern = given if os.path.isabs(given) else os.path.join(glob.escape(os.getcwd()), given)
    matches = sorted(glob.glob(pattern, recursive=True))
    return [Path(os.path.abspath(match)) for match in matches] or [literal]


def _in_folder(folder: Path, on_skip: Callable[[Path, str], None]) -> Iterator[Path]:
    closed: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(parent, name) for name in sorted(files) if not name.startswith(".")):
            if path.suffix.lower() in VIDEO_SUFFIXES:
                yield path
            else:
                on_skip(path, "not a video")
    yield from closed  # to be reported like a video that cannot be read
