"""Archives to measure search in: from real embeddings where they are at hand, drawn by chance elsewhere.

Both are shaped alike: 20 near-duplicate patches a frame, one frame a second, scenes of half a minute that drift, and
things that are in a few patches for 3 to 30 seconds.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

EMBEDDING_DIM = 640
PATCHES_A_FRAME = 20
NUM_NEUTRAL = 100
NUM_OBJECTS = 500


@dataclass(frozen=True)
class Archive:
    """What a benchmark stores and asks."""

    origin: str
    """Where the embeddings come from, in words."""
    draw_video: Callable[[np.random.Generator, int], Array]
    """Embeddings of a video of so many frames, of length 1, shape (num_frames, PATCHES_A_FRAME, EMBEDDING_DIM)."""
    prompts: dict[str, Array]
    """Prompts of each kind, in random order, shape (number, EMBEDDING_DIM)."""
    neutral: Array
    """Neutral prompts, shape (NUM_NEUTRAL, EMBEDDING_DIM)."""


def make_archive(folder: Path, seed: int) -> Archive:
    """The archive of real embeddings if the folder is there, else the drawn one."""
    rng = np.random.default_rng(seed)
    return _real_archive(folder, rng) if (folder / "archive.py").is_file() else _drawn_archive(rng)


def _real_archive(folder: Path, rng: np.random.Generator) -> Archive:
    """Scenes and things are real pictures, prompts real texts; the folder's own archive.py mixes them."""
    specification = importlib.util.spec_from_file_location("real_clip_archive", folder / "archive.py")
    assert specification is not None
    assert specification.loader is not None
    real: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(real)
    pictures = real.pool()
    words = json.loads((folder / "nouns.json").read_text(encoding="utf-8"))
    neutral = set(rng.choice(words["neutral"], NUM_NEUTRAL, replace=False).tolist())
    is_neutral = np.array([name in neutral for name in words["nouns"]])
    nouns = real.lifted(real.load("nouns.npy"))
    return Archive(
        origin="real pictures and prompts, CLIP ViT-B/32",
        draw_video=lambda rng, num_frames: real.draw_video(rng, pictures, num_frames),
        prompts={
            "nouns": rng.permutation(nouns[~is_neutral]),
            "captions": rng.permutation(real.lifted(real.load("captions.npy"))),
        },
        neutral=nouns[is_neutral],
    )


@dataclass(frozen=True)
class World:
    """What drawn embeddings share: the cone that image embeddings lie in, the looks of scenes, the objects."""

    common: Array
    looks: Array
    objects: Array
    popularity: npt.NDArray[np.float64]


def _drawn_archive(rng: np.random.Generator) -> Archive:
    """A common direction, 64 looks of falling weight, and objects with Zipf-like popularity."""
    directions = unit(rng.standard_normal((1 + 64 + NUM_OBJECTS, EMBEDDING_DIM), dtype=np.float32))
    falling = np.linspace(1, 0.2, 64, dtype=np.float32)[:, None]
    popularity = 1 / np.arange(1, NUM_OBJECTS + 1) ** 0.5
    world = World(directions[0], directions[1:65] * falling, directions[65:], popularity / popularity.sum())
    return Archive(
        origin="drawn by chance",
        draw_video=lambda rng, num_frames: _draw_video(rng, world, num_frames),
        prompts={"objects": _draw_prompts(rng, world, 1000)},
        neutral=_draw_prompts(rng, world, NUM_NEUTRAL),
    )


def unit(vectors: Array) -> Array:
    """Rows of length 1."""
    scaled: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def _draw_video(rng: np.random.Generator, world: World, num_frames: int) -> Array:
    noise = rng.standard_normal((num_frames, PATCHES_A_FRAME, EMBEDDING_DIM), dtype=np.float32)
    vectors = 0.25 * noise / EMBEDDING_DIM**0.5 + 0.7 * world.common
    start = 0
    while start < num_frames:
        length = min(num_frames - start, int(rng.exponential(30)) + 5)
        look = rng.standard_normal((2 + PATCHES_A_FRAME, 64)).astype(np.float32) @ unit(world.looks) / 8
        drift = np.linspace(0, 0.5, length, dtype=np.float32)[:, None, None]
        vectors[start : start + length] += 0.45 * (look[0] + drift * look[1]) + 0.3 * look[2:]
        start += length
    for _ in range(num_frames // 10):
        first, length = int(rng.integers(num_frames)), int(rng.integers(3, 31))
        corner, patches = int(rng.integers(PATCHES_A_FRAME)), int(rng.integers(1, 5))
        thing = world.objects[rng.choice(NUM_OBJECTS, p=world.popularity)]
        strength = 0.4 + 0.4 * float(rng.random())
        vectors[first : first + length, corner : corner + patches] += strength * thing
    return unit(vectors)


def _draw_prompts(rng: np.random.Generator, world: World, number: int) -> Array:
    """An object, some of what all pictures share, and a direction of their own."""
    things = world.objects[rng.choice(NUM_OBJECTS, number, p=world.popularity)]
    noise = unit(rng.standard_normal((number, EMBEDDING_DIM), dtype=np.float32))
    return unit(0.4 * things + 0.2 * world.common + 0.9 * noise)
