"""What users get for things that are there and that are not, measured with embeddings of a real CLIP, through SQL.

    python benchmarks/no_match_real.py --dsn postgresql:///postgres [--folder ../shared/real-clip]

The folder holds what OpenAI's ViT-B/32 made of photographs, captions, nouns and a lecture. Over random splits of the
photographs, those inside and the lecture become a database of one patch a picture; the prompts' embeddings are stored
as remembered prompts, and ``vsdb.search`` is asked. Printed for nouns ("a dog") and for captions: AUC of z, present
against absent; the share found where 95 % of the absent are refused; the shares refused and found at the default line;
how often the first picture is right; and how often `likely` and `possible` are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector

from vsdb.database import Connection, schema
from vsdb.database.binary_copy import copy_columns

Array = NDArray[np.float32]
DATABASE = "vsdb_benchmark_no_match"
EMBEDDING_DIM = 512
NUM_INSIDE = 60
NUM_NEUTRAL = 100
NEAR_CAPTION = 0.7  # cosine from which an absent caption has a near relative among those that are there


@dataclass(frozen=True)
class Answer:
    """The best moment for a prompt, and the words of the moments above the line."""

    picture: int
    z: float
    matches: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """One split's figures for one kind of prompt."""

    auc: float
    found_at_95: float
    refused: float
    found: float
    first_right: float
    likely_right: float
    possible_right: float


class RealClip:
    """The folder's embeddings, float32 of length 1."""

    def __init__(self, folder: Path) -> None:
        names = ("photos", "captions", "lecture_frames", "nouns")
        self.photos, self.captions, self.lecture, self.nouns = (
            np.load(folder / f"{name}.npy").astype(np.float32) for name in names
        )
        words = json.loads((folder / "nouns.json").read_text(encoding="utf-8"))
        self.row = {name: place for place, name in enumerate(words["nouns"])}
        self.absent, self.neutral = words["absent"], words["neutral"]
        self.shown = {name: set(each["shown"]) for name, each in words["present"].items()}
        self.right = {name: set(each["shown"]) | set(each["maybe"]) for name, each in words["present"].items()}

    def noun(self, name: str) -> Array:
        """Embedding of "a NAME"."""
        embedding: Array = self.nouns[self.row[name]]
        return embedding


def make_database(connection: Connection) -> None:
    """The project's tables for this model, empty."""
    connection.execute("drop schema if exists vsdb cascade")
    schema.migrate(connection)
    with connection.transaction():
        schema.set_embedding_dim(connection, EMBEDDING_DIM)
    connection.execute("insert into vsdb.text_towers (tower_sha256, architecture) values (sha256('real'), 'other')")


def store_pictures(connection: Connection, pictures: Array) -> None:
    """One patch a picture, and ten minutes between pictures: none joins another in a moment."""
    connection.execute("delete from vsdb.videos")
    number = len(pictures)
    row = connection.execute(
        """insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,
                                    every_seconds, patch_size, stride, num_frames, num_patches)
           values ('/pictures', sha256('pictures'), 1, %s, 224, 224, 1, 224, 224, %s, %s) returning video_id""",
        [number * 600, number, number],
    ).fetchone()
    assert row is not None
    frames = np.arange(number, dtype=np.int32)
    zeros, side = np.zeros(number, np.int16), np.full(number, 224, np.int16)
    columns = [
        *(np.full(number, row[0], np.int64), frames * 600.0, frames),
        *(zeros, zeros, zeros, side, side, pictures.astype(np.float16)),
    ]
    target = "vsdb.patches (video_id, pts_seconds, frame_index, patch_index, x, y, width, height, embedding)"
    with connection.cursor() as cursor:
        copy_columns(cursor, target, [columns])


def store_prompts(connection: Connection, prompts: dict[str, Array]) -> None:
    """Let the database remember the prompts' embeddings, as if its own text tower had made them."""
    with connection.cursor() as cursor:
        cursor.execute("delete from vsdb.prompt_embeddings")
        cursor.executemany(
            """insert into vsdb.prompt_embeddings (tower_sha256, prompt_sha256, embedding)
               values (sha256('real'), sha256(convert_to(%s, 'UTF8')), %s)""",
            [(prompt, HalfVector(embedding).to_text()) for prompt, embedding in prompts.items()],
        )


def store_neutral(connection: Connection, prompts: dict[str, Array]) -> None:
    """Take these prompts as the neutral ones, and measure them."""
    with connection.cursor() as cursor:
        cursor.execute("delete from vsdb.neutral_prompts")
        cursor.executemany(
            "insert into vsdb.neutral_prompts (prompt, embedding) values (%s, %s)",
            [(prompt, HalfVector(embedding).to_text()) for prompt, embedding in prompts.items()],
        )
    connection.execute("select vsdb.refresh_background()")


def ask(connection: Connection, prompt: str) -> Answer:
    """The best moment however poor, and what the default line leaves."""
    best = connection.execute(
        "select best_seconds, z from vsdb.search(%s, 1, min_z => '-infinity')", [prompt]
    ).fetchone()
    assert best is not None
    above = connection.execute("select match from vsdb.search(%s, 1)", [prompt]).fetchall()
    return Answer(picture=round(best[0] / 600), z=best[1], matches=tuple(word for (word,) in above))


def compare(present: Sequence[Answer], absent: Sequence[Answer], is_right: Callable[[int, int], bool]) -> Figures:
    """Figures of one kind of prompt; ``is_right`` takes the place of a prompt and of the picture found."""
    x, y = np.array([each.z for each in present]), np.array([each.z for each in absent])
    right = [is_right(place, each.picture) for place, each in enumerate(present)]

    def share_right(word: str) -> float:
        said = [right[place] for place, each in enumerate(present) if word in each.matches]
        wrong = sum(word in each.matches for each in absent)
        return sum(said) / max(1, len(said) + wrong)

    return Figures(
        auc=float((x[:, None] > y).mean()),
        found_at_95=float((x > np.quantile(y, 0.95)).mean()),
        refused=float(np.mean([not each.matches for each in absent])),
        found=float(np.mean([bool(each.matches) for each in present])),
        first_right=float(np.mean(right)),
        likely_right=share_right("likely"),
        possible_right=share_right("possible"),
    )


def one_split(connection: Connection, real: RealClip, seed: int) -> dict[str, Figures]:
    """Store the pictures of a random split, and ask for what they show and for what they do not."""
    rng = np.random.default_rng(seed)
    inside = rng.permutation(len(real.photos))[:NUM_INSIDE]
    outside = np.setdiff1d(np.arange(len(real.photos)), inside)
    neutral = rng.choice(real.neutral, NUM_NEUTRAL, replace=False)
    photo_of = np.arange(len(real.captions)) // 5
    said = np.flatnonzero(np.isin(photo_of, inside))
    unsaid = np.flatnonzero(np.isin(photo_of, outside[20:]))
    unsaid = unsaid[(real.captions[unsaid] @ real.captions[said].T).max(axis=1) < NEAR_CAPTION]
    asked = [name for name, shown in real.shown.items() if shown & set(inside.tolist())]
    store_pictures(connection, np.vstack([real.photos[inside], real.lecture]))
    store_prompts(
        connection,
        {f"a {name}": real.noun(name) for name in [*asked, *real.absent]}
        | {f"caption {place}": real.captions[place] for place in [*said, *unsaid]},
    )
    store_neutral(connection, {f"a {name}": real.noun(name) for name in neutral})

    def is_photo(picture: int, photos: set[int]) -> bool:
        return picture < NUM_INSIDE and int(inside[picture]) in photos

    nouns = compare(
        [ask(connection, f"a {name}") for name in asked],
        [ask(connection, f"a {name}") for name in real.absent],
        lambda place, picture: is_photo(picture, real.right[asked[place]]),
    )
    captions = compare(
        [ask(connection, f"caption {place}") for place in said],
        [ask(connection, f"caption {place}") for place in unsaid],
        lambda place, picture: is_photo(picture, {int(photo_of[said[place]])}),
    )
    return {"nouns": nouns, "captions": captions}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", required=True, help="a server where databases may be made")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / "shared" / "real-clip")
    parser.add_argument("--splits", type=int, default=20)
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        print(f"not run: {arguments.folder} is not there", file=sys.stderr)
        return
    real = RealClip(arguments.folder)
    with psycopg.connect(arguments.dsn, autocommit=True) as admin:
        admin.execute(f"drop database if exists {DATABASE}")
        admin.execute(f"create database {DATABASE} template template0 encoding 'UTF8' locale 'C'")
        try:
            with psycopg.connect(arguments.dsn, dbname=DATABASE, autocommit=True) as connection:
                make_database(connection)
                splits = [one_split(connection, real, seed) for seed in range(arguments.splits)]
        finally:
            admin.execute(f"drop database {DATABASE} with (force)")
    print("| prompts | AUC | found at 95 % refused | refused | found | first right | likely right | possible right |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in splits[0]:
        figures: list[Any] = [np.mean([vars(split[kind])[name] for split in splits]) for name in vars(splits[0][kind])]
        print(f"| {kind} | {figures[0]:.3f} | " + " | ".join(f"{value:.1%}" for value in figures[1:]) + " |")


if __name__ == "__main__":
    main()
