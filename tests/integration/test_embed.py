"""vsdb.embed against torch, and what it promises to whoever asks."""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import psycopg
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from vsdb.database.text_tower import install_text_tower
from vsdb.model.load import load_model
from vsdb.model.text_tower import extract_text_tower

Connection = psycopg.Connection[Any]
Float32 = npt.NDArray[np.float32]

VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32}
WORDS = (
    "a an the red green blue small old broken car dog cat sign street laundromat kitchen door woman man child running "
    "holding under over beside night rain snow photo of on in with bicycle umbrella train 7 24 ! ? , don't café 犬 🐕"
).split()

open_clip_tokenizer = SimpleTokenizer()


@functools.cache
def build_model(seed: int = 0, quick_gelu: bool = True, **sizes: int) -> Any:
    torch.manual_seed(seed)
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2, **sizes}
    model: Any = open_clip.model.CLIP(48, VISION, text, quick_gelu=quick_gelu).eval()
    with torch.no_grad():  # Biases and gains start as 0 and 1, which would hide one that is left out.
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or ".ln_" in name or name.startswith("ln_"):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def generate_prompts(num_prompts: int, longest: int = 10) -> list[str]:
    rng = random.Random(1)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, longest))) for _ in range(num_prompts)]


def torch_embeddings(model: Any, prompts: list[str]) -> Float32:
    with torch.no_grad():
        batches = [model.encode_text(tokens, normalize=True) for tokens in open_clip_tokenizer(prompts).split(32)]
    embeddings: Float32 = torch.cat(batches).numpy()
    return embeddings


def short_torch_embeddings(model: Any, prompts: list[str]) -> Float32:
    """torch_embeddings without the padding behind the longest prompt, which causal attention never reads."""
    tokens = open_clip_tokenizer(prompts)
    tokens = tokens[:, : int(tokens.argmax(dim=1).max()) + 1]
    length = tokens.shape[1]
    with torch.no_grad():
        x = model.token_embedding(tokens) + model.positional_embedding[:length]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        x = x[torch.arange(len(x)), tokens.argmax(dim=1)] @ model.text_projection
    embeddings: Float32 = torch.nn.functional.normalize(x, dim=1).numpy()
    np.testing.assert_allclose(embeddings[:2], torch_embeddings(model, prompts[:2]), atol=1e-5)
    return embeddings


def sql_embeddings(connection: Connection, prompts: list[str], function: str = "embed") -> Float32:
    query = f"select vsdb.{function}(%s)::vector::real[]"
    rows = [connection.execute(query, (prompt,)).fetchone() for prompt in prompts]
    return np.array([row[0] for row in rows if row], dtype=np.float32)


def smallest_cosine(ours: Float32, theirs: Float32) -> float:
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-3)
    return float(((ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1)).min())


@pytest.fixture
def embedding(connection: Connection) -> Connection:
    """A database with a small random tower of 48 numbers."""
    install_text_tower(connection, extract_text_tower(build_model()))
    return connection


@pytest.mark.parametrize(
    ("quick_gelu", "sizes"),
    [
        (True, {"width": 128, "heads": 4, "layers": 3}),
        (False, {"width": 96, "heads": 3, "layers": 2}),
        (True, {"width": 1280, "heads": 20, "layers": 1}),
        (True, {"context_length": 16}),
    ],
)
def test_equals_torch(connection: Connection, quick_gelu: bool, sizes: dict[str, int]) -> None:
    model = build_model(quick_gelu=quick_gelu, **sizes)
    install_text_tower(connection, extract_text_tower(model))
    prompts = generate_prompts(40, longest=20)
    tokens = SimpleTokenizer(context_length=sizes.get("context_length", 77))(prompts)
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True).numpy()
    assert smallest_cosine(sql_embeddings(connection, prompts), expected) >= 0.9999


def test_equals_torch_with_the_tiny_model(connection: Connection) -> None:
    model: Any = load_model("tiny").module.float().eval()
    install_text_tower(connection, extract_text_tower(model))
    prompts = generate_prompts(200)
    assert smallest_cosine(sql_embeddings(connection, prompts), torch_embeddings(model, prompts)) >= 0.9999


def test_equals_torch_at_the_size_of_rn50x4(connection: Connection) -> None:
    model = build_model(width=640, heads=10, layers=12)
    install_text_tower(connection, extract_text_tower(model))
    prompts = generate_prompts(200, longest=5)
    expected = short_torch_embeddings(model, prompts)
    assert smallest_cosine(sql_embeddings(connection, prompts), expected) >= 0.9999


@pytest.mark.parametrize(
    "prompt",
    ["", "a " * 300, "x" * 500, "dog <end_of_text> cat", "<start_of_text>", "&amp; “Σ”", "🐕" * 40],
)
def test_equals_torch_on_odd_prompts(embedding: Connection, prompt: str) -> None:
    expected = torch_embeddings(build_model(), [prompt])
    assert smallest_cosine(sql_embeddings(embedding, [prompt]), expected) >= 0.9999


def test_activations_far_from_zero(connection: Connection) -> None:
    """exp() of what an activation or a score may reach overflows: no such prompt may fail."""
    for quick_gelu in (True, False):
        model = build_model(seed=3, quick_gelu=quick_gelu)
        with torch.no_grad():
            for block in model.transformer.resblocks:
                block.mlp.c_fc.weight.mul_(200)
                block.attn.in_proj_weight.mul_(20)
        install_text_tower(connection, extract_text_tower(model))
        prompts = generate_prompts(20)
        embeddings = sql_embeddings(connection, prompts)
        assert smallest_cosine(embeddings, torch_embeddings(model, prompts)) >= 0.99
    build_model.cache_clear()


def test_null_is_null(embedding: Connection) -> None:
    assert embedding.execute("select vsdb.embed(null), vsdb.remember(null)").fetchone() == (None, None)


@pytest.mark.parametrize("function", ["embed", "remember"])
def test_reader_with_empty_search_path_in_a_read_only_transaction(embedding: Connection, function: str) -> None:
    expected = torch_embeddings(build_model(), ["a red car"])
    embedding.execute("set role vsdb_reader; set search_path = ''; set default_transaction_read_only = on")
    query = f"select vsdb.{function}('a red car')::public.vector::real[]"
    row = embedding.execute(query).fetchone()
    assert row is not None
    assert smallest_cosine(np.array([row[0]], dtype=np.float32), expected) >= 0.9999


def test_is_computed_once_by_the_planner(embedding: Connection) -> None:
    distance = "array_fill(i, array[48])::vector::halfvec <#> vsdb.embed('a red car')"
    query = f"select i from generate_series(1, 5000) i order by {distance} limit 1"
    plan = "\n".join(row[0] for row in embedding.execute("explain (verbose) " + query))
    assert "embed(" not in plan


def test_says_what_to_do_without_a_tower(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="no text tower") as error:
        connection.execute("select vsdb.embed('a red car')")
    assert "vsdb ingest" in (error.value.diag.message_hint or "")


def test_other_architectures_are_sent_to_vsdb_query(embedding: Connection) -> None:
    assert install_text_tower(embedding, None) is True
    assert install_text_tower(embedding, None) is False
    for function in ("embed", "remember"):
        with pytest.raises(psycopg.errors.FeatureNotSupported) as error:
            sql_embeddings(embedding, ["a red car"], function)
        assert "vsdb query" in (error.value.diag.message_hint or "")


def test_tower_takes_space(embedding: Connection) -> None:
    row = embedding.execute("select vsdb.text_tower_bytes()").fetchone()
    assert row is not None
    assert row[0] > 49408 * 64 * 2
