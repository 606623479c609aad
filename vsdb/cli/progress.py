"""What a person sees on stderr while videos are ingested."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from vsdb.readable import clock, visible, visible_lines
from vsdb.types import IngestResult

NAME_WIDTH = 20


class ProgressBar:
    """A bar on a terminal; in a pipe or a log only what matters afterwards: skipped files and failures."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[time]} {task.fields[speed]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=False,  # rich would send it to stderr: results must reach a pipe
            redirect_stderr=False,
        )
        self._task: TaskID | None = None
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

    def warned(self, message: str) -> None:
        """Say what went wrong without harm to the videos."""
        self._say(f"warning: {message}")

    def preparing(self, step: str) -> None:
        """Show what is being done."""
        self._new_task(step, total=None)

    def started(self, path: Path, duration_seconds: float) -> None:
        """Begin the bar of one video."""
        name = path.name if len(path.name) <= NAME_WIDTH else path.name[: NAME_WIDTH - 1] + "…"
        self._began = time.monotonic()
        self._duration_seconds = duration_seconds
        self._new_task(name, total=duration_seconds or None)

    def advanced(self, pts_seconds: float, num_patches: int) -> None:
        """Move the bar to a time of the video."""
        if self._task is None:
            return
        elapsed = max(time.monotonic() - self._began, 1e-6)
        of_total = f"/{clock(self._duration_seconds)}" if self._duration_seconds else ""
        self._bar.update(
            self._task,
            completed=pts_seconds,
            time=f"{clock(pts_seconds)}{of_total}",
            speed=f"{pts_seconds / elapsed:.1f}x {num_patches / elapsed:.0f} patches/s",
        )

    def finished(self, result: IngestResult) -> None:
        """End the bar; say what failed."""
        self._end_task()
        if result.status == "failed":
            self._say(f"failed {result.video_path}: {result.reason}")

    def print_data(self, line: str) -> None:
        """Print a line of results to stdout, without the bar in its way."""
        if self._console.is_terminal:
            self._bar.stop()
        print(line, flush=True)
        if self._console.is_terminal:
            self._bar.start()

    def _new_task(self, description: str, *, total: float | None) -> None:
        self._end_task()
        self._task = self._bar.add_task(escape(visible(description)), total=total, time="", speed="")

    def _end_task(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def _say(self, line: str) -> None:
        self._bar.console.print(visible_lines(line), markup=False, highlight=False, soft_wrap=True)
