"""Who is told how far an ingest is; called from one thread, the caller's."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from vsdb.types import IngestResult


class Reporter(Protocol):
    """Is told how far an ingest is, so that someone can be shown."""

    def skipped(self, path: Path, reason: str) -> None:
        """A file of a folder was passed over."""

    def warned(self, message: str) -> None:
        """Something went wrong that harms no video."""

    def preparing(self, step: str) -> None:
        """Something that takes seconds is about to be done, such as loading the model."""

    def started(self, path: Path, duration_seconds: float) -> None:
        """A video is about to be embedded; the duration is 0.0 where the file does not tell."""

    def advanced(self, pts_seconds: float, num_patches: int) -> None:
        """So much of the video is stored."""

    def finished(self, result: IngestResult) -> None:
        """The video is done, one way or the other."""


class SilentReporter:
    """Tells nobody."""

    def skipped(self, path: Path, reason: str) -> None: ...
    def warned(self, message: str) -> None: ...
    def preparing(self, step: str) -> None: ...
    def started(self, path: Path, duration_seconds: float) -> None: ...
    def advanced(self, pts_seconds: float, num_patches: int) -> None: ...
    def finished(self, result: IngestResult) -> None: ...
