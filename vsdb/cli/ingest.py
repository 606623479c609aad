"""``vsdb ingest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsdb.api import Index
from vsdb.cli.options import Dsn, device_name, moment_in_time, positive
from vsdb.cli.output import ingest_line, say, to_json
from vsdb.config import resolve
from vsdb.types import Sampling

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def ingest(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Videos, folders or globs.")],
    dsn: Dsn = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="RN50x4, tiny (bundled; drawn pictures only), or an open_clip name "
            "(default: the database's, else RN50x4).",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the weights from a .pt or .safetensors file.", show_default=False),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(callback=device_name, help="auto, cpu, cuda or mps (default: auto).", show_default=False),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", callback=positive, help="Sampling step (default: 1.0).", show_default=False),
    ] = None,
    patch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="Side of a patch (default: half the shorter side).",
            show_default=False,
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Step between patches (default: half a patch).", show_default=False),
    ] = None,
    recorded_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When the recording began (default: what the file says).", show_default=False
        ),
    ] = None,
    keyframes: Annotated[
        bool | None,
        typer.Option(
            "--keyframes/--no-keyframes",
            help="Decode key frames only: faster, and as coarse as these lie apart (default: no).",
            show_default=False,
        ),
    ] = None,
    skip_unchanged: Annotated[
        bool | None,
        typer.Option(
            "--skip-unchanged/--no-skip-unchanged",
            help="Do not embed again a patch that looks as before (default: no).",
            show_default=False,
        ),
    ] = None,
    no_thumbnails: Annotated[
        bool, typer.Option("--no-thumbnails", help="Store no small pictures of the frames.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Embed again what was ingested before.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a video, a line each.")] = False,
) -> None:
    """Sample, cut and embed videos, and store their patch embeddings.

    A video that was ingested before is left alone, also under a new path: its content tells. A killed or
    interrupted run stores no half video; run it again to go on.

        vsdb ingest holiday.mp4
        vsdb ingest ~/videos --every 0.5
        vsdb ingest 'cam3/*.mkv' --weights RN50x4.pt
    """
    from rich.console import Console

    from vsdb.cli.progress import ProgressBar

    sampling = Sampling(
        every_seconds=every,
        patch_size=patch_size,
        stride=stride,
        keyframes=keyframes,
        skip_unchanged=skip_unchanged,
        recorded_at=moment_in_time(recorded_at),
        thumbnails=not no_thumbnails,
    )
    failed = done = 0
    try:
        with (
            Index(resolve(dsn=dsn, model=model, device=device)) as index,
            ProgressBar(Console(stderr=True)) as progress,
        ):
            for result in index.ingest_each(paths, weights=weights, sampling=sampling, force=force, reporter=progress):
                done += 1
                failed += result.status == "failed"
                if json or result.status != "failed":
                    progress.print_data(to_json(result) if json else ingest_line(result))
    except KeyboardInterrupt:
        say(f"interrupted after {done} videos, no half video is stored; run the same command to go on")
        raise typer.Exit(INTERRUPTED) from None
    if done == 0:
        say("no videos there")
    if failed:
        say(f"{failed} of {done} videos failed")
        raise typer.Exit(1)
