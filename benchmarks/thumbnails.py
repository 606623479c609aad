"""What thumbnails cost: bytes a frame, megabytes an hour at one frame a second, and milliseconds to make one.

python benchmarks/thumbnails.py              the demo's clip, 720p
python benchmarks/thumbnails.py CLIP...      and videos of your own
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from vsdb.demo import CLIP
from vsdb.media.thumbnails import thumbnail, thumbnail_size
from vsdb.media.video import VideoReader


def measure(path: Path) -> str:
    """One row of the table: a video sampled every second."""
    sizes, seconds = [], 0.0
    with VideoReader(path) as reader:
        for frame in reader.sample(every_seconds=1):
            began = time.perf_counter()
            sizes.append(len(thumbnail(frame.image)))
            seconds += time.perf_counter() - began
    height, width = frame.image.shape[:2]
    small = "{}x{}".format(*thumbnail_size(width, height))
    mean = sum(sizes) / len(sizes)
    return (
        f"| {path.name} | {width}x{height} | {small} | {len(sizes)} | {mean:,.0f} | {mean * 3600 / 1e6:.0f} "
        f"| {seconds / len(sizes) * 1e3:.1f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, metavar="CLIP")
    print("| video | frame | thumbnail | frames | bytes a frame | MB an hour | ms a frame |")
    print("|---|---|---|---|---|---|---|")
    for path in [CLIP, *parser.parse_args().paths]:
        print(measure(path))


if __name__ == "__main__":
    main()
