"""Which files are handed out: what was ingested, whatever its path, its size and its time stamps say by now."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from vsdb.database.catalog import StoredFile
from vsdb.errors import VideoError
from vsdb.serve import files
from vsdb.serve.files import FileKeeper

BEGINNING = bytes(1_500_000)  # more than is hashed at once
CONTENT, OTHER = BEGINNING + b"as it was ingested", BEGINNING + b"somebody's secrets"
LONG_AGO = 1_000_000_000
TICK_SECONDS = 0.05  # by less than this the times of files lag behind the clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a folder of its own."""
    path = tmp_path.resolve() / "films" / "film.mp4"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def stored(path: Path, content: bytes = CONTENT) -> StoredFile:
    """The file as the database knows it when it was ingested just now."""
    file_changed_ns = path.stat().st_ctime_ns
    time.sleep(TICK_SECONDS)
    return StoredFile(
        video_path=str(path),
        size_bytes=len(content),
        content_sha256=hashlib.sha256(content).digest(),
        file_changed_ns=file_changed_ns,
    )


def read(keeper: FileKeeper, file: StoredFile) -> bytes:
    with keeper.open(file) as opened:
        return opened.read()


def refuses(keeper: FileKeeper, file: StoredFile) -> bool:
    with pytest.raises(VideoError, match="has changed since it was ingested"):
        keeper.open(file)
    return True


def rewrite(path: Path, content: bytes) -> None:
    """Put other bytes into the same file, and set its time back to long ago."""
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_an_untouched_file_is_not_hashed(path: Path) -> None:
    """Or a long video would be read from end to end before its first second is shown; here the hash is wrong."""
    assert read(FileKeeper(), stored(path, OTHER)) == CONTENT


def test_a_file_that_was_rewritten_and_its_time_set_back_is_refused(path: Path) -> None:
    file = stored(path)
    rewrite(path, OTHER)
    assert (path.stat().st_size, path.stat().st_mtime) == (file.size_bytes, LONG_AGO)
    assert refuses(FileKeeper(), file)


def test_a_hash_is_forgotten_when_the_file_is_rewritten_and_its_time_set_back(path: Path) -> None:
    keeper, file = FileKeeper(), stored(path)
    rewrite(path, CONTENT)
    assert read(keeper, file) == CONTENT
    time.sleep(TICK_SECONDS)
    rewrite(path, OTHER)
    assert refuses(keeper, file)


@pytest.mark.parametrize("parents", [1, 2])
def test_a_folder_swapped_for_a_link_to_an_older_file_is_refused(path: Path, parents: int) -> None:
    """The other file is older than the ingest and of the same size: only the link gives it away."""
    folder = path.parents[parents - 1]
    others = folder.with_name("others")
    other = others / path.relative_to(folder)
    other.parent.mkdir(parents=True)
    other.write_bytes(OTHER)
    file = stored(path)
    folder.rename(folder.with_name("kept"))
    folder.symlink_to(others)
    assert refuses(FileKeeper(), file)


def test_a_file_swapped_for_a_link_to_an_older_file_is_refused(path: Path) -> None:
    other = path.with_name("letters")
    other.write_bytes(OTHER)
    file = stored(path)
    path.unlink()
    path.symlink_to(other)
    assert refuses(FileKeeper(), file)


def test_a_file_behind_a_link_is_handed_out_by_its_hash(path: Path) -> None:
    file = stored(path)
    path.parent.rename(path.parent.with_name("kept"))
    path.parent.symlink_to(path.parent.with_name("kept"))
    assert read(FileKeeper(), file) == CONTENT


def test_what_was_opened_is_judged_and_not_what_lies_there_by_now(path: Path) -> None:
    """A link may have led elsewhere when the file was opened, and be gone again when its path is looked at."""
    opened = path.with_name("letters")
    opened.write_bytes(OTHER)
    file = stored(path)
    assert files._is_untouched(path.stat(), file)
    assert not files._is_untouched(opened.stat(), file)
