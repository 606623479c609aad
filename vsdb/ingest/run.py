"""From paths to stored videos: what needs work, the work, and what to say of each video."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from vsdb.database import Connection, catalog, store
from vsdb.database.catalog import StoredVideo
from vsdb.database.connect import database_message
from vsdb.database.store import FrameEmbeddings, NewVideo, VideoWriter
from vsdb.database.text_tower import install_text_tower, install_tokenizer
from vsdb.database.upkeep import after_ingest, store_neutral_prompts
from vsdb.errors import DatabaseError, ModelError, VideoError
from vsdb.ingest.jobs import Job
from vsdb.ingest.reporter import Reporter
from vsdb.ingest.stages import Stages
from vsdb.model.text_tower import TextTower, extract_text_tower
from vsdb.types import IngestResult, Sampling, Status

if TYPE_CHECKING:
    from numpy import int32
    from numpy.typing import NDArray

    from vsdb.model.encoder import Encoder
    from vsdb.model.load import LoadedModel

LOOK_AHEAD = 32  # videos known to the stages at a time


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model to embed with; the parts not given come from the database."""

    name: str
    weights: Path | None
    device: str


class Ingest:
    """Stores videos one after the other, each in one transaction, while other threads see to the next ones.

    The model is loaded when the first video needs it: a run that finds nothing new never imports torch.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        model: ModelChoice,
        sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
        force: bool = False,
        reporter: Reporter,
    ) -> None:
        """
        Args:
            connect: opens a connection to the database; called again after a connection was lost.
            model: what to embed with.
            sampling: how frames and patches are taken; a video that was sampled otherwise is embedded again
                only if it differs in a value that is given here.
            force: embed every video again.
            reporter: is told of the progress.
        """
        self._connect = connect
        self._connection = connect()
        self._model = model
        self._sampling = sampling
        self._force = force
        self._reporter = reporter
        self._stages: Stages
        self._ahead: deque[Job] = deque()
        self._begun: set[bytes] = set()
        """Hashes of the videos that this run decodes: content that comes twice is decoded once."""
        self._met: dict[bytes, Path] = {}
        """Where this run has met each content so far."""

    def run(self, paths: list[Path]) -> Iterator[IngestResult]:
        """Ingest each video; what is wrong with one is its result, and the others go on.

        While one video is stored, the next ones are hashed, decoded and embedded.

        Raises:
            VsdbError: nothing can be ingested at all (the model cannot be loaded or is another one's database,
                the database cannot be reached).
        """
        num_ingested = 0
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
                if self._connection.info.transaction_status == TransactionStatus.ACTIVE:
                    self._connection.close()  # an interrupt came between a command and its answer
        if num_ingested and not self._connection.closed:
            after_ingest(self._connection, on_step=self._reporter.preparing, on_warning=self._reporter.warned)

    def _in_turn(self, paths: list[Path]) -> Iterator[Job]:
        """Yield a job for each path, and let the stages know of some paths ahead."""
        waiting = iter(paths)
        self._ahead.clear()
        self._begun.clear()
        self._met.clear()
        while True:
            for path in islice(waiting, LOOK_AHEAD - len(self._ahead)):
                self._ahead.append(self._stages.announce(path))
            if not self._ahead:
                return
            yield self._ahead.popleft()

    def _decode_ahead(self) -> None:
        """Begin to decode the next videos as far as they are hashed and seem to need it.

        Their turn decides: what was begun in vain is dropped, what was not begun begins then.
        """
        for job in self._ahead:
            if not job.sha256.done():
                return
            if job.was_looked_up or job.sha256.exception() or job.sha256.result() in self._begun:
                continue
            job.was_looked_up = True
            known = catalog.find_content(self._connection, job.sha256.result())
            if self._force or known is None or not self._same_sampling(known):
                self._decode(job)

    def _decode(self, job: Job, *, is_next: bool = False) -> None:
        self._begun.add(job.sha256.result())
        self._stages.decode(job, is_next=is_next)

    @cached_property
    def _encoder(self) -> Encoder:
        self._reporter.preparing(f"loading {self._model.name}")
        from vsdb.model.encoder import Encoder
        from vsdb.model.load import load_model

        loaded = load_model(self._model.name, weights=self._model.weights)
        tower = _text_tower(loaded)
        encoder = Encoder(loaded, device=self._model.device)
        with self._connection.transaction():
            catalog.register_model(self._connection, loaded.info)
            install_tokenizer(self._connection)
            install_text_tower(self._connection, tower)
            store_neutral_prompts(self._connection, encoder)
        return encoder

    def _one(self, job: Job) -> IngestResult:
        path = job.path
        began = time.monotonic()

        def result(status: Status, stored: tuple[int, int] = (0, 0), reason: str | None = None) -> IngestResult:
            return IngestResult(
                video_path=str(path),
                status=status,
                num_frames=stored[0],
                num_patches=stored[1],
                seconds=round(time.monotonic() - began, 3),
                reason=reason,
            )

        try:
            _check_name(path)
            sha256 = job.sha256.result()
            self._met.setdefault(sha256, path)
            if self._connection.closed:
                self._connection = self._connect()
            known = catalog.find_content(self._connection, sha256)
            if known and not self._force and self._same_sampling(known):
                done = filter(None, [self._move(known, path), self._date(known)])
                return result("unchanged", (known.num_frames, known.num_patches), "; ".join(done) or None)
            counts = self._store(job, known.video_id if known else None)
            return result("ingested", counts, "; ".join(job.notes) or None)
        except _StoredElsewhereError as stored:
            return result("unchanged", stored.counts, "another vsdb has just ingested it")
        except VideoError as error:
            return result("failed", reason=str(error))
        except psycopg.Error as error:
            return result("failed", reason=f"database: {database_message(error)}")
        except OSError as error:
            return result("failed", reason=f"cannot be read: {error.strerror or error}")
        except (MemoryError, RuntimeError) as error:  # torch says RuntimeError, also when a device's memory is full
            return result(
                "failed", reason=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )
        except DatabaseError as error:
            if not self._connection.closed:
                raise
            return result("failed", reason=str(error))

    def _same_sampling(self, known: StoredVideo) -> bool:
        names = ("every_seconds", "patch_size", "stride", "keyframes", "skip_unchanged")
        return all(getattr(self._sampling, name) in (None, getattr(known, name)) for name in names)

    def _move(self, known: StoredVideo, path: Path) -> str | None:
        """Follow a file to its new place; a copy beside the original changes nothing."""
        if known.video_path == str(path):
            return None
        if os.path.lexists(known.video_path):
            return f"same content as {known.video_path}"
        catalog.move_video(self._connection, known.video_id, str(path))
        return f"moved from {known.video_path}"

    def _date(self, known: StoredVideo) -> str | None:
        """Note when it was recorded, if that is given and new."""
        given = self._sampling.recorded_at
        if given is None or given == known.recorded_at:
            return None
        catalog.set_recorded_at(self._connection, known.video_id, given)
        return f"recorded at {given.isoformat()}"

    def _make_room(self, path: Path, sha256: bytes, *, behind: frozenset[Path] = frozenset()) -> None:
        """Let what is stored under this path follow its file, if other content has taken its place.

        Recorders rename: today's file takes the name of yesterday's, and yesterday's another one. ``behind`` are the
        names that wait for this one: where files have swapped theirs, the last row in the circle gives way.
        """
        stored = catalog.find_path(self._connection, str(path))
        if stored is None or stored.content_sha256 == sha256:
            return
        new_path = self._path_of(stored.content_sha256)
        if new_path and new_path not in behind | {path}:
            self._make_room(new_path, stored.content_sha256, behind=behind | {path})
            catalog.move_video(self._connection, stored.video_id, str(new_path))

    def _path_of(self, sha256: bytes) -> Path | None:
        """Where this run has met a content, or is about to."""
        for job in self._ahead:
            if job.sha256.exception() is None:
                self._met.setdefault(job.sha256.result(), job.path)
        return self._met.get(sha256)

    def _store(self, job: Job, replaces: int | None) -> tuple[int, int]:
        self._decode(job, is_next=True)
        self._decode_ahead()
        opened = job.opened.result()
        assert job.hashed_file is not None  # it is hashed
        video = NewVideo(
            video_path=str(job.path),
            content_sha256=job.sha256.result(),
            size_bytes=job.hashed_file.size_bytes,
            width=opened.width,
            height=opened.height,
            every_seconds=opened.every_seconds,
            patch_size=opened.patch_size,
            stride=opened.stride,
            recorded_at=opened.recorded_at,
            keyframes=bool(self._sampling.keyframes),
            skip_unchanged=bool(self._sampling.skip_unchanged),
            replaces=replaces,
        )
        self._stages.embed_with(self._encoder)
        self._reporter.started(job.path, opened.declared_seconds)
        self._make_room(job.path, job.sha256.result())
        with store.write_video(self._connection, video, self._encoder.info) as writer:
            if writer is None:
                raise _StoredElsewhereError(catalog.find_content(self._connection, job.sha256.result()))
            self._write_frames(job, opened.boxes, writer)
            writer.finish(duration_seconds=job.duration_seconds)
        return writer.num_frames, writer.num_patches

    def _write_frames(self, job: Job, boxes: NDArray[int32], writer: VideoWriter) -> None:
        while frame := job.inbox.get():
            writer.write(
                [
                    FrameEmbeddings(
                        frame_index=frame.frame_index,
                        pts_seconds=frame.pts_seconds,
                        boxes=boxes,
                        embeddings=frame.embeddings,
                        thumbnail=frame.thumbnail,
                    )
                ]
            )
            job.budget.give_back(len(boxes))
            self._reporter.advanced(frame.pts_seconds, writer.num_patches)
            self._decode_ahead()
        if job.error:
            raise job.error


class _StoredElsewhereError(Exception):
    """Another process stored this very video while we were about to."""

    def __init__(self, stored: StoredVideo | None) -> None:
        super().__init__()
        self.counts = (stored.num_frames, stored.num_patches) if stored else (0, 0)


def choose_model(connection: Connection, *, name: str | None, weights: Path | None, device: str) -> ModelChoice:
    """Settle which model to ingest with: what was asked for, else the database's own, else RN50x4.

    Raises:
        DatabaseError: the database holds another model than the one asked for.
    """
    from vsdb.config import DEFAULT_MODEL

    stored = catalog.get_model(connection)
    if stored is None:
        return ModelChoice(name=name or DEFAULT_MODEL, weights=weights, device=device)
    if name and name != stored.model_name:
        raise catalog.other_model_error(stored.model_name, name)
    if weights is None and stored.weights_path and Path(stored.weights_path).is_file():
        weights = Path(stored.weights_path)
    return ModelChoice(name=stored.model_name, weights=weights, device=device)


def _check_name(path: Path) -> None:
    """Raise VideoError for a name that is no text: PostgreSQL could not store it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise VideoError("the file's name is not valid UTF-8; rename it") from None


def _text_tower(model: LoadedModel) -> TextTower | None:
    """The text tower for SQL; None where SQL cannot compute it, and prompts are embedded in Python instead."""
    try:
        return extract_text_tower(model.module)
    except ModelError:
        return None
