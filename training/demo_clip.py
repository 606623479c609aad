"""Draw the demo clip `street.mp4` and write its truth `street.json`.

    python -m training.demo_clip [--to vsdb/demo]

A camera travels along a street; things of Twemoji, the drawing style that the model tiny never sees in
training, come and go at the times that SCENE lists. A thing's interval runs from the first to the last
moment at which a part of it is on screen.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np

from training.fetch import debian_folder
from training.icons import Picture, icon_svg, premultiply, render_svg, trim
from training.package import DEMO_FOLDER
from training.street import HEIGHT, SIGN_WIDTH, WIDTH, Shop, draw_far, draw_near

FRAMES_PER_SECOND = 25
SECONDS = 60
PAN = 4  # pixels a frame: whole numbers let the codec copy the street instead of drawing it again
FAR_PAN = 1
FONT = "usr/share/fonts/truetype/lato/Lato-Black.ttf"


@dataclass(frozen=True)
class Actor:
    """A thing that crosses the screen.

    Attributes:
        icon: its name in Twemoji.
        start_seconds, seconds: when it enters, and for how long it can be seen.
        width: in pixels, of what is visible of the icon.
        ground_y: where it stands, in pixels from the top.
        to_right: the way it goes; the icons look to the left and are mirrored then.
        bob, turns: pixels it hops, whole turns it rolls; sway: degrees it swings.
    """

    prompt: str
    label: str
    icon: str
    start_seconds: float
    seconds: float
    width: int
    ground_y: int = 690
    to_right: bool = False
    bob: float = 0.0
    turns: float = 0.0
    sway: float = 0.0
    recolour: dict[str, str] = field(default_factory=dict)


SCENE = [
    Actor("a red car", "red car", "automobile", 0.6, 6.4, 345, recolour={"#dd2e44": "#d8262c"}),
    Actor("a dog", "dog", "guide-dog", 4.8, 7.0, 260, ground_y=700, bob=6),
    Actor("an umbrella", "umbrella", "umbrella-on-ground", 11.0, 6.8, 335, ground_y=695),
    Actor("a blue car", "blue car", "automobile", 14.6, 6.4, 345, recolour={"#dd2e44": "#2456d6"}),
    Actor("a bicycle", "bicycle", "bicycle", 19.2, 7.0, 320, to_right=True),
    Actor("a bus", "bus", "bus", 23.8, 7.0, 345),
    Actor("an owl", "owl", "owl", 28.4, 7.4, 270, to_right=True, bob=8),
    Actor("a fire engine", "fire engine", "fire-engine", 33.2, 6.2, 345),
    Actor("a soccer ball", "soccer ball", "soccer-ball", 37.6, 6.6, 250, to_right=True, turns=3),
    Actor("a tractor", "tractor", "tractor", 42.2, 6.6, 340),
    Actor("a penguin", "penguin", "penguin", 46.8, 7.4, 240, to_right=True, bob=6),
    Actor("a pineapple", "pineapple", "pineapple", 51.6, 7.0, 250, bob=14),
]
SIGNS = [
    ("a laundromat sign", Shop("LAUNDROMAT", 1900.0, "#20476b", "#fffaf0")),
    ("a bakery sign", Shop("BAKERY", 3800.0, "#2f5d46", "#fff4d6")),
    ("a sign that says hotel", Shop("HOTEL", 5500.0, "#7b1f33", "#ffe9a8")),
]
ABSENT = [
    "a giraffe", "an airplane", "a lighthouse", "a guitar", "a snowman", "a helicopter", "a lion",
    "a sailboat", "a pizza", "a microscope", "a violin", "a yellow car",
]  # fmt: skip


def sign_interval(shop: Shop) -> tuple[float, float]:
    """Return when the first and the last part of a sign's board is on screen, in seconds."""
    speed = PAN * FRAMES_PER_SECOND
    return (shop.x - WIDTH) / speed, (shop.x + SIGN_WIDTH) / speed


def truth() -> dict[str, object]:
    """Return what `street.json` holds."""
    moments = [
        {
            "prompt": actor.prompt,
            "label": actor.label,
            "start_seconds": actor.start_seconds,
            "end_seconds": round(actor.start_seconds + actor.seconds, 2),
        }
        for actor in SCENE
    ]
    for prompt, shop in SIGNS:
        start, end = sign_interval(shop)
        moments.append({"prompt": prompt, "label": f"{shop.word} sign", "start_seconds": start, "end_seconds": end})
    return {"video": "street.mp4", "seconds": SECONDS, "moments": moments, "absent_prompts": ABSENT}


def lay_over(frame: Picture, picture: Picture) -> None:
    """Lay a premultiplied RGBA picture over an RGB frame of the same size, in place."""
    seen_through = cv2.merge([255 - picture[..., 3]] * 3)
    behind = cv2.multiply(frame, seen_through, scale=1 / 255)
    frame[:] = cv2.add(np.ascontiguousarray(picture[..., :3]), behind)


class Sprite:
    """An actor's picture and where it is at a time."""

    def __init__(self, actor: Actor) -> None:
        svg = icon_svg("twemoji", actor.icon, recolour=actor.recolour)
        picture = premultiply(trim(render_svg(svg, width=900, height=900)))
        self.actor = actor
        self.picture = picture[:, ::-1].copy() if actor.to_right else picture
        self.scale = actor.width / picture.shape[1]
        self.height = picture.shape[0] * self.scale
        shrink = self.scale * 1.5  # warpAffine does not average, so come close to the final size first
        small = cv2.resize(self.picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        self.picture = np.asarray(small, np.uint8)

    def draw(self, frame: Picture, seconds: float) -> None:
        """Draw the sprite into an RGB frame; do nothing before it enters and after it left."""
        actor = self.actor
        progress = (seconds - actor.start_seconds) / actor.seconds
        if not 0 <= progress <= 1:
            return
        x = (WIDTH + actor.width) * (progress if actor.to_right else 1 - progress) - actor.width / 2
        y = actor.ground_y - self.height / 2 - abs(math.sin(seconds * 6)) * actor.bob
        turn = 360 * actor.turns * progress * (1 if actor.to_right else -1)
        angle = turn + actor.sway * math.sin(seconds * 2.2)
        rows, columns = self.picture.shape[:2]
        matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), -angle, 1 / 1.5)
        matrix[:, 2] += (x - columns / 2, y - rows / 2)
        placed = cv2.warpAffine(self.picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        lay_over(frame, np.asarray(placed, dtype=np.uint8))


def draw_frames() -> Iterator[Picture]:
    """Yield the frames of the clip in order: uint8 RGB, shape (720, 1280, 3)."""
    num_frames = SECONDS * FRAMES_PER_SECOND
    far_width, near_width = WIDTH + FAR_PAN * num_frames, WIDTH + PAN * num_frames
    far = render_svg(draw_far(far_width), width=far_width, height=HEIGHT)[..., :3]
    font = str(debian_folder("fonts-lato") / FONT)
    street = draw_near(near_width, [shop for _, shop in SIGNS], seed=5)
    near = premultiply(render_svg(street, width=near_width, height=HEIGHT, fonts=[font]))
    sprites = [Sprite(actor) for actor in SCENE]
    for index in range(num_frames):
        frame = far[:, index * FAR_PAN :][:, :WIDTH].copy()
        lay_over(frame, np.ascontiguousarray(near[:, index * PAN :][:, :WIDTH]))
        for sprite in sprites:
            sprite.draw(frame, index / FRAMES_PER_SECOND)
        yield frame


def encode(frames: Iterator[Picture], path: Path) -> None:
    """Write RGB frames as H.264."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "27", "preset": "slow", "tune": "animation", "g": "125", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    """Parse the command line, draw, encode, and write the truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", type=Path, default=DEMO_FOLDER)
    folder = parser.parse_args().to
    encode(draw_frames(), folder / "street.mp4")
    (folder / "street.json").write_text(json.dumps(truth(), indent=2) + "\n")
    print(f"{folder / 'street.mp4'}: {(folder / 'street.mp4').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
