"""Open Clip Art as Debian packages it: which pictures to use, what they show, and their repair."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.concepts import Concept
from training.fetch import debian_folder

MAX_BYTES = 250_000
SIDE = 400
_SKIPPED_FOLDERS = re.compile(
    r"computer/|shapes/(stars|jigsaw|flowchart|arrows)|flags|map_symbols|aiga|gradients|patterns|/led"
    r"|religion|weapons|clocks|colou?rs|buttons|special/|chess|cards"
)
_EMPTY_WORDS = frozenset(
    {
        "the", "and", "with", "svg", "clip", "art", "drawing", "simple", "icon", "symbol", "image", "outline",
        "black", "white", "line", "cartoon", "colour", "color", "vector",
    }
)  # fmt: skip
_OTHER_WORDS = {
    "car": "automobile", "lorry": "delivery truck", "truck": "delivery truck", "bike": "bicycle",
    "boat": "sailboat", "plane": "airplane", "phone": "telephone", "computer": "laptop", "tv": "television",
    "flower": "hibiscus", "tree": "deciduous tree", "pine": "evergreen tree", "apple": "red apple",
    "orange": "tangerine", "cake": "birthday cake", "cheese": "cheese wedge", "cup": "hot beverage",
    "beer": "beer mug", "wine": "wine glass", "bee": "honeybee", "hat": "top hat", "shoe": "running shoe",
    "book": "closed book", "bulb": "light bulb", "lamp": "light bulb",
}  # fmt: skip


@dataclass(frozen=True)
class ClipArt:
    """One drawing: its repaired SVG, its title and keywords, and the concept its title names, if any."""

    svg: str
    title: str
    keywords: list[str]
    concept_index: int | None


def name_index(concepts: list[Concept]) -> dict[str, int]:
    """Return which concept each name means, with the everyday words that clip art is titled with."""
    names = {name: concept.index for concept in concepts for name in reversed(concept.names)}
    for concept in concepts:
        names[concept.names[0]] = concept.index
    by_first_name = {concept.names[0]: concept.index for concept in concepts}
    return names | {word: by_first_name[name] for word, name in _OTHER_WORDS.items()}


def read_clipart(concepts: list[Concept]) -> Iterator[ClipArt]:
    """Yield the usable drawings in the order of their paths."""
    root = debian_folder("openclipart-svg")
    names = name_index(concepts)
    for path in sorted(root.rglob("*.svg")):
        if _SKIPPED_FOLDERS.search(str(path.relative_to(root))) or path.stat().st_size > MAX_BYTES:
            continue
        source = path.read_text(encoding="utf-8", errors="ignore")
        title = _title(source, path)
        if title:
            yield ClipArt(repair(source), title, _keywords(source), _find_concept(title, names))


def _title(source: str, path: Path) -> str:
    found = re.search(r"<dc:title[^>]*>([^<]{2,80})", source)
    for text in (html.unescape(found.group(1)) if found else "", path.stem):
        spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()
        words = re.sub(r"[^a-z ]+", " ", spaced.replace("_", " ").replace("-", " ")).split()
        title = " ".join(word for word in words if len(word) > 2 and word not in _EMPTY_WORDS)
        if 0 < len(title) <= 40:
            return title
    return ""


def _keywords(source: str) -> list[str]:
    found = re.findall(r"<rdf:li[^>]*>([^<]{2,40})</rdf:li>", source)
    words = (html.unescape(word).strip().lower() for word in found)
    return [word for word in words if re.fullmatch(r"[a-z ]{3,25}", word) and word not in _EMPTY_WORDS][:8]


def _find_concept(title: str, names: dict[str, int]) -> int | None:
    """Return the concept of the longest run of words in a title that names one."""
    words = title.split()
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length + 1):
            run = " ".join(words[start : start + length])
            for candidate in (run, run.removesuffix("s")):
                if candidate in names:
                    return names[candidate]
    return None


def repair(source: str) -> str:
    """Give an SVG a viewBox and a size in pixels: half of the drawings lack one or have it wrong."""
    tag = re.search(r"<svg\b[^>]*>", source, re.DOTALL)
    if not tag:
        return source
    old = tag.group(0)
    left, top, width, height = _view_box(old)
    stripped = re.sub(r"\s(width|height|viewBox|preserveAspectRatio)\s*=\s*([\"']).*?\2", "", old, flags=re.DOTALL)
    zoom = SIDE / max(width, height)
    size = f'width="{width * zoom:.0f}" height="{height * zoom:.0f}"'
    new = f'<svg viewBox="{left} {top} {width} {height}" {size}{stripped[4:]}'
    return source.replace(old, new, 1)


def _view_box(tag: str) -> tuple[float, float, float, float]:
    width, height = _length(tag, "width"), _length(tag, "height")
    found = re.search(r"viewBox\s*=\s*[\"']([^\"']+)", tag)
    numbers = re.findall(r"-?[\d.]+(?:e-?\d+)?", found.group(1)) if found else []
    if len(numbers) == 4 and float(numbers[2]) > 0 and float(numbers[3]) > 0:
        return float(numbers[0]), float(numbers[1]), float(numbers[2]), float(numbers[3])
    return 0.0, 0.0, width or SIDE, height or SIDE


def _length(tag: str, name: str) -> float | None:
    found = re.search(rf"\s{name}\s*=\s*[\"']\s*([\d.]+)(?:px|pt|mm|cm|in)?\s*[\"']", tag)
    return float(found.group(1)) if found and float(found.group(1)) > 0 else None
