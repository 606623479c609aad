"""Every command's help, and values of options: what they become, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from vsdb.cli.app import app
from vsdb.cli.options import moment_in_time


def commands(command: Any, *words: str) -> Iterator[tuple[str, Any]]:
    """A command, and all below it, by their words."""
    yield " ".join(words), command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *words, name)


@pytest.mark.parametrize(("words", "command"), list(commands(typer.main.get_command(app))))
def test_help_teaches_every_command(words: str, command: Any) -> None:
    run = CliRunner().invoke(app, [*words.split(), "--help"], env={"COLUMNS": "300"})
    shown = " ".join(run.stdout.split())
    assert command.help.splitlines()[0] in shown
    for parameter in command.params:
        assert parameter.help, f"vsdb {words}: {parameter.name} says nothing"
        is_argument = parameter.param_type_name == "argument"
        assert ((is_argument and parameter.metavar) or parameter.opts[0]) in shown


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is no other's: 5:45 ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_kathmandu")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-05-04T09:00:00+02:00", datetime(2026, 5, 4, 7, tzinfo=timezone.utc)),
        ("2026-05-04T20:00-07:00", datetime(2026, 5, 5, 3, tzinfo=timezone.utc)),
        ("2026-05-04T09:00:00Z", datetime(2026, 5, 4, 9, tzinfo=timezone.utc)),
        ("2026-05-04T09:00:00", datetime(2026, 5, 4, 3, 15, tzinfo=timezone.utc)),
        ("2026-05-04", datetime(2026, 5, 3, 18, 15, tzinfo=timezone.utc)),
    ],
)
def test_a_time_keeps_its_zone_and_is_local_without_one(said: str, expected: datetime) -> None:
    given = moment_in_time(said)
    assert given == expected
    assert given is not None
    assert given.tzinfo is not None


def test_what_is_no_time_is_refused() -> None:
    assert moment_in_time(None) is None
    with pytest.raises(typer.BadParameter, match="is no time such as"):
        moment_in_time("yesterday")
