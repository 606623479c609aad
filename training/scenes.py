"""Thirty-second scenes to search: things of the held-out style that cross a street or real footage."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from training import compose
from training.check_demo import EmbeddedClip, cut_patches, read_frames
from training.concepts import Concept, with_article
from training.embed import TinyEncoder
from training.icons import premultiply, render_svg
from training.pictures import Array, Prepared
from training.street import HEIGHT, WIDTH, draw_far, draw_near

SECONDS = 30
PAN = 60  # pixels a second
THINGS: dict[str, list[str]] = json.loads(Path(__file__).with_name("things.json").read_text())
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")


@dataclass(frozen=True)
class Thing:
    """What crosses a scene; `kind` is "object", "coloured" or "sign"."""

    prompt: str
    kind: str
    picture: Array
    start_seconds: float
    end_seconds: float
    width: float
    center_y: float
    direction: int


@dataclass(frozen=True)
class Scene:
    """Frames at one a second (uint8 RGB, 720 x 1280), what crosses them, and prompts of absent things."""

    frames: list[Array]
    things: list[Thing]
    absent_prompts: list[str]


def make_scenes(prepared: Prepared, num_scenes: int, footage: list[Path], first: int = 0) -> Iterator[Scene]:
    """Yield scenes over drawn streets, or over real footage when clips are given, numbered from `first` on.

    The same number gives the same things at the same times, whatever is behind them.
    """
    for number in range(first, first + num_scenes):
        chance = random.Random(1000 + number)
        things = draw_things(prepared, chance)
        behind = footage_frames(footage[number % len(footage)]) if footage else street_frames(number)
        frames = [with_things(frame, things, second) for second, frame in enumerate(behind)]
        yield Scene(frames, things, [photo_of(name_of(prepared, name)) for name in THINGS["absent"]])


def photo_of(name: str) -> str:
    """Return the prompt for a thing."""
    return f"a photo of {with_article(name)}"


def name_of(prepared: Prepared, first_name: str) -> str:
    """Return what prompts call the concept of this Unicode name."""
    return concept_named(prepared, first_name).display


def concept_named(prepared: Prepared, first_name: str) -> Concept:
    """Return the concept of this Unicode name."""
    return next(concept for concept in prepared.concepts if concept.names[0] == first_name)


def draw_things(prepared: Prepared, chance: random.Random) -> list[Thing]:
    """Return six objects, two coloured objects and three signs that enter one after the other."""
    twemoji = prepared.pictures_of_style("twemoji")
    drawn: list[tuple[str, str, Array]] = []
    objects, coloured = chance.sample(THINGS["objects"], 6), chance.sample(THINGS["coloured"], 6)
    for name in objects:
        concept = concept_named(prepared, name)
        drawn.append((photo_of(concept.display), "object", prepared.picture(twemoji[concept.index])))
    for name in [name for name in coloured if name not in objects][:2]:
        concept, colour = concept_named(prepared, name), chance.choice(COLOURS)
        picture = compose.tinted(prepared.picture(twemoji[concept.index]), colour)
        drawn.append((photo_of(f"{colour} {concept.display}"), "coloured", picture))
    for word in chance.sample(THINGS["signs"], 3):
        letters = compose.word_mask(word.upper(), chance.choice(prepared.faces["held_out"]), 80)
        drawn.append((f"a sign that says {word.upper()}", "sign", compose.sign(letters, chance)))
    chance.shuffle(drawn)
    return [place_thing(*parts, place, chance) for place, parts in enumerate(drawn)]


def place_thing(prompt: str, kind: str, picture: Array, place: int, chance: random.Random) -> Thing:
    """Give a thing its time, size and way."""
    start = place * 2.3 + chance.uniform(0, 0.8)
    width = chance.uniform(270, 330) if kind == "sign" else chance.uniform(200, 320)
    return Thing(
        prompt=prompt, kind=kind, picture=picture, start_seconds=start,
        end_seconds=start + chance.uniform(5, 7), width=width, center_y=HEIGHT * chance.uniform(0.4, 0.72),
        direction=chance.choice((-1, 1)),
    )  # fmt: skip


def with_things(frame: Array, things: list[Thing], second: float) -> Array:
    """Return the frame with the things that are on screen at a time."""
    for thing in things:
        progress = (second - thing.start_seconds) / (thing.end_seconds - thing.start_seconds)
        if 0 <= progress <= 1:
            share = progress if thing.direction > 0 else 1 - progress
            x = share * (WIDTH + thing.width) - thing.width / 2
            scale = thing.width / thing.picture.shape[1]
            rows, columns = thing.picture.shape[:2]
            matrix = np.array([[scale, 0, x - scale * columns / 2], [0, scale, thing.center_y - scale * rows / 2]])
            seen = cv2.warpAffine(compose.premultiplied(thing.picture), matrix, (WIDTH, HEIGHT))
            frame = compose.lay_over(frame, np.asarray(seen, np.uint8))
    return frame


def street_frames(number: int) -> list[Array]:
    """Return a drawn street under its own light, one frame a second, as the camera travels along it."""
    chance = random.Random(number)
    width = WIDTH + PAN * SECONDS
    far = np.ascontiguousarray(render_svg(draw_far(width), width=width, height=HEIGHT)[..., :3])
    near = premultiply(render_svg(draw_near(width, [], number), width=width, height=HEIGHT))
    street = compose.lay_over(far, near) * np.array([chance.uniform(0.6, 1.05) for _ in range(3)])
    lit = np.clip(street, 0, 255).astype(np.uint8)
    return [lit[:, second * PAN :][:, :WIDTH].copy() for second in range(SECONDS)]


def footage_frames(clip: Path) -> list[Array]:
    """Return thirty frames of a clip, one a second, scaled to 1280 x 720; a short clip starts again."""
    frames = [np.asarray(cv2.resize(frame, (WIDTH, HEIGHT)), np.uint8) for _, frame in read_frames(clip)]
    return list(itertools.islice(itertools.cycle(frames), SECONDS))


def embed_scene(scene: Scene, encoder: TinyEncoder) -> EmbeddedClip:
    """Embed all patches of a scene."""
    patches = [cut_patches(frame) for frame in scene.frames]
    times = [float(second) for second, some in enumerate(patches) for _ in some]
    return encoder.embed_images(itertools.chain(*patches)), torch.tensor(times)
