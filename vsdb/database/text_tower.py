"""Fills the tables that ``vsdb.tokenize`` and ``vsdb.embed`` read. Never imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from vsdb.database import Connection
from vsdb.database.binary_copy import copy_columns
from vsdb.model.text_tower import TextLayer, TextTower
from vsdb.model.tokenizer_rules import TokenizerRules, read_tokenizer_rules, tokenizer_fingerprint

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import LiteralString


_TOWER_TABLES = (
    "text_weights", "text_tokens", "text_positions", "text_layers", "text_towers", "prompt_embeddings",
)  # fmt: skip
_TOKENIZER_TABLES = (
    "token_merges", "character_folds", "character_lowers", "character_ranges", "html_entities", "tokenizers",
)  # fmt: skip

_PROJECTION, _ATTENTION_IN, _ATTENTION_OUT, _MLP_IN, _MLP_OUT = range(5)  # vsdb.text_weights.matrix


def install_text_tower(connection: Connection, tower: TextTower | None) -> bool:
    """Store the text tower in place of the one that is there, as a whole or not at all.

    All rows are written in one transaction: whoever asks meanwhile gets answers from the old tower, and an
    install that is killed leaves it in place. Remembered prompts of the old tower are forgotten.

    Args:
        connection: may insert into, delete from and analyze the tables of schema vsdb.
        tower: None when the model's text tower has another architecture; ``vsdb.embed`` then says to use
            "vsdb query".

    Returns:
        Whether anything was written: False if this very tower was there.
    """
    tower_sha256 = tower.sha256 if tower else hashlib.sha256(b"other").digest()

    def fill(cursor: psycopg.Cursor[Any]) -> None:
        if tower is None:
            query = "insert into vsdb.text_towers (tower_sha256, architecture) values (%s, 'other')"
            cursor.execute(query, [tower_sha256])
        else:
            _insert_tower(cursor, tower, tower_sha256)
        _forget_planned_embeddings(cursor)

    present = "select from vsdb.text_towers where tower_sha256 = %s"
    return _replace_tables(connection, _TOWER_TABLES, fill, present=present, sha256=tower_sha256)


def install_tokenizer(connection: Connection) -> bool:
    """Store the rules of open_clip's tokenizer: merges, Unicode properties, replacements.

    Args:
        connection: may insert into, delete from and analyze the tables of schema vsdb.

    Returns:
        Whether anything was written: False if these very rules were there.

    Raises:
        ModelError: open_clip is not installed, or its vocabulary is not the one expected.
    """
    fingerprint = tokenizer_fingerprint()

    def fill(cursor: psycopg.Cursor[Any]) -> None:
        _insert_rules(cursor, read_tokenizer_rules())
        cursor.execute("insert into vsdb.tokenizers (rules_sha256) values (%s)", [fingerprint])

    present = "select from vsdb.tokenizers where rules_sha256 = %s"
    return _replace_tables(connection, _TOKENIZER_TABLES, fill, present=present, sha256=fingerprint)


def _replace_tables(
    connection: Connection,
    tables: tuple[str, ...],
    fill: Callable[[psycopg.Cursor[Any]], None],
    *,
    present: LiteralString,
    sha256: bytes,
) -> bool:
    """Empty and fill the tables in one transaction, unless the query ``present`` finds a row."""
    with connection.transaction(), connection.cursor() as cursor:
        # Not an advisory lock, which everybody may take; searches read on meanwhile.
        cursor.execute(sql.SQL("lock table vsdb.{} in share row exclusive mode").format(sql.Identifier(tables[0])))
        if cursor.execute(present, [sha256]).rowcount:
            return False
        for table in tables:
            # Not truncate: it would make every question wait for the end of the install.
            cursor.execute(sql.SQL("delete from vsdb.{}").format(sql.Identifier(table)))
        fill(cursor)
        # Without statistics the planner would sort a matrix instead of reading it in the order of its index.
        names = sql.SQL(", ").join(sql.Identifier("vsdb", table) for table in tables)
        cursor.execute(sql.SQL("analyze {}").format(names))
    return True


def _forget_planned_embeddings(cursor: psycopg.Cursor[Any]) -> None:
    """Drop the plans that hold an embedding of the old tower: any change of the function does."""
    cursor.execute("select pg_has_role(proowner, 'usage') from pg_proc where oid = to_regprocedure('vsdb.embed(text)')")
    owned = cursor.fetchone()
    if owned and owned[0]:
        cursor.execute("alter function vsdb.embed(text) immutable")


def _insert_tower(cursor: psycopg.Cursor[Any], tower: TextTower, tower_sha256: bytes) -> None:
    cursor.execute(
        "insert into vsdb.text_towers (tower_sha256, architecture, width, heads, layers, mlp_ratio,"
        " context_length, vocab_size, embedding_dim, activation, norm_epsilon, final_gain, final_bias)"
        " values (%s, 'openai', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::real[], %s::real[])",
        (
            tower_sha256, tower.width, tower.heads, len(tower.layers), tower.mlp_ratio, tower.context_length,
            len(tower.token_embedding), tower.embedding_dim, tower.activation, tower.norm_epsilon,
            tower.final_gain.tolist(), tower.final_bias.tolist(),
        ),
    )  # fmt: skip
    for number, layer in enumerate(tower.layers, start=1):
        _insert_layer(cursor, number, layer)
    copy_columns(cursor, "vsdb.text_weights (layer, matrix, part, row_index, weights)", _weight_blocks(tower))
    tokens = (np.arange(len(tower.token_embedding), dtype=np.int32), tower.token_embedding.astype(np.float16))
    copy_columns(cursor, "vsdb.text_tokens (token, embedding)", [tokens])
    positions = (np.arange(1, tower.context_length + 1, dtype=np.int16), tower.position_embedding.astype(np.float32))
    copy_columns(cursor, "vsdb.text_positions (position, embedding)", [positions])


def _insert_layer(cursor: psycopg.Cursor[Any], number: int, layer: TextLayer) -> None:
    cursor.execute(
        "insert into vsdb.text_layers (layer, attention_gain, attention_bias, attention_in_bias,"
        " attention_out_bias, mlp_gain, mlp_bias, mlp_in_bias, mlp_out_bias)"
        " values (%s" + ", %s::real[]" * 8 + ")",
        (
            number, layer.attention_gain.tolist(), layer.attention_bias.tolist(),
            layer.attention_in_bias.tolist(), layer.attention_out_bias.tolist(), layer.mlp_gain.tolist(),
            layer.mlp_bias.tolist(), layer.mlp_in_bias.tolist(), layer.mlp_out_bias.tolist(),
        ),
    )  # fmt: skip


def _weight_blocks(tower: TextTower) -> Iterator[tuple[NDArray[Any], ...]]:
    """The columns of vsdb.text_weights, one block a matrix part, in the order of the primary key."""
    yield _weight_block(0, _PROJECTION, 0, tower.projection)
    for number, layer in enumerate(tower.layers, start=1):
        yield _weight_block(number, _ATTENTION_IN, 0, layer.attention_in_weights)
        yield _weight_block(number, _ATTENTION_OUT, 0, layer.attention_out_weights)
        yield _weight_block(number, _MLP_IN, 0, layer.mlp_in_weights)
        for part, weights in enumerate(np.split(layer.mlp_out_weights, tower.mlp_ratio, axis=1)):
            yield _weight_block(number, _MLP_OUT, part, weights)


def _weight_block(layer: int, matrix: int, part: int, weights: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    num_rows = len(weights)
    numbers = (np.full(num_rows, number, dtype=np.int16) for number in (layer, matrix, part))
    return (*numbers, np.arange(num_rows, dtype=np.int32), weights.astype(np.float16))


def _insert_rules(cursor: psycopg.Cursor[Any], rules: TokenizerRules) -> None:
    with cursor.copy("copy vsdb.token_merges (left_token, right_token, token) from stdin") as copy:
        copy.write("".join(f"{left}\t{right}\t{token}\n" for left, right, token in rules.merges))
    _copy_records(cursor, "character_folds (code_point, replacement)", rules.folds.items())
    _copy_records(cursor, "character_lowers (code_point, replacement)", rules.lowers.items())
    _copy_records(cursor, "character_ranges (first_code_point, character_class, cased, case_ignorable)", rules.ranges)
    _copy_records(cursor, "html_entities (entity_name, replacement, standard)", rules.entities)


def _copy_records(cursor: psycopg.Cursor[Any], target: str, records: Iterable[tuple[Any, ...]]) -> None:
    statement = sql.SQL("copy vsdb." + target + " from stdin")
    with cursor.copy(statement) as copy:
        for record in records:
            copy.write_row(record)
