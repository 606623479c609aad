"""What a batch of training samples is: pictures, captions, and which of them fit each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.concepts import COLOURS
from training.pictures import Array

COLOUR_NAMES = list(COLOURS)
MAX_LETTERS = 10
NO_LETTER = 26

Claim = tuple["str | None", str]
"""A colour, or None when nothing is said about it, and a word."""
Shown = tuple["str | None", frozenset[str]]
"""A thing in a picture: its colour (None: unknown) and all its words."""


@dataclass
class Sample:
    """A picture and its words.

    Attributes:
        picture: uint8 RGB, square; None for a sample of words only.
        claims: what the caption says: every one must be true of a picture that it fits.
        shown: what is true of the picture: things with their colour (None: unknown) and all their words.
        concept_index, colour, word: labels of the picture, or None.
        caption_names_concept: whether the caption alone tells the concept.
    """

    caption: str
    claims: list[Claim]
    shown: list[Shown]
    picture: Array | None = None
    concept_index: int | None = None
    colour: str | None = None
    word: str | None = None
    caption_names_concept: bool = False


@dataclass
class Batch:
    """Samples as arrays.

    Attributes:
        pictures: uint8, shape (B, side, side, 3).
        captions: the B captions of the pictures, then those that have no picture.
        also_true: bool, shape (B, number of captions): a caption that fits a picture that it was not drawn
            for; training must not push the two apart.
        concepts, colours, named: int64, shape (B,); -1 where there is no label. `named` is the concept
            where the caption tells it.
        letters: int64, shape (B, 10): the letters of the painted word, 26 after its end.
    """

    pictures: Array
    captions: list[str]
    also_true: npt.NDArray[np.bool_]
    concepts: npt.NDArray[np.int64]
    colours: npt.NDArray[np.int64]
    named: npt.NDArray[np.int64]
    letters: npt.NDArray[np.int64]


def collect(drawn: list[Sample], extra: list[Sample]) -> Batch:
    def labels(values: list[int | None]) -> npt.NDArray[np.int64]:
        return np.array([-1 if value is None else value for value in values], np.int64)

    return Batch(
        pictures=np.stack([sample.picture for sample in drawn if sample.picture is not None]),
        captions=[sample.caption for sample in [*drawn, *extra]],
        also_true=find_also_true(drawn, [*drawn, *extra]),
        concepts=labels([sample.concept_index for sample in drawn]),
        colours=labels([COLOUR_NAMES.index(s.colour) if s.colour else None for s in drawn]),
        named=labels([s.concept_index if s.caption_names_concept else None for s in drawn]),
        letters=np.array([spell(sample.word) for sample in drawn], np.int64),
    )


def spell(word: str | None) -> list[int]:
    """Return ten letters as numbers, 26 after the word's end; all -1 when there is no word."""
    if word is None:
        return [-1] * MAX_LETTERS
    letters = [ord(letter) - ord("a") for letter in word[:MAX_LETTERS]]
    return letters + [NO_LETTER] * (MAX_LETTERS - len(letters))


def find_also_true(drawn: list[Sample], captioned: list[Sample]) -> npt.NDArray[np.bool_]:
    """Return which captions fit which pictures beside the one they were drawn for, shape (B, captions)."""
    showing: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
    for place, sample in enumerate(drawn):
        for colour, words in sample.shown:
            for word in words:
                showing[word].append((place, colour))
    fits = np.zeros((len(drawn), len(captioned)), bool)
    for column, sample in enumerate(captioned):
        places = [
            {place for place, shown in showing[word] if colour is None or shown is None or shown == colour}
            for colour, word in sample.claims
        ]
        fits[list(set.intersection(*places)), column] = True
    np.fill_diagonal(fits, False)
    return fits
