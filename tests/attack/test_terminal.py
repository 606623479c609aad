"""What reaches a terminal, Ctrl-C at any time, and too little memory."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import clips
from tests.attack.conftest import Count
from tests.conftest import clean_environment
from vsdb.readable import visible

STEERING = [
    *map(chr, range(0x20)),
    "\x7f",
    *map(chr, range(0x80, 0xA0)),
    "\u061c",
    "\u200e",
    "\u200f",
    "\u2028",
    "\u2029",
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
]
IN_NAMES = [each for each in STEERING if each not in "\0"]
ODD = "odd " + "".join(IN_NAMES) + " name"
MEGABYTE = 1 << 20
INTERRUPTS = 20

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def on_terminal(dsn: str, *arguments: str) -> tuple[str, int]:
    """Run a command whose stdout and stderr are a terminal; what that shows, and the exit code."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vsdb", *arguments],
        env={**clean_environment(), "VSDB_DSN": dsn, "TERM": "dumb", "COLUMNS": "4000", "NO_COLOR": "1"},
        stdout=end,
        stderr=end,
    )
    os.close(end)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal whose other end is closed reads as an error
        while block := os.read(terminal, 4096):
            shown += block
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n"), process.wait(60)


def steering_in(text: str) -> set[str]:
    return set(STEERING) & set(text) - {"\n"}


def test_all_that_steers_is_made_visible() -> None:
    assert steering_in(visible("".join(STEERING))) == set()
    assert "\n" not in visible("\n")
    assert visible("\x1b[2J\u202e\x85") == "\\x1b[2J\\u202e\\x85"
    assert visible("naïve 映画 🚗 עברית") == "naïve 映画 🚗 עברית"


def test_no_command_and_no_format_steers_a_terminal(dsn: str, tmp_path: Path, count: Count) -> None:
    folder = tmp_path / ODD.replace("/", "")
    folder.mkdir()
    clips.write_video(folder / "film.mp4", range(0, 2400, 200), size=(64, 48))
    (folder / f"bad {ODD}.mp4").write_bytes(b"no video")
    ingested, code = on_terminal(dsn, "ingest", str(folder), "--model", "tiny")
    assert code == 1
    outputs = [ingested]
    for arguments in (
        ["videos"],
        ["videos", "--json"],
        ["query", "a dog", "--min-z", "-9"],
        ["query", "a dog", "--min-z", "-9", "--json"],
        ["query", "a dog", "--min-z", "-9", "--csv"],
        ["query", f"a dog {ODD}", "--min-z", "-9", "--json"],
        ["query", "a dog", "--min-score", "99"],
        ["query", "--image", str(folder / "nothing.jpg")],
        ["query", "a dog", "--from", ODD],
        ["query", "a dog", "--recorded-from", ODD],
        ["query", "a dog", "--min-z", "-9", "--save", str(tmp_path / ODD)],
        ["query", "a dog", "--min-z", "-9", "--clip", str(tmp_path / ODD)],
        ["explain", ODD],
        ["status"],
        ["doctor"],
        ["ingest", str(folder), "--model", "tiny", "--json"],
        ["ingest", f"{folder}/none/*.mp4", "--model", "tiny"],
        ["ingest", str(folder), "--model", ODD],
        ["remove", str(tmp_path / ODD / "nothing")],
        [ODD],
        [f"--{ODD}"],
        ["videos", "--dsn", f"postgresql://x@127.0.0.1:1/{ODD}".replace("\n", "")],
        ["migrate"],
        ["db", "start", ODD],
        ["remove", str(folder)],
    ):
        shown, _ = on_terminal(dsn, *arguments)
        assert steering_in(shown) == set(), (arguments, shown)
        assert "Traceback" not in shown
        outputs.append(shown)
    assert sum("\\x1b" in shown or "\\u001b" in shown for shown in outputs) > 10
    count("commands and formats with names that steer", len(outputs))


def test_programs_get_the_names_as_they_are(tmp_path: Path, run_vsdb: Run) -> None:
    name = f"{ODD}.mp4"
    clips.write_video(tmp_path / name, [0, 1000], size=(64, 48))
    run_vsdb("ingest", str(tmp_path), "--model", "tiny")
    assert [video["video_path"] for video in json.loads(run_vsdb("videos", "--json").stdout)] == [str(tmp_path / name)]
    assert steering_in(run_vsdb("videos", "--json").stdout) == set()


def test_an_interrupt_at_any_time_is_no_traceback(small_dsn: str, count: Count) -> None:
    """From the first moment on: while Python starts, while vsdb is imported, while it works."""
    rng = random.Random(3)
    for number in range(INTERRUPTS):
        process = subprocess.Popen(
            [sys.executable, "-m", "vsdb", *(["videos"] if number % 2 else ["doctor"])],
            env={**clean_environment(), "VSDB_DSN": small_dsn},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while "vsdb" not in Path(f"/proc/{process.pid}/cmdline").read_text():
            time.sleep(0.001)
        time.sleep(0.04 + rng.uniform(0, 0.6))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT), err
        assert "Traceback" not in err
        assert err in ("", "interrupted\n")
    count("interrupts", INTERRUPTS)


@pytest.mark.parametrize("megabytes", [60, 90, 130, 200, 300, 500, 800])
def test_too_little_memory_is_a_sentence(small_dsn: str, megabytes: int, count: Count) -> None:
    run = subprocess.run(
        ["prlimit", f"--as={megabytes * MEGABYTE}", sys.executable, "-m", "vsdb", "status"],
        env={**clean_environment(), "VSDB_DSN": small_dsn},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in run.stderr
    if run.returncode == 1:
        assert "error: " in run.stderr
    count("starts with too little memory", 1)
