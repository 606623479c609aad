"""Measure the packed model and print its card.

    python -m training.evaluate [--weights FILE] [--footage FOLDER] [--write]
    python -m training.evaluate --first-scene 100 [--footage FOLDER]    # ten other scenes, and nothing else

Reads what `training.fetch` and `training.prepare` wrote; with `--footage`, also lays the scenes over the
clips of a folder. `--write` puts the card beside the weights. The same weights give the same figures.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from training import compose
from training.backgrounds import Backgrounds
from training.check_demo import best_answers
from training.concepts import Concept, is_held_out_pair
from training.embed import TinyEncoder
from training.package import MODEL_CARD, TINY_WEIGHTS
from training.pictures import PREPARED, Array, Prepared
from training.scenes import COLOURS, THINGS, Scene, embed_scene, make_scenes, photo_of

SIDE = 128
NUM_SCENES = 10
NUM_WORDS = 200
NUM_GALLERIES = 4
TEMPLATE = Path(__file__).with_name("model_card.md")
Figures = list[tuple[str, str, str]]
"""What was measured, the figure, and over how many."""


class Evaluation:
    """The pictures and words to measure with, and the model to measure."""

    def __init__(self, prepared: Prepared, encoder: TinyEncoder) -> None:
        self.prepared, self.encoder = prepared, encoder

    def recalls(self, prompts: list[str], pictures: list[Array]) -> torch.Tensor:
        """Return, for each prompt, how many pictures score higher than its own: int64, shape (N,)."""
        scores = self.encoder.embed_prompts(prompts) @ self.encoder.embed_images(pictures).T
        return (scores > scores.diagonal()[:, None]).sum(dim=1)

    def style(self, style: str, objects_only: bool) -> tuple[torch.Tensor, int]:
        """Lay every concept of a style over a background; return the ranks of the concepts' own pictures."""
        chance, backgrounds = random.Random(3), some_backgrounds(3)
        prompts, pictures = [], []
        for index, place in sorted(self.prepared.pictures_of_style(style).items()):
            concept = self.prepared.concepts[index]
            if objects_only and not concept.is_object:
                continue
            prompts.append(photo_of(concept.display))
            pictures.append(laid(self.prepared.picture(place), chance.choice(backgrounds), chance))
        return self.recalls(prompts, pictures), len(prompts)

    def coloured(self) -> Figures:
        """Every colour of forty objects in one gallery."""
        chance, backgrounds = random.Random(8), some_backgrounds(8)
        by_name = {concept.names[0]: concept for concept in self.prepared.concepts}
        concepts = [by_name[name] for name in THINGS["tinted"] if by_name[name].can_be_tinted][:40]
        twemoji = self.prepared.pictures_of_style("twemoji")
        pairs = [(concept, colour) for concept in concepts for colour in COLOURS]
        pictures = [
            laid(
                compose.tinted(self.prepared.picture(twemoji[concept.index]), colour),
                chance.choice(backgrounds),
                chance,
            )
            for concept, colour in pairs
        ]
        prompts = [photo_of(f"{colour} {concept.display}") for concept, colour in pairs]
        return self._coloured_figures(prompts, pictures, pairs)

    def _coloured_figures(self, prompts: list[str], pictures: list[Array], pairs: list[tuple[Concept, str]]) -> Figures:
        scores = self.encoder.embed_prompts(prompts) @ self.encoder.embed_images(pictures).T
        ranks = (scores > scores.diagonal()[:, None]).sum(dim=1)
        hidden = torch.tensor([is_held_out_pair(concept.index, colour) for concept, colour in pairs])
        place = torch.arange(len(pairs))
        same_object = scores.view(len(pairs), -1, len(COLOURS))[place, place // len(COLOURS)]
        colour_right = same_object.argmax(dim=1) == place % len(COLOURS)
        what = "colour + object, 320 pictures, R@1"
        return [
            (
                f"{what}: pairs training shows",
                percent(ranks[~hidden] < 1),
                str(int((~hidden).sum())),
            ),
            (f"{what}: pairs it never shows", percent(ranks[hidden] < 1), str(int(hidden.sum()))),
            ("the right one of 8 colours, given the object", percent(colour_right), str(len(pairs))),
        ]

    def words(self, words: Sequence[str], faces: str, seed: int) -> torch.Tensor:
        """Paint each word on a sign; return the ranks of the words' own signs."""
        chance, backgrounds = random.Random(seed), some_backgrounds(seed)
        pictures = []
        for word in words:
            letters = compose.word_mask(written(word, chance), chance.choice(self.prepared.faces[faces]))
            behind = cv2.resize(chance.choice(backgrounds), (SIDE, SIDE)).astype(np.uint8)
            board = compose.sign(letters, chance)
            pictures.append(compose.put_sign(behind, board, chance, share=chance.uniform(0.75, 1), skew=0.03))
        return self.recalls([f"a sign that says {word.upper()}" for word in words], pictures)

    def several_words(self, kind: str, faces: str) -> torch.Tensor:
        """Return the ranks over several galleries of words drawn by chance."""
        draws = [
            self.words(random.Random(seed).sample(self.prepared.words[kind], NUM_WORDS), faces, seed)
            for seed in range(NUM_GALLERIES)
        ]
        return torch.cat(draws)

    def scenes(self, footage: list[Path], first: int = 0) -> Figures:
        """Search ten scenes; return P@1 by kind and the AUC of present against absent things."""
        hits: dict[str, list[bool]] = {"object": [], "coloured": [], "sign": []}
        present: list[float] = []
        absent: list[float] = []
        for scene in make_scenes(self.prepared, NUM_SCENES, footage, first):
            self._search(scene, hits, present, absent)
        everything = [hit for some in hits.values() for hit in some]
        where = "over real footage" if footage else "drawn streets"
        figures = [(f"{where}: P@1", percent(torch.tensor(everything)), str(len(everything)))]
        for kind, some in hits.items():
            figures.append((f"{where}: P@1, {kind}", percent(torch.tensor(some)), str(len(some))))
        auc = area_under_curve(present, absent)
        return [
            *figures,
            (f"{where}: AUC, present against absent", f"{auc:.2f}", f"{len(present)}, {len(absent)}"),
        ]

    def _search(self, scene: Scene, hits: dict[str, list[bool]], present: list[float], absent: list[float]) -> None:
        clip = embed_scene(scene, self.encoder)
        answers = best_answers([thing.prompt for thing in scene.things], clip, self.encoder)
        for thing, (score, seconds) in zip(scene.things, answers, strict=True):
            hits[thing.kind].append(thing.start_seconds <= seconds <= thing.end_seconds)
            if thing.kind == "object":
                present.append(score)
        names = {thing.prompt for thing in scene.things}
        prompts = [prompt for prompt in scene.absent_prompts if prompt not in names]
        absent += [score for score, _ in best_answers(prompts, clip, self.encoder)]


def some_backgrounds(seed: int) -> list[Array]:
    """Return eighty backgrounds."""
    backgrounds = Backgrounds(seed)
    return [backgrounds.make()[0] for _ in range(80)]


def laid(picture: Array, background: Array, chance: random.Random) -> Array:
    """Lay a picture, almost whole and about upright, over a background."""
    behind = cv2.resize(background, (SIDE, SIDE)).astype(np.uint8)
    share, degrees = chance.uniform(0.5, 0.95), chance.gauss(0, 5)
    ready = compose.premultiplied(picture)
    seen = compose.placed(ready, SIDE, chance, share=share, visible=0.95, degrees=degrees)
    return compose.lay_over(behind, seen)


def written(word: str, chance: random.Random) -> str:
    """Return a word in capitals, mostly, as signs write."""
    draw = chance.random()
    return word.upper() if draw < 0.62 else word.capitalize() if draw < 0.85 else word


def percent(right: torch.Tensor) -> str:
    """Return the share that is right, in percent."""
    return f"{100 * float(right.float().mean()):.1f}"


def area_under_curve(present: list[float], absent: list[float]) -> float:
    """Return how often a present thing scores above an absent one."""
    return float((torch.tensor(present)[:, None] > torch.tensor(absent)[None]).float().mean())


def printed(figures: Figures) -> Figures:
    """Print figures as they come, and return them."""
    for what, figure, count in figures:
        print(f"{figure:>6}  {what} ({count})", flush=True)
    return figures


def measure(evaluation: Evaluation, footage: list[Path]) -> Figures:
    """Return all figures of the card, printing each as it comes."""
    figures: Figures = []

    def add(some: Figures) -> None:
        figures.extend(printed(some))

    for style, objects_only, name in (
        ("twemoji", True, "Twemoji (held out), objects"),
        ("twemoji", False, "Twemoji (held out), all"),
        ("openmoji", True, "OpenMoji (held out), objects"),
        ("noto", True, "Noto (seen in training), objects"),
    ):
        ranks, count = evaluation.style(style, objects_only)
        add([(f"{name}: R@{k}", percent(ranks < k), str(count)) for k in (1, 5, 10)])
    add(evaluation.coloured())
    for kind, faces, name in (
        ("street", "held_out", "painted words, unseen type faces"),
        ("street", "training", "painted words, type faces of the training"),
        ("held_out", "held_out", "words never painted in training, unseen type faces"),
    ):
        ranks = evaluation.several_words(kind, faces)
        add([(f"{name}, {NUM_WORDS} signs: R@1", percent(ranks < 1), str(len(ranks)))])
    add(evaluation.scenes([]))
    if footage:
        add(evaluation.scenes(footage))
    return figures


def card(figures: Figures) -> str:
    """Return the model card with the figures in its table."""
    rows = [f"| {what} | {figure} | {count} |" for what, figure, count in figures]
    return TEMPLATE.read_text().replace("{figures}", "\n".join(["| measure | figure | of |", "|---|---|---|", *rows]))


def main() -> None:
    """Parse the command line, measure, and print or write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path, default=TINY_WEIGHTS)
    parser.add_argument("--footage", type=Path, help="a folder of clips")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true")
    what.add_argument("--first-scene", type=int, help="search ten scenes from this number on, and print those figures")
    arguments = parser.parse_args()
    clips = sorted(arguments.footage.glob("*.mp4")) if arguments.footage else []
    if arguments.footage and not clips:
        parser.error(f"no .mp4 in {arguments.footage}")
    evaluation = Evaluation(Prepared(PREPARED), TinyEncoder(arguments.weights))
    if arguments.first_scene is not None:
        for footage in [[], clips] if clips else [[]]:
            printed(evaluation.scenes(footage, arguments.first_scene))
        return
    text = card(measure(evaluation, clips))
    if arguments.write:
        MODEL_CARD.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
