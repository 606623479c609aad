"""Render every picture once and put all that training and evaluation need into one folder.

    python -m training.prepare

Writes `training/cache/prepared/` (about 40 MB): the pictures, the concepts, the words and the type faces.
That folder is all that the other commands read, so it can be carried to a machine without a network.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import multiprocessing
import re
import shutil
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from PIL import Image

from training.clipart import read_clipart
from training.concepts import (
    Concept,
    build_concepts,
    code_points,
    concepts_to_json,
    normalise_code_points,
    slug,
)
from training.fetch import npm_folder
from training.icons import Picture, icon_svg, premultiply, read_icon_set, render_svg, trim
from training.pictures import PREPARED
from training.words import find_faces, read_words

SIDE = 128
RENDERED = 160
ICON_SETS = [
    "noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "fxemoji", "emojione", "streamline-emojis",
    "openmoji", "twemoji",
]  # fmt: skip
ONE_EACH = {"noto", "openmoji", "twemoji"}
SECONDS_A_PICTURE = 5


@dataclass(frozen=True)
class Source:
    """A picture to render; `path` is a file to read instead of an SVG."""

    style: str
    svg: str
    path: str
    concept_index: int | None
    title: str
    keywords: tuple[str, ...] = ()


def icon_sources(icon_set: str, concepts: list[Concept]) -> Iterator[Source]:
    """Yield the icons of a set that show a concept, at most two of each."""
    names = icon_names(concepts)
    by_points = {code_points(concept.emoji): concept.index for concept in concepts}
    points = {icon: text for text, icon in read_characters(icon_set).items()}
    seen: Counter[int] = Counter()
    for icon in read_icon_set(icon_set)["icons"]:
        index = by_points.get(normalise_code_points(points.get(icon, "")))
        for name in (icon, re.sub(r"-\d+$", "", icon), icon.replace("-", "")):
            index = names.get(name) if index is None else index
        limit = 1 if icon_set in ONE_EACH else 9 if icon_set == "streamline-emojis" else 2
        if index is None or "skin-tone" in icon or seen[index] >= limit:
            continue
        seen[index] += 1
        yield Source(icon_set, icon_svg(icon_set, icon), "", index, concepts[index].names[0])


def read_characters(icon_set: str) -> dict[str, str]:
    """Return which icon stands for which code points; some sets do not say."""
    path = npm_folder(f"@iconify-json/{icon_set}") / "chars.json"
    characters: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return characters


def icon_names(concepts: list[Concept]) -> dict[str, int]:
    """Return which concept an icon's name means."""
    names: dict[str, int] = {}
    by_points = {code_points(concept.emoji): concept.index for concept in concepts}
    for icon_set in ("noto", "openmoji", "twemoji"):
        for text, icon in read_characters(icon_set).items():
            if (index := by_points.get(normalise_code_points(text))) is not None:
                names[icon] = index
    for concept in concepts:
        for name in concept.names:
            names.setdefault(slug(name), concept.index)
    return {name.replace("-", ""): index for name, index in names.items()} | names


def three_d_sources(concepts: list[Concept]) -> Iterator[Source]:
    """Yield the pictures of Fluent Emoji 3D, which come as files."""
    by_points = {code_points(concept.emoji): concept.index for concept in concepts}
    for path in sorted((npm_folder("@lobehub/fluent-emoji-3d") / "assets").iterdir()):
        if (index := by_points.get(normalise_code_points(path.stem))) is not None:
            yield Source("fluent-emoji-3d", "", str(path), index, concepts[index].names[0])


def clipart_sources(concepts: list[Concept]) -> Iterator[Source]:
    """Yield the drawings of Open Clip Art."""
    for art in read_clipart(concepts):
        yield Source("openclipart", art.svg, "", art.concept_index, art.title, tuple(art.keywords))


def render(source: Source) -> Picture | None:
    """Return a picture trimmed and fitted into a square, or None when it cannot be drawn."""
    with contextlib.suppress(ValueError, OSError):
        if source.path:
            return fit(trim(np.asarray(Image.open(source.path).convert("RGBA"))))
        if source.style == "openclipart":
            return fit(trim(render_svg(source.svg, width=400, height=400)))
        return fit(trim(render_svg(source.svg, width=RENDERED, height=RENDERED)))
    return None


def fit(picture: Picture) -> Picture:
    """Center an RGBA picture in a square and scale it to SIDE, weighing colours by alpha."""
    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 4), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    shrinks = side >= SIDE
    scaled = cv2.resize(
        premultiply(square), (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    ).astype(np.float32)
    alpha = scaled[..., 3:]
    colours = np.clip(scaled[..., :3] * 255 / np.maximum(alpha, 1), 0, 255)
    return np.concatenate([colours, alpha], axis=2).astype(np.uint8)


def encode(source: Source) -> tuple[Source, bytes | None]:
    """Render one picture and encode it as WebP."""
    picture = render(source)
    if picture is None:
        return source, None
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=78, method=4)
    return source, buffer.getvalue()


def write_pictures(sources: list[Source], folder: Path) -> int:
    """Render all sources in parallel; write `pictures.bin` and its index; return how many it holds."""
    index: list[dict[str, Any]] = []
    offset = 0
    with multiprocessing.Pool() as pool, (folder / "pictures.bin").open("wb") as file:
        for source, data in pool.imap(encode, sources, chunksize=16):
            if data is None:
                continue
            file.write(data)
            entry = {"style": source.style, "concept_index": source.concept_index, "title": source.title}
            index.append(entry | {"keywords": source.keywords, "offset": offset, "size": len(data)})
            offset += len(data)
    (folder / "pictures.json").write_text(json.dumps(index))
    return len(index)


def copy_letters(face: Path, to: Path) -> None:
    """Copy a type face with nothing but the letters that signs need: a hundredth of its size."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    font = TTFont(face)
    subsetter = Subsetter()
    subsetter.populate(text=string.ascii_letters + string.digits + " '-")
    subsetter.subset(font)
    font.save(to)


def main() -> None:
    """Write the prepared folder anew."""
    folder = PREPARED.with_name("prepared.new")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "faces").mkdir(parents=True)
    concepts = build_concepts()
    (folder / "concepts.json").write_text(concepts_to_json(concepts))
    (folder / "words.json").write_text(json.dumps(read_words(concepts)))
    for kind, faces in find_faces().items():
        (folder / "faces" / kind).mkdir()
        for face in faces:
            copy_letters(face, folder / "faces" / kind / face.name)
    sources = [source for icon_set in ICON_SETS for source in icon_sources(icon_set, concepts)]
    sources += [*three_d_sources(concepts), *clipart_sources(concepts)]
    num_pictures = write_pictures(sources, folder)
    shutil.rmtree(PREPARED, ignore_errors=True)
    folder.rename(PREPARED)
    size = sum(path.stat().st_size for path in PREPARED.rglob("*") if path.is_file())
    print(f"{len(concepts)} concepts, {num_pictures} pictures of {len(sources)}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
