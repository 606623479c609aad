"""All stored videos embedded again with another model, beside the old embeddings, and then the switch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from vsdb.database import Connection, staging
from vsdb.database.connect import Database
from vsdb.database.staging import VideoToStage
from vsdb.database.upkeep import after_ingest
from vsdb.errors import VideoError
from vsdb.ingest.model import ModelChoice
from vsdb.ingest.reporter import Reporter
from vsdb.ingest.run import Ingest
from vsdb.types import IngestResult, Sampling, VideoSampling


def reembed(database: Database, *, model: ModelChoice, reporter: Reporter) -> Iterator[IngestResult]:
    """Embed every stored video with a model, then let searches answer with it.

    A run that is cut off goes on where it was: what is embedded stays. What cannot be embedded, such as a video whose
    file is gone, is told first, and keeps the switch from being made.

    Args:
        database: which holds the videos.
        model: the new one.
        reporter: is told of the progress.

    Raises:
        VsdbError: nothing can be embedded at all, or not everything was; searches answer as before.
    """
    connection = database.connection
    with staging.staging(connection, model.name):
        videos = staging.videos_to_stage(connection)
        for video in videos:
            if not Path(video.video_path).exists():
                reporter.skipped(Path(video.video_path), "the file is not there")
        for sampling, group in groupby(videos, key=lambda video: video.sampling):
            yield from _reembed_group(database, sampling, list(group), model, reporter)
        with staging.staged(connection):  # an earlier run may have been cut off before it
            after_ingest(connection, on_step=reporter.preparing, on_warning=reporter.warned)
        staging.switch(connection)


def _reembed_group(
    database: Database, used: VideoSampling, videos: list[VideoToStage], model: ModelChoice, reporter: Reporter
) -> Iterator[IngestResult]:
    """Embed videos that were sampled alike, each in a transaction of its own."""
    there = [video for video in videos if Path(video.video_path).exists()]
    ingest = Ingest(database, model=model, sampling=Sampling(**vars(used), thumbnails=False), reporter=reporter)
    with closing(ingest.run([Path(video.video_path) for video in there])) as results:
        for video in there:
            yield _next(database.connection, results, video, reporter)
        with staging.staged(database.connection):
            next(results, None)  # the upkeep after the last video


def _next(
    connection: Connection, results: Iterator[IngestResult], video: VideoToStage, reporter: Reporter
) -> IngestResult:
    result: IngestResult | None = None
    try:
        with staging.staged(connection):
            staging.expect(connection, video)
            result = next(results)
            if result.status != "failed" and not staging.adopt(connection, video):
                raise VideoError("the file is not what was ingested: ingest it again, or bring the old one back")
    except VideoError as error:
        assert result is not None  # it is raised here
        result = replace(result, status="failed", num_frames=0, num_patches=0, reason=str(error))
        reporter.finished(result)
    return result
