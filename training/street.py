"""The street of the demo clip, drawn as SVG: far hills, a row of houses with shops, a road.

One world unit is one pixel of the clip. Nothing here comes from the training backgrounds: gabled houses
with arched windows and awnings under an evening sky, seen by a camera that travels along the street.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

WIDTH, HEIGHT = 1280, 720
PAVEMENT_Y, ROAD_Y = 478, 530
WALLS = ["#e8c9a0", "#c98f73", "#9fb8a5", "#d9b8b0", "#a8a4c4", "#d8cf9e", "#b5c7cf"]
ROOFS = ["#7a4b42", "#5d5a6b", "#8a5a3c", "#6b4a57"]
SIGN_WIDTH, SIGN_HEIGHT, SIGN_Y = 336, 104, 232


@dataclass(frozen=True)
class Shop:
    """A painted sign: its word, where its board begins in the world, and its colours."""

    word: str
    x: float
    board: str
    ink: str


def rectangle(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    """Return one SVG rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}" {more}/>'


def document(body: str, width: int) -> str:
    """Return a whole SVG document as high as the clip."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        f'width="{width}" height="{HEIGHT}">{body}</svg>'
    )


def draw_far(width: int) -> str:
    """Return the evening sky and the hills behind the street."""
    stops = "".join(
        f'<stop offset="{offset}" stop-color="{colour}"/>'
        for offset, colour in [(0, "#f3d9c0"), (0.45, "#f9e7cf"), (0.7, "#fdf3e3")]
    )
    sky = f'<defs><linearGradient id="sky" x2="0" y2="1">{stops}</linearGradient></defs>'
    sky += rectangle(0, 0, width, HEIGHT, "url(#sky)")
    sky += hills(width, 250, 60, 640, "#d9cfc3") + hills(width, 320, 45, 420, "#c6c3b0")
    return document(sky, width)


def hills(width: int, y: float, height: float, step: int, fill: str) -> str:
    """Return one range of soft hills from edge to edge."""
    path = f"M-{step} {y}"
    for index, x in enumerate(range(-step, width + step, step)):
        rise = height if index % 2 else -height * 0.8
        path += f" Q{x + step / 2} {y - rise} {x + step} {y}"
    return f'<path d="{path} V{HEIGHT} H-{step} Z" fill="{fill}"/>'


def draw_near(width: int, shops: list[Shop], seed: int) -> str:
    """Return the street itself, transparent above the roofs.

    Args:
        shops: each stands in a house of its own that is wide enough for its sign.
    """
    chance = random.Random(seed)
    body = draw_ground(width)
    x = -60.0
    pending = sorted(shops, key=lambda shop: shop.x)
    while x < width:
        shop = pending[0] if pending and pending[0].x < x + 420 else None
        if shop:
            pending.pop(0)
            x = max(x, shop.x - 42)
            body += draw_shop(shop, chance)
            x = shop.x + SIGN_WIDTH + 50
            continue
        house_width = chance.uniform(230, 310)
        limit = pending[0].x - 50 if pending else width + 400
        house_width = min(house_width, max(150.0, limit - x))
        body += draw_house(x, house_width, chance)
        x += house_width + chance.choice([4.0, 4.0, 50.0])
    return document(body, width)


def draw_ground(width: int) -> str:
    """Return the hedge, the pavement, and the road with its kerb."""
    ground = rectangle(0, PAVEMENT_Y - 60, width, 62, "#8ea283")
    ground += rectangle(0, PAVEMENT_Y, width, ROAD_Y - PAVEMENT_Y, "#e3d8c6")
    ground += rectangle(0, ROAD_Y - 10, width, 10, "#bfb09a")
    return ground + rectangle(0, ROAD_Y, width, HEIGHT - ROAD_Y, "#c9c0b4")


def draw_house(x: float, width: float, chance: random.Random) -> str:
    """Return a gabled house with two floors of arched windows and a door."""
    top = chance.uniform(150, 230)
    wall = chance.choice(WALLS)
    house = rectangle(x, top, width, PAVEMENT_Y - top, wall)
    house += (
        f'<path d="M{x - 14} {top + 4} L{x + width / 2} {top - chance.uniform(80, 120)} '
        f'L{x + width + 14} {top + 4} Z" fill="{chance.choice(ROOFS)}"/>'
    )
    for column in (0.22, 0.78):
        house += arched_window(x + width * column, top + 40, 46, 74)
        house += arched_window(x + width * column, PAVEMENT_Y - 126, 46, 74)
    return house + arched_window(x + width / 2, PAVEMENT_Y - 110, 52, 112, glass="#7d6353")


def arched_window(center: float, y: float, width: float, height: float, glass: str = "#f7ecd2") -> str:
    """Return a window (or a door) with a round top and a pale frame."""
    shapes = ""
    for margin, fill in ((6.0, "#fbf6ec"), (0.0, glass)):
        half = width / 2 + margin
        shapes += (
            f'<path d="M{center - half} {y + height} V{y + half - margin} '
            f'A{half} {half} 0 0 1 {center + half} {y + half - margin} V{y + height} Z" fill="{fill}"/>'
        )
    return shapes


def draw_shop(shop: Shop, chance: random.Random) -> str:
    """Return a low shop: its painted sign across the front, a striped awning, wide panes."""
    left, width = shop.x - 40, SIGN_WIDTH + 80
    front = rectangle(left, SIGN_Y - 46, width, PAVEMENT_Y - SIGN_Y + 46, chance.choice(WALLS))
    front += rectangle(left - 10, SIGN_Y - 58, width + 20, 16, "#6b5a4e")
    for pane in range(3):
        front += rectangle(shop.x + 8 + pane * 112, 396, 96, 82, "#dfe7e2", 'rx="4"')
    for stripe in range(12):
        colour = "#fbf6ec" if stripe % 2 else shop.board
        front += rectangle(left + stripe * width / 12, 356, width / 12, 38, colour, 'rx="3"')
    board = rectangle(shop.x, SIGN_Y, SIGN_WIDTH, SIGN_HEIGHT, shop.board, 'rx="6"')
    return front + board + painted_word(shop)


def painted_word(shop: Shop) -> str:
    """Return the word in Lato Black, stretched or shrunk to fill its board."""
    size = min(78.0, SIGN_WIDTH * 1.42 / len(shop.word))
    length = min(SIGN_WIDTH - 28, len(shop.word) * size * 0.68)
    return (
        f'<text x="{shop.x + SIGN_WIDTH / 2}" y="{SIGN_Y + SIGN_HEIGHT / 2 + size * 0.36}" '
        f'font-family="Lato" font-weight="900" font-size="{size:.1f}" text-anchor="middle" '
        f'textLength="{length:.0f}" lengthAdjust="spacingAndGlyphs" fill="{shop.ink}">{shop.word}</text>'
    )
