"""Counts what was tried, and prints it at the end: the figures of docs/security.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Count = Callable[[str, float], None]


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Count:
    """Notes a figure of a test, such as how many requests it sent; one name's figures are added up."""

    def note(name: str, value: float) -> None:
        request.node.user_properties.append((name, value))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of the tests that passed."""
    figures: dict[str, float] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            figures[name] = figures.get(name, 0) + value
    if figures:
        terminalreporter.section("what was tried")
    for name, value in sorted(figures.items()):
        terminalreporter.write_line(f"{value:>12,.0f}  {name}")
