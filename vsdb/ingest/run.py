"""From paths to stored videos: what needs work, the work, and what to say of each video."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from vsdb.database.catalog import StoredVideo
from vsdb.database.connect import Database, database_message
from vsdb.database.store import NewVideo, VideoWriter, write_video
from vsdb.database.upkeep import after_ingest
from vsdb.errors import DatabaseError, VideoError
from vsdb.ingest.jobs import Job
from vsdb.ingest.ledger import Ledger
from vsdb.ingest.model import ModelChoice, load_encoder
from vsdb.ingest.reporter import Reporter
from vsdb.ingest.stages import Stages
from vsdb.types import IngestResult, Sampling, Status

if TYPE_CHECKING:
    from vsdb.model.encoder import Encoder

LOOK_AHEAD = 32  # videos known to the stages at a time


Outcome = tuple[Status, tuple[int, int], str | None]
"""Of a video: status, the frames and patches that are stored of it, reason."""


class Ingest:
    """Stores videos one after the other, each in one transaction, while other threads see to the next ones.

    The model is loaded when the first video needs it: a run that finds nothing new never imports torch.
    """

    def __init__(
        self,
        database: Database,
        *,
        model: ModelChoice,
        sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
        force: bool = False,
        reporter: Reporter,
    ) -> None:
        """
        Args:
            database: where the videos are stored; its connection is opened again where it is lost.
            model: what to embed with.
            sampling: how frames and patches are taken; a video that was sampled otherwise is embedded again
                only if it differs in a value that is given here.
            force: embed every video again.
            reporter: is told of the progress.
        """
        self._database = database
        self._model = model
        self._sampling = sampling
        self._force = force
        self._reporter = reporter
        self._stages: Stages
        self._ledger: Ledger
        self._ahead: deque[Job] = deque()
        self._begun: set[bytes] = set()
        """Hashes of the videos that this run decodes: content that comes twice is decoded once."""

    def run(self, paths: list[Path]) -> Iterator[IngestResult]:
        """Ingest each video; what is wrong with one is its result, and the others go on.

        While one video is stored, the next ones are hashed, decoded and embedded.

        Raises:
            VsdbError: nothing can be ingested at all (the model cannot be loaded or is another one's database,
                the database cannot be reached).
        """
        num_ingested = 0
        self._ledger = Ledger(self._database, sampling=self._sampling, force=self._force)
        with closing(Stages(self._sampling)) as stages:
            self._stages = stages
            try:
                for job in self._in_turn(paths):
                    result = self._one(job)
                    stages.forget(job)
                    num_ingested += result.status == "ingested"
                    self._reporter.finished(result)
                    yield result
            finally:
                if self._database.connection.info.transaction_status == TransactionStatus.ACTIVE:
                    self._database.close()  # an interrupt came between a command and its answer
        if num_ingested and not self._database.is_closed:
            after_ingest(self._database.connection, on_step=self._reporter.preparing, on_warning=self._reporter.warned)

    def _in_turn(self, paths: list[Path]) -> Iterator[Job]:
        """Yield a job for each path, and let the stages know of some paths ahead."""
        waiting = iter(paths)
        self._ahead.clear()
        self._begun.clear()
        while True:
            for path in islice(waiting, LOOK_AHEAD - len(self._ahead)):
                self._ahead.append(self._stages.announce(path))
            if not self._ahead:
                return
            yield self._ahead.popleft()

    def _decode_ahead(self) -> None:
        """Begin to decode the next videos that are hashed and seem to need it.

        This is a guess: another process may store a video meanwhile. When a video's turn comes it is looked up again.
        """
        for job in self._ahead:
            if not job.sha256.done():
                return
            if job.was_looked_up or job.sha256.exception() or job.sha256.result() in self._begun:
                continue
            job.was_looked_up = True
            if not self._ledger.is_done(self._ledger.find(job.sha256.result())):
                self._decode(job)

    def _decode(self, job: Job, *, is_next: bool = False) -> None:
        self._begun.add(job.sha256.result())
        self._stages.decode(job, is_next=is_next)

    @cached_property
    def _encoder(self) -> Encoder:
        self._reporter.preparing(f"loading {self._model.name}")
        return load_encoder(self._database.connection, self._model)

    def _one(self, job: Job) -> IngestResult:
        began = time.monotonic()
        status, (num_frames, num_patches), reason = self._outcome(job)
        return IngestResult(
            video_path=str(job.path),
            status=status,
            num_frames=num_frames,
            num_patches=num_patches,
            seconds=round(time.monotonic() - began, 3),
            reason=reason,
        )

    def _outcome(self, job: Job) -> Outcome:
        try:
            return self._settle(job)
        except _StoredElsewhereError as stored:
            return "unchanged", stored.counts, "another vsdb has just ingested it"
        except DatabaseError as error:
            if not self._database.is_closed:
                raise  # it is every video's
            return "failed", (0, 0), str(error)
        except (VideoError, psycopg.Error, OSError, MemoryError, RuntimeError) as error:
            return "failed", (0, 0), _reason(error)

    def _settle(self, job: Job) -> Outcome:
        """Store a video, or note what is new of one that is stored."""
        _check_name(job.path)
        sha256 = job.sha256.result()
        self._ledger.meet(sha256, job.path)
        if self._database.is_closed:
            self._database.reopen()
        known = self._ledger.find(sha256)
        if known and self._ledger.is_done(known):
            return "unchanged", (known.num_frames, known.num_patches), self._ledger.follow(known, job.path)
        return "ingested", self._store(job, known.video_id if known else None), None

    def _store(self, job: Job, replaces: int | None) -> tuple[int, int]:
        self._decode(job, is_next=True)
        self._decode_ahead()
        opened = job.opened.result()
        assert job.hashed_file is not None  # it is hashed
        video = NewVideo(
            video_path=str(job.path),
            content_sha256=job.sha256.result(),
            size_bytes=job.hashed_file.size_bytes,
            file_changed_ns=job.hashed_file.changed_ns,
            opened=opened,
            replaces=replaces,
        )
        self._stages.embed_with(self._encoder)
        self._reporter.started(job.path, opened.declared_seconds)
        self._ledger.make_room(job.path, video.content_sha256, ahead=self._ahead)
        with write_video(self._database.connection, video, self._encoder.info) as writer:
            if writer is None:
                raise _StoredElsewhereError(self._ledger.find(video.content_sha256))
            self._write_frames(job, writer)
            writer.finish(duration_seconds=job.duration_seconds)
        return writer.num_frames, writer.num_patches

    def _write_frames(self, job: Job, writer: VideoWriter) -> None:
        while frame := job.inbox.get():
            writer.write(frame)
            job.budget.give_back(len(frame.embeddings))
            self._reporter.advanced(frame.pts_seconds, writer.num_patches)
            self._decode_ahead()
        if job.error:
            raise job.error


class _StoredElsewhereError(Exception):
    """Another process stored this very video while we were about to."""

    def __init__(self, stored: StoredVideo | None) -> None:
        super().__init__()
        self.counts = (stored.num_frames, stored.num_patches) if stored else (0, 0)


def _check_name(path: Path) -> None:
    """Raise VideoError for a name that is no text: PostgreSQL could not store it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise VideoError("the file's name is not valid UTF-8; rename it") from None


def _reason(error: Exception) -> str:
    """Why a video failed, in words."""
    if isinstance(error, psycopg.Error):
        return f"database: {database_message(error)}"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    if isinstance(error, VideoError):
        return str(error)
    lines = str(error).splitlines()  # torch says RuntimeError, also when a device's memory is full
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
