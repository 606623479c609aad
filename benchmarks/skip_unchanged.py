"""What --skip-unchanged saves, and whether it costs answers: each clip is ingested with and without it.

python benchmarks/skip_unchanged.py                                  the demo's clip
python benchmarks/skip_unchanged.py CLIP...                          and videos of your own
python benchmarks/skip_unchanged.py --every 1 --every 0.25 CLIP...   at several sampling steps
python benchmarks/skip_unchanged.py --scenes 9 CLIP...               things that cross these clips, drawn by training/
python benchmarks/skip_unchanged.py --scenes 3 --still               the same over a camera that stands still

The bundled model answers. A clip is ingested in several phases: from the second on each sampled frame is one that comes
a part of the sampling step later, so that more first moments are compared. One agrees if it starts and ends within one
sampling step of the one found without. "found" are the prompts that the search answers (z of 1 or more); "again" is
how many of their moments agree with those of a second ingest without it (the search estimates the background of a
prompt from a sample of the rows, so that a moment's ends can differ a little although all embeddings are the same);
"1 later" how many agree where all frames are sampled one video frame later, which is what the video's own noise and
movement do (scenes have one frame a second: there it is a whole step).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from footage import write_frames, write_still
from ingest import open_database
from numpy.typing import NDArray

import vsdb
from vsdb.demo import CLIP
from vsdb.ingest import stages
from vsdb.media.changes import ChangeWatch
from vsdb.media.video import VideoReader
from vsdb.types import Moment, Sampling

PROMPTS = [
    *("a red car", "a blue car", "a laundromat sign", "a dog", "an umbrella", "a bicycle", "a tree", "a person"),
    *("people walking", "a bottle", "a flower", "water", "a bus", "a cat", "a house", "a door", "a window", "a chair"),
    *("a table", "a hand", "a face", "a man", "a woman", "a child", "a truck", "a motorcycle", "a traffic light"),
    *("a street", "the sky", "grass", "a bird", "a ball", "a cup", "a box", "a green thing", "a yellow thing"),
    *("a black thing", "a white thing", "a sign", "nothing"),
]
LEAST_Z = 1.0
Row = dict[str, Any]


class CountingWatch(ChangeWatch):
    """Counts what is seen and what is embedded."""

    num_seen = num_fresh = 0

    def fresh(self, image: NDArray[np.uint8]) -> NDArray[np.intp]:
        indices = super().fresh(image)
        CountingWatch.num_seen += len(self._boxes)
        CountingWatch.num_fresh += len(indices)
        return indices


class LaterReader(VideoReader):
    """Samples frames that come some time after those due; the first frame is the first one always."""

    later_seconds = 0.0
    later_frames = 0

    def _property(self, number: int) -> float:
        value = super()._property(number)
        if number != cv2.CAP_PROP_POS_MSEC:
            return value
        return value - 1000 * (self.later_seconds + self.later_frames / self._fps)


def draw_scenes(
    number: int, clips: list[Path], folder: Path, prepared: Path | None
) -> Iterator[tuple[Path, list[str]]]:
    """Scenes of 30 s over the clips in turn, as videos, with the prompts of what is and of what is not in them."""
    from training.pictures import PREPARED, Prepared
    from training.scenes import make_scenes

    for place, scene in enumerate(make_scenes(Prepared(prepared or PREPARED), number, clips)):
        path = write_frames(folder / f"scene {place} over {clips[place % len(clips)].stem}.mp4", scene.frames)
        yield path, [thing.prompt for thing in scene.things] + scene.absent_prompts[:20]


def draw_still(folder: Path) -> Path:
    """A camera that looks at the first frame of the demo's clip for 30 s."""
    with VideoReader(CLIP) as reader:
        image = next(reader.sample(every_seconds=1)).image
    return write_still(folder / "still camera, drawn.mp4", image, seconds=30)


def first_moments(index: vsdb.Index, clip: Path, prompts: list[str]) -> list[Moment]:
    where = str(clip.resolve())
    return [index.search(prompt, max_moments=1, video_like=where, min_z=-100, exact=True)[0] for prompt in prompts]


def agrees(one: Moment, other: Moment, every_seconds: float) -> bool:
    limit = every_seconds + 0.05  # of which frames are late
    pairs = ((one.start_seconds, other.start_seconds), (one.end_seconds, other.end_seconds))
    return all(abs(a - b) <= limit for a, b in pairs)


def ingest(index: vsdb.Index, clip: Path, sampling: Sampling) -> int:
    (result,) = index.ingest([clip], sampling=sampling, force=True)
    assert result.status == "ingested", result.reason
    return result.num_frames


def compare(index: vsdb.Index, clip: Path, prompts: list[str], every_seconds: float, num_phases: int) -> Row:
    """Compare in each phase, and add the phases up."""
    CountingWatch.num_seen = CountingWatch.num_fresh = 0
    phases = []
    for phase in range(num_phases):
        LaterReader.later_seconds = phase * every_seconds / num_phases
        phases.append(compare_once(index, clip, prompts, every_seconds))
    row: Row = {name: sum(phase[name] for phase in phases) for name in phases[0] if name.startswith("num_")}
    row["clip"] = clip.name
    row["every_seconds"] = every_seconds
    row["embedded"] = CountingWatch.num_fresh / CountingWatch.num_seen
    row["largest_score_difference"] = max(phase["largest_score_difference"] for phase in phases)
    row["disagree"] = sorted({prompt for phase in phases for prompt in phase["disagree"]})
    print(f"{clip.name}, every {every_seconds:g} s: compared", file=sys.stderr, flush=True)
    return row


def compare_once(index: vsdb.Index, clip: Path, prompts: list[str], every_seconds: float) -> Row:
    usual = Sampling(every_seconds=every_seconds)
    num_frames = ingest(index, clip, usual)
    without = first_moments(index, clip, prompts)
    ingest(index, clip, usual)
    again = first_moments(index, clip, prompts)
    LaterReader.later_frames = 1
    ingest(index, clip, usual)
    LaterReader.later_frames = 0
    later = first_moments(index, clip, prompts)
    ingest(index, clip, replace(usual, skip_unchanged=True))
    having = first_moments(index, clip, prompts)
    found = [place for place, moment in enumerate(without) if moment.z is not None and moment.z >= LEAST_Z]

    def agreeing(others: list[Moment], places: list[int]) -> list[int]:
        return [place for place in places if agrees(without[place], others[place], every_seconds)]

    everywhere = list(range(len(prompts)))
    return {
        "num_frames": num_frames,
        "num_prompts": len(prompts),
        "num_found": len(found),
        "num_agree": len(agreeing(having, found)),
        "num_agree_again": len(agreeing(again, found)),
        "num_agree_later": len(agreeing(later, found)),
        "num_agree_at_any_z": len(agreeing(having, everywhere)),
        "num_agree_later_at_any_z": len(agreeing(later, everywhere)),
        "largest_score_difference": max(abs(a.score - b.score) for a, b in zip(without, having, strict=True)),
        "disagree": [prompts[place] for place in sorted(set(found) - set(agreeing(having, found)))],
    }


def print_table(rows: list[Row]) -> None:
    print(f"{'clip':40}  step  frames  embedded  found  agree  again  1 later  any z: agree, 1 later  score differs")
    for row in rows:
        print(
            f"{row['clip'][:40]:40}  {row['every_seconds']:4g}  {row['num_frames']:6}  {row['embedded']:8.0%}"
            f"  {row['num_found']:5}  {row['num_agree']:5}  {row['num_agree_again']:5}  {row['num_agree_later']:7}"
            f"  {row['num_agree_at_any_z']:4}, {row['num_agree_later_at_any_z']:4} of {row['num_prompts']:4}"
            f"  {row['largest_score_difference']:16.2f}  {', '.join(row['disagree'])}".rstrip()
        )
    found = max(1, sum(row["num_found"] for row in rows))
    names = ("num_agree", "num_agree_again", "num_agree_later")
    agree, again, later = (sum(row[name] for row in rows) / found for name in names)
    print(
        f"all: {agree:.1%} of {found} first moments agree; of those ingested again without it {again:.1%},"
        f" of those sampled one video frame later {later:.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path, default=[], help="videos; default: the demo's")
    parser.add_argument("--every", type=float, action="append", help="sampling step in seconds, or several; default: 1")
    parser.add_argument("--phases", type=int, default=4, help="how many for each clip; scenes, one frame a second: 1")
    parser.add_argument("--scenes", type=int, default=0, help="so many scenes instead of the clips themselves")
    parser.add_argument("--still", action="store_true", help="also a drawn camera that stands still, with sensor noise")
    parser.add_argument("--prepared", type=Path, help="what training/ has prepared, if elsewhere")
    parser.add_argument("--dsn", help="PostgreSQL server; default: an embedded one")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    stages.ChangeWatch = CountingWatch  # type: ignore[attr-defined]
    stages.VideoReader = LaterReader  # type: ignore[attr-defined]
    clips = arguments.clips or ([] if arguments.still else [CLIP])
    with (
        tempfile.TemporaryDirectory() as folder,
        open_database(arguments.dsn) as dsn,
        vsdb.connect(dsn=dsn, model="tiny") as index,
    ):
        if arguments.still:
            clips.append(draw_still(Path(folder)))
        asked: Any = ((clip, PROMPTS) for clip in clips)
        if arguments.scenes:
            asked = draw_scenes(arguments.scenes, clips, Path(folder), arguments.prepared)
        num_phases = 1 if arguments.scenes else arguments.phases
        rows = [
            compare(index, clip, prompts, every_seconds, num_phases)
            for clip, prompts in asked
            for every_seconds in arguments.every or [1.0]
        ]
    if arguments.json:
        print(json.dumps(rows))
    else:
        print_table(rows)


if __name__ == "__main__":
    main()
