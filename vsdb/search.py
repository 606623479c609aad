"""Asking: the prompt's embedding goes in, SQL answers with moments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsdb import store
from vsdb.errors import DatabaseError
from vsdb.schema import Connection
from vsdb.types import Moment


@dataclass(frozen=True, kw_only=True)
class Query:
    """What narrows a search; the arguments of ``vsdb.search_embedding``."""

    max_moments: int = 6
    """At most so many moments."""
    min_score: float | None = None
    """Patches with a lower score do not count; 100 x cosine similarity."""
    gap_seconds: float = 2.0
    """Frames of one video closer in time than this belong to one moment."""
    video_like: str | None = None
    """SQL LIKE pattern on the video's path."""
    from_seconds: float | None = None
    """Only frames at or after this time in their video."""
    to_seconds: float | None = None
    """Only frames at or before this time in their video."""
    exact: bool = False
    """Compare every patch instead of asking the index."""


_COLUMNS = "rank, video_path, start_seconds, end_seconds, best_seconds, score, x, y, width, height, video_id"
_NARROWING = """%(max_moments)s, %(min_score)s::real, %(gap_seconds)s, %(video_like)s, %(from_seconds)s,
    %(to_seconds)s, %(exact)s"""


def search(connection: Connection, prompt: str, query: Query) -> list[Moment]:
    """Find the moments that answer a prompt; see :meth:`vsdb.Index.search`.

    ``vsdb.search`` does it all in SQL. A text tower that SQL cannot compute is run here, in Python, instead.
    """
    row = connection.execute("select architecture from vsdb.text_towers").fetchone()
    if row is None:
        raise DatabaseError('the database holds no video yet; run "vsdb ingest PATH" first')
    if row[0] == "other":
        return search_embedding(connection, embed_prompt(connection, prompt), query)
    return _moments(connection, "vsdb.search(%(question)s", prompt, query)


def search_embedding(connection: Connection, embedding: NDArray[Any], query: Query) -> list[Moment]:
    """Find the moments nearest to an embedding.

    Args:
        embedding: shape (embedding_dim,), any float; its length does not matter.
        query: what narrows the search.

    Returns:
        Moments, best first; the columns of ``vsdb.search_embedding``.
    """
    text = "[" + ",".join(f"{value:.8g}" for value in np.asarray(embedding, dtype=np.float64)) + "]"
    return _moments(connection, "vsdb.search_embedding(%(question)s::halfvec", text, query)


def _moments(connection: Connection, call: str, question: str, query: Query) -> list[Moment]:
    statement = f"select {_COLUMNS} from {call}, {_NARROWING}) order by rank"
    rows = connection.execute(statement, {"question": question, **vars(query)}).fetchall()
    return [
        Moment(
            rank=rank,
            video_path=video_path,
            start_seconds=start,
            end_seconds=end,
            best_seconds=best,
            score=score,
            box=(x, y, width, height),
            video_id=video_id,
        )
        for rank, video_path, start, end, best, score, x, y, width, height, video_id in rows
    ]


def embed_prompt(connection: Connection, prompt: str) -> NDArray[np.float32]:
    """Embed a prompt with the database's model, in Python; float32, shape (embedding_dim,), length 1.

    Raises:
        DatabaseError: the database holds no model yet.
        ModelError: its weights cannot be had here.
    """
    stored = store.get_model(connection)
    if stored is None:
        raise DatabaseError('the database holds no video yet; run "vsdb ingest PATH" first')
    from vsdb.encoder import Encoder
    from vsdb.models import load_model

    weights = Path(stored.weights_path) if stored.weights_path else None
    loaded = load_model(stored.model_name, weights=weights)
    if loaded.info.weights_sha256 != stored.weights_sha256:
        raise store.other_model_error(stored.model_name, stored.model_name, same_name=True)
    return Encoder(loaded, device="cpu").embed_prompt(prompt)
