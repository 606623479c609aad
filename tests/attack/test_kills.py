"""Twenty ingests and servers killed at random moments: what is stored is bit by bit what a clean run stores."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import clips
from tests.attack.conftest import Count
from tests.conftest import clean_environment
from vsdb.database import Connection
from vsdb.database.embedded import EmbeddedServer

KILLS = 20
TABLES = {
    "videos": """video_path, content_sha256, size_bytes, duration_seconds, width, height, every_seconds, patch_size,
                 stride, recorded_at, keyframes, skip_unchanged, num_frames, num_patches, file_changed_ns""",
    "patches": "v.video_path, pts_seconds, frame_index, patch_index, x, y, t.width, t.height, embedding",
    "patch_runs": "v.video_path, first_frame, last_frame, patch_index, embedding",
    "frames": "v.video_path, frame_index, pts_seconds, jpeg",
    "models": "model_name, weights_sha256, embedding_dim, image_size",
}


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vsdb-kills-"))
    folder.chmod(0o711)
    yield folder
    for home in folder.glob("home*"):
        EmbeddedServer(home).stop()
    shutil.rmtree(folder)


def ingest(home: Path, films: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vsdb", "ingest", str(films), "--model", "tiny", "--every", "0.2"],
        env={**clean_environment(), "VSDB_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(connection: Connection) -> dict[tuple[str, str], str]:
    """SHA-256 of the rows of each video in each table, as PostgreSQL writes them in binary; keys are left out."""
    digests: dict[tuple[str, str], str] = {}
    paths = [row[0] for row in connection.execute("select video_path from vsdb.videos order by 1").fetchall()]
    for table, columns in TABLES.items():
        for path in [""] if table == "models" else paths:
            rows = f"select {columns} from vsdb.{table} t"
            if table not in ("videos", "models"):
                rows += " join vsdb.videos v using (video_id)"
            if path:
                rows += f" where video_path = '{path}'"
            digest = hashlib.sha256()
            with connection.cursor().copy(f"copy ({rows} order by 1, 2, 3, 4) to stdout (format binary)") as copy:
                for block in copy:
                    digest.update(block)
            digests[table, path] = digest.hexdigest()
    return digests


def kill(home: Path, process: subprocess.Popen[str], kind: str) -> None:
    """End the command, or the server, or one of its backends, the hard way."""
    if kind == "command":
        process.kill()
        return
    pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    if kind == "backend":
        children = [each for each in psutil.Process(pid).children() if "vsdb" in "".join(each.cmdline())]
        pid = children[0].pid if children else pid
    os.kill(pid, signal.SIGKILL)


def wait_for(process: subprocess.Popen[str]) -> None:
    """Wait until an ingest has done all its work."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err


def forget_videos(home: Path) -> None:
    with EmbeddedServer(home).connect() as connection:
        connection.execute("delete from vsdb.videos")


@pytest.mark.parametrize(("kills", "is_new"), [(3, True), (KILLS - 3, False)], ids=["new home", "prepared home"])
def test_kills_leave_what_a_clean_run_leaves(place: Path, kills: int, is_new: bool, count: Count) -> None:
    """In a new home most of them hit while the model's text tower is stored, in a prepared one while videos are."""
    films = place / "films"
    films.mkdir()
    for name, length in (("a", 12_000), ("b", 20_000), ("c", 8_000)):
        clips.write_video(films / f"{name}.mp4", range(0, length, 200), size=(64, 48))
    clean, home = place / "home-clean", place / "home"
    EmbeddedServer(home if is_new else clean).start()
    wait_for(ingest(clean, films))
    forget_videos(clean)
    if not is_new:
        EmbeddedServer(clean).stop()
        subprocess.run(["cp", "-a", str(clean), str(home)], check=True)
    began = time.monotonic()
    wait_for(ingest(clean, films))
    seconds = time.monotonic() - began
    with EmbeddedServer(clean).connect() as connection:
        expected = contents(connection)
    assert len(expected) == 3 * 4 + 1

    rng = random.Random(kills)
    killed = 0
    while killed < kills:
        process = ingest(home, films)
        try:
            process.wait(rng.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            kill(home, process, rng.choice(["command", "command", "server", "backend"]))
            killed += 1
        _, messages = process.communicate(timeout=300)
        assert "Traceback" not in messages
        with EmbeddedServer(home).connect() as connection:
            if connection.execute("select to_regclass('vsdb.videos') is null").fetchone() == (True,):
                continue
            found = contents(connection)
        assert found.items() <= expected.items()
        if len(found) == len(expected):  # all three are there: begin anew
            forget_videos(home)
    wait_for(ingest(home, films))
    with EmbeddedServer(home).connect() as connection:
        assert contents(connection) == expected
        damaged = connection.execute("select count(*) from pg_stat_database where checksum_failures > 0").fetchone()
        assert damaged == (0,)
    count("kills survived, bit by bit as a clean run", killed)
