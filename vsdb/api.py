"""The Python face of vsdb: everything that the commands do, as methods."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from vsdb import search
from vsdb.config import Settings, resolve
from vsdb.database import Connection, catalog, judgements, staging
from vsdb.database.connect import Database
from vsdb.database.locks import bounded_wait
from vsdb.errors import UsageError
from vsdb.moments import Moments
from vsdb.search import DEFAULT_WITHIN_SECONDS, Narrowing, Question
from vsdb.types import Calibration, IngestResult, Moment, Sampling, Video

if TYPE_CHECKING:
    from vsdb.ingest.reporter import Reporter


def connect(*, dsn: str | None = None, model: str | None = None, device: str | None = None) -> Index:
    """Open the database that the commands would open with the same settings.

    The embedded database is set up if it is new, any other by the first :meth:`Index.ingest`.

    Args:
        dsn: PostgreSQL connection string; else ``VSDB_DSN``, else the embedded database under ``VSDB_HOME``.
        model: model to ingest with; else ``VSDB_MODEL``, else the database's own, else RN50x4.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; else ``VSDB_DEVICE``, else ``auto``.

    Raises:
        DatabaseError: no connection.
    """
    return Index(resolve(dsn=dsn, model=model, device=device))


class Index:
    """A database of videos that can be asked; also a context manager that closes it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings)

    @property
    def connection(self) -> Connection:
        """The psycopg connection, for SQL of your own; every statement commits by itself.

        Raises:
            DatabaseError: the schema is missing, older or newer; says what to run.
        """
        return self._database.connection

    def ingest(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        weights: Path | None = None,
        sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
        force: bool = False,
        reporter: Reporter | None = None,
    ) -> list[IngestResult]:
        """Ingest files, folders and globs; what was ingested before is not embedded again.

        Args:
            paths: one or several; a folder is searched recursively.
            weights: file of the model's weights, where they should not be fetched.
            sampling: how frames and patches are taken.
            force: embed again what was ingested before.
            reporter: is told of the progress.

        Returns:
            One result a video, in order; a bad video is ``failed`` and the others go on.

        Raises:
            ModelError: the model cannot be loaded.
            DatabaseError: the database holds another model.
        """
        return list(self.ingest_each(paths, weights=weights, sampling=sampling, force=force, reporter=reporter))

    def ingest_each(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        weights: Path | None = None,
        sampling: Sampling = Sampling(),  # noqa: B008  (frozen)
        force: bool = False,
        reporter: Reporter | None = None,
    ) -> Iterator[IngestResult]:
        """Ingest as :meth:`ingest` does, and yield each result as soon as its video is stored."""
        from vsdb.ingest.model import choose_model
        from vsdb.ingest.paths import find_videos
        from vsdb.ingest.reporter import SilentReporter
        from vsdb.ingest.run import Ingest  # OpenCV is not for those who only ask

        if isinstance(paths, str | Path):
            paths = [paths]
        if not all(str(path) for path in paths):
            raise UsageError("an empty path names no video")
        reporter = reporter or SilentReporter()
        settings = self._settings
        connection = self._database.reopen()
        model = choose_model(connection, name=settings.model, weights=weights, device=settings.device)
        job = Ingest(self._database, model=model, sampling=sampling, force=force, reporter=reporter)
        return job.run(find_videos(paths, on_skip=reporter.skipped))

    def reembed_each(
        self, model: str, *, weights: Path | None = None, reporter: Reporter | None = None
    ) -> Iterator[IngestResult]:
        """Embed all stored videos again with another model, then switch to it; yields a result a video.

        Until the last one is done, searches answer with the old model; a run that is cut off goes on where it was.

        Args:
            model: name of the new model.
            weights: file of its weights, where they should not be fetched.
            reporter: is told of the progress, and first of the files that are missing.

        Raises:
            ModelError: the model cannot be loaded.
            DatabaseError: not every video could be embedded, so that searches answer as before.
        """
        from vsdb.ingest.model import ModelChoice
        from vsdb.ingest.reembed import reembed
        from vsdb.ingest.reporter import SilentReporter

        stored = catalog.require_model(self.connection)
        if stored.model_name == model and weights is None and stored.weights_path is None:
            raise UsageError(f"the videos are embedded with {model} already")
        choice = ModelChoice(name=model, weights=weights, device=self._settings.device)
        return reembed(self._database, model=choice, reporter=reporter or SilentReporter())

    def drop_unused(self) -> list[str]:
        """Drop the rows of the model before the last switch, and those of a :meth:`reembed_each` not finished.

        Returns:
            The names of the schemas dropped.
        """
        return staging.drop_unused(self.connection)

    def search(
        self,
        prompt: str | None = None,
        *,
        image: str | Path | None = None,
        without: str | None = None,
        then: str | None = None,
        within_seconds: float = DEFAULT_WITHIN_SECONDS,
        max_moments: int = Narrowing.max_moments,
        min_score: float | None = None,
        gap_seconds: float = Narrowing.gap_seconds,
        video_like: str | None = None,
        from_seconds: float | None = None,
        to_seconds: float | None = None,
        exact: bool = False,
        video_ids: Sequence[int] | None = None,
        recorded_from: datetime | None = None,
        recorded_to: datetime | None = None,
        min_z: float | None = None,
    ) -> Moments:
        """Find the moments that answer a prompt or a picture; the rows of ``vsdb.search`` in SQL.

        Args:
            prompt: what to look for, in plain words.
            image: a picture file to look for instead.
            without: what the moments should not show, in plain words.
            then: what must follow in the same video, in plain words.
            within_seconds: how soon after the end of a moment it must follow.
            max_moments: at most so many moments.
            min_score: patches with a lower score (100 x cosine similarity) do not count.
            gap_seconds: frames of one video closer in time than this belong to one moment.
            video_like: only videos whose path is LIKE this, as in SQL.
            from_seconds: only frames at or after this time in their video.
            to_seconds: only frames at or before this time in their video.
            exact: compare every patch instead of asking the index.
            video_ids: only these videos.
            recorded_from: only frames recorded at or after this time.
            recorded_to: only frames recorded at or before this time.
            min_z: moments with a lower z do not count; None asks for the line of no match (1.0, or what
                :meth:`calibrate` fitted), unless there is a min_score.

        Returns:
            A list of moments, best first, empty where nothing matches; a notebook shows it as a contact sheet.

        Raises:
            DatabaseError: the database holds no video yet.
            UsageError: arguments that contradict each other.
        """
        question = Question(
            prompt=prompt,
            image=Path(image) if image is not None else None,
            without=without,
            then=then,
            within_seconds=within_seconds,
        )
        narrowing = Narrowing(
            max_moments=max_moments,
            min_score=min_score,
            gap_seconds=gap_seconds,
            video_like=video_like,
            from_seconds=from_seconds,
            to_seconds=to_seconds,
            exact=exact,
            video_ids=video_ids,
            recorded_from=recorded_from,
            recorded_to=recorded_to,
            min_z=min_z,
        )
        found = search.search(self.connection, question, narrowing)
        return Moments.found(found, self.connection)

    def judge(self, prompt: str, moment: Moment, is_right: bool) -> None:
        """Note whether a moment answers a prompt, in place of what was said of it before.

        Its score and z are measured by the database, as a search for the prompt finds them.

        Args:
            prompt: what was asked for.
            moment: one of the answer.
            is_right: whether it shows that.

        Raises:
            DatabaseError: the database holds no video yet.
        """
        search.judge(
            self.connection,
            prompt,
            video_id=moment.video_id,
            best_seconds=moment.best_seconds,
            is_right=is_right,
            load=search.load_encoder,
        )

    def calibrate(self) -> Calibration:
        """Fit the lines of possible and likely to the judgements, 20 or more of both kinds.

        Raises:
            DatabaseError: they are too few, all of one kind, or do not go with z; says what is missing.
        """
        return judgements.calibrate(self.connection)

    def uncalibrate(self) -> Calibration:
        """Take the newest :meth:`calibrate` back.

        Raises:
            DatabaseError: there is none.
        """
        return judgements.uncalibrate(self.connection)

    def videos(self) -> list[Video]:
        """All videos, by path; the rows of ``vsdb.videos_view``."""
        return catalog.list_videos(self.connection)

    def remove(self, path: str | Path) -> list[str]:
        """Forget the videos at a path, in a folder, or that match an SQL LIKE pattern with a % in it.

        Returns:
            Their paths; the files themselves are not touched.
        """
        if not str(path):
            raise UsageError("an empty path names no video")
        absolute = os.path.abspath(Path(path).expanduser())
        is_pattern = "%" in str(path) and not catalog.has_path(self.connection, absolute)
        with bounded_wait(self.connection, "the removal"):
            return catalog.remove_videos(self.connection, str(path) if is_pattern else absolute)

    @property
    def model_name(self) -> str | None:
        """Name of the model whose embeddings the database holds; None before the first ingest."""
        if self._database.is_new:
            return None
        model = catalog.get_model(self.connection)
        return model.model_name if model else None

    def close(self) -> None:
        """Close the connection; the embedded server stays up for the next one."""
        self._database.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
