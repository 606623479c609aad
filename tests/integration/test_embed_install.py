"""Replacing the text tower, and remembering prompts: what happens at the same time and what happens half-way."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import open_clip
import psycopg
import pytest
import torch

from vsdb.database import text_tower
from vsdb.database.text_tower import install_text_tower
from vsdb.model.text_tower import TextTower, extract_text_tower

Connection = psycopg.Connection[Any]


@functools.cache
def build_tower(seed: int) -> TextTower:
    torch.manual_seed(seed)
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    return extract_text_tower(open_clip.model.CLIP(16, vision, text, quick_gelu=True))


@pytest.fixture
def embedding(connection: Connection) -> Connection:
    install_text_tower(connection, build_tower(1))
    return connection


@pytest.fixture
def other(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set statement_timeout = '20s'")
        yield connection


def value(connection: Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def num_remembered(connection: Connection) -> Any:
    return value(connection, "select count(*) from vsdb.prompt_embeddings")


EMBED = "select vsdb.embed('a red car')::text"
REMEMBER = "select vsdb.remember('a red car')::text"


def test_installing_again_changes_nothing(embedding: Connection) -> None:
    assert install_text_tower(embedding, build_tower(1)) is False


def test_stored_weights_are_the_extracted_ones(embedding: Connection) -> None:
    tower = build_tower(1)
    query = "select array_agg(weights::vector::real[] order by row_index) from vsdb.text_weights where {}"
    stored = np.array(value(embedding, query.format("layer = 2 and matrix = 4 and part = 3")), dtype=np.float16)
    np.testing.assert_array_equal(stored, tower.layers[1].mlp_out_weights[:, 96:].astype(np.float16))
    stored = np.array(value(embedding, query.format("layer = 0 and matrix = 0")), dtype=np.float16)
    np.testing.assert_array_equal(stored, tower.projection.astype(np.float16))


def test_another_tower_replaces_everything(embedding: Connection, other: Connection) -> None:
    """Also what other sessions have planned or remembered of the old one."""
    other.execute("prepare ask as " + EMBED)
    before = value(other, "execute ask")
    assert value(embedding, REMEMBER) == before
    assert install_text_tower(embedding, build_tower(2)) is True
    after = value(other, "execute ask")
    assert after != before
    assert num_remembered(embedding) == 0
    assert value(embedding, REMEMBER) == after
    assert install_text_tower(embedding, build_tower(1)) is True
    assert value(other, "execute ask") == before


def test_answers_come_while_another_tower_is_being_stored(embedding: Connection, other: Connection) -> None:
    before = value(other, EMBED)
    with embedding.transaction(force_rollback=True):
        install_text_tower(embedding, build_tower(2))
        other.execute("set plan_cache_mode = force_custom_plan")
        assert value(other, REMEMBER) == before
    assert value(other, EMBED) == before


def test_an_install_that_breaks_off_changes_nothing(embedding: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    before = value(embedding, EMBED)
    insert_layer = text_tower._insert_layer

    def fail_at_second(cursor: Any, number: int, layer: Any) -> None:
        insert_layer(cursor, number, layer)
        if number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(text_tower, "_insert_layer", fail_at_second)
    with pytest.raises(KeyboardInterrupt):
        install_text_tower(embedding, build_tower(2))
    monkeypatch.undo()
    assert value(embedding, EMBED) == before
    assert install_text_tower(embedding, build_tower(2)) is True
    assert value(embedding, EMBED) != before


def test_two_installs_at_once_leave_one_tower(embedding: Connection, dsn: str) -> None:
    written: list[bool] = []

    def install() -> None:
        with psycopg.connect(dsn) as connection:
            written.append(install_text_tower(connection, build_tower(2)))

    threads = [threading.Thread(target=install) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == [False, False, True]
    assert value(embedding, "select count(*) from vsdb.text_tokens") == 49408


def test_remembers_a_prompt_once(embedding: Connection) -> None:
    fresh = value(embedding, EMBED)
    assert num_remembered(embedding) == 0
    assert value(embedding, REMEMBER) == value(embedding, REMEMBER) == fresh
    assert num_remembered(embedding) == 1


def test_embed_reads_what_is_remembered(embedding: Connection) -> None:
    value(embedding, REMEMBER)
    embedding.execute("update vsdb.prompt_embeddings set embedding = array_fill(0.25, array[16])::halfvec")
    assert value(embedding, EMBED) == value(embedding, REMEMBER) == "[" + ",".join(["0.25"] * 16) + "]"


@pytest.mark.parametrize("setting", ["set default_transaction_read_only = on", "set role vsdb_reader"])
def test_answers_without_remembering_where_it_may_not_write(embedding: Connection, setting: str) -> None:
    expected = value(embedding, EMBED)
    embedding.execute(setting.encode())
    assert value(embedding, REMEMBER) == expected
    assert num_remembered(embedding) == 0


def test_keeps_the_newest_prompts(embedding: Connection) -> None:
    embedding.execute(
        "insert into vsdb.prompt_embeddings (tower_sha256, prompt_sha256, embedding)"
        " select t.tower_sha256, sha256(i::text::bytea), '[1]' from generate_series(1, 10000) i, vsdb.text_towers t"
    )
    value(embedding, REMEMBER)
    assert num_remembered(embedding) == 10000
    first = "select exists (select from vsdb.prompt_embeddings where prompt_sha256 = sha256('1'))"
    assert value(embedding, first) is False
    assert value(embedding, first.replace("'1'", "'2'")) is True


def test_never_waits_for_another_session(embedding: Connection, other: Connection) -> None:
    with embedding.transaction():
        value(embedding, REMEMBER)
        assert value(other, REMEMBER) == value(embedding, EMBED)
    assert num_remembered(other) == 1


def test_a_failed_write_costs_no_answer(embedding: Connection) -> None:
    expected = value(embedding, EMBED)
    embedding.execute("alter table vsdb.prompt_embeddings add check (false)")
    assert value(embedding, REMEMBER) == expected
    assert num_remembered(embedding) == 0
