"""The prepared folder in memory: pictures by concept, words, type faces."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from training.concepts import COLOURS, Concept, concepts_from_json

Array = npt.NDArray[np.uint8]
PREPARED = Path(__file__).parent / "cache" / "prepared"
HELD_OUT_STYLES = ("twemoji", "openmoji")
_HUES = (
    (0, 7, "red"), (9, 19, "orange"), (22, 33, "yellow"), (38, 85, "green"), (95, 125, "blue"),
    (128, 150, "purple"), (152, 168, "pink"), (172, 181, "red"),
)  # fmt: skip


@dataclass(frozen=True)
class PictureEntry:
    """One prepared picture; `words` are what its own title and keywords call it."""

    style: str
    concept_index: int | None
    title: str
    words: Sequence[str]
    offset: int
    size: int


class Prepared:
    """What `training.prepare` wrote."""

    def __init__(self, folder: Path) -> None:
        self.concepts: list[Concept] = concepts_from_json((folder / "concepts.json").read_text())
        self.words: dict[str, list[str]] = json.loads((folder / "words.json").read_text())
        self.faces = {kind: sorted((folder / "faces" / kind).iterdir()) for kind in ("training", "held_out")}
        self._data = (folder / "pictures.bin").read_bytes()
        self.entries = [
            PictureEntry(e["style"], e["concept_index"], e["title"], e["keywords"], e["offset"], e["size"])
            for e in json.loads((folder / "pictures.json").read_text())
        ]

    def picture(self, index: int) -> Array:
        """Decode one picture: uint8 RGBA, shape (128, 128, 4), not premultiplied."""
        entry = self.entries[index]
        data = io.BytesIO(self._data[entry.offset : entry.offset + entry.size])
        return np.asarray(Image.open(data).convert("RGBA"))

    def pictures_of_style(self, style: str) -> dict[int, int]:
        """Return the first picture of each concept in one style, by concept."""
        found: dict[int, int] = {}
        for index, entry in enumerate(self.entries):
            if entry.style == style and entry.concept_index is not None:
                found.setdefault(entry.concept_index, index)
        return found

    def training_pictures(self) -> tuple[dict[int, list[int]], list[int]]:
        """Return the pictures that training may use: by concept, and those of no concept."""
        named, unnamed = defaultdict(list), []
        for index, entry in enumerate(self.entries):
            if entry.concept_index is None:
                unnamed.append(index)
            elif entry.style not in HELD_OUT_STYLES:
                named[entry.concept_index].append(index)
        return dict(named), unnamed


def main_colour(picture: Array) -> str | None:
    """Return the colour that covers over 62 % of an RGBA picture, or None."""
    visible = picture[picture[..., 3] > 128][::7, :3]
    if len(visible) < 15:
        return None
    hue, saturation, value = cv2.cvtColor(visible[None], cv2.COLOR_RGB2HSV)[0].astype(int).T
    names = np.full(len(visible), "", dtype=object)
    names[value < 60] = "black"
    pale = (saturation < 45) & (value >= 60)
    names[pale & (value > 215)] = "white"
    names[pale & (value > 70) & (value <= 200)] = "gray"
    vivid = (saturation >= 90) & (value >= 90)
    for low, high, name in _HUES:
        names[vivid & (hue >= low) & (hue < high)] = name
    names[(hue >= 5) & (hue < 20) & (saturation >= 80) & (value >= 50) & (value < 150)] = "brown"
    covering = {name: int((names == name).sum()) for name in COLOURS}
    best = max(covering, key=lambda name: covering[name])
    return best if covering[best] > 0.62 * len(visible) else None
