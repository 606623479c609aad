"""Put pictures, signs and shapes onto backgrounds, and wear the result as a camera would.

Pictures that are laid over something are uint8 RGBA, premultiplied; canvases are uint8 RGB squares.
"""

from __future__ import annotations

import functools
import math
import random
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageFont

from training.concepts import COLOURS
from training.pictures import Array

SHAPES = ("circle", "square", "triangle", "star", "heart", "rectangle", "diamond", "hexagon", "cross", "ring",
          "oval", "arrow")  # fmt: skip
_POLYGONS = {"triangle": 3, "diamond": 4, "hexagon": 6}


def premultiplied(picture: Array) -> Array:
    """Multiply an RGBA picture's colours by its alpha."""
    alpha = np.ascontiguousarray(picture[..., 3])
    colours = cv2.multiply(np.ascontiguousarray(picture[..., :3]), cv2.merge([alpha] * 3), scale=1 / 255)
    return np.dstack([colours, alpha]).astype(np.uint8)


def lay_over(canvas: Array, picture: Array) -> Array:
    """Return the canvas with a premultiplied picture of the same size over it."""
    hidden = np.ascontiguousarray(255 - picture[..., 3])
    behind = cv2.multiply(np.ascontiguousarray(canvas), cv2.merge([hidden] * 3), scale=1 / 255)
    return np.asarray(cv2.add(np.ascontiguousarray(picture[..., :3]), behind), np.uint8)


def tinted(picture: Array, colour: str) -> Array:
    """Return an RGBA picture in shades of one colour, its median brightness becoming that colour."""
    brightness = picture[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    visible = picture[..., 3] > 60
    shade = brightness - (np.median(brightness[visible]) if visible.any() else 0.5)
    if colour in ("white", "gray", "black"):
        level, contrast = {"white": (205, 110), "gray": (132, 120), "black": (38, 70)}[colour]
        shaded = np.repeat((level + shade * contrast)[..., None], 3, axis=2)
    else:
        base = np.array(COLOURS[colour], np.float32)
        darker = base * np.clip(1 + shade * 1.3, 0.05, 1)[..., None]
        lighter = base + (255 - base) * np.clip(shade * 1.1, 0, 0.85)[..., None]
        shaded = np.where(shade[..., None] < 0, darker, lighter)
    return np.dstack([np.clip(shaded, 0, 255).astype(np.uint8), picture[..., 3]])


def jittered(picture: Array, chance: random.Random) -> Array:
    """Return an RGBA picture with its contrast and each colour channel moved a little."""
    contrast, offset = chance.uniform(0.7, 1.25), chance.uniform(-25, 25)
    levels = np.arange(256)
    table = [(levels - 128) * contrast + 128 + offset + chance.uniform(-18, 18) for _ in range(3)]
    lookup = np.clip(np.stack([*table, levels], axis=1), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, lookup[None]), np.uint8)


def redrawn(picture: Array, chance: random.Random, strength: float = 0.04) -> Array:
    """Return a square picture as another hand might draw it: parts of it moved smoothly against each other.

    Args:
        strength: how far a part moves, as a share of the picture's side: the deviation of a normal distribution.
    """
    side, cells = picture.shape[0], chance.choice((3, 4, 5))
    coarse = np.array([chance.gauss(0, strength * side) for _ in range(2 * cells * cells)], np.float32)
    moved = np.asarray(cv2.resize(coarse.reshape(cells, cells, 2), (side, side), interpolation=cv2.INTER_CUBIC))
    places = np.arange(side, dtype=np.float32)
    return np.asarray(cv2.remap(picture, moved[..., 0] + places, moved[..., 1] + places[:, None], cv2.INTER_LINEAR))


def restyled(picture: Array, chance: random.Random) -> Array:
    """Return an RGBA picture with few shades, or with an outline, or both: styles differ in these."""
    flat, outlined = chance.choice(((True, False), (False, True), (True, True)))
    if flat:
        steps = chance.randint(4, 6) - 1
        levels = np.arange(256)
        few = (np.round(levels / 255 * steps) / steps * 255).astype(np.uint8)
        lookup = np.stack([few, few, few, levels.astype(np.uint8)], axis=1)
        picture = np.asarray(cv2.LUT(cv2.medianBlur(picture, 5), lookup[None]), np.uint8)
    if outlined:
        width = 2 * chance.randint(1, 3) + 1
        ink = np.zeros_like(picture)
        ink[..., :3] = [chance.randint(0, 60) for _ in range(3)]
        ink[..., 3] = cv2.dilate(picture[..., 3], cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
        picture = np.asarray(cv2.copyTo(picture, (picture[..., 3] > 127).astype(np.uint8), ink), np.uint8)
    return picture


def placed(
    picture: Array,
    side: int,
    chance: random.Random,
    *,
    share: float,
    center: tuple[float, float] | None = None,
    visible: float = 0.72,
    degrees: float | None = None,
) -> Array:
    """Scale, turn, mirror and move a square premultiplied picture onto a canvas of `side` pixels.

    Args:
        share: its width as a share of the canvas.
        center: where, as shares of the canvas; by default anywhere with about `visible` of it inside.
        degrees: its turn; by default mostly slight.
    """
    scale = share * side / picture.shape[0]
    if scale < 0.55:  # warpAffine does not average
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
        scale *= 2
    reach = max(0.0, (1 - share) / 2) + share * (1 - visible) * 0.55
    x, y = center or (0.5 + chance.uniform(-reach, reach), 0.5 + chance.uniform(-reach, reach))
    if degrees is None:
        degrees = chance.gauss(0, 9) if chance.random() < 0.85 else chance.uniform(-45, 45)
    stretch, mirror = chance.uniform(0.85, 1.15), chance.choice((-1, 1))
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([scale * mirror * stretch, scale / stretch])
    move = np.array([x * side, y * side]) - turn @ np.full(2, picture.shape[0] / 2)
    matrix = np.hstack([turn, move[:, None]])
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def worn(canvas: Array, chance: random.Random, grain: npt.NDArray[np.float32]) -> Array:
    """Return the canvas as a camera and a codec might leave it: light, blur, grain, JPEG."""
    if chance.random() < 0.5:
        contrast = chance.uniform(0.65, 1.3)
        offset = chance.uniform(-30, 30) + 128 * (1 - contrast)
        levels = np.clip(np.arange(256) * contrast + offset, 0, 255).astype(np.uint8)
        canvas = cv2.LUT(canvas, levels).astype(np.uint8)
    kind = chance.random()
    if kind < 0.2:
        canvas = cv2.GaussianBlur(canvas, (0, 0), chance.uniform(0.4, 1.3)).astype(np.uint8)
    elif kind < 0.3:
        size, zoom = canvas.shape[0], chance.uniform(0.5, 0.85)
        small = cv2.resize(canvas, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        canvas = cv2.resize(small, (size, size)).astype(np.uint8)
    if chance.random() < 0.2:
        side, shift = canvas.shape[0], chance.randint(0, 127)
        moved = np.roll(grain[:side, :side], shift, axis=1) * np.float32(chance.uniform(2, 12))
        canvas = cv2.add(canvas, moved, dtype=cv2.CV_8U).astype(np.uint8)
    if chance.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, chance.randint(35, 90)]
        coded = cv2.imencode(".jpg", canvas, quality)[1]
        canvas = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return canvas


def shape_picture(name: str, colour: str, chance: random.Random) -> Array:
    """Return a plain shape in a colour: uint8 RGBA, 128 x 128."""
    mask = np.zeros((128, 128), np.uint8)
    if name in _POLYGONS:
        _fill(mask, [(60, 360 * corner / _POLYGONS[name]) for corner in range(_POLYGONS[name])])
    elif name == "star":
        _fill(mask, [(62 if point % 2 == 0 else 26, 36 * point) for point in range(10)])
    elif name == "arrow":
        mask[50:78, 6:80] = 255
        cv2.fillPoly(mask, [np.array([[76, 20], [124, 64], [76, 108]], np.int32)], 255)
    elif name == "cross":
        mask[46:82, 6:122] = mask[6:122, 46:82] = 255
    elif name == "heart":
        t = np.linspace(0, 6.283, 80)
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        points = np.stack([64 + 59 * np.sin(t) ** 3, 60 - 3.7 * y], axis=1)
        cv2.fillPoly(mask, [points.astype(np.int32)], 255)
    elif name in ("square", "rectangle"):
        mask[slice(8, 120) if name == "square" else slice(34, 94), 6:122] = 255
    else:
        axes = (60, 38) if name == "oval" else (48, 48) if name == "ring" else (60, 60)
        cv2.ellipse(mask, (64, 64), axes, 0, 0, 360, 255, 22 if name == "ring" else -1)
    fill = [min(255, max(0, level + chance.randint(-15, 15))) for level in COLOURS[colour]]
    return np.dstack([np.full((128, 128, 3), fill, np.uint8), mask])


def _fill(mask: Array, corners: list[tuple[int, float]]) -> None:
    points = [
        (64 + radius * math.sin(math.radians(degrees)), 64 - radius * math.cos(math.radians(degrees)))
        for radius, degrees in corners
    ]
    cv2.fillPoly(mask, [np.array(points, np.int32)], 255)


@functools.cache
def _font(face: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(face), size)


def word_mask(text: str, face: Path, size: int = 40) -> Array:
    """Return the letters of a text as an alpha mask cut to what they cover."""
    mask = _font(face, size).getmask(text, mode="L")
    width, height = mask.size
    if not width or not height:
        raise ValueError(f"{face.name} has no letters for {text!r}")
    return np.asarray(mask, np.uint8).reshape(height, width)


def sign(letters: Array, chance: random.Random, *, below: Array | None = None) -> Array:
    """Paint letters on a board: uint8 RGBA, not premultiplied, as large as it comes.

    The board is plain, framed or rounded, or there is none but a halo around the letters.

    Args:
        below: the letters of a smaller second line.
    """
    rows = [letters] if below is None else [letters, below]
    across, down = chance.randint(4, 26), chance.randint(4, 20)
    width = max(row.shape[1] for row in rows) + 2 * across
    height = sum(row.shape[0] for row in rows) + 2 * down + 5 * (len(rows) - 1)
    ink = np.zeros((height, width), np.uint8)
    y = down
    for row in rows:
        x = (width - row.shape[1]) // 2
        ink[y : y + row.shape[0], x : x + row.shape[1]] = row
        y += row.shape[0] + 5
    board_colour, ink_colour = _contrasting_colours(chance)
    board = np.full((height, width), 255, np.uint8)
    style = chance.random()
    if style < 0.3:
        edge = chance.randint(1, 3)
        cv2.rectangle(ink, (edge, edge), (width - 1 - edge, height - 1 - edge), 255, edge)
    elif style < 0.4:
        board = cv2.dilate(ink, np.ones((5, 5), np.uint8)).astype(np.uint8)
    elif style < 0.55:
        board = _rounded(height, width, chance.randint(3, max(4, min(height, width) // 2)))
    share = ink[..., None] / 255
    colours = board_colour * (1 - share) + ink_colour * share
    return np.dstack([colours.astype(np.uint8), board])


def _rounded(height: int, width: int, radius: int) -> Array:
    radius = min(radius, height // 2 - 1, width // 2 - 1)
    board = np.zeros((height, width), np.uint8)
    board[radius : height - radius] = 255
    board[:, radius : width - radius] = 255
    for y in (radius, height - 1 - radius):
        for x in (radius, width - 1 - radius):
            cv2.circle(board, (x, y), radius, 255, -1)
    return board


def _contrasting_colours(chance: random.Random) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    weights = np.array([0.3, 0.59, 0.11], np.float32)
    while True:
        pair = np.array([[chance.randint(0, 255) for _ in range(3)] for _ in range(2)], np.float32)
        for index, likelihood in enumerate((0.3, 0.4)):
            if chance.random() < likelihood:
                pair[index] = chance.choice((0, 255))
        if abs((pair[0] - pair[1]) @ weights) > 95:
            return pair[0], pair[1]


def put_sign(canvas: Array, board: Array, chance: random.Random, *, share: float, skew: float = 0.05) -> Array:
    """Return the canvas with a sign on it, `share` of its width wide, slightly turned and in perspective."""
    side = canvas.shape[0]
    height, width = board.shape[:2]
    scale = min(share * side / width, side * 0.9 / height)
    if scale < 0.6:
        board = cv2.resize(board, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    seen_width, seen_height = width * scale, height * scale
    reach = [max(0.0, (side - size) / 2) * 0.95 for size in (seen_width, seen_height)]
    center = np.array([side / 2 + chance.uniform(-limit, limit) for limit in reach])
    angle = math.radians(chance.gauss(0, 4))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [seen_width / 2, seen_height / 2] @ turn + center
    shifts = [[chance.uniform(-1, 1) * skew * seen_height * f for f in (1.2, 1.6)] for _ in range(4)]
    rows, columns = board.shape[:2]
    flat = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    matrix = cv2.getPerspectiveTransform(flat, (corners + shifts).astype(np.float32))
    seen = cv2.warpPerspective(premultiplied(board), matrix, (side, side), flags=cv2.INTER_LINEAR)
    return lay_over(canvas, np.asarray(seen, np.uint8))
