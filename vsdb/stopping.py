"""How work that is under way is told to stop."""

from __future__ import annotations


def go_on() -> None:
    """Raise nothing: what is under way is wanted."""


class StoppedError(Exception):
    """The work is not wanted any more; no failure, only the way out of a stage."""
