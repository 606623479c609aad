"""Draw training samples: a picture, a caption, and what else is true of the picture."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from training import compose
from training.backgrounds import Backgrounds
from training.batches import COLOUR_NAMES, Batch, Sample, Shown, collect
from training.concepts import Concept, is_held_out_pair, with_article
from training.pictures import Array, Prepared, main_colour

COLOUR_WEIGHTS = [1.0] * 7 + [0.6] * 4
NUM_BACKGROUNDS = 900
GROUP_WEIGHTS = {"Smileys & Emotion": 0.3, "People & Body": 0.5, "Symbols": 0.4}
TEMPLATES = [
    *["{}"] * 3, *["{a}"] * 4, *["a photo of {a}"] * 3, "a picture of {a}", "an image of {a}",
    "{a} on the street", "{a} in the street", "there is {a}", "a close-up of {a}", "a small {}", "a big {}",
    "a video frame with {a}", "{a} in the scene", "a drawing of {a}", "the {}", "{a} moving",
    "{a} on the road", "photo of {a}", "one {}",
]  # fmt: skip
SIGN_TEMPLATES = [
    *["a sign that says {}"] * 4, "a sign saying {}", "the word {}", "the word {} on a sign", "{}", "{} sign",
    "a {} sign", "a sign with the text {}", "text that says {}", "a sign reading {}", "{} written on a sign",
    "a photo of a {} sign",
]  # fmt: skip
PAIR_TEMPLATES = ["{} and {}", "{} next to {}", "a photo of {} and {}", "{} with {}"]
EMPTY_TEMPLATES = ["an empty {}", "{}", "a photo of {}", "a {} with nothing on it", "just a {}"]


@dataclass
class Difficulty:
    """How hard the pictures are.

    Attributes:
        side: their size in pixels.
        easy: things are large and whole, and words short.
        passers_by: how likely an edge cuts some other thing.
        redrawn: how likely a thing is drawn as by another hand.
        restyled: how likely its shades are flattened, or it gets an outline.
        kinds: how often each kind of picture comes, as weights.
    """

    side: int = 128
    easy: bool = False
    passers_by: float = 0.35
    redrawn: float = 0.6
    restyled: float = 0.35
    kinds: dict[str, float] = field(
        default_factory=lambda: {
            "thing": 0.39, "clipart": 0.05, "coloured": 0.13, "shape": 0.03, "sign": 0.28, "pair": 0.06,
            "empty": 0.06,
        }
    )  # fmt: skip


class Sampler:
    """Draws samples without end; a seed fixes them all."""

    def __init__(self, prepared: Prepared, seed: int) -> None:
        self.prepared = prepared
        self.chance = random.Random(seed)
        self.backgrounds = Backgrounds(seed)
        self.difficulty = Difficulty()
        self._grain = np.random.default_rng(seed).normal(0, 1, (128, 128, 3)).astype(np.float32)
        self._named, self._unnamed = prepared.training_pictures()
        self._concepts = [prepared.concepts[index] for index in sorted(self._named)]
        weights = [GROUP_WEIGHTS.get(concept.group, 1.25) for concept in self._concepts]
        self._concept_weights = list(itertools.accumulate(weights))
        self._tintable = [concept for concept in self._concepts if concept.can_be_tinted]
        self._short_words = [word for word in prepared.words["training"] if len(word) <= 7]
        self._pictures: dict[int, Array] = {}
        self._colours: dict[int, str | None] = {}
        self._made = [self.backgrounds.make() for _ in range(NUM_BACKGROUNDS)]
        self._masks: dict[str, list[Array]] = {}

    def batch(self, num_pictures: int, num_captions: int) -> Batch:
        """Draw pictures with captions, and further captions without pictures."""
        kinds, weights = list(self.difficulty.kinds), list(self.difficulty.kinds.values())
        few = self.chance.sample(self._tintable, 10)  # so that a batch has one thing in several colours
        drawn = [self.sample(kind, few) for kind in self.chance.choices(kinds, weights, k=num_pictures)]
        wordy = self.chance.choices(kinds, weights, k=num_captions)
        extra = [self.sample(kind, few, with_picture=False) for kind in wordy]
        return collect(drawn, extra)

    def sample(self, kind: str, few: list[Concept], *, with_picture: bool = True) -> Sample:
        """Draw one sample of a kind that `Difficulty` names."""
        if with_picture:
            canvas, name, beside = self._background()
        else:
            canvas, name, beside = None, self.chance.choice(self._made)[1], []
        if kind == "empty":
            sample = self._empty(canvas, name)
        elif kind == "sign":
            sample = self._sign(canvas)
        elif kind == "pair":
            sample = self._pair(canvas)
        elif kind == "shape":
            sample = self._shape(canvas)
        elif kind == "coloured":
            sample = self._coloured(canvas, self.chance.choice(few))
        elif kind == "clipart":
            sample = self._clipart(canvas)
        else:
            sample = self._thing(canvas)
        sample.shown += beside
        if sample.picture is not None:
            sample.picture = compose.worn(sample.picture, self.chance, self._grain)
        return sample

    def _background(self) -> tuple[Array, str, list[Shown]]:
        """Return a crop of a background, its name, and what is cut by its edges; now and then it is a new one."""
        chance = self.chance
        place = chance.randrange(NUM_BACKGROUNDS)
        if chance.random() < 1 / 60:
            self._made[place] = self.backgrounds.make()
        whole, name = self._made[place]
        size = chance.randint(96, whole.shape[0])
        top, left = (chance.randint(0, whole.shape[0] - size) for _ in range(2))
        crop = whole[top : top + size, left : left + size][:, :: chance.choice((-1, 1))]
        side = self.difficulty.side
        canvas = np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        if chance.random() < 0.15:
            shape = compose.shape_picture(chance.choice(compose.SHAPES), chance.choice(COLOUR_NAMES), chance)
            canvas = self._put(canvas, shape, share=chance.uniform(0.06, 0.2), visible=0.3)
        beside: list[Shown] = []
        while chance.random() < self.difficulty.passers_by and len(beside) < 2:
            canvas, shown = self._put_passer_by(canvas)
            beside.append(shown)
        return canvas, name, beside

    def _put_passer_by(self, canvas: Array) -> tuple[Array, Shown]:
        """Lay a part of some other thing over an edge, 5 to 45 % of it to be seen: in footage, patches cut things."""
        chance = self.chance
        share, seen = chance.uniform(0.3, 1.0), chance.uniform(0.05, 0.45)
        edge = share * (seen - 0.5)
        edge, along = chance.choice((edge, 1 - edge)), chance.random()
        index = chance.choice(self._unnamed) if chance.random() < 0.3 else self._any_picture(self._any_concept())
        entry = self.prepared.entries[index]
        words = _words_of(entry.title, entry.words)
        if entry.concept_index is not None:
            words |= set(self.prepared.concepts[entry.concept_index].words)
        center = (edge, along) if chance.random() < 0.5 else (along, edge)
        picture = compose.premultiplied(self._varied(self._picture(index)))
        laid = compose.placed(picture, self.difficulty.side, chance, share=share, center=center)
        return compose.lay_over(canvas, laid), (None, frozenset(words))

    def _put(
        self,
        canvas: Array,
        picture: Array,
        *,
        share: float | None = None,
        visible: float = 0.72,
        center: tuple[float, float] | None = None,
    ) -> Array:
        chance = self.chance
        if share is None and self.difficulty.easy:
            share, visible = chance.uniform(0.6, 1.08), 0.88
        elif share is None:
            share = chance.uniform(0.35, 0.75) if chance.random() < 0.55 else chance.uniform(0.7, 1.1)
        ready = compose.premultiplied(picture)
        side = self.difficulty.side
        seen = compose.placed(ready, side, chance, share=share, visible=visible, center=center)
        return compose.lay_over(canvas, seen)

    def _picture(self, index: int) -> Array:
        if index not in self._pictures:
            self._pictures[index] = self.prepared.picture(index)
        return self._pictures[index]

    def _colour(self, index: int) -> str | None:
        if index not in self._colours:
            self._colours[index] = main_colour(self._picture(index))
        return self._colours[index]

    def _varied(self, picture: Array) -> Array:
        """Now and then in other tones or another style, and as another hand might draw it."""
        if self.chance.random() < 0.35:
            picture = compose.jittered(picture, self.chance)
        if self.chance.random() < self.difficulty.restyled:
            picture = compose.restyled(picture, self.chance)
        return self._redrawn(picture)

    def _redrawn(self, picture: Array) -> Array:
        return compose.redrawn(picture, self.chance) if self.chance.random() < self.difficulty.redrawn else picture

    def _phrase(self, name: str) -> str:
        template = self.chance.choice(TEMPLATES)
        return template.replace("{a}", with_article(name)).replace("{}", name)

    def _any_concept(self) -> Concept:
        return self.chance.choices(self._concepts, cum_weights=self._concept_weights)[0]

    def _any_picture(self, concept: Concept) -> int:
        return self.chance.choice(self._named[concept.index])

    def _word_for(self, concept: Concept, title: str = "") -> str:
        if title and self.chance.random() < 0.3:
            return title
        if self.chance.random() < 0.62 or not concept.keywords:
            return self.chance.choice(concept.names)
        return self.chance.choices(concept.keywords, concept.keyword_weights)[0]

    def _thing(self, canvas: Array | None) -> Sample:
        """A thing in its own colours, called by a name or a keyword, sometimes with its colour."""
        concept = self._any_concept()
        index = self._any_picture(concept)
        entry, colour = self.prepared.entries[index], self._colour(index)
        is_clipart = entry.style == "openclipart"
        word = self._word_for(concept, entry.title if is_clipart else "")
        own_words = _words_of(entry.title, entry.words) if is_clipart else set()
        known = None if is_clipart else colour
        shown = [(known, frozenset(own_words | set(concept.words)))]
        names_it = word in concept.names
        said = known if names_it and known and known not in word and self.chance.random() < 0.12 else None
        sample = Sample(self._phrase(f"{said} {word}" if said else word), [(said, word)], shown)
        sample.concept_index, sample.colour, sample.caption_names_concept = concept.index, known, names_it
        if canvas is not None:
            sample.picture = self._put(canvas, self._varied(self._picture(index)))
        return sample

    def _clipart(self, canvas: Array | None) -> Sample:
        """A drawing of no concept, called by its title or a keyword."""
        index = self.chance.choice(self._unnamed)
        entry = self.prepared.entries[index]
        use_title = self.chance.random() < 0.7 or not entry.words
        word = entry.title if use_title else self.chance.choice(entry.words)
        shown: list[Shown] = [(None, frozenset(_words_of(entry.title, entry.words)))]
        sample = Sample(self._phrase(word), [(None, word)], shown)
        if canvas is not None:
            sample.picture = self._put(canvas, self._varied(self._picture(index)))
        return sample

    def _coloured(self, canvas: Array | None, concept: Concept) -> Sample:
        """A thing tinted in a colour that training may show it in, mostly called by both."""
        colour = self._any_colour()
        while is_held_out_pair(concept.index, colour):
            colour = self._any_colour()
        name = self.chance.choice(concept.names)
        said = None if self.chance.random() < 0.12 else colour
        caption = self._phrase(f"{said} {name}" if said else name)
        sample = Sample(caption, [(said, name)], [(colour, frozenset(concept.words))])
        sample.concept_index, sample.colour, sample.caption_names_concept = concept.index, colour, True
        if canvas is not None:
            picture = self._picture(self._any_picture(concept))
            sample.picture = self._put(canvas, self._redrawn(compose.tinted(picture, colour)))
        return sample

    def _any_colour(self) -> str:
        return self.chance.choices(COLOUR_NAMES, COLOUR_WEIGHTS)[0]

    def _shape(self, canvas: Array | None) -> Sample:
        """A plain shape in a colour."""
        shape, colour = self.chance.choice(compose.SHAPES), self._any_colour()
        sample = Sample(self._phrase(f"{colour} {shape}"), [(colour, shape)], [(colour, frozenset([shape]))])
        sample.colour = colour
        if canvas is not None:
            sample.picture = self._put(canvas, compose.shape_picture(shape, colour, self.chance))
        return sample

    def _sign(self, canvas: Array | None) -> Sample:
        """A word on a sign, sometimes with a second, smaller word."""
        chance, words, easy = self.chance, self.prepared.words, self.difficulty.easy
        word = chance.choice(words["street"] if chance.random() < 0.25 else words["training"])
        if easy and len(word) > 7:
            word = chance.choice(self._short_words)
        second = chance.choice(words["training"]) if not easy and chance.random() < 0.1 else None
        shown: list[Shown] = [(None, frozenset([word, second or word]))]
        sample = Sample(chance.choice(SIGN_TEMPLATES).format(word), [(None, word)], shown, word=word)
        if canvas is not None:
            below = self._letters(second.upper(), 18) if second else None
            board = compose.sign(self._mask(word), chance, below=below)
            share = chance.uniform(0.9, 1.06) if easy else chance.uniform(0.6, 1.06)
            sample.picture = compose.put_sign(canvas, board, chance, share=share)
        return sample

    def _mask(self, word: str) -> Array:
        """Return a word's letters; the last four kinds of each word are kept, as drawing them is slow."""
        kept = self._masks.setdefault(word, [])
        if len(kept) < 4 or self.chance.random() < 0.1:
            draw = self.chance.random()
            text = word.upper() if draw < 0.72 else word.capitalize() if draw < 0.85 else word
            kept.append(self._letters(text, 40))
            del kept[:-4]
            return kept[-1]
        return self.chance.choice(kept)

    def _letters(self, text: str, size: int) -> Array:
        return compose.word_mask(text, self.chance.choice(self.prepared.faces["training"]), size)

    def _pair(self, canvas: Array | None) -> Sample:
        """Two things side by side; the caption names both or one."""
        first, second = self._any_concept(), self._any_concept()
        names = [self.chance.choice(concept.names) for concept in (first, second)]
        shown: list[Shown] = [(None, frozenset(concept.words)) for concept in (first, second)]
        if self.chance.random() < 0.5:
            caption = self.chance.choice(PAIR_TEMPLATES).format(*map(with_article, names))
            sample = Sample(caption, [(None, name) for name in names], shown)
        else:
            sample = Sample(self._phrase(names[0]), [(None, names[0])], shown)
        if canvas is not None:
            x = self.chance.uniform(0.22, 0.32)
            for concept, place in ((first, x), (second, 1 - x)):
                center = (place, self.chance.uniform(0.3, 0.7))
                picture = self._varied(self._picture(self._any_picture(concept)))
                canvas = self._put(canvas, picture, share=self.chance.uniform(0.35, 0.52), center=center)
            sample.picture = canvas
        return sample

    def _empty(self, canvas: Array | None, name: str) -> Sample:
        """A background alone."""
        word = name or "background"
        true = {word, "background"} | ({"street"} if "street" in word else set())
        caption = self.chance.choice(EMPTY_TEMPLATES).format(word)
        return Sample(caption, [(None, word)], [(None, frozenset(true))], picture=canvas)


def _words_of(title: str, keywords: Sequence[str]) -> set[str]:
    return {title, *title.split(), *keywords}
