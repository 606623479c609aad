"""What is stored, what is missing, the demo: ``vsdb videos, remove, status, doctor, demo, migrate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vsdb.api import Index
from vsdb.cli import output
from vsdb.cli.options import Dsn, Json
from vsdb.cli.output import say
from vsdb.config import TINY, resolve
from vsdb.database.connect import open_connection
from vsdb.readable import clock, visible

if TYPE_CHECKING:
    from vsdb.demo import Answer


def videos(dsn: Dsn = None, json: Json = False) -> None:
    """List the videos that can be searched."""
    with Index(resolve(dsn=dsn)) as index:
        rows = index.videos()
    if json:
        print(output.to_json(rows))
    elif rows:
        print(output.videos_table(rows))
    else:
        say('no videos yet; "vsdb ingest PATH" brings some')


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
            print(f"removed  {visible(each)}")
    if not removed:
        say(f'no video at "{path}"; "vsdb videos" lists them')
        raise typer.Exit(1)


def status(dsn: Dsn = None, json: Json = False) -> None:
    """Say what the database holds and how large it is."""
    from vsdb.database.status import read_status

    with Index(resolve(dsn=dsn)) as index:
        report = read_status(index.connection)
    print(output.to_json(report) if json else output.status_table(report))


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
                say(f"{each.name}: {each.remedy}")
    if any(each.state == "fail" for each in checks):
        raise typer.Exit(1)


def demo(dsn: Dsn = None, json: Json = False) -> None:
    """Ingest a bundled, drawn street with the bundled model, and ask for what is in it.

    Needs no weights and no network; takes the embedded database unless told otherwise.
    """
    from rich.console import Console

    from vsdb import demo as street
    from vsdb.cli.progress import ProgressBar

    with ProgressBar(Console(stderr=True)) as progress:
        answers = list(street.run(resolve(dsn=dsn, model=TINY), progress))
    if json:
        print(output.to_json(answers))
    else:
        print(_answers_table(answers))
        say(street.NEXT)
    if not all(each.is_right for each in answers):
        raise typer.Exit(1)


def migrate(dsn: Dsn = None) -> None:
    """Bring the database's tables and functions up to this version; safe to run twice."""
    from vsdb.database import schema

    with open_connection(resolve(dsn=dsn)) as connection:
        applied = schema.migrate(connection)
    for name in applied:
        print(f"applied  {name}")
    say("the database is up to date")


def _answers_table(answers: Sequence[Answer]) -> str:
    """The demo's answers beside the truth."""
    rows = []
    for each in answers:
        found = each.found
        stretch = f"{clock(found.start_seconds)} - {clock(found.end_seconds)}" if found else "nothing"
        truth = f"{clock(each.start_seconds)} - {clock(each.end_seconds)}"
        score = f"{found.score:.1f}" if found else ""
        rows.append((each.prompt, stretch, truth, score, "right" if each.is_right else "WRONG"))
    return output.table(["prompt", "found", "truth", "score", ""], rows, right={1, 2, 3})
