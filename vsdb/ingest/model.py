"""Which model a run embeds with, and what the database is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsdb.config import DEFAULT_MODEL
from vsdb.database import Connection, catalog
from vsdb.database.text_tower import install_text_tower, install_tokenizer
from vsdb.database.upkeep import store_neutral_prompts
from vsdb.errors import ModelError

if TYPE_CHECKING:
    from vsdb.model.encoder import Encoder
    from vsdb.model.load import LoadedModel
    from vsdb.model.text_tower import TextTower


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model to embed with."""

    name: str
    weights: Path | None
    """File of the weights; None where the name is enough to find them."""
    device: str


def choose_model(connection: Connection, *, name: str | None, weights: Path | None, device: str) -> ModelChoice:
    """Settle which model to ingest with: what was asked for, else the database's own, else RN50x4.

    Raises:
        DatabaseError: the database holds another model than the one asked for.
    """
    stored = catalog.get_model(connection)
    if stored is None:
        return ModelChoice(name=name or DEFAULT_MODEL, weights=weights, device=device)
    if name and name != stored.model_name:
        raise catalog.other_model_error(stored.model_name, name)
    if weights is None and stored.weights_path and Path(stored.weights_path).is_file():
        weights = Path(stored.weights_path)
    return ModelChoice(name=stored.model_name, weights=weights, device=device)


def load_encoder(connection: Connection, choice: ModelChoice) -> Encoder:
    """Load the model, make the database its own, and store its text tower.

    Raises:
        ModelError: the model cannot be loaded.
        DatabaseError: the database holds embeddings of other weights.
    """
    from vsdb.model.encoder import Encoder  # imports torch: only where something is to be embedded
    from vsdb.model.load import load_model

    loaded = load_model(choice.name, weights=choice.weights)
    tower = _text_tower(loaded)
    encoder = Encoder(loaded, device=choice.device)
    with connection.transaction():
        catalog.register_model(connection, loaded.info)
        install_tokenizer(connection)
        install_text_tower(connection, tower)
        store_neutral_prompts(connection, encoder.embed_prompt)
    return encoder


def _text_tower(model: LoadedModel) -> TextTower | None:
    """The text tower for SQL; None where SQL cannot compute it, and prompts are embedded in Python instead."""
    from vsdb.model.text_tower import extract_text_tower

    try:
        return extract_text_tower(model.module)
    except ModelError:
        return None
