"""The words that are painted on signs, and the type faces they are painted in."""

from __future__ import annotations

import re
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer

from training.concepts import Concept
from training.fetch import DEBIAN_DEMO, DEBIAN_TRAINING, debian_folder

MAX_WORDS = 5400
HELD_OUT_WORDS = (Path(__file__).parent / "held_out_words.txt").read_text().split()
STREET_WORDS = (Path(__file__).parent / "street_words.txt").read_text().split()
_UNUSABLE_FACES = re.compile(
    r"Thin|Hairline|ExtraLight|Emoji|Light(Italic)?\.|CondLight|BebasNeue-Book|Italic|Oblique|Mono"
)
_HELD_OUT_FACES = re.compile(r"Lato-|LeagueSpartan")


def read_words(concepts: list[Concept]) -> dict[str, list[str]]:
    """Return the words to paint.

    Returns:
        "street": what signs say; "training": those and common words that are one token of CLIP's
        tokenizer; "held_out": words that training never paints.
    """
    listed = (debian_folder("wamerican") / "usr/share/dict/american-english").read_text().split("\n")
    known = {word for word in listed if re.fullmatch(r"[a-z]{3,10}", word)}
    tokens = sorted((rank, text) for text, rank in SimpleTokenizer().encoder.items())
    common = [text[:-4] for _, text in tokens if text.endswith("</w>") and text[:-4] in known][:MAX_WORDS]
    held_out = set(HELD_OUT_WORDS)
    named = {word for concept in concepts for name in concept.words for word in name.split()}
    if overlap := held_out & (set(STREET_WORDS) | named):
        raise ValueError(f"held-out words are in use: {sorted(overlap)}")
    training = [word for word in dict.fromkeys(STREET_WORDS + common) if word not in held_out]
    return {"street": sorted(set(STREET_WORDS)), "training": training, "held_out": HELD_OUT_WORDS}


def find_faces() -> dict[str, list[Path]]:
    """Return the upright type faces of the fetched packages: "training" and "held_out"."""
    faces: dict[str, list[Path]] = {"training": [], "held_out": []}
    for package in [*DEBIAN_DEMO, *DEBIAN_TRAINING]:
        for path in sorted(debian_folder(package).rglob("*.[to]tf")):
            if not _UNUSABLE_FACES.search(path.name) and path.is_file():
                kind = "held_out" if _HELD_OUT_FACES.search(path.name) else "training"
                faces[kind].append(path)
    return faces
