"""The video files: only those that the database knows, and only while they are what was ingested."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import stat
import threading
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from vsdb.database.catalog import StoredFile
from vsdb.errors import VideoError

CHUNK_BYTES = 256 * 1024
FULL_QUALITY = 90
MAX_DIGITS = 19  # of a place in a file; one of more digits lies behind every end


class CutShortError(Exception):
    """An answer ends before what was announced: the connection is closed, so that the client notices."""


class FileKeeper:
    """Opens video files, after a look at whether they still hold what was ingested.

    A file of the stored size, which its file system has not changed since it was ingested and which is reached
    without symbolic links, is taken as it is. Any other is hashed once: a folder that others may write to could lead
    to somebody's private file by now.
    """

    def __init__(self) -> None:
        self._hashes: dict[tuple[int, ...], bytes] = {}
        self._lock = threading.Lock()  # a player asks for several ranges at once

    def open(self, stored: StoredFile) -> FileIO:
        """Open the file; what is checked is what was opened, whatever happens to the path meanwhile.

        Raises:
            VideoError: it is gone, cannot be read, or holds something else now.
        """
        try:
            # A pipe in its place would block without O_NONBLOCK.
            file = FileIO(os.open(stored.video_path, os.O_RDONLY | os.O_NONBLOCK))
        except FileNotFoundError:
            raise VideoError("the file is gone; where it was moved, ingest it again: its embeddings are kept") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise VideoError(f"the file cannot be read: {reason}") from None
        try:
            if not self._is_as_ingested(file, stored):
                raise VideoError("the file has changed since it was ingested; ingest it again")
        except BaseException:
            file.close()
            raise
        return file

    def _is_as_ingested(self, file: FileIO, stored: StoredFile) -> bool:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size != stored.size_bytes:
            return False
        return _is_untouched(found, stored) or self._hash(file, found) == stored.content_sha256

    def _hash(self, file: FileIO, found: os.stat_result) -> bytes:
        """SHA-256 of the content, remembered until the file is touched."""
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        with self._lock:
            if key not in self._hashes:
                digest = hashlib.sha256()
                offset = 0
                while block := os.pread(file.fileno(), 1 << 20, offset):
                    digest.update(block)
                    offset += len(block)
                self._hashes[key] = digest.digest()
            return self._hashes[key]


def _is_untouched(found: os.stat_result, stored: StoredFile) -> bool:
    """Whether the open file lies at the path itself and was last changed (or moved) when it was ingested or before.

    That time is the file system's own, which nobody can set, and it is compared with itself: two clocks can differ.
    """
    try:
        there = os.lstat(stored.video_path)
        has_no_links = os.path.realpath(stored.video_path) == stored.video_path
    except OSError:
        return False
    same = (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)
    return same and has_no_links and found.st_ctime_ns == stored.file_changed_ns


def file_response(file: FileIO, stored: StoredFile, headers: Headers, *, with_body: bool) -> Response:
    """Answer with the file, or with the one range that was asked for.

    Source: RFC 9110, section 14 (range requests); several ranges at once are answered with the whole file.
    """
    kind = mimetypes.guess_type(stored.video_path)[0] or ""
    etag = f'"{stored.content_sha256.hex()}"'
    answer = {
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "content-type": kind if kind.startswith("video/") else "application/octet-stream",
        "etag": etag,
    }
    if is_known(headers.get("if-none-match", ""), etag):
        file.close()
        return Response(status_code=304, headers={name: answer[name] for name in ("cache-control", "etag")})
    size = stored.size_bytes
    first, last = 0, size - 1
    status = 200
    wanted = headers.get("range")
    if wanted and headers.get("if-range", etag) == etag:
        chosen = parse_range(wanted, size)
        if chosen == ():
            file.close()
            return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        if chosen:
            (first, last), status = chosen, 206
            answer["content-range"] = f"bytes {first}-{last}/{size}"
    answer["content-length"] = str(last - first + 1)
    if not with_body:
        file.close()
        return Response(status_code=status, headers=answer)
    return StreamingResponse(_read(file, first, last), status_code=status, headers=answer)


def is_known(if_none_match: str, etag: str) -> bool:
    """Whether an If-None-Match header names the content; as RFC 9110, section 13.1.2."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]


def parse_range(header: str, size: int) -> tuple[int, int] | tuple[()] | None:
    """First and last byte of a Range header; () where no byte of the file is in it, None where it is to be ignored."""
    match = re.fullmatch(r"bytes=\s*([0-9]*)\s*-\s*([0-9]*)\s*", header)
    if match is None or match.group(1) == match.group(2) == "":
        return None
    start, end = (text and f"{text.lstrip('0')[:MAX_DIGITS]:0>1}" for text in match.groups())
    if not start:
        return (max(0, size - int(end)), size - 1) if int(end) > 0 else ()
    if end and int(end) < int(start):
        return None
    return (int(start), min(int(end or size), size - 1)) if int(start) < size else ()


async def _read(file: FileIO, first: int, last: int) -> AsyncIterator[bytes]:
    with file:
        while first <= last:
            chunk = await to_thread.run_sync(os.pread, file.fileno(), min(CHUNK_BYTES, last - first + 1), first)
            if not chunk:
                raise CutShortError("the file became shorter while it was read")
            first += len(chunk)
            yield chunk


def frame_of_file(file: FileIO, pts_seconds: float, *, full: bool) -> bytes:
    """The frame of an open video file at exactly a time, as a JPEG: at its own size or as small as a thumbnail.

    Raises:
        VideoError: it cannot be decoded, or has no frame at that time.
    """
    from vsdb.media.images import encode_jpeg
    from vsdb.media.seek import read_frame  # most pictures come from the database
    from vsdb.media.thumbnails import thumbnail

    image = read_frame(Path(f"/dev/fd/{file.fileno()}"), pts_seconds)  # the file that was checked, not its path again
    return encode_jpeg(image, quality=FULL_QUALITY) if full else thumbnail(image)
