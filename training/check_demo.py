"""Hold the demo clip against the model: is every answer of the truth right?

    python -m training.check_demo [--clip vsdb/demo/street.mp4] [--weights vsdb/tiny/tiny.safetensors]

One frame a second, square patches of half the height with half overlap, and the whole frame. For every
prompt of `street.json` the best patch's time must lie inside its interval, and every absent prompt must
score lower than every present one. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from training.embed import TinyEncoder
from training.icons import Picture
from training.package import DEMO_FOLDER, TINY_WEIGHTS

EmbeddedClip = tuple[torch.Tensor, torch.Tensor]
"""The embeddings of all patches, shape (P, 640), and their times in seconds, shape (P,)."""


def read_frames(clip: Path, every_seconds: float = 1.0) -> Iterator[tuple[float, Picture]]:
    """Yield (pts_seconds, frame) of the first frame at or after every full step; frames are uint8 RGB."""
    capture = cv2.VideoCapture(str(clip))
    due = 0.0
    while capture.grab():
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if seconds + 1e-6 >= due:
            frame = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            yield seconds, np.asarray(frame, dtype=np.uint8)
            due += every_seconds
    capture.release()


def patch_starts(length: int, size: int) -> list[int]:
    """Return the starts of patches with half overlap, spread evenly from edge to edge, in pixels."""
    count = max(1, (length - size) // (size // 2) + 1)
    return [round(start) for start in np.linspace(0, length - size, count)] if count > 1 else [0]


def whole_frame(frame: Picture) -> Picture:
    """Return the middle square of a frame, as CLIP's own preprocessing sees it."""
    height, width = frame.shape[:2]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return frame[top : top + size, left : left + size]


def cut_patches(frame: Picture) -> list[Picture]:
    """Return the whole frame and its square patches of half the shorter side."""
    height, width = frame.shape[:2]
    size = min(height, width) // 2
    boxes = [(y, x) for y in patch_starts(height, size) for x in patch_starts(width, size)]
    return [whole_frame(frame), *(frame[y : y + size, x : x + size] for y, x in boxes)]


def embed_clip(clip: Path, encoder: TinyEncoder) -> EmbeddedClip:
    """Embed all patches of a clip."""
    embeddings, times = [], []
    for seconds, frame in read_frames(clip):
        patches = cut_patches(frame)
        embeddings.append(encoder.embed_images(patches))
        times += [seconds] * len(patches)
    return torch.cat(embeddings), torch.tensor(times)


def best_answers(prompts: list[str], clip: EmbeddedClip, encoder: TinyEncoder) -> list[tuple[float, float]]:
    """Return (100 * cosine, time in seconds) of each prompt's best patch."""
    best = (encoder.embed_prompts(prompts) @ clip[0].T).max(dim=1)
    return [(100 * float(s), float(clip[1][i])) for s, i in zip(best.values, best.indices, strict=True)]


def check(clip: Path, encoder: TinyEncoder) -> bool:
    """Print one line a prompt; return whether all is right."""
    truth = json.loads(clip.with_suffix(".json").read_text())
    moments, embedded = truth["moments"], embed_clip(clip, encoder)
    present = best_answers([moment["prompt"] for moment in moments], embedded, encoder)
    absent = best_answers(truth["absent_prompts"], embedded, encoder)
    right = True
    for moment, (score, seconds) in zip(moments, present, strict=True):
        hit = moment["start_seconds"] <= seconds <= moment["end_seconds"]
        right &= hit
        verdict = "right " if hit else "WRONG "
        interval = f"{moment['start_seconds']:5.1f} to {moment['end_seconds']:5.1f} s"
        print(f"{verdict} {score:5.1f}  at {seconds:5.1f} s  {interval}  {moment['prompt']}")
    for prompt, (score, seconds) in zip(truth["absent_prompts"], absent, strict=True):
        print(f"absent {score:5.1f}  at {seconds:5.1f} s  {'':16}  {prompt}")
    lowest, highest = min(score for score, _ in present), max(score for score, _ in absent)
    print(f"lowest score of a present thing {lowest:.1f}, highest of an absent one {highest:.1f}")
    return right and lowest > highest


def main() -> None:
    """Parse the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clip", type=Path, default=DEMO_FOLDER / "street.mp4")
    parser.add_argument("--weights", type=Path, default=TINY_WEIGHTS)
    arguments = parser.parse_args()
    sys.exit(0 if check(arguments.clip, TinyEncoder(arguments.weights)) else 1)


if __name__ == "__main__":
    main()
