"""A real browser on a real server: one of each a worker, a fresh profile a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect, sync_playwright

from tests.serving import Served, serving

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        bundled = playwright.chromium.executable_path
        program = next(filter(None, map(shutil.which, PROGRAMS)), bundled)
        if not Path(program).exists():
            reason = f'no browser here: none of {", ".join(PROGRAMS)}; "make browser" brings one'
            if os.environ.get("VSDB_REQUIRE_BROWSER") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        expect.set_options(timeout=30_000)  # a machine that runs other tests beside is slow
        flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS  # Chromium's sandbox does not run as root
        running = playwright.chromium.launch(executable_path=program, args=flags)
        yield running
        running.close()


@pytest.fixture(scope="session")
def served(street_dsn: str) -> Iterator[Served]:
    """A server on the demo's street."""
    with serving(VSDB_DSN=street_dsn) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages in a profile of their own; what the page itself complains about fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note_console(message: ConsoleMessage) -> None:
        # A refused request is said on the page, and by the browser here as well.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    def note_dialog(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    def open_one(address: str, *, width: int = 1280, height: int = 900) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", note_console)
        page.on("dialog", note_dialog)
        page.goto(address)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []
