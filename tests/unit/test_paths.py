"""Which files a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsdb.ingest.paths import find_videos


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ["b.mp4", "a.MKV", "notes.txt", "deep/c.webm", ".hidden/d.mp4", "odd[1].mp4"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def find(*paths: str | Path) -> tuple[list[Path], dict[Path, str]]:
    skipped: dict[Path, str] = {}
    return find_videos(paths, on_skip=skipped.__setitem__), skipped


def test_a_folder_gives_its_videos_and_says_what_it_passes_over(tree: Path) -> None:
    found, skipped = find(tree)
    assert found == [tree / "a.MKV", tree / "b.mp4", tree / "odd[1].mp4", tree / "deep/c.webm"]
    assert skipped == {tree / "notes.txt": "not a video"}


def test_a_glob_is_expanded_and_a_name_with_brackets_is_a_name(tree: Path) -> None:
    assert find(f"{tree}/*.mp4")[0] == [tree / "b.mp4", tree / "odd[1].mp4"]
    assert find(f"{tree}/**/*.webm")[0] == [tree / "deep/c.webm"]
    assert find(tree / "odd[1].mp4")[0] == [tree / "odd[1].mp4"]


def test_what_does_not_exist_is_kept_to_be_reported(tree: Path) -> None:
    assert find(tree / "gone.mp4")[0] == [tree / "gone.mp4"]
    assert find(f"{tree}/*.avi")[0] == [Path(f"{tree}/*.avi")]


def test_each_file_comes_once_and_absolute(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "deep")
    assert find("../b.mp4", tree / "b.mp4", "../b.mp4")[0] == [tree / "b.mp4"]


def test_a_named_file_is_taken_whatever_it_is_called(tree: Path) -> None:
    assert find(tree / "notes.txt") == ([tree / "notes.txt"], {})


def test_a_glob_is_of_the_current_folder_whatever_that_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "holiday [2024]"
    folder.mkdir()
    (folder / "a.mp4").touch()
    monkeypatch.chdir(folder)
    assert find("*.mp4")[0] == [folder / "a.mp4"]
