"""Counts what was tried, and prints it at the end: the figures of docs/security.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import vsdb
from tests import clips
from tests.servers import Server
from tests.serving import Served, serving

Count = Callable[[str, float], None]


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Count:
    """Notes a figure of a test, such as how many requests it sent; one name's figures are added up."""

    def note(name: str, value: float) -> None:
        request.node.user_properties.append((name, value))

    return note


@pytest.fixture(scope="session")
def small_dsn(
    server: Server, template: str, session_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """DSN of a database with one small video, 4 s; tests only read it."""
    clip = clips.write_video(tmp_path_factory.mktemp("small") / "small.mp4", range(0, 4000, 200), size=(64, 48))
    dsn = server.dsn(session_database("small", template=template))
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as index:
        index.ingest([clip])
    return dsn


@pytest.fixture
def served(small_dsn: str) -> Iterator[Served]:
    """A server of its own on the small database."""
    with serving(VSDB_DSN=small_dsn) as running:
        yield running


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
