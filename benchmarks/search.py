"""Cost of vsdb.search_embedding at size, and its recall against the exact answer.

    python benchmarks/search.py --dsn postgresql:///postgres --sizes 100000 1000000

Every size gets a database of its own, vsdb_benchmark_SIZE, which is kept and used again by the next run. Printed are,
for each kind of prompt, plain and centred (as vsdb.search asks): the share of the exact moments that are found with
the same start and end, and the time of a search with and without parallel workers, the two in turns; what storing
costs, and sizes. The embeddings are real where the folder is there (see archive.py), and the first line says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from archive import PATCHES_A_FRAME, Archive, Array, make_archive
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from vsdb.database.binary_copy import Columns, copy_columns
from vsdb.database.schema import migrate
from vsdb.database.store import FRAMES_A_COPY
from vsdb.database.upkeep import after_ingest

Connection = psycopg.Connection[Any]

FRAMES_A_VIDEO = 1000
WORKERS = (0, 2)
FOLDER = Path(__file__).parents[2] / "shared" / "real-clip"
PATCHES = "vsdb.patches (video_id, pts_seconds, frame_index, patch_index, x, y, width, height, embedding)"


def columns(video_id: int, first_frame: int, embeddings: npt.NDArray[np.float16]) -> Columns:
    """Columns of vsdb.patches of some frames, one a second."""
    shape = embeddings.shape[:2]
    frames = np.broadcast_to(np.arange(first_frame, first_frame + shape[0], dtype=np.int32)[:, None], shape).ravel()
    patches = np.broadcast_to(np.arange(PATCHES_A_FRAME, dtype=np.int16), shape).ravel()
    zeros, side = np.zeros(len(frames), np.int16), np.full(len(frames), 360, np.int16)
    numbers = embeddings.reshape(len(frames), -1)
    video = np.full(len(frames), video_id, np.int64)
    return [video, frames.astype(np.float64), frames, patches, zeros, zeros, side, side, numbers]


def store_video(connection: Connection, path: str, embeddings: Array) -> float:
    """Store a video as ingest does, so many frames a COPY; seconds that it took."""
    num_frames = len(embeddings)
    halves = embeddings.astype(np.float16)
    start = time.perf_counter()
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            """insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,
                                        every_seconds, patch_size, stride, num_frames, num_patches)
               values (%s, sha256(%s), 1, %s, 1280, 720, 1, 360, 180, %s, %s) returning video_id""",
            (path, path.encode(), num_frames, num_frames, num_frames * PATCHES_A_FRAME),
        )
        row = cursor.fetchone()
        assert row is not None
        for first in range(0, num_frames, FRAMES_A_COPY):
            copy_columns(cursor, PATCHES, [columns(row[0], first, halves[first : first + FRAMES_A_COPY])])
    return time.perf_counter() - start


def fill(connection: Connection, archive: Archive, num_patches: int, seed: int) -> None:
    """Tables, neutral prompts, rows, and what ingest does after them."""
    connection.execute("drop schema if exists vsdb cascade")
    migrate(connection)
    connection.execute("delete from vsdb.neutral_prompts")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into vsdb.neutral_prompts (prompt, embedding) values (%s, %s)",
            [(f"neutral {place}", HalfVector(embedding)) for place, embedding in enumerate(archive.neutral)],
        )
    rng = np.random.default_rng(seed)
    num_frames = min(FRAMES_A_VIDEO, num_patches // PATCHES_A_FRAME)
    for number in range(num_patches // (num_frames * PATCHES_A_FRAME)):
        store_video(connection, f"/{number}.mp4", archive.draw_video(rng, num_frames))
    connection.execute("vacuum analyze vsdb.videos, vsdb.patches, vsdb.patch_runs")
    after_ingest(connection, on_step=tell, on_warning=tell)


def tell(step: str) -> None:
    """Say what takes time."""
    print(step, file=sys.stderr)


def insert_rates(connection: Connection, archive: Archive) -> list[int]:
    """Rows a second of three videos of 20,000 rows each, which are not kept."""
    rng = np.random.default_rng(1)
    rates = []
    for number in range(3):
        embeddings = archive.draw_video(rng, FRAMES_A_VIDEO)
        with connection.transaction(force_rollback=True):
            seconds = store_video(connection, f"/rate {number}.mp4", embeddings)
        rates.append(round(FRAMES_A_VIDEO * PATCHES_A_FRAME / seconds))
    connection.execute("vacuum vsdb.patches, vsdb.patch_runs")
    return rates


def search(
    connection: Connection, query: Array, *, centred: bool, exact: bool, max_moments: int
) -> list[tuple[Any, ...]]:
    """Moments as (video_id, start_seconds, end_seconds), however little they stand out."""
    asked = "vsdb.centre(%(query)s)" if centred else "null"
    return connection.execute(
        f"""select video_id, start_seconds, end_seconds
            from vsdb.search_embedding(%(query)s, %(max_moments)s, exact => %(exact)s, min_z => '-infinity',
                                       asked => {asked})""".encode(),
        {"query": HalfVector(query), "max_moments": max_moments, "exact": exact},
    ).fetchall()


def milliseconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """p50 and p95, rounded to 0.1."""
    return {"p50": round(statistics.median(times), 1), "p95": round(float(np.percentile(times, 95)), 1)}


def recall(found: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]]) -> float:
    """Share of the exact moments that were found with the same start and end."""
    shares = [len(set(got) & set(want)) / len(want) for got, want in zip(found, wanted, strict=True)]
    return round(statistics.mean(shares), 3)


def measure_search(
    connection: Connection, prompts: Array, *, centred: bool, arguments: argparse.Namespace
) -> dict[str, object]:
    """Recall of the first prompts, and milliseconds of all with and without parallel workers."""

    def ask(query: Array, *, exact: bool = False) -> list[tuple[Any, ...]]:
        return search(connection, query, centred=centred, exact=exact, max_moments=arguments.max_moments)

    checked = prompts[: arguments.checked]
    exact_times: list[float] = []
    wanted = []
    for query in checked:
        start = time.perf_counter()
        wanted.append(ask(query, exact=True))
        exact_times.append((time.perf_counter() - start) * 1e3)
    figures: dict[str, object] = {"recall": recall([ask(query) for query in checked], wanted)}
    times: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for query in prompts[: arguments.queries]:
        for workers in WORKERS:
            connection.execute(f"set max_parallel_workers_per_gather = {workers}".encode())
            times[workers].append(milliseconds(lambda query=query: ask(query)))  # type: ignore[misc]
    connection.execute("reset max_parallel_workers_per_gather")
    for workers, measured in times.items():
        figures[f"ms_with_{workers}_workers"] = percentiles(measured)
    return {**figures, "exact_ms": percentiles(exact_times)}


def one_value(connection: Connection, query: str) -> Any:
    """The only value of a query."""
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def sizes(connection: Connection) -> dict[str, object]:
    """Sizes of the tables that a search reads, and how many runs there are."""
    row = connection.execute(
        """select round(pg_table_size('vsdb.patches') / 2 ^ 20)::int,
                  round(pg_table_size('vsdb.patch_runs') / 2 ^ 20)::int, (select count(*) from vsdb.patch_runs)"""
    ).fetchone()
    assert row is not None
    return {"patches_mib": row[0], "runs_mib": row[1], "num_runs": row[2]}


def is_filled(connection: Connection, comment: str) -> bool:
    """Whether an earlier run filled this database from the same archive."""
    return bool(
        one_value(
            connection,
            "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()",
        )
        == comment
    )


def measure(
    connection: Connection, archive: Archive, num_patches: int, arguments: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """All figures of one size."""
    comment = f"{archive.origin}, seed {arguments.seed}"
    if not is_filled(connection, comment):
        fill(connection, archive, num_patches, arguments.seed)
        connection.execute(f"comment on database {connection.info.dbname} is '{comment}'".encode())
    migrate(connection)
    yield {**sizes(connection), "rows_stored_per_second": insert_rates(connection, archive)}
    for kind, prompts in archive.prompts.items():
        for centred in (False, True):
            figures = measure_search(connection, prompts, centred=centred, arguments=arguments)
            yield {"prompts": kind, "centred": centred, **figures}


def main() -> None:
    """Print one JSON line about the machine and the archive, then some a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsn", required=True, help="a server where databases may be made")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=100, help="prompts of a kind that are timed")
    parser.add_argument("--checked", type=int, default=50, help="prompts of a kind whose exact answer is compared")
    parser.add_argument("--max-moments", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of real embeddings")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    archive = make_archive(arguments.folder, arguments.seed)
    with psycopg.connect(arguments.dsn, autocommit=True) as admin:
        names = "server_version", "shared_buffers", "max_parallel_workers"
        machine = {name: one_value(admin, f"select current_setting('{name}')") for name in names}
        about = {"machine": platform.machine(), "cpus": os.cpu_count(), "embeddings": archive.origin, **machine}
        print(json.dumps(about), flush=True)
        for num_patches in arguments.sizes:
            name = f"vsdb_benchmark_{num_patches}"
            if not one_value(admin, f"select count(*) from pg_database where datname = '{name}'"):
                admin.execute(f"create database {name}")
            with psycopg.connect(arguments.dsn, dbname=name, autocommit=True) as connection:
                connection.execute("create extension if not exists vector")
                register_vector(connection)
                for figures in measure(connection, archive, num_patches, arguments):
                    print(json.dumps({"num_patches": num_patches, **figures}), flush=True)


if __name__ == "__main__":
    main()
