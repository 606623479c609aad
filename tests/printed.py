"""What was printed once and what is printed now."""

from __future__ import annotations

import re

import pytest

DECIMAL = re.compile(r"\d+\.\d+")


def assert_same_output(shown: str, printed: str) -> None:
    """Compare line by line, spaces aside; decimals may differ by 0.5: another processor's arithmetic changes scores."""
    assert shown.strip()
    shown_lines, printed_lines = shown.strip().splitlines(), printed.strip().splitlines()
    assert len(shown_lines) == len(printed_lines), printed
    for want, got in zip(shown_lines, printed_lines, strict=True):
        assert DECIMAL.sub("#", want).split() == DECIMAL.sub("#", got).split(), printed
        wanted, found = ([float(number) for number in DECIMAL.findall(line)] for line in (want, got))
        assert found == pytest.approx(wanted, abs=0.5), printed
