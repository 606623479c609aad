"""``vsdb query`` and ``vsdb explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vsdb import search
from vsdb.api import Index
from vsdb.cli import output
from vsdb.cli.options import (
    Clip,
    Dsn,
    From,
    Json,
    MaxMoments,
    Open,
    Reencode,
    Save,
    To,
    Video,
    anywhere,
    moment_in_time,
    not_negative,
    positive,
)
from vsdb.config import resolve
from vsdb.database import Connection
from vsdb.errors import UsageError
from vsdb.look.own_files import check_folder
from vsdb.moments import Moments
from vsdb.types import Moment


def query(
    prompt: Annotated[str | None, typer.Argument(help="What to look for, in plain words.", show_default=False)] = None,
    dsn: Dsn = None,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Look for what this picture shows.", show_default=False)
    ] = None,
    without: Annotated[
        str | None,
        typer.Option("--not", metavar="TEXT", help="And what it should not show.", show_default=False),
    ] = None,
    then: Annotated[
        str | None, typer.Option(metavar="TEXT", help="And what must follow in the same video.", show_default=False)
    ] = None,
    within: Annotated[
        float, typer.Option(metavar="SECONDS", callback=positive, help="How soon --then must follow.")
    ] = search.DEFAULT_WITHIN_SECONDS,
    max_moments: MaxMoments = search.Narrowing.max_moments,
    min_score: Annotated[
        float | None,
        typer.Option(metavar="S", help="Only patches with at least this score (100 x cosine).", show_default=False),
    ] = None,
    min_z: Annotated[
        float | None,
        typer.Option(
            metavar="Z",
            help="Only moments so many standard deviations above what unrelated prompts score.",
            show_default=False,
        ),
    ] = None,
    gap: Annotated[
        float,
        typer.Option(metavar="SECONDS", callback=not_negative, help="Hits closer in time than this are one moment."),
    ] = search.Narrowing.gap_seconds,
    video: Video = None,
    from_seconds: From = None,
    to_seconds: To = None,
    recorded_from: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was recorded from then on.", show_default=False)
    ] = None,
    recorded_to: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was recorded until then.", show_default=False)
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every patch, not only what the index finds.")] = False,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    save: Save = None,
    clip: Clip = None,
    reencode: Reencode = False,
    play: Open = False,
) -> None:
    """Find the moments that answer a prompt, best first.

    vsdb query 'a laundromat sign'
    vsdb query 'a red car' -n 20 --video 'cam3/%' --json
    vsdb query --image bicycle.jpg
    vsdb query 'a red car' --then 'a dog' --within 30
    vsdb query 'a red car' --save pictures --clip clips --open
    """
    if json and csv:
        raise UsageError("--json and --csv exclude each other")
    if reencode and clip is None:
        raise UsageError("--reencode says how to cut; give --clip DIR too")
    for folder in (each for each in (save, clip) if each is not None):
        check_folder(folder)
    question = search.Question(prompt=prompt, image=image, without=without, then=then, within_seconds=within)
    narrowing = search.Narrowing(
        max_moments=max_moments,
        min_score=min_score,
        min_z=min_z,
        gap_seconds=gap,
        video_like=anywhere(video),
        from_seconds=from_seconds,
        to_seconds=to_seconds,
        recorded_from=moment_in_time(recorded_from),
        recorded_to=moment_in_time(recorded_to),
        exact=exact,
    )
    with Index(resolve(dsn=dsn)) as index:
        moments = Moments.found(search.search(index.connection, question, narrowing), index.connection)
        if json:
            print(output.moments_json(prompt or str(image), index.model_name, moments))
        elif csv:
            print(output.moments_csv(moments))
        elif moments:
            print(output.moments_table(moments))
        if not moments:
            output.say(_no_match(index.connection, question, narrowing))
        elif not _look(moments, _named(question), save=save, clip=clip, reencode=reencode, play=play):
            raise typer.Exit(1)


def _no_match(connection: Connection, question: search.Question, narrowing: search.Narrowing) -> str:
    """What to say where nothing matches: the nearest, or how to widen the search."""
    near = search.nearest(connection, question, narrowing)
    if near is None:
        return "nothing matches; widen the search (--min-score, --min-z, --video, --from, --to)"
    return f"nothing matches; the nearest is {output.nearest(near)}; --min-z -9 shows it"


def _named(question: search.Question) -> str:
    """What files of the answer are named after."""
    return question.prompt or (question.image.stem if question.image else "")


def _look(
    moments: list[Moment], name: str, *, save: Path | None, clip: Path | None, reencode: bool, play: bool
) -> bool:
    """Show what was found in the ways asked for; whether all of it could be shown."""
    if not (save or clip or play):
        return True
    from vsdb.cli import look  # decodes and draws; an answer in words does without

    sys.stdout.flush()
    done = [look.play_first(moments)] if play else []
    done += [look.save_frames(moments, name, save)] if save else []
    done += [look.cut_clips(moments, name, clip, reencode=reencode)] if clip else []
    return all(done)


def explain(
    prompt: Annotated[str, typer.Argument(help="The prompt, in plain words.")],
    dsn: Dsn = None,
    max_moments: MaxMoments = search.Narrowing.max_moments,
    video: Video = None,
    from_seconds: From = None,
    to_seconds: To = None,
    json: Json = False,
) -> None:
    """Show how a search is done: scan, candidates, recall against the exact answer, time of each step."""
    narrowing = search.Narrowing(
        max_moments=max_moments, video_like=anywhere(video), from_seconds=from_seconds, to_seconds=to_seconds
    )
    with Index(resolve(dsn=dsn)) as index:
        steps = search.explain(index.connection, prompt, narrowing)
    if json:
        rows = [{"step": step, "result": result, "milliseconds": milliseconds} for step, result, milliseconds in steps]
        print(output.to_json(rows))
    else:
        cells = [
            (step, "" if milliseconds is None else f"{milliseconds:.1f}", result)
            for step, result, milliseconds in steps
        ]
        print(output.table(["step", "ms", "result"], cells, right={1}))
