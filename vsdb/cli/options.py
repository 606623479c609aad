"""Options that several commands take, and what their values must be."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from vsdb.config import DEVICES

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        metavar="DSN",
        help="PostgreSQL to use (default: VSDB_DSN, else the embedded one). Keep passwords in VSDB_DSN or ~/.pgpass.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MaxMoments = Annotated[int, typer.Option("-n", min=1, max=10_000, metavar="N", help="At most so many moments.")]


def positive(value: float | None) -> float | None:
    """A number above 0."""
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"{value} is not a number above 0")
    return value


def not_negative(value: float | None) -> float | None:
    """A number of seconds from 0 up."""
    if value is not None and not 0 <= value < float("inf"):
        raise typer.BadParameter(f"{value} is not a number of seconds from 0 up")
    return value


def device_name(value: str | None) -> str | None:
    """The name of a device that torch may have."""
    if value is not None and value not in DEVICES:
        raise typer.BadParameter(f'"{value}" is not one of {", ".join(DEVICES)}')
    return value


def moment_in_time(value: str | None) -> datetime | None:
    """A date or time in ISO 8601; local time where it names no zone."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):  # also of times that no calendar holds in the local zone
        raise typer.BadParameter(f'"{value}" is no time such as 2026-11-22T14:30 or 2026-11-22') from None


def anywhere(pattern: str | None) -> str | None:
    """Let a pattern that does not begin at the root match anywhere in a path: they are stored whole."""
    if pattern is None or pattern.startswith(("/", "%")):
        return pattern
    return "%/" + pattern


Video = Annotated[
    str | None,
    typer.Option(metavar="PATTERN", help="Only videos whose path is LIKE this, such as 'cam3/%'.", show_default=False),
]
From = Annotated[
    float | None,
    typer.Option(
        "--from",
        metavar="SECONDS",
        callback=not_negative,
        help="Only from this time of a video on.",
        show_default=False,
    ),
]
To = Annotated[
    float | None,
    typer.Option(
        "--to", metavar="SECONDS", callback=not_negative, help="Only up to this time of a video.", show_default=False
    ),
]

_LOOK = "See what was found"
Save = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write each moment's best frame with its box, and a contact sheet.",
        show_default=False,
        rich_help_panel=_LOOK,
    ),
]
Clip = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Cut each moment out, as it is, from the key frame before it.",
        show_default=False,
        rich_help_panel=_LOOK,
    ),
]
Reencode = Annotated[
    bool, typer.Option("--reencode", help="Encode --clip again and so cut exactly.", rich_help_panel=_LOOK)
]
Open = Annotated[
    bool,
    typer.Option("--open", help="Play the best moment: mpv, vlc or the system's player.", rich_help_panel=_LOOK),
]
