"""Pictures of the page that ``vsdb serve`` opens; for make_pictures.py. Needs Chromium: make browser."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

DESKTOP = (1180, 1080)
PHONE = (390, 844)
QUALITY = 82
GAP = 24
SEARCH = "/?q=a+car"
BEST_SECONDS = 17  # of the first moment
PLAYING = SEARCH + f"&play=1&t=16&at={BEST_SECONDS}"


@contextmanager
def serving(dsn: str) -> Iterator[str]:
    """A server on a database; gives its address."""
    command = [sys.executable, "-m", "vsdb", "serve", "--port", "0"]
    process = subprocess.Popen(command, env={**os.environ, "VSDB_DSN": dsn}, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[2].rstrip("/")
    finally:
        process.terminate()
        process.wait(30)


def photograph(browser: Browser, address: str, size: tuple[int, int], scheme: str) -> Image.Image:
    """The page as it looks at a size in pixels, in the colour scheme ``light`` or ``dark``."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.card img')].slice(0, 2).every(i => i.naturalWidth > 0)"
    )
    if "play=" in address:
        page.wait_for_function("() => document.getElementById('film').readyState > 2")
        page.wait_for_selector(".curve")
        # The folder of the machine that makes the picture is of no interest.
        page.evaluate("document.getElementById('path').textContent = '/videos/street.mp4'")
        page.evaluate(
            "(seconds) => { const film = document.getElementById('film'); film.pause(); film.currentTime = seconds; }",
            BEST_SECONDS,
        )
        page.wait_for_selector("#mark:not([hidden])")
        page.wait_for_function("() => !document.getElementById('film').seeking")
    page.wait_for_timeout(1500)  # until the player's controls are at rest
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return picture


def page_pictures(dsn: str) -> dict[str, bytes]:
    """The page on a desktop, and on a phone in both colour schemes; file name → JPEG."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with serving(dsn) as address, sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        desktop = photograph(browser, address + PLAYING, DESKTOP, "light")
        phones = [
            photograph(browser, address + PLAYING, PHONE, "light"),
            photograph(browser, address + SEARCH, PHONE, "dark"),
        ]
        browser.close()
    return {"page.jpg": as_jpeg(desktop), "page_phone.jpg": as_jpeg(side_by_side(phones))}


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size in a row, on white."""
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), "white")
    for place, picture in enumerate(pictures):
        row.paste(picture, (place * (width + GAP), 0))
    return row


def as_jpeg(picture: Image.Image) -> bytes:
    """The bytes of a JPEG file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()
