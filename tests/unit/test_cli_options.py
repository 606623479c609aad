"""Values of options: what they become, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest
import typer

from vsdb.cli.options import moment_in_time


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
