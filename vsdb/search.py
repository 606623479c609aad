"""Asking: words or a picture go in, SQL answers with moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from vsdb.database import Connection, catalog
from vsdb.errors import UsageError
from vsdb.types import MOMENT_COLUMNS, Moment

if TYPE_CHECKING:
    from numpy import floating
    from numpy.typing import NDArray

    from vsdb.model.encoder import Encoder

DEFAULT_WITHIN_SECONDS = 10.0

_NARROWING = """max_moments => %(max_moments)s, min_score => %(min_score)s, gap_seconds => %(gap_seconds)s,
    video_like => %(video_like)s, from_seconds => %(from_seconds)s, to_seconds => %(to_seconds)s,
    exact => %(exact)s, video_ids => %(video_ids)s, recorded_from => %(recorded_from)s,
    recorded_to => %(recorded_to)s, min_z => %(min_z)s"""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is looked for: a prompt or a picture, and how another prompt changes it."""

    prompt: str | None = None
    """Words."""
    image: Path | None = None
    """A picture file to look for instead of words."""
    embedding: NDArray[floating[Any]] | None = None
    """What to look for as the database's model embeds it, instead of words; shape (embedding_dim,)."""
    without: str | None = None
    """Words for what the moments should not show."""
    then: str | None = None
    """Words for what must follow in the same video."""
    within_seconds: float = DEFAULT_WITHIN_SECONDS
    """How soon after the end of a moment what ``then`` names must follow."""


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """Which moments count; the arguments of ``vsdb.search`` after the prompt."""

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
    video_ids: Sequence[int] | None = None
    """Only these videos."""
    recorded_from: datetime | None = None
    """Only frames recorded at or after this time."""
    recorded_to: datetime | None = None
    """Only frames recorded at or before this time."""
    min_z: float | None = None
    """Moments with a lower z do not count; None asks for the line of no match, unless there is a min_score."""


def load_encoder(connection: Connection) -> Encoder:
    """The database's model, on the CPU, to embed a question with.

    Raises:
        DatabaseError: the database holds no model yet, or embeddings of other weights than are found here.
        ModelError: its weights cannot be had here.
    """
    stored = catalog.require_model(connection)
    from vsdb.model.encoder import Encoder
    from vsdb.model.load import load_model

    weights = Path(stored.weights_path) if stored.weights_path else None
    loaded = load_model(stored.model_name, weights=weights)
    if loaded.info.weights_sha256 != stored.weights_sha256:
        raise catalog.other_model_error(stored.model_name, stored.model_name)
    return Encoder(loaded, device="cpu")


LoadEncoder = Callable[[Connection], "Encoder"]


def search(
    connection: Connection, question: Question, narrowing: Narrowing, *, load: LoadEncoder = load_encoder
) -> list[Moment]:
    """Find the moments that answer a question, best first; see :meth:`vsdb.Index.search`.

    Words go to SQL as they are. What SQL cannot embed (a picture, or words for a text tower of another
    architecture than OpenAI's) is embedded here first, by the model that ``load`` gives.

    Raises:
        DatabaseError: the database holds no video yet.
        UsageError: neither or both of prompt and image, or ``then`` with what it does not combine with.
        ModelError: the model is needed here and its weights cannot be had.
    """
    if sum(each is not None for each in (question.prompt, question.image, question.embedding)) != 1:
        raise UsageError("give either a prompt or an image")
    return _of_one_model(connection, lambda: _search(connection, question, narrowing, load))


def _of_one_model(connection: Connection, ask: Callable[[], list[Moment]]) -> list[Moment]:
    """Ask, and once more where another model was put in place meanwhile: such an answer can be half of each."""
    before = _tables(connection)
    try:
        answer = ask()
    except psycopg.Error:
        if connection.info.transaction_status != TransactionStatus.IDLE or _tables(connection) == before:
            raise
        return ask()
    return answer if _tables(connection) == before else ask()


def _tables(connection: Connection) -> int:
    """Which set of tables and functions is called vsdb: another one after ``vsdb reembed``."""
    row = connection.execute("select to_regnamespace('vsdb')::oid").fetchone()
    return row[0] if row else 0


def _search(connection: Connection, question: Question, narrowing: Narrowing, load: LoadEncoder) -> list[Moment]:
    terms = _Terms(connection, load)
    if question.then is not None:
        return _search_then(connection, terms, question, narrowing)
    if question.prompt is not None and question.without is None and terms.in_sql:
        call = f"vsdb.search({terms.add(_as_text(question.prompt))}, {_NARROWING})"
    else:
        query, asked = _query(terms, question)
        call = f"vsdb.search_embedding({query}, {_NARROWING}, asked => {asked})"
    return _moments(connection, terms, call, narrowing)


def nearest(
    connection: Connection, question: Question, narrowing: Narrowing, *, load: LoadEncoder = load_encoder
) -> Moment | None:
    """The best of the answers that do not stand out; None where there is none, or where a bound was given."""
    if narrowing.min_score is not None or narrowing.min_z is not None:
        return None
    moments = search(connection, question, replace(narrowing, max_moments=1, min_z=float("-inf")), load=load)
    return moments[0] if moments else None


def judge(
    connection: Connection, prompt: str, *, video_id: int, best_seconds: float, is_right: bool, load: LoadEncoder
) -> None:
    """Note whether a moment answers a prompt; see ``vsdb.judge`` in SQL."""
    terms = _Terms(connection, load)
    query = "null" if terms.in_sql else terms.text(prompt)
    values = [terms.add(each) for each in (_as_text(prompt), video_id, best_seconds, is_right)]
    connection.execute(f"select from vsdb.judge({', '.join(values)}, {query})", terms.values)


def explain(connection: Connection, prompt: str, narrowing: Narrowing) -> list[tuple[str, str, float | None]]:
    """How a search was done: rows of step, result and time in milliseconds; see ``vsdb.explain`` in SQL."""
    terms = _Terms(connection, load_encoder)
    if terms.in_sql:
        call = f"vsdb.explain({terms.add(_as_text(prompt))}"
    else:
        embedding = terms.text(prompt)
        call = f"vsdb.explain_embedding({embedding}, asked => vsdb.centre({embedding})"
    arguments = """max_moments => %(max_moments)s, video_like => %(video_like)s, from_seconds => %(from_seconds)s,
        to_seconds => %(to_seconds)s, video_ids => %(video_ids)s"""
    return connection.execute(f"select * from {call}, {arguments})", {**vars(narrowing), **terms.values}).fetchall()


def score_video(
    connection: Connection, question: Question, video_id: int, *, load: LoadEncoder = load_encoder
) -> list[tuple[int, float, float]]:
    """How well each frame of a video answers: rows of frame_index, pts_seconds and score; ``vsdb.score_video``.

    Raises:
        DatabaseError, UsageError, ModelError: as :func:`search`.
    """
    terms = _Terms(connection, load)
    query, _ = _query(terms, question)
    call = f"vsdb.score_video({query}, {terms.add(video_id)}::bigint)"
    statement = f"{terms.preamble}select * from {call} order by frame_index"
    return connection.execute(statement, terms.values).fetchall()


def _search_then(connection: Connection, terms: _Terms, question: Question, narrowing: Narrowing) -> list[Moment]:
    combined = {"max_moments", "video_like", "video_ids", "min_z"}
    for field in fields(narrowing):
        if field.name not in combined and getattr(narrowing, field.name) != field.default:
            raise UsageError(f'{field.name} does not combine with "then"')
    assert question.then is not None
    query, asked = _query(terms, question)
    next_query = terms.text(question.then)
    call = f"""vsdb.search_then({query}, {next_query}, within_seconds => {terms.add(question.within_seconds)},
        max_moments => %(max_moments)s, video_like => %(video_like)s, video_ids => %(video_ids)s, min_z => %(min_z)s,
        asked => {asked}, next_asked => vsdb.centre({next_query}))"""
    return _moments(connection, terms, call, narrowing)


def _query(terms: _Terms, question: Question) -> tuple[str, str]:
    """SQL for the embedding of what is looked for, and for what patches are ordered by: words are centred."""
    asked = "null"  # an embedding is taken as it is, and a picture shares nothing with prompts that could be taken off
    if question.embedding is not None:
        query = terms.embedding(question.embedding)
    elif question.image is not None:
        query = terms.image(question.image)
    else:
        query = terms.text(question.prompt or "")
        asked = f"vsdb.centre({query})"
    if question.without is None:
        return query, asked
    unwanted = terms.text(question.without)
    if asked != "null":
        asked = f"vsdb.without({asked}, vsdb.centre({unwanted}))"
    return f"vsdb.without({query}, {unwanted})", asked


class _Terms:
    """Turns words and pictures into SQL expressions, and keeps their values."""

    def __init__(self, connection: Connection, load: LoadEncoder) -> None:
        row = connection.execute("select architecture from vsdb.text_towers").fetchone()
        if row is None:
            raise catalog.no_video_error()
        self.in_sql = row[0] == "openai"
        """Whether SQL can embed words."""
        self.values: dict[str, Any] = {}
        self._remembered: list[str] = []
        self._connection = connection
        self._load_encoder = load
        self._encoder: Encoder | None = None

    @property
    def preamble(self) -> str:
        """What comes before ``select``: words that are used twice are embedded once."""
        parts = [
            f"words_{number} as materialized (select vsdb.remember({words}) as embedding)"
            for number, words in enumerate(self._remembered, start=1)
        ]
        return f"with {', '.join(parts)} " if parts else ""

    def add(self, value: Any) -> str:
        """A placeholder for a value."""
        name = f"term_{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"

    def text(self, words: str) -> str:
        """The embedding of words."""
        if self.in_sql:
            self._remembered.append(self.add(_as_text(words)))
            return f"(select embedding from words_{len(self._remembered)})"
        return self.embedding(self._load().embed_prompt(_as_text(words)))

    def image(self, path: Path) -> str:
        """The embedding of a picture file, through the model's own preprocessing."""
        from vsdb.media.images import read_image

        return self.embedding(self._load().embed_image(read_image(path)))

    def embedding(self, numbers: NDArray[floating[Any]]) -> str:
        """An embedding that is there already."""
        return f"{self.add(_as_vector(numbers))}::halfvec"

    def _load(self) -> Encoder:
        self._encoder = self._encoder or self._load_encoder(self._connection)
        return self._encoder


def _moments(connection: Connection, terms: _Terms, call: str, narrowing: Narrowing) -> list[Moment]:
    columns = ", ".join(MOMENT_COLUMNS)
    statement = f"{terms.preamble}select {columns} from {call} order by rank"
    rows = connection.execute(statement, {**vars(narrowing), **terms.values})
    return [Moment.from_row(row) for row in rows]


def _as_text(words: str) -> str:
    """Words that PostgreSQL can take: a shell can hand over bytes that are no text."""
    return words.encode(errors="replace").decode().replace("\0", " ")


def _as_vector(embedding: NDArray[floating[Any]]) -> str:
    from pgvector import HalfVector  # brings numpy, which a question in words does without

    return str(HalfVector(embedding).to_text())
