"""Times and text as people can read them."""

from __future__ import annotations

import re

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def clock(seconds: float) -> str:
    """Seconds as people read them: ``0:07.0``, ``12:30.5``, ``1:02:03.0``."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{tenths / 10:04.1f}" if hours else f"{minutes}:{tenths / 10:04.1f}"
    return f"{hours}:{text}" if hours else text


def visible(text: str) -> str:
    """Text with its control characters written out: a file's name must not steer the terminal or break a line.

    Those of C0 and C1, line and paragraph separators, and the marks that turn the direction of writing around.
    Source: Unicode, UAX 9 (bidirectional) and "Trojan Source".
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    """The same for messages of several lines, which stay lines."""
    return "\n".join(visible(line) for line in text.split("\n"))


def visible_json(text: str) -> str:
    """JSON with the same characters in JSON's own escapes: it means what it meant."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
