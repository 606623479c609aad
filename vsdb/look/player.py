"""Play a video from a second on, in whatever player the person has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from vsdb.errors import OutputError
from vsdb.media.files import check_readable
from vsdb.readable import clock

MACOS_VLC = "/Applications/VLC.app/Contents/MacOS/VLC"
LOOK_SECONDS = 1.0  # a player that cannot start ends within that time


def play(path: Path, seconds: float) -> str:
    """Start mpv or vlc at a second of a video, else the system's player at its beginning; do not wait for its end.

    Returns:
        What was started, in words.

    Raises:
        VideoError: the video cannot be read.
        OutputError: there is no player, or it ended at once.
    """
    check_readable(path)
    command, starts_there = _command(path, seconds)
    with_name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise OutputError(f"{with_name} cannot be started: {error.strerror or error}") from None
    try:
        status = process.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        status = 0  # it plays
    if status:
        raise OutputError(f"{with_name} ended at once with {status}; is there a screen to play on? The file is {path}")
    if starts_there:
        return f"playing {path} from {clock(seconds)} with {with_name}"
    return f"opened {path} with {with_name}; go to {clock(seconds)} (with mpv or vlc it would begin there)"


def _command(path: Path, seconds: float) -> tuple[list[str], bool]:
    """What to run, and whether it begins at the second."""
    if mpv := shutil.which("mpv"):
        return [mpv, f"--start={seconds:.3f}", "--", str(path)], True
    vlc = shutil.which("vlc") or shutil.which(MACOS_VLC)
    if vlc:
        return [vlc, f"--start-time={seconds:.3f}", str(path)], True
    system = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if system:
        return [system, str(path)], False
    raise OutputError("no player found; install mpv or vlc")
