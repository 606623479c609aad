"""``vsdb judge`` and ``vsdb calibrate``: the user says which answers are right, and the lines follow."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from vsdb import search
from vsdb.api import Index
from vsdb.cli import output
from vsdb.cli.options import Dsn, Json, MaxMoments, Video, anywhere
from vsdb.cli.output import say
from vsdb.config import resolve
from vsdb.database import Connection
from vsdb.database.judgements import read_reliability
from vsdb.errors import UsageError
from vsdb.moments import Moments
from vsdb.readable import clock, visible
from vsdb.types import Calibration, Moment

KEYS = "y(es), n(o), s(kip), o(pen), q(uit)"


def judge(
    prompt: Annotated[str, typer.Argument(help="What to look for, in plain words.")],
    dsn: Dsn = None,
    max_moments: MaxMoments = search.Narrowing.max_moments,
    min_z: Annotated[
        float | None,
        typer.Option(metavar="Z", help="Show moments from this z on; -9 shows what is left out.", show_default=False),
    ] = None,
    video: Video = None,
    right: Annotated[
        str | None,
        typer.Option("--yes", metavar="RANKS", help="These are right, such as 1,2 or 1-4.", show_default=False),
    ] = None,
    wrong: Annotated[
        str | None, typer.Option("--no", metavar="RANKS", help="These are wrong.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Say which moments answer a prompt; vsdb calibrate learns from it.

    Asks for one moment after the other, unless --yes or --no says it. Judge again to change your mind.

        vsdb judge 'a red car'
        vsdb judge 'a red car' --min-z -9 -n 20
        vsdb judge 'a red car' --yes 1-3 --no 4,6
    """
    load = functools.cache(search.load_encoder)  # a model that SQL cannot compute is loaded once
    question = search.Question(prompt=prompt)
    narrowing = search.Narrowing(max_moments=max_moments, min_z=min_z, video_like=anywhere(video))
    with Index(resolve(dsn=dsn)) as index:
        connection = index.connection
        moments = Moments.found(search.search(connection, question, narrowing, load=load), connection)
        is_asked = right is None and wrong is None
        answers = _ask(prompt, moments) if is_asked else _given(moments, right or "", wrong or "")
        stored = []
        for moment, is_right in answers:
            video_id, at = moment.video_id, moment.best_seconds
            search.judge(connection, prompt, video_id=video_id, best_seconds=at, is_right=is_right, load=load)
            stored.append(is_right)
        _report(connection, prompt, stored, json=json)


def _given(moments: Sequence[Moment], right: str, wrong: str) -> Iterator[tuple[Moment, bool]]:
    """The answers of --yes and --no; all are looked at before the first is stored."""
    answers = dict.fromkeys(_ranks("--yes", right, len(moments)), True)
    for rank in _ranks("--no", wrong, len(moments)):
        if rank in answers:
            raise UsageError(f"rank {rank} is in --yes and in --no")
        answers[rank] = False
    return iter([(moments[rank - 1], is_right) for rank, is_right in answers.items()])


def _ranks(option: str, text: str, num_moments: int) -> list[int]:
    """The ranks of a list such as ``1,3-5``."""
    ranks: list[int] = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part, flags=re.ASCII)
        if found is None:
            raise UsageError(f'{option} "{text}" is no list of ranks, such as 1,3-5')
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= num_moments:
            raise UsageError(f"{option} {part.strip()}: the answer has {num_moments} moments; see vsdb query")
        ranks += range(first, last + 1)
    return ranks


def _ask(prompt: str, moments: Sequence[Moment]) -> Iterator[tuple[Moment, bool]]:
    """Ask the person at the terminal for one moment after the other."""
    if not moments:
        say("nothing matches, so there is nothing to judge; --min-z -9 shows what is left out")
        return
    say(output.moments_table(moments))
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to answer at; say which ranks are right: --yes 1,2 --no 3")
    say(f'does each of these show "{prompt}"? {KEYS}')
    for moment in moments:
        key = _key(moment)
        if key == "q":
            return
        if key != "s":
            yield moment, key == "y"


def _key(moment: Moment) -> str:
    """The first letter of an answer; the end of the input quits."""
    while True:
        where = f"{moment.rank}. {clock(moment.best_seconds)} {visible(moment.video_path)} "
        print(where, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        key = line.strip().lower()[:1] if line else "q"
        if key in ("y", "n", "s", "q"):
            return key
        if key == "o":
            from vsdb.cli import look  # decodes; a judgement in words does without

            look.play_first([moment])
        else:
            say(KEYS)


def _report(connection: Connection, prompt: str, stored: list[bool], *, json: bool) -> None:
    """Say what was stored, and what comes next."""
    num_right, num_wrong = stored.count(True), stored.count(False)
    counts = read_reliability(connection)
    total = counts.num_likely + counts.num_possible + counts.num_below
    if json:
        print(
            output.to_json({"prompt": prompt, "num_right": num_right, "num_wrong": num_wrong, "num_judgements": total})
        )
    say(f'judged {num_right} right and {num_wrong} wrong; {total} in all, and "vsdb calibrate" learns from 20 on')


def calibrate(
    dsn: Dsn = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last calibration back.")] = False,
    json: Json = False,
) -> None:
    """Fit the lines of possible and likely to what vsdb judge was told, from 20 judgements on.

    possible begins where half of the moments are right, likely where nine of ten are.
    """
    with Index(resolve(dsn=dsn)) as index:
        changed = index.uncalibrate() if undo else index.calibrate()
    print(output.to_json(changed) if json else _calibration_table(changed))
    if changed.num_judgements is None:
        say("the lines are those that vsdb comes with")
    else:
        say(f'fitted to {changed.num_judgements} judgements; "vsdb calibrate --undo" takes the last fit back')


def _calibration_table(changed: Calibration) -> str:
    rows = [
        ("likely", f"{changed.likely_before:.2f}", f"{changed.likely:.2f}"),
        ("possible", f"{changed.possible_before:.2f}", f"{changed.possible:.2f}"),
    ]
    return output.table(["match", "from z before", "from z now"], rows, right={1, 2})
