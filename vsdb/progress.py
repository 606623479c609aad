"""What a person sees on stderr while videos are ingested."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from vsdb.output import clock
from vsdb.types import IngestResult


class ProgressBar:
    """A bar on a terminal; in a pipe or a log only what matters afterwards: skipped files and failures."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[time]}  {task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, time="", speed="", visible=False)
        self._began = 0.0
        self._duration_seconds = 0.0

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def skipped(self, path: Path, reason: str) -> None:
        """Say that a file of a folder was passed over."""
        self._say(f"skipping {path}: {reason}")

    def preparing(self, step: str) -> None:
        """Show what is being done."""
        self._show(step)

    def started(self, path: Path, duration_seconds: float) -> None:
        """Begin the bar of one video."""
        self._began = time.monotonic()
        self._duration_seconds = duration_seconds
        self._show(path.name)
        self._bar.reset(self._task, total=duration_seconds or None, visible=True)

    def advanced(self, pts_seconds: float, num_patches: int) -> None:
        """Move the bar to a time of the video."""
        elapsed = max(time.monotonic() - self._began, 1e-6)
        self._bar.update(
            self._task,
            completed=pts_seconds,
            time=f"{clock(pts_seconds)} / {clock(self._duration_seconds)}",
            speed=f"{pts_seconds / elapsed:.1f}x realtime  {num_patches / elapsed:.0f} patches/s",
        )

    def finished(self, result: IngestResult) -> None:
        """End the bar; say what failed."""
        self._bar.update(self._task, visible=False)
        if result.status == "failed":
            self._say(f"failed {result.video_path}: {result.reason}")

    def print_data(self, line: str) -> None:
        """Print a line of results to stdout without tearing the bar."""
        if self._console.is_terminal and sys.stdout.isatty():
            self._say(line)
        else:
            print(line, flush=True)

    def _show(self, description: str) -> None:
        self._bar.update(self._task, description=escape(description), time="", speed="", visible=True)

    def _say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
