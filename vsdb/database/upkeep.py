"""What a database needs after videos were stored: the index, and how high unrelated prompts score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import errors

from vsdb.database import Connection
from vsdb.database.connect import database_message

MIN_PATCHES = 2_000_000  # until then a scan of the patch runs is quick enough to do without a build of minutes
BYTES_A_RUN = 40_000  # while the index is built: distances to 4,000 lists; dead rows that somebody may see count
MAX_BUILD_BYTES = 4 << 30
RUNS_SAMPLED = 40_000  # to learn the main directions of the embeddings from
LEAST_VARIANCE = 1e-6  # all variances add up to 1 at most; a direction without any cannot be stretched
CHANGE_WORTH_MEASURING = 0.1  # of the patches stored
PATCHES_WORTH_STATISTICS = 100_000
PROGRESS_SECONDS = 1.0


def store_neutral_prompts(connection: Connection, embed_prompt: Callable[[str], NDArray[np.float32]]) -> None:
    """Embed the neutral prompts that have no embedding yet: at a time when the model is loaded anyway.

    Args:
        connection: to the database.
        embed_prompt: gives the embedding of a prompt, shape (embedding_dim,).
    """
    rows = connection.execute("select prompt from vsdb.neutral_prompts where embedding is null").fetchall()
    with connection.cursor() as cursor:
        for (prompt,) in rows:
            text = "[" + ",".join(f"{value:.6g}" for value in embed_prompt(prompt).tolist()) + "]"
            cursor.execute("update vsdb.neutral_prompts set embedding = %s where prompt = %s", [text, prompt])


def after_ingest(connection: Connection, *, on_step: Callable[[str], None], on_warning: Callable[[str], None]) -> None:
    """Build the index where the database has grown to need it, and measure unrelated prompts anew.

    Both are for those who own the tables: who may only add videos leaves them to the owner's next ingest.

    Args:
        connection: to a database whose videos are all committed.
        on_step: is told what takes time.
        on_warning: is told what failed: the videos are stored all the same.
    """
    try:
        if connection.execute("select vsdb.needs_index(%s)", [MIN_PATCHES]).fetchone() == (True,):
            on_step("building the index")
            _tell_progress(connection, lambda: build_index(connection, min_patches=MIN_PATCHES), on_step)
        _refresh(connection, on_step)
    except errors.InsufficientPrivilege:
        return
    except psycopg.Error as error:
        on_warning(f"the videos are stored, but the upkeep of the database failed: {database_message(error)}")


def _tell_progress(connection: Connection, build: Callable[[], object], on_step: Callable[[str], None]) -> None:
    """Build an index in another thread, and tell from this one how far the server is."""
    info = connection.info
    with (
        psycopg.connect(info.dsn, password=info.password or None, autocommit=True) as watcher,
        ThreadPoolExecutor(1, thread_name_prefix="vsdb-index") as pool,
    ):
        building = pool.submit(build)
        try:
            while not wait([building], timeout=PROGRESS_SECONDS).done:
                if step := _index_progress(watcher):
                    on_step(step)
        except KeyboardInterrupt:
            connection.cancel_safe()
            raise
        building.result()


def _index_progress(watcher: Connection) -> str | None:
    row = watcher.execute(
        """select phase, case when tuples_total > 0 then 100 * tuples_done / tuples_total
                              when blocks_total > 0 then 100 * blocks_done / blocks_total end
           from pg_stat_progress_create_index where relid = to_regclass('vsdb.patch_runs')"""
    ).fetchone()
    if row is None:
        return None
    return f"building the index: {row[0].removeprefix('building index: ')}" + (f", {row[1]} %" if row[1] else "")


def build_index(connection: Connection, *, min_patches: int) -> bool:
    """Build the index if the database holds ``min_patches`` or more and has none; say whether it did."""
    with _transaction_to_build_in(connection, min_patches) as is_needed:
        if not is_needed:
            return False
        _store_turning(connection)
    # Another transaction: in the same one, rows as they were before the turning would be indexed as well.
    with _transaction_to_build_in(connection, min_patches) as is_needed:
        if is_needed:
            rows = connection.execute("select count(*) from vsdb.patch_runs").fetchone()
            memory = min(MAX_BUILD_BYTES, (64 << 20) + (rows or (0,))[0] * BYTES_A_RUN)
            connection.execute("select set_config('maintenance_work_mem', %s, true)", [f"{memory >> 10}kB"])
            connection.execute("select vsdb.build_index(%s)", [min_patches])
    return is_needed


@contextmanager
def _transaction_to_build_in(connection: Connection, min_patches: int) -> Iterator[bool]:
    """Begin a transaction in which nobody else builds the index; give whether it is needed."""
    with connection.transaction():
        connection.execute("lock table vsdb.turning in share row exclusive mode")  # two ingests end at once
        yield connection.execute("select vsdb.needs_index(%s)", [min_patches]).fetchone() == (True,)


def _store_turning(connection: Connection) -> None:
    """Learn the main directions of the embeddings and turn the patch runs to them, unless that was done before."""
    if connection.execute("select exists (select from vsdb.turning)").fetchone() == (True,):
        return
    rows = connection.execute(
        "select embedding::text from vsdb.patch_runs order by hashint8(video_id * 1000003 + first_frame) limit %s",
        [RUNS_SAMPLED],
    )
    sample = np.array([np.fromstring(text[1:-1], np.float32, sep=",") for (text,) in rows])
    mean = sample.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(sample, rowvar=False, bias=True))
    stretches = np.maximum(variances, LEAST_VARIANCE) ** 0.25
    texts = ["[" + ",".join(f"{value:.6g}" for value in direction) + "]" for direction in directions.T.tolist()]
    connection.execute(
        "select vsdb.store_turning(%s::text[], %s::real[], %s::real[])",
        [texts, (mean @ directions).tolist(), stretches.tolist()],
    )


def _refresh(connection: Connection, on_step: Callable[[str], None]) -> None:
    """Measure unrelated prompts, and after a large load the tables' statistics, where enough has changed."""
    row = connection.execute(
        """select coalesce((select sum(num_patches) from vsdb.videos), 0)::bigint,
                  coalesce((select num_patches from vsdb.background), 0)"""
    ).fetchone()
    now, measured = row or (0, 0)
    if abs(now - measured) <= CHANGE_WORTH_MEASURING * measured:
        return
    if now >= PATCHES_WORTH_STATISTICS:  # the server would do so by itself, but a minute later
        on_step("refreshing statistics")
        connection.execute("analyze vsdb.videos, vsdb.patches, vsdb.patch_runs")
    on_step("measuring unrelated prompts")
    connection.execute("select vsdb.refresh_background()")
