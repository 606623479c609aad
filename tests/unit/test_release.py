"""What ``make release`` writes, and what it refuses."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tools.release import ReleaseError, dated, renumbered

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 25)
OLD = "# Changelog\n\n## Unreleased\n\n### Added\n- a thing\n\n## 0.1.0 - 2026-05-01\n\n- older\n"


def test_what_was_unreleased_gets_a_number_and_a_date() -> None:
    assert dated(OLD, "0.2.0", TODAY) == (
        "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-25\n\n### Added\n- a thing\n\n"
        "## 0.1.0 - 2026-05-01\n\n- older\n"
    )


def test_an_empty_release_is_refused() -> None:
    once = dated(OLD, "0.2.0", TODAY)
    with pytest.raises(ReleaseError, match="nothing stands under"):
        dated(once, "0.3.0", TODAY)


def test_this_changelog_can_be_released() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## 99.0.0 - 2026-11-25\n" in dated(changelog, "99.0.0", TODAY)


@pytest.mark.parametrize("version", ["", "0.1", "0.1.0", "0.0.9", "v2.0.0", "2.0.0rc1"])
def test_a_version_that_is_not_newer_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match=r"newer than 0\.1\.0"):
        renumbered('__version__ = "0.1.0"\n', version)


def test_the_version_stands_in_one_place() -> None:
    source = (ROOT / "vsdb" / "__init__.py").read_text(encoding="utf-8")
    assert '__version__ = "99.0.0"' in renumbered(source, "99.0.0")
    assert "\nversion = " not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
