"""What was printed once and what is printed now."""

from __future__ import annotations

import pytest


def assert_same_output(shown: str, printed: str) -> None:
    """Compare word by word; numbers may differ by 0.5, which is what another processor's arithmetic can do to a score."""
    assert shown.strip()
    shown_lines, printed_lines = shown.strip().splitlines(), printed.strip().splitlines()
    assert len(shown_lines) == len(printed_lines), printed
    for shown_line, printed_line in zip(shown_lines, printed_lines, strict=True):
        for want, got in zip(shown_line.split(), printed_line.split(), strict=True):
            try:
                assert float(got) == pytest.approx(float(want), abs=0.5), printed
            except ValueError:
                assert got == want, printed
