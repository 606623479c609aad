"""The commands. Data goes to stdout, progress and messages to stderr; 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from vsdb import cli_db, cli_query, cli_serve, database, output
from vsdb.api import Index
from vsdb.cli_options import Dsn, Json, device_name, moment_in_time, positive
from vsdb.config import TINY, resolve
from vsdb.errors import UsageError, VsdbError, database_message
from vsdb.types import Sampling

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

app = typer.Typer(
    help="Semantic video search in PostgreSQL: ingest videos, then ask for moments in plain words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The database is --dsn, else VSDB_DSN, else an embedded PostgreSQL under VSDB_HOME.",
)


@app.command()
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

    from vsdb.progress import ProgressBar

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
                    progress.print_data(output.to_json(result) if json else output.ingest_line(result))
    except KeyboardInterrupt:
        _say(f"interrupted after {done} videos, no half video is stored; run the same command to go on")
        raise typer.Exit(INTERRUPTED) from None
    if done == 0:
        _say("no videos there")
    if failed:
        _say(f"{failed} of {done} videos failed")
        raise typer.Exit(1)


app.command()(cli_query.query)
app.command()(cli_query.explain)
app.command()(cli_serve.serve)


@app.command()
def videos(dsn: Dsn = None, json: Json = False) -> None:
    """List the videos that can be searched."""
    with Index(resolve(dsn=dsn)) as index:
        rows = index.videos()
    if json:
        print(output.to_json(rows))
    elif rows:
        print(output.videos_table(rows))
    else:
        _say('no videos yet; "vsdb ingest PATH" brings some')


@app.command()
def remove(
    path: Annotated[str, typer.Argument(help="A video, a folder, or an SQL LIKE pattern with a % in it.")],
    dsn: Dsn = None,
    json: Json = False,
) -> None:
    """Forget videos; the files themselves are not touched."""
    with Index(resolve(dsn=dsn)) as index:
        removed = index.remove(path)
    if json:
        print(output.to_json({"removed": removed}))
    else:
        for each in removed:
            print(f"removed  {output.visible(each)}")
    if not removed:
        _say(f'no video at "{path}"; "vsdb videos" lists them')
        raise typer.Exit(1)


@app.command()
def status(dsn: Dsn = None, json: Json = False) -> None:
    """Say what the database holds and how large it is."""
    from vsdb.status import read_status

    with Index(resolve(dsn=dsn)) as index:
        report = read_status(index.connection)
    print(output.to_json(report) if json else report.as_text())


@app.command()
def doctor(dsn: Dsn = None, json: Json = False) -> None:
    """Check device, model, server and schema, and say what to do about what is missing."""
    from vsdb.doctor import examine

    checks = examine(resolve(dsn=dsn))
    if json:
        print(output.to_json(checks))
    else:
        rows = [(each.state, each.name, each.found) for each in checks]
        print(output.table(["", "check", "found"], rows, right=set()))
        for each in checks:
            if each.remedy:
                _say(f"{each.name}: {each.remedy}")
    if any(each.state == "fail" for each in checks):
        raise typer.Exit(1)


@app.command()
def demo(dsn: Dsn = None, json: Json = False) -> None:
    """Ingest a bundled, drawn street with the bundled model, and ask for what is in it.

    Needs no weights and no network; takes the embedded database unless told otherwise.
    """
    from rich.console import Console

    from vsdb import demo as street
    from vsdb.progress import ProgressBar

    with ProgressBar(Console(stderr=True)) as progress:
        answers = list(street.run(resolve(dsn=dsn, model=TINY), progress))
    if json:
        print(output.to_json(answers))
    else:
        print(output.answers_table(answers))
        _say(street.NEXT)
    if not all(each.is_right for each in answers):
        raise typer.Exit(1)


@app.command()
def migrate(dsn: Dsn = None) -> None:
    """Bring the database's tables and functions up to this version; safe to run twice."""
    from vsdb import schema

    with database.open_connection(resolve(dsn=dsn)) as connection:
        applied = schema.migrate(connection)
    for name in applied:
        print(f"applied  {name}")
    _say("the database is up to date")


def _say(message: str) -> None:
    print(output.visible_lines(message), file=sys.stderr)


def main() -> None:
    """Run the command line; errors that vsdb raises on purpose become one line and an exit code."""
    app.add_typer(cli_db.app, name="db")
    for stream in (sys.stdout, sys.stderr):  # file names can be bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _run()
    except UsageError as error:
        _say(f"error: {error}")
        sys.exit(2)
    except UnicodeEncodeError:  # what it was is not shown: a DSN can hold a password
        _say("error: an argument or environment variable holds bytes that are not valid UTF-8")
        sys.exit(2)
    except VsdbError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except psycopg.Error as error:
        _say(f"error: the database says: {database_message(error)}")
        sys.exit(1)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # "vsdb videos | head": not an error
            _say(f"error: {error}")
        if sys.stdout is not None:  # whose rest would be written when Python exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run() -> None:
    """Run the command and write its answer out: a disk that is full must show here, not when Python exits."""
    try:
        app()
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()
