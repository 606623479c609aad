"""Backgrounds for training pictures, all made of noise, shapes and simple scenes."""

from __future__ import annotations

import random

import cv2
import numpy as np
import numpy.typing as npt

from training.pictures import Array

SIDE = 176
GROUNDS = {"grass": (60, 130, 50), "water": (70, 140, 200), "sand": (225, 205, 150), "asphalt": (95, 95, 100)}
Canvas = npt.NDArray[np.float32]


def colour(chance: random.Random) -> Canvas:
    """Return any colour: float32, shape (3,), range 0 to 255."""
    return np.array([chance.randint(0, 255) for _ in range(3)], np.float32)


def noise(chance: np.random.Generator, roughness: float, side: int = SIDE) -> Canvas:
    """Return cloudy noise of mean 0 and deviation 1; the higher `roughness`, the finer it is."""
    total = np.zeros((side, side, 3), np.float32)
    cells = 2
    while cells <= side // 2:
        layer = chance.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(layer, (side, side), interpolation=cv2.INTER_CUBIC) * cells ** (roughness - 1)
        cells *= 2
    return np.asarray((total - total.mean()) / (total.std() + 1e-5), np.float32)


class Backgrounds:
    """Makes backgrounds; one source of chance each for Python and numpy, so that a seed fixes all."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.kinds = [
            (self.plain, 10), (self.gradient, 12), (self.clouds, 22), (self.facets, 14), (self.bricks, 8),
            (self.ground, 7), (self.sky, 6), (self.town, 21), (self.cutouts, 24),
        ]  # fmt: skip

    def make(self) -> tuple[Array, str]:
        """Return a background (uint8 RGB, 176 x 176) and what it shows ("" when it shows nothing)."""
        draw = self.chance.choices([k for k, _ in self.kinds], [weight for _, weight in self.kinds])[0]
        picture, name = draw()
        if self.chance.random() < 0.15:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self.chance.uniform(1, 4)), np.float32)
        return np.clip(picture, 0, 255).astype(np.uint8), name

    def plain(self) -> tuple[Canvas, str]:
        """One colour."""
        return np.zeros((SIDE, SIDE, 3), np.float32) + colour(self.chance), ""

    def gradient(self) -> tuple[Canvas, str]:
        """Two colours that run into each other at any angle."""
        angle = self.chance.uniform(0, 6.28)
        y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
        share = np.clip((x * np.cos(angle) + y * np.sin(angle)) * 1.2 + 0.5, 0, 1)[..., None]
        first, second = colour(self.chance), colour(self.chance)
        return np.asarray(first * (1 - share) + second * share, np.float32), ""

    def clouds(self) -> tuple[Canvas, str]:
        """Noise over a colour, as rough as photographs are at different distances."""
        chance = self.chance
        layer = noise(self.numbers, chance.uniform(-0.3, 0.7))
        gray = layer.mean(axis=2, keepdims=True)
        mixed = layer * chance.uniform(0.1, 1) + gray * chance.uniform(0.3, 1)
        return np.asarray(colour(chance) * 0.7 + 40 + mixed * chance.uniform(12, 55), np.float32), ""

    def facets(self) -> tuple[Canvas, str]:
        """Overlapping shapes with texture and soft edges: the clutter of real footage."""
        chance = self.chance
        picture = np.zeros((SIDE, SIDE, 3), np.float32) + colour(chance)
        tone = colour(chance)
        for _ in range(chance.randint(4, 22)):
            center = np.array([chance.uniform(0, SIDE), chance.uniform(0, SIDE)])
            points = center + self.numbers.normal(0, chance.uniform(12, 70), (chance.randint(3, 5), 2))
            fill = colour(chance) * 0.5 + tone * 0.5
            cv2.fillPoly(picture, [points.astype(np.int32)], tuple(float(v) for v in fill))
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), chance.uniform(0.5, 5)), np.float32)
        return picture + noise(self.numbers, 0.4) * chance.uniform(2, 18), ""

    def cutouts(self) -> tuple[Canvas, str]:
        """Flat shapes with sharp edges, singly and in rows, over bands: the clutter of drawings."""
        chance = self.chance
        picture = np.zeros((SIDE, SIDE, 3), np.float32) + colour(chance)
        tone = colour(chance)
        for _ in range(chance.randint(0, 4)):
            top = chance.randint(0, SIDE)
            picture[top : top + chance.randint(4, SIDE)] = colour(chance) * 0.5 + tone * 0.5
        for _ in range(chance.randint(1, 8)):
            self._row_of_shapes(picture, colour(chance) * 0.6 + tone * 0.4)
        grain = self.numbers.normal(0, chance.uniform(0, 5), (SIDE, SIDE, 1)).astype(np.float32)
        return picture + grain, ""

    def _row_of_shapes(self, picture: Canvas, fill: Canvas) -> None:
        """Paint one shape of two to six corners (two: an oval), or several of the same side by side."""
        chance = self.chance
        size = np.array([chance.uniform(5, 55), chance.uniform(5, 55)])
        angles = np.sort(self.numbers.uniform(0, 2 * np.pi, chance.choice((2, 3, 4, 4, 5, 6))))
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * size
        if len(angles) == 4 and chance.random() < 0.7:
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size
        start = np.array([chance.uniform(0, SIDE), chance.uniform(0, SIDE)])
        step = size * 2 * chance.uniform(1.1, 2) * np.array(chance.choice([(1, 0), (1, 0), (0, 1)]))
        paint, (width, height) = tuple(map(float, fill)), size.astype(int).tolist()
        for number in range(chance.choice((1, 1, 1, 2, 3, 6))):
            center = (start + number * step).astype(np.int32)
            if len(angles) == 2:
                cv2.ellipse(picture, center.tolist(), (width, height), 0, 0, 360, paint, -1, cv2.LINE_AA)
            else:
                cv2.fillPoly(picture, [center + corners.astype(np.int32)], paint, cv2.LINE_AA)

    def bricks(self) -> tuple[Canvas, str]:
        """A brick wall."""
        chance = self.chance
        fill = [chance.randint(120, 190), chance.randint(60, 100), chance.randint(45, 80)]
        picture = np.zeros((SIDE, SIDE, 3), np.float32) + np.array(fill, np.float32)
        picture += self.numbers.normal(0, 9, (SIDE, SIDE, 1))
        height = chance.randint(8, 18)
        width = int(height * chance.uniform(1.8, 2.6))
        for row, y in enumerate(range(0, SIDE, height)):
            picture[y : y + 2] = 200
            for x in range((row % 2) * width // 2, SIDE, width):
                picture[y : y + height, x : x + 2] = 200
        return picture, "brick wall"

    def ground(self) -> tuple[Canvas, str]:
        """Grass, water, sand or asphalt."""
        name = self.chance.choice(list(GROUNDS))
        layer = noise(self.numbers, 0.6) * self.chance.uniform(6, 24)
        return np.asarray(np.array(GROUNDS[name], np.float32) + layer, np.float32), name

    def sky(self) -> tuple[Canvas, str]:
        """A sky with clouds."""
        share = np.linspace(0, 1, SIDE)[:, None, None]
        blue = np.array([60, 120, 215]) * (1 - share) + np.array([200, 225, 245]) * share
        cover = np.clip(noise(self.numbers, 0).mean(axis=2, keepdims=True) * 1.7 - 0.3, 0, 1)
        return np.asarray(blue * (1 - cover) + 250 * cover, np.float32), "cloudy sky"

    def town(self) -> tuple[Canvas, str]:
        """A row of flat-roofed buildings at a road, by day or by night."""
        chance = self.chance
        night = chance.random() < 0.2
        horizon = int(SIDE * chance.uniform(0.3, 0.6))
        sky = (20, 22, 45) if night else chance.choice([(135, 190, 235), (200, 210, 220), (240, 190, 140)])
        picture = np.zeros((SIDE, SIDE, 3), np.float32) + np.array(sky, np.float32)
        x = 0
        while x < SIDE:
            width = chance.randint(SIDE // 8, SIDE // 3)
            self._building(picture[chance.randint(0, int(horizon * 0.7)) : horizon, x : x + width], night)
            x += width
        kerb = horizon + chance.randint(4, 20)
        picture[horizon:kerb] = 60 if night else 170
        picture[kerb:] = chance.randint(70, 120) * (0.5 if night else 1)
        lane = kerb + (SIDE - kerb) // 2
        for start in range(chance.randint(0, 20), SIDE, 40):
            picture[lane : lane + 4, start : start + 20] = 220
        picture += self.numbers.normal(0, chance.uniform(2, 10), (SIDE, SIDE, 1))
        return picture, "street at night" if night else "street"

    def _building(self, wall: Canvas, night: bool) -> None:
        chance = self.chance
        fill = (colour(chance) * 0.6 + 60) * (0.35 if night else 1)
        wall[:] = fill
        lit = night or chance.random() < 0.2
        glass = np.array((250, 230, 140), np.float32) if lit else fill * 0.55 + 20
        size = chance.randint(5, 12)
        for y in range(4, wall.shape[0] - 4, size * 2):
            for x in range(4, wall.shape[1] - 4, size * 2):
                if chance.random() < 0.85:
                    wall[y : y + size, x : x + size] = glass
