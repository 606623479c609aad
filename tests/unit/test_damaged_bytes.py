"""Whatever the bytes are, the reader ends: with frames or a VideoError, in little time and memory, without a crash."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests import clips

NUM_CASES = 50  # of each format
MAX_SECONDS = 120  # for all cases of a format; a reader that hangs takes longer
MAX_BYTES = 2 << 30
FORMATS = {
    "a.mp4": "libx264",
    "a.mkv": "libx264",
    "a.ts": "libx264",
    "a.avi": "mpeg4",
    "a.flv": "flv",
    "a.wmv": "wmv2",
    "a.webm": "libvpx-vp9",
    "a.mov": "mpeg4",
    "a.h264": "libx264",
    "a.mpg": "mpeg2video",
}


def read_all(lines: list[str]) -> None:
    """Read files to the end as ingest and --save do; runs in a process of its own."""
    from vsdb.errors import VideoError
    from vsdb.media.containers import recorded_at
    from vsdb.media.seek import read_frame
    from vsdb.media.video import VideoReader

    resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))
    for path in map(Path, lines):
        for keyframes in (False, True):
            try:
                with VideoReader(path, num_threads=2, keyframes=keyframes) as reader:
                    frames = list(reader.sample(every_seconds=1))
                    assert reader.notes is not None
                read_frame(path, frames[-1].pts_seconds)
            except VideoError:
                pass
        recorded_at(path)
    peak = peak_bytes()
    assert peak < MAX_BYTES, f"{peak >> 20} MiB"


def peak_bytes() -> int:
    """Most memory that this process has had; getrusage would tell the parent's, if that had more when it forked."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("name", FORMATS)
def test_flipped_and_cut_files(tmp_path: Path, name: str) -> None:
    whole = clips.write_with_sound(tmp_path / name, codec=FORMATS[name], seconds=3).read_bytes()
    at = st.one_of(st.integers(0, min(2000, len(whole) - 1)), st.integers(0, len(whole) - 1))  # headers as often
    paths: list[Path] = []

    @seed(0)
    @settings(max_examples=NUM_CASES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(flips=st.lists(st.tuples(at, st.integers(0, 7)), max_size=20), end=st.one_of(st.just(len(whole)), at))
    def write(flips: list[tuple[int, int]], end: int) -> None:
        data = bytearray(whole)
        for place, bit in flips:
            data[place] ^= 1 << bit
        path = tmp_path / f"{len(paths)}{Path(name).suffix}"
        path.write_bytes(data[:end])
        paths.append(path)

    write()
    assert len(paths) >= NUM_CASES
    program = "import sys; from tests.unit.test_damaged_bytes import read_all; read_all(sys.stdin.read().split())"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        input="\n".join(map(str, paths)), capture_output=True, text=True, timeout=MAX_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
