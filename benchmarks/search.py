"""Cost of vsdb.search_embedding at size, and its recall against the exact answer.

    python benchmarks/search.py --dsn postgresql:///postgres --sizes 10000 100000 1000000

Every size gets a database of its own, vsdb_benchmark_SIZE, which is kept and used again by the next run.
The embeddings are drawn, shaped like those of a real archive: 20 near-duplicate patches a frame, one frame a
second, scenes that drift slowly, and objects that are in a few patches for 3 to 30 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from vsdb.database.schema import migrate
from vsdb.database.upkeep import build_index

Array = npt.NDArray[np.float32]
Connection = psycopg.Connection[Any]

EMBEDDING_DIM = 640
PATCHES_A_FRAME = 20
FRAMES_A_VIDEO = 1000
NUM_OBJECTS = 500

ROW = np.dtype(
    [("fields", ">i2")]
    + [("n0", ">i4"), ("video_id", ">i8"), ("n1", ">i4"), ("pts_seconds", ">f8"), ("n2", ">i4")]
    + [("frame_index", ">i4"), ("n3", ">i4"), ("patch_index", ">i2")]
    + [field for name in "xywh" for field in ((f"n{name}", ">i4"), (name, ">i2"))]
    + [("n8", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("embedding", ">f2", EMBEDDING_DIM)]
)
HEADER = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8


@dataclass(frozen=True)
class World:
    """What all embeddings share: the cone that image embeddings lie in, the looks of scenes, the objects."""

    common: Array
    looks: Array
    objects: Array
    popularity: npt.NDArray[np.float64]


def unit(vectors: Array) -> Array:
    """Rows of length 1."""
    scaled: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def draw_world(rng: np.random.Generator) -> World:
    """The common direction, 64 looks of falling weight, and the objects with Zipf-like popularity."""
    directions = unit(rng.standard_normal((1 + 64 + NUM_OBJECTS, EMBEDDING_DIM), dtype=np.float32))
    falling = np.linspace(1, 0.2, 64, dtype=np.float32)[:, None]
    popularity = 1 / np.arange(1, NUM_OBJECTS + 1) ** 0.5
    return World(directions[0], directions[1:65] * falling, directions[65:], popularity / popularity.sum())


def draw_video(rng: np.random.Generator, world: World, num_frames: int) -> Array:
    """Embeddings of one video, float32 of length 1, shape (num_frames, PATCHES_A_FRAME, EMBEDDING_DIM)."""
    noise = rng.standard_normal((num_frames, PATCHES_A_FRAME, EMBEDDING_DIM), dtype=np.float32)
    vectors = 0.25 * noise / EMBEDDING_DIM**0.5 + 0.7 * world.common
    start = 0
    while start < num_frames:
        length = min(num_frames - start, int(rng.exponential(30)) + 5)
        look = rng.standard_normal((2 + PATCHES_A_FRAME, 64)).astype(np.float32) @ unit(world.looks) / 8
        drift = np.linspace(0, 0.5, length, dtype=np.float32)[:, None, None]
        vectors[start : start + length] += 0.45 * (look[0] + drift * look[1]) + 0.3 * look[2:]
        start += length
    for _ in range(num_frames // 10):
        first, length = int(rng.integers(num_frames)), int(rng.integers(3, 31))
        corner, patches = int(rng.integers(PATCHES_A_FRAME)), int(rng.integers(1, 5))
        thing = world.objects[rng.choice(NUM_OBJECTS, p=world.popularity)]
        strength = 0.4 + 0.4 * float(rng.random())
        vectors[first : first + length, corner : corner + patches] += strength * thing
    return unit(vectors)


def draw_queries(rng: np.random.Generator, world: World, number: int) -> Array:
    """Text-like embeddings: an object, some of what all pictures share, and a direction of their own."""
    things = world.objects[rng.choice(NUM_OBJECTS, number, p=world.popularity)]
    noise = unit(rng.standard_normal((number, EMBEDDING_DIM), dtype=np.float32))
    return unit(0.4 * things + 0.2 * world.common + 0.9 * noise)


def copy_rows(video_id: int, embeddings: Array) -> bytes:
    """Rows of vsdb.patches in PostgreSQL's binary COPY format."""
    num_frames = len(embeddings)
    rows = np.zeros((num_frames, PATCHES_A_FRAME), ROW)
    lengths = {"n0": 8, "n1": 8, "n2": 4, "n3": 2, "nx": 2, "ny": 2, "nw": 2, "nh": 2}
    for name, value in {**lengths, "n8": 4 + 2 * EMBEDDING_DIM, "fields": 9, "dim": EMBEDDING_DIM}.items():
        rows[name] = value
    rows["video_id"], rows["w"], rows["h"] = video_id, 360, 360
    rows["frame_index"] = rows["pts_seconds"] = np.arange(num_frames)[:, None]
    rows["patch_index"] = np.arange(PATCHES_A_FRAME)
    rows["embedding"] = embeddings
    return rows.tobytes()


def load(connection: Connection, rng: np.random.Generator, world: World, num_patches: int) -> None:
    """Draw and store num_patches embeddings, video by video."""
    num_videos = max(1, num_patches // (FRAMES_A_VIDEO * PATCHES_A_FRAME))
    for video_id in range(1, num_videos + 1):
        num_frames = min(FRAMES_A_VIDEO, num_patches // PATCHES_A_FRAME)
        embeddings = draw_video(rng, world, num_frames)
        connection.execute(
            "insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width,"
            " height, every_seconds, patch_size, stride, num_frames, num_patches)"
            " values (%s, sha256(%s), 1, %s, 1280, 720, 1, 360, 180, %s, %s)",
            (
                f"/{video_id}.mp4",
                str(video_id).encode(),
                num_frames,
                num_frames,
                num_frames * PATCHES_A_FRAME,
            ),
        )
        with connection.cursor().copy("copy vsdb.patches from stdin binary") as copy:
            copy.write(HEADER + copy_rows(video_id, embeddings) + b"\xff\xff")


def milliseconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3


def search(connection: Connection, query: Array, *, exact: bool, max_moments: int) -> list[tuple[Any, ...]]:
    """Moments as (video_id, start_seconds, end_seconds)."""
    return connection.execute(
        "select video_id, start_seconds, end_seconds from vsdb.search_embedding(%s, %s, exact => %s)",
        (HalfVector(query), max_moments, exact),
    ).fetchall()


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """p50 and p95, rounded to 0.01."""
    return {"p50": round(statistics.median(times), 2), "p95": round(float(np.percentile(times, 95)), 2)}


def timed(action: Callable[[Array], object], queries: Array) -> dict[str, float]:
    """Milliseconds a query."""
    return percentiles([milliseconds(partial(action, query)) for query in queries])


def recall(found: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]]) -> float:
    """Share of the exact moments that were found with the same start and end."""
    shares = [len(set(got) & set(want)) / len(want) for got, want in zip(found, wanted, strict=True)]
    return round(statistics.mean(shares), 3)


def measure_search(connection: Connection, queries: Array, max_moments: int) -> dict[str, object]:
    """Latency, warm, and recall against the exact answer, of the scan chosen, of the index and of the runs."""
    checked = queries[:50]
    approximate = partial(search, connection, exact=False, max_moments=max_moments)
    exact = partial(search, connection, exact=True, max_moments=max_moments)
    wanted = [exact(query) for query in checked]
    figures: dict[str, object] = {"exact_ms": timed(exact, checked[:10])}
    figures["search_recall"] = recall([approximate(query) for query in checked], wanted)
    figures["search_ms"] = timed(approximate, queries)
    # The index is left alone below its size; with a video that says it holds many patches it is not.
    connection.execute(
        """insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,
                                    every_seconds, patch_size, stride, num_frames, num_patches)
           values ('/large', sha256('large'), 1, 1, 1280, 720, 1, 360, 180, 1, 1000000000)"""
    )
    figures["index_recall"] = recall([approximate(query) for query in checked], wanted)
    figures["index_ms"] = timed(approximate, queries)
    with connection.transaction(force_rollback=True):
        connection.execute("drop index vsdb.patch_runs_embedding_l2")  # then every run is compared
        figures["runs_recall"] = recall([approximate(query) for query in checked], wanted)
        figures["runs_ms"] = timed(approximate, queries)
    connection.execute("delete from vsdb.videos where video_path = '/large'")
    return figures


def one_value(connection: Connection, query: str) -> Any:
    """The only value of a query."""
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def fill(connection: Connection, rng: np.random.Generator, world: World, num_patches: int) -> None:
    """Tables, rows and index; the figures of the build are kept as the index's comment."""
    connection.execute("drop schema if exists vsdb cascade")
    migrate(connection)
    load(connection, rng, world, num_patches)
    connection.execute("vacuum analyze vsdb.patches")
    connection.execute("analyze vsdb.videos")
    seconds = milliseconds(lambda: build_index(connection, min_patches=0)) / 1e3
    connection.execute("vacuum analyze vsdb.patch_runs, vsdb.turning")
    connection.execute(f"comment on index vsdb.patch_runs_embedding_l2 is '{seconds:.1f}'")


def size_figures(connection: Connection) -> dict[str, object]:
    """Build time and size of the index, size of the table."""
    row = connection.execute(
        "select obj_description('vsdb.patch_runs_embedding_l2'::regclass)::float8,"
        " round(pg_relation_size('vsdb.patch_runs_embedding_l2') / 2 ^ 20)::int,"
        " round(pg_table_size('vsdb.patches') / 2 ^ 20)::int, (select count(*) from vsdb.patch_runs)"
    ).fetchone()
    assert row is not None
    return {"build_seconds": row[0], "index_mib": row[1], "table_mib": row[2], "num_runs": row[3]}


def scan_rate(connection: Connection, query: Array, num_patches: int) -> float:
    """Patches a second that one process compares with the query, best of 3, in millions."""
    statement = "select max(embedding <#> %s) from vsdb.patches"
    connection.execute("set max_parallel_workers_per_gather = 0")
    times = [milliseconds(lambda: connection.execute(statement, (HalfVector(query),))) for _ in range(3)]
    connection.execute("reset max_parallel_workers_per_gather")
    return round(num_patches / min(times) / 1e3, 2)


def measure_arrays(embeddings: npt.NDArray[np.float16], queries: Array) -> dict[str, dict[str, float]]:
    """One matrix product and the best 60 of it, in numpy and in torch, over float32 (ms a query)."""
    import torch

    matrix = embeddings.astype(np.float32)
    tensor = torch.from_numpy(matrix)
    torch.set_num_threads(1)

    def with_numpy(query: Array) -> object:
        return np.argpartition(-(matrix @ query), 60)[:60]

    def with_torch(query: Array) -> object:
        return (tensor @ torch.from_numpy(query)).topk(60)

    return {"numpy_ms": timed(with_numpy, queries[:20]), "torch_ms": timed(with_torch, queries[:20])}


def read_embeddings(connection: Connection) -> npt.NDArray[np.float16]:
    """All embeddings, in order of the table."""
    rows = connection.cursor(binary=True).stream("select embedding from vsdb.patches", size=1000)
    return np.stack([row[0].to_numpy() for row in rows]).astype(np.float16)


def is_filled(connection: Connection, num_patches: int) -> bool:
    """Whether an earlier run left this size complete, in tables that can be migrated."""
    needed = "to_regclass('vsdb.patch_runs_embedding_l2'), to_regclass('vsdb.migrations')"
    if one_value(connection, f"select num_nulls({needed})"):
        return False
    described = one_value(connection, "select obj_description('vsdb.patch_runs_embedding_l2'::regclass)")
    return described is not None and one_value(connection, "select count(*) from vsdb.patches") == num_patches


def measure(connection: Connection, num_patches: int, arguments: argparse.Namespace) -> dict[str, object]:
    """All figures of one size."""
    rng = np.random.default_rng(arguments.seed)
    world = draw_world(rng)
    queries = draw_queries(rng, world, arguments.queries)
    if not is_filled(connection, num_patches):
        fill(connection, rng, world, num_patches)
    migrate(connection)
    return {
        "num_patches": num_patches,
        **size_figures(connection),
        **measure_search(connection, queries, arguments.max_moments),
        "scan_million_patches_per_second": scan_rate(connection, queries[0], num_patches),
        **measure_arrays(read_embeddings(connection), queries),
    }


def main() -> None:
    """Print one JSON line about the machine, then one a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", required=True, help="a server where databases may be made")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--max-moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with psycopg.connect(arguments.dsn, autocommit=True) as admin:
        names = "server_version", "shared_buffers", "max_parallel_workers_per_gather"
        machine = {name: one_value(admin, f"select current_setting('{name}')") for name in names}
        print(json.dumps({"machine": platform.machine(), "cpus": os.cpu_count(), **machine}), flush=True)
        for num_patches in arguments.sizes:
            name = f"vsdb_benchmark_{num_patches}"
            if not one_value(admin, f"select count(*) from pg_database where datname = '{name}'"):
                admin.execute(f"create database {name}")
            with psycopg.connect(arguments.dsn, dbname=name, autocommit=True) as connection:
                connection.execute("create extension if not exists vector")
                register_vector(connection)
                print(json.dumps(measure(connection, num_patches, arguments)), flush=True)


if __name__ == "__main__":
    main()
