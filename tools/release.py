"""Make a release: what stands under "Unreleased" in the changelog gets a number and a date.

    python tools/release.py 0.2.0

Refuses an empty "Unreleased", a version that is not newer, and a tree with changes; pushes nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHANGELOG = "CHANGELOG.md"
VERSION_FILE = "vsdb/__init__.py"


class ReleaseError(Exception):
    """The release cannot be made; its text says why."""


def dated(changelog: str, version: str, today: date) -> str:
    """The changelog with everything that is unreleased under a version and a date, and a new "Unreleased"."""
    found = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, flags=re.M | re.S)
    if found is None or not re.search(r"^- ", found[1], flags=re.M):
        raise ReleaseError('nothing stands under "Unreleased" in CHANGELOG.md: what would be released?')
    return f"{changelog[: found.start()]}## Unreleased\n\n## {version} - {today}\n{changelog[found.start(1) :]}"


def renumbered(source: str, version: str) -> str:
    """The package's source with a newer version in it."""
    found = re.search(r'^__version__ = "(.+)"$', source, flags=re.M)
    if found is None:
        raise ReleaseError(f"no __version__ in {VERSION_FILE}")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version) or _numbers(version) <= _numbers(found[1]):
        raise ReleaseError(f'"{version}" is not a version such as 1.2.3 that is newer than {found[1]}')
    return source[: found.start(1)] + version + source[found.end(1) :]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def release(version: str) -> None:
    """Write, commit and tag; see the top of this file."""
    if _git("status", "--porcelain"):
        raise ReleaseError("there are changes that are not committed")
    changelog, source = ROOT / CHANGELOG, ROOT / VERSION_FILE
    new_source = renumbered(source.read_text(encoding="utf-8"), version)
    changelog.write_text(dated(changelog.read_text(encoding="utf-8"), version, date.today()), encoding="utf-8")
    source.write_text(new_source, encoding="utf-8")
    _git("commit", "--quiet", "--message", f"Release {version}", CHANGELOG, VERSION_FILE)
    _git("tag", f"v{version}")


if __name__ == "__main__":
    try:
        release(sys.argv[1] if len(sys.argv) == 2 else "")
    except ReleaseError as error:
        sys.exit(f"error: {error}")
