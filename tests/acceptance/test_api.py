"""The Python interface, where it takes more than the commands can give it."""

from __future__ import annotations

from pathlib import Path

import pytest

import vsdb
from tests import clips


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_needs_no_list(
    index: vsdb.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[str] | type[Path]
) -> None:
    clips.write_video(tmp_path / "a.mp4", [0], size=(64, 48)).rename(tmp_path / "clip")
    monkeypatch.chdir(tmp_path)  # a path without "/", whose characters would be whole folders
    (result,) = index.ingest(kind("clip"))
    assert (result.video_path, result.status) == (str(tmp_path / "clip"), "ingested")
