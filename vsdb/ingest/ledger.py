"""What the database knows of the videos of a run: which are stored, which have moved, which lie in the way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from vsdb.database import catalog
from vsdb.database.catalog import StoredVideo
from vsdb.database.connect import Database
from vsdb.ingest.jobs import Job
from vsdb.types import Sampling


class Ledger:
    """Follows files by their content, and tells which must be embedded."""

    def __init__(self, database: Database, *, sampling: Sampling, force: bool) -> None:
        """
        Args:
            database: where videos are stored.
            sampling: how frames and patches are to be taken; a video that was sampled otherwise is embedded again
                only if it differs in a value that is given here.
            force: embed every video again.
        """
        self._database = database
        self._sampling = sampling
        self._force = force
        self._met: dict[bytes, Path] = {}
        """Where this run has met each content so far."""

    def find(self, sha256: bytes) -> StoredVideo | None:
        """The stored video with this content."""
        return catalog.find_content(self._database.connection, sha256)

    def meet(self, sha256: bytes, path: Path) -> None:
        """Note where a content lies."""
        self._met.setdefault(sha256, path)

    def is_done(self, known: StoredVideo | None) -> bool:
        """Whether nothing of a video is to be embedded."""
        return known is not None and not self._force and self._sampling.allows(known)

    def follow(self, known: StoredVideo, path: Path) -> str | None:
        """Note where a stored video lies now and when it was recorded; says what is new."""
        done = filter(None, [self._move(known, path), self._date(known)])
        return "; ".join(done) or None

    def make_room(
        self, path: Path, sha256: bytes, *, ahead: Iterable[Job], behind: frozenset[Path] = frozenset()
    ) -> None:
        """Let what is stored under this path follow its file, if other content has taken its place.

        Recorders rename: today's file takes the name of yesterday's, and yesterday's another one.

        Args:
            path: about to be stored.
            sha256: of the content that lies there now.
            ahead: the next videos of this run.
            behind: paths that wait for this one, so that files which have swapped their names do not wait for each
                other for ever: the row of the last one is replaced.
        """
        stored = catalog.find_path(self._database.connection, str(path))
        if stored is None or stored.content_sha256 == sha256:
            return
        new_path = self._path_of(stored.content_sha256, ahead)
        if new_path and new_path not in behind | {path}:
            self.make_room(new_path, stored.content_sha256, ahead=ahead, behind=behind | {path})
            catalog.move_video(self._database.connection, stored.video_id, str(new_path))

    def _path_of(self, sha256: bytes, ahead: Iterable[Job]) -> Path | None:
        """Where this run has met a content, or is about to."""
        for job in ahead:
            if job.sha256.exception() is None:
                self.meet(job.sha256.result(), job.path)
        return self._met.get(sha256)

    def _move(self, known: StoredVideo, path: Path) -> str | None:
        """Follow a file to its new place; a copy beside the original changes nothing."""
        if known.video_path == str(path):
            return None
        if os.path.lexists(known.video_path):
            return f"same content as {known.video_path}"
        catalog.move_video(self._database.connection, known.video_id, str(path))
        return f"moved from {known.video_path}"

    def _date(self, known: StoredVideo) -> str | None:
        given = self._sampling.recorded_at
        if given is None or given == known.recorded_at:
            return None
        catalog.set_recorded_at(self._database.connection, known.video_id, given)
        return f"recorded at {given.isoformat()}"
