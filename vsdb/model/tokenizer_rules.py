"""The rules of open_clip's tokenizer as plain rows, read off the very libraries that it uses.

The tokenizer cleans with ftfy and html, lowers with str.lower and cuts words with regex's Unicode properties.
Each depends on a version of Unicode, so the rows are asked from the libraries, not written down here.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import html5
from pathlib import Path

import ftfy.chardata
import ftfy.fixes
import regex  # type: ignore[import-untyped]

from vsdb.errors import ModelError

# Raise it when the rows for the same libraries change.
_RULES_VERSION = 1

NUM_MERGES = 49152 - 256 - 2
"""Merges of OpenAI's vocabulary: its file holds more, which CLIP never uses."""


@dataclass(frozen=True)
class TokenizerRules:
    """Everything that `vsdb.tokenize` reads."""

    merges: list[tuple[int, int, int]]
    """Left token, right token, the token they become."""
    folds: dict[int, str]
    """Code point → what ftfy puts in its place."""
    lowers: dict[int, str]
    """Code point → its lower-case form."""
    ranges: list[tuple[int, str, bool, bool]]
    """First code point, class, cased, case-ignorable; holds up to the next entry."""
    entities: list[tuple[str, str, bool]]
    """Name of a character reference, replacement, whether HTML 5 knows it."""


def tokenizer_fingerprint() -> bytes:
    """SHA-256 of all that the rules are made from, 32 bytes; much faster than making them."""
    versions = [f"{name}={importlib.metadata.version(name)}" for name in ("ftfy", "regex")]
    source = f"{_RULES_VERSION} python={sys.version_info[:2]} {versions}"
    return hashlib.sha256(source.encode() + _vocabulary_path().read_bytes()).digest()


def read_tokenizer_rules() -> TokenizerRules:
    """Make all rows, in about two seconds.

    Raises:
        ModelError: open_clip is not installed, or its vocabulary is not the one expected.
    """
    code_points = (*range(1, 0xD800), *range(0xE000, sys.maxunicode + 1))  # Without the surrogates.
    characters = [chr(code_point) for code_point in code_points]
    return TokenizerRules(
        merges=list(_read_merges()),
        folds=_character_folds(),
        lowers={ord(one): one.lower() for one in characters if one.lower() != one},
        ranges=list(_character_ranges(characters)),
        entities=list(_html_entities()),
    )


def _vocabulary_path() -> Path:
    """open_clip's vocabulary file, found without importing open_clip, which would import torch."""
    spec = importlib.util.find_spec("open_clip")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "bpe_simple_vocab_16e6.txt.gz"
        if path.is_file():
            return path
    raise ModelError(
        "the vocabulary bpe_simple_vocab_16e6.txt.gz was not found; it comes with open_clip: "
        'run "pip install open_clip_torch"'
    )


def _byte_alphabet() -> str:
    """The 256 characters that stand for bytes in the vocabulary, in the order of their tokens.

    Printable Latin-1 characters stand for themselves and come first; the other bytes follow, as the
    characters from U+0100 on (Radford et al. 2019, byte-level BPE).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return "".join(map(chr, [*printable, *range(0x100, 0x200 - len(printable))]))


def _read_merges() -> Iterator[tuple[int, int, int]]:
    lines = gzip.decompress(_vocabulary_path().read_bytes()).decode().split("\n")[1 : NUM_MERGES + 1]
    if len(lines) != NUM_MERGES:
        raise ModelError(f"{_vocabulary_path()} has {len(lines)} merges, not {NUM_MERGES}")
    alphabet = _byte_alphabet()
    tokens = {character: token for token, character in enumerate(alphabet)}
    tokens |= {character + "</w>": 256 + token for character, token in list(tokens.items())}
    for line in lines:
        left, right = line.split()
        tokens[left + right] = len(tokens)
        yield tokens[left], tokens[right], tokens[left + right]


def _character_folds() -> dict[int, str]:
    """What ftfy does to single characters, each followed until nothing changes any more.

    Not the escape character: it goes last, after the terminal sequences that it begins.
    """
    candidates = {*ftfy.chardata.LIGATURES, *ftfy.chardata.WIDTH_MAP, *ftfy.chardata.CONTROL_CHARS}
    candidates |= {*range(0x80, 0xA0), 0x02BC, *range(0x2018, 0x2020), 0x2028, 0x2029, 0x0D}
    candidates -= {0x00, 0x1B}
    return {code: _fold(chr(code)) for code in sorted(candidates) if _fold(chr(code)) != chr(code)}


def _fold(text: str) -> str:
    fixers = (
        ftfy.fixes.fix_c1_controls, ftfy.fixes.fix_latin_ligatures, ftfy.fixes.fix_character_width,
        ftfy.fixes.uncurl_quotes, ftfy.fixes.fix_line_breaks, ftfy.fixes.remove_control_chars,
    )  # fmt: skip
    folded = text
    for fixer in fixers:
        folded = fixer(folded)
    return folded if folded == text else _fold(folded)


def _character_ranges(characters: list[str]) -> Iterator[tuple[int, str, bool, bool]]:
    """The character classes as the tokenizer's own, case-insensitive pattern sees them.

    It cuts words at what none of its classes matches: white space, and U+0345, whose upper case is a letter.
    """
    everything = "".join(characters)
    patterns = {"letter": r"[\p{L}]", "number": r"[\p{N}]", "other": r"[^\s\p{L}\p{N}]"}
    classes = {name: set(regex.findall(pattern, everything, regex.IGNORECASE)) for name, pattern in patterns.items()}
    previous: tuple[str, bool, bool] | None = None
    for character in characters:
        character_class = next((name for name, members in classes.items() if character in members), "separator")
        properties = (character_class, *_case_properties(character))
        if properties != previous:
            yield (ord(character), *properties)
        previous = properties


def _case_properties(character: str) -> tuple[bool, bool]:
    """Beside a capital sigma: whether str.lower counts the character as cased, whether it looks past it."""
    cased = (character + "Σ").lower()[-1] == "ς"
    cased_or_ignorable = ("A" + character + "Σ").lower()[-1] == "ς"
    return cased, cased_or_ignorable and not cased


def _html_entities() -> Iterator[tuple[str, str, bool]]:
    for name, replacement in html5.items():
        yield name, replacement, True
    for name, replacement in ftfy.chardata.HTML_ENTITIES.items():
        if name[1:] not in html5:
            yield name[1:], replacement, False
