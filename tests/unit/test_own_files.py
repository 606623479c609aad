"""Files for a person: whole or not at all, and nobody else's is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vsdb.errors import OutputError, UsageError
from vsdb.look.own_files import MARK, check_folder, is_own, moment_name, own_file, slug
from vsdb.types import Moment


def moment(path: str = "/videos/My Holiday (2).mp4", rank: int = 3) -> Moment:
    return Moment(
        rank=rank,
        video_path=path,
        start_seconds=59.96,
        end_seconds=70,
        best_seconds=3723.04,
        score=1,
        box=(0, 0, 1, 1),
        video_id=1,
    )


def write(path: Path, data: bytes) -> None:
    with own_file(path) as file:
        file.write(data)


def test_names_tell_prompt_rank_video_and_time() -> None:
    name = moment_name("A red car!", moment(), 6, 3723.04)
    assert name == "a-red-car_03_my-holiday-2_01h02m03.0s"
    assert moment_name("x", moment(), 1000, 59.96) == "x_0003_my-holiday-2_00h01m00.0s"


def test_names_sort_by_rank() -> None:
    names = [moment_name("x", moment(rank=rank), 120, 0) for rank in (1, 2, 9, 10, 99, 100, 120)]
    assert names == sorted(names)


@pytest.mark.parametrize("text", ["x" * 500, "猫" * 100, "a/b\0c\n", "../..", "", "...", "\udcff", "-rf", "C:\\x|y?*"])
def test_any_text_makes_a_name_of_one_file(text: str, tmp_path: Path) -> None:
    name = moment_name(text, moment(f"/{text}.mp4"), 6, 0) + ".jpg"
    assert len(name.encode()) < 230
    assert not set(name) & set("/\0\n:|?*\\")
    assert slug(text)[0] not in "-."
    write(tmp_path / name, MARK.encode())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_own_files_are_replaced_and_others_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.bin"
    write(target, b"x" * 100_000 + MARK.encode())
    assert is_own(target)
    write(target, MARK.encode() + b"y" * 200_000)
    assert is_own(target)
    target.write_bytes(b"holiday")
    with pytest.raises(OutputError, match=r"was not made by vsdb and is left alone; take another folder"):
        write(target, b"z")
    assert target.read_bytes() == b"holiday"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write(target, MARK.encode())
    with pytest.raises(ZeroDivisionError), own_file(target) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert target.read_bytes() == MARK.encode()
    assert list(tmp_path.iterdir()) == [target]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        check_folder(tmp_path / "file")
    check_folder(tmp_path / "not" / "there" / "yet")
    (tmp_path / "folder.jpg").mkdir()
    for path in (tmp_path / "file" / "a.jpg", Path("/proc/nowhere/a.jpg"), tmp_path / "folder.jpg"):
        with pytest.raises(OutputError, match="cannot be written: "):
            write(path, b"x")
    with pytest.raises(OutputError, match="No space left"), own_file(tmp_path / "full") as file:
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")
        file.write(b"")
    assert not (tmp_path / "full").exists()
