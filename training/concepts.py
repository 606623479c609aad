"""What the model learns to name: the concepts of Unicode's emoji list, with their names and keywords.

The order of the concepts is fixed by the pinned data packages, so a concept's index is its identity: the
pairs of object and colour that training leaves out are chosen by it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from training.fetch import npm_folder

OBJECT_GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 35),
    "orange": (245, 135, 25),
    "yellow": (250, 215, 40),
    "green": (45, 160, 60),
    "blue": (40, 95, 220),
    "purple": (135, 50, 180),
    "pink": (250, 130, 185),
    "brown": (125, 75, 40),
    "black": (28, 28, 30),
    "white": (248, 248, 248),
    "gray": (135, 135, 138),
}
EVERYDAY_NAMES = {
    "automobile": ["car", "automobile"],
    "oncoming automobile": ["car", "front of a car"],
    "sport utility vehicle": ["suv", "car", "jeep"],
    "delivery truck": ["truck", "delivery truck", "lorry"],
    "articulated lorry": ["truck", "lorry", "semi truck"],
    "pickup truck": ["pickup truck", "truck"],
    "fire engine": ["fire engine", "fire truck"],
    "bicycle": ["bicycle", "bike"],
    "motorcycle": ["motorcycle", "motorbike"],
    "motor scooter": ["scooter", "moped"],
    "sailboat": ["sailboat", "boat"],
    "airplane": ["airplane", "plane"],
    "vertical traffic light": ["traffic light"],
    "horizontal traffic light": ["traffic light"],
    "person walking": ["person walking", "pedestrian"],
    "deciduous tree": ["tree"],
    "hot beverage": ["coffee", "cup of coffee", "tea"],
    "beer mug": ["beer", "mug of beer"],
    "french fries": ["french fries", "chips"],
    "soccer ball": ["soccer ball", "football"],
    "closed book": ["book"],
    "light bulb": ["light bulb", "lightbulb"],
    "television": ["tv", "television"],
    "mobile phone": ["mobile phone", "cell phone", "smartphone"],
    "laptop": ["laptop", "computer"],
}
# Tinting these would make a lie of their name or leave nothing to see.
_NOT_TINTED = re.compile(
    r"moon|sun|star|night|sky|rain|cloud|wave|mark|sign|label|map|chart|calendar|book|folder|fire|snow|wind"
    r"|fog|light|button|earth|globe|orange|green|red |blue|white|black|yellow|purple|sunrise|city"
)


@dataclass(frozen=True)
class Concept:
    """One thing with its words.

    Attributes:
        names: what it is called; the first is its Unicode name.
        display: the name that captions and evaluation prompts use first.
        keywords, keyword_weights: looser words and how much each says about this concept.
        words: every name and keyword: a caption that uses one of them is true of its pictures.
    """

    index: int
    emoji: str
    group: str
    names: list[str]
    display: str
    keywords: list[str]
    keyword_weights: list[float]
    words: list[str]

    @property
    def is_object(self) -> bool:
        """Whether it is a thing rather than a face, a person or a symbol."""
        return self.group in OBJECT_GROUPS

    @property
    def can_be_tinted(self) -> bool:
        """Whether a picture of it in another colour is still a picture of it."""
        return self.is_object and not _NOT_TINTED.search(self.names[0])


def is_held_out_pair(concept_index: int, colour: str) -> bool:
    """Return whether training never shows this object in this colour; true of one pair in ten."""
    return int(hashlib.md5(f"{concept_index}{colour}".encode()).hexdigest(), 16) % 10 == 0


def with_article(name: str) -> str:
    """Return "a dog", "an umbrella"; plural names and names with an article stay as they are."""
    plural = (
        r"(glasses|scissors|jeans|shorts|socks|fries|grapes|cherries|houses|books|clothes|gloves|boots|people"
        r"|chopsticks)$"
    )
    if re.match(r"(the|a|an|some|people|men|women) ", name) or re.search(plural, name):
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def code_points(emoji: str) -> str:
    """Return an emoji's code points as icon sets spell them: "1f697", joined by "-"."""
    return normalise_code_points("-".join(f"{ord(character):x}" for character in emoji))


def normalise_code_points(text: str) -> str:
    """Lowercase, without leading zeros and without the variation selector."""
    return "-".join(part.lstrip("0") for part in text.lower().split("-") if part != "fe0f")


def slug(name: str) -> str:
    """Return a name as icon sets spell it: "fire-engine"."""
    plain = name.lower().replace("\u2019", "").replace("'", "").replace("ñ", "n")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _is_wanted(name: str, group: str, emoji: str) -> bool:
    if group == "Flags" or "keycap" in name or "facing right" in name or name.startswith("family"):
        return False
    if re.search(r"(o.clock|thirty)$", name) or ("Japanese" in name and "button" in name):
        return False
    if group == "Symbols":
        return not re.search(r"button$|input|arrow|symbol for beginner|ON!|SOON|TOP|BACK|END", name)
    gendered = "\u200d" in emoji and re.search(r"(^|\b)(man|woman|men|women)\b", name)
    return not (group == "People & Body" and gendered)


def _read_json(package: str, path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((npm_folder(package) / path).read_text())
    return content


def _names_of(name: str, group: str, spoken: str) -> tuple[list[str], str]:
    everyday = EVERYDAY_NAMES.get(name, [])
    names = [name, *everyday]
    if group == "Animals & Nature" and name.endswith(" face"):
        names = [name[:-5], name[:-5], name]
    if spoken not in names:
        names.append(spoken)
    return names, everyday[0] if everyday else names[0]


def _keywords_of(names: list[str], loose: set[str], close: set[str]) -> dict[str, float]:
    return {
        word: 1.0 if word in close else 0.3
        for word in sorted(loose | close)
        if re.fullmatch(r"[a-z' -]{2,26}", word) and word.count(" ") < 3 and word not in names
    }


@functools.cache
def build_concepts() -> list[Concept]:
    """Read the concepts from the fetched packages."""
    listed = _read_json("unicode-emoji-json", "data-by-emoji.json")
    library = _read_json("emojilib", "dist/emoji-en-US.json")
    annotations = _read_json("cldr-annotations-full", "annotations/en/annotations.json")
    spoken_words = annotations["annotations"]["annotations"]
    raw = []
    for emoji, entry in listed.items():
        if not _is_wanted(entry["name"], entry["group"], emoji):
            continue
        name = entry["name"].lower().replace("\u2019", "'").replace("\u201c", "").replace("\u201d", "")
        spoken = spoken_words.get(emoji.replace("\ufe0f", ""), {})
        names, display = _names_of(name, entry["group"], spoken.get("tts", [name])[0].lower())
        loose = {word.replace("_", " ").lower() for word in library.get(emoji, [])}
        close = {word.lower() for word in spoken.get("default", [])}
        raw.append((emoji, entry["group"], names, display, _keywords_of(names, loose, close)))
    return _with_shared_weights(raw)


def _with_shared_weights(raw: list[tuple[str, str, list[str], str, dict[str, float]]]) -> list[Concept]:
    """A keyword that many concepts share says little about each; one of over 25 says nothing."""
    shared = Counter(word for _, _, names, _, keywords in raw for word in {*names, *keywords})
    concepts = []
    for index, (emoji, group, names, display, keywords) in enumerate(raw):
        useful = {w: weight / math.sqrt(shared[w]) for w, weight in keywords.items() if shared[w] <= 25}
        words = sorted({*names, *keywords})
        weights = list(useful.values())
        concepts.append(Concept(index, emoji, group, names, display, list(useful), weights, words))
    return concepts


def concepts_to_json(concepts: list[Concept]) -> str:
    """Return the concepts as text that `concepts_from_json` reads."""
    return json.dumps([asdict(concept) for concept in concepts])


def concepts_from_json(text: str) -> list[Concept]:
    """Read what `concepts_to_json` wrote."""
    return [Concept(**entry) for entry in json.loads(text)]
