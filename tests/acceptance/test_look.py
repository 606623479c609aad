"""``vsdb query --save, --clip, --open`` as people run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.conftest import StreetCopy
from vsdb.database import Connection
from vsdb.look.contact_sheet import CELL_SIZE
from vsdb.look.own_files import MARK

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def dsn(street_copy: StreetCopy) -> str:
    """The commands of this file ask the database of the copied street."""
    return street_copy.dsn


@pytest.fixture
def clip(street_copy: StreetCopy) -> Path:
    return street_copy.path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("clip")
def test_save_writes_frames_and_a_sheet(run_vsdb: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "pictures"
    plain = run_vsdb("query", "a red car", "--json")
    run = run_vsdb("query", "a red car", "--json", "--save", str(out))
    assert (run.returncode, run.stdout) == (0, plain.stdout)
    moments = json.loads(run.stdout)["moments"]
    frames = [f"a-red-car_{m['rank']:02}_my-street_00h00m{m['best_seconds']:04.1f}s.jpg" for m in moments]
    assert names(out) == [*frames, "a-red-car_contact_sheet.jpg"]
    for name in frames:
        with Image.open(out / name) as image:
            assert image.size == (1280, 720)
            assert MARK in image.info["comment"].decode()
    with Image.open(out / "a-red-car_contact_sheet.jpg") as sheet:
        assert sheet.width > len(moments[:3]) * CELL_SIZE[0]
    assert f"saved {len(moments)} frame" in run.stderr

    second = run_vsdb("query", "a red car", "--csv", "--save", str(out))
    assert second.returncode == 0
    assert second.stdout.startswith("rank,video_path")
    assert names(out) == [*frames, "a-red-car_contact_sheet.jpg"]


@pytest.mark.usefixtures("clip")
def test_a_stranger_s_file_is_left_alone(run_vsdb: Run, tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    out.mkdir()
    (out / "a-red-car_contact_sheet.jpg").write_bytes(b"mine")
    run = run_vsdb("query", "a red car", "--save", str(out))
    assert run.returncode == 1
    assert "was not made by vsdb and is left alone" in run.stderr
    assert run.stdout.startswith("rank")
    assert (out / "a-red-car_contact_sheet.jpg").read_bytes() == b"mine"


def test_clips_play_and_begin_at_or_before_the_moment(run_vsdb: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips"
    run = run_vsdb("query", "a dog", "-n", "1", "--json", "--clip", str(out))
    assert run.returncode == 0, run.stderr
    (moment,) = json.loads(run.stdout)["moments"]
    assert names(out) == [f"a-dog_01_my-street_00h00m{moment['start_seconds']:04.1f}s.mp4"]
    assert "--reencode cuts exactly" in run.stderr
    with av.open(str(out / names(out)[0])) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times[-1] >= moment["end_seconds"] - moment["start_seconds"] - 0.05
    exact = run_vsdb("query", "a dog", "-n", "1", "--clip", str(out), "--reencode")
    assert exact.returncode == 0, exact.stderr
    assert len(names(out)) == 1
    with av.open(str(out / names(out)[0])) as container:
        times = [frame.time for frame in container.decode(video=0)]
    with av.open(str(clip)) as container:
        last = max(frame.time for frame in container.decode(video=0) if frame.time < moment["end_seconds"])
    assert times[-1] == pytest.approx(last - moment["start_seconds"], abs=0.01)


def test_a_video_that_is_gone_is_said(run_vsdb: Run, clip: Path, tmp_path: Path) -> None:
    clip.rename(tmp_path / "elsewhere.mp4")
    out = tmp_path / "out"
    run = run_vsdb("query", "a red car", "-n", "1", "--save", str(out))
    assert run.returncode == 0
    assert f"moment 1 is shown by its thumbnail: {clip}: no such file" in run.stderr
    assert 'if it has moved, "vsdb ingest NEW-PATH" notes where to' in run.stderr
    with Image.open(out / names(out)[0]) as image:
        assert image.size == (320, 180)
    run = run_vsdb("query", "a red car", "-n", "1", "--clip", str(out), "--open", "--json")
    assert run.returncode == 1
    assert f"no clip of moment 1: {clip}: no such file" in run.stderr
    assert f"{clip} cannot be played: no such file" in run.stderr
    assert len(json.loads(run.stdout)["moments"]) == 1
    assert "unchanged" in run_vsdb("ingest", str(tmp_path / "elsewhere.mp4")).stdout
    assert run_vsdb("query", "a red car", "-n", "1", "--clip", str(out)).returncode == 0


def test_with_neither_video_nor_thumbnail_it_fails(
    run_vsdb: Run, clip: Path, tmp_path: Path, connection: Connection
) -> None:
    connection.execute("delete from vsdb.frames")
    clip.unlink()
    run = run_vsdb("query", "a red car", "-n", "1", "--save", str(tmp_path / "out"))
    assert run.returncode == 1
    assert "no picture of moment 1" in run.stderr
    assert names(tmp_path / "out") == ["a-red-car_contact_sheet.jpg"]


@pytest.mark.usefixtures("clip")
def test_no_match_writes_and_plays_nothing(run_vsdb: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = run_vsdb("query", "a dog", "--min-score", "99", "--save", str(out), "--clip", str(out), "--open")
    assert (run.returncode, run.stdout) == (0, "")
    assert run.stderr.startswith("nothing matches")
    assert not out.exists()


def test_folders_that_are_none_are_refused_before_the_search(run_vsdb: Run, clip: Path, tmp_path: Path) -> None:
    for arguments in (["--save", str(clip)], ["--clip", str(clip)], ["--reencode"]):
        run = run_vsdb("query", "a dog", *arguments)
        assert (run.returncode, run.stdout) == (2, "")
        assert "error: " in run.stderr
    run = run_vsdb("query", "a dog", "--save", "/proc/nowhere")
    assert run.returncode == 1
    assert "cannot be written: " in run.stderr
    assert names(tmp_path) == ["my street.mp4"]


def fake_player(folder: Path, name: str, script: str) -> str:
    """A program of that name, alone on the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("player", "option", "told"),
    [
        ("mpv", "--start={:.3f}", "playing {} from {} with mpv"),
        ("vlc", "--start-time={:.3f}", "playing {} from {} with vlc"),
        ("open" if sys.platform == "darwin" else "xdg-open", None, "opened {} with"),
    ],
)
def test_open_starts_a_player_at_the_second(
    run_vsdb: Run, clip: Path, tmp_path: Path, player: str, option: str | None, told: str
) -> None:
    log = tmp_path / "log"
    path = fake_player(tmp_path / "bin", player, f'for a in "$@"; do echo "$a"; done > "{log}"; exec /bin/sleep 3')
    began = time.monotonic()
    run = run_vsdb("query", "a red car", "--open", "--json", PATH=path)
    assert run.returncode == 0, run.stderr
    assert time.monotonic() - began < 10
    start = json.loads(run.stdout)["moments"][0]["start_seconds"]
    arguments = log.read_text().splitlines()
    assert arguments[-1] == str(clip)
    if option:
        assert option.format(start) in arguments
    assert told.format(clip, f"0:{start:04.1f}") in run.stderr


def test_a_player_that_cannot_start_is_said(run_vsdb: Run, clip: Path, tmp_path: Path) -> None:
    broken = fake_player(tmp_path / "broken", "mpv", "exit 3")
    run = run_vsdb("query", "a red car", "--open", PATH=broken)
    assert run.returncode == 1
    assert f"mpv ended at once with 3; is there a screen to play on? The file is {clip}" in run.stderr
    (tmp_path / "empty").mkdir()
    run = run_vsdb("query", "a red car", "--open", PATH=str(tmp_path / "empty"))
    assert run.returncode == 1
    assert "no player found; install mpv or vlc" in run.stderr


@pytest.mark.usefixtures("clip")
def test_a_query_without_pictures_loads_nothing_for_them(dsn: str) -> None:
    code = (
        "import sys; from vsdb.cli.app import app; app(['query', 'a red car'], standalone_mode=False); "
        "print([name for name in ('PIL', 'av', 'cv2', 'numpy', 'torch') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "VSDB_DSN": dsn}, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.splitlines()[-1] == "[]", run.stderr


def test_the_answer_to_a_picture_is_named_after_it(run_vsdb: Run, clip: Path, tmp_path: Path) -> None:
    with av.open(str(clip)) as container:
        next(container.decode(video=0)).to_image().save(tmp_path / "First Frame.png")  # type: ignore[no-untyped-call]
    run = run_vsdb("query", "--image", str(tmp_path / "First Frame.png"), "-n", "1", "--save", str(tmp_path / "out"))
    assert run.returncode == 0, run.stderr
    assert names(tmp_path / "out")[-1] == "first-frame_contact_sheet.jpg"
