"""What a database needs after videos were stored: the index, and how high unrelated prompts score."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from vsdb.errors import database_message
from vsdb.schema import Connection

if TYPE_CHECKING:
    from vsdb.encoder import Encoder

BYTES_A_ROW = 3_000  # of an HNSW graph over halfvec(640) while it is built: vector, neighbours, bookkeeping
MAX_BUILD_BYTES = 1 << 30  # a parallel build takes it as shared memory, of which a container has little
CHANGE_WORTH_MEASURING = 0.1  # of the patches stored


def store_neutral_prompts(connection: Connection, encoder: Encoder) -> None:
    """Embed the neutral prompts that have no embedding yet: here, where the model is loaded anyway."""
    rows = connection.execute("select prompt from vsdb.neutral_prompts where embedding is null").fetchall()
    with connection.cursor() as cursor:
        for (prompt,) in rows:
            text = "[" + ",".join(f"{value:.6g}" for value in encoder.embed_prompt(prompt).tolist()) + "]"
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
        _build_index(connection, on_step)
        _refresh_background(connection, on_step)
    except errors.InsufficientPrivilege:
        return
    except psycopg.Error as error:
        on_warning(f"the videos are stored, but the upkeep of the database failed: {database_message(error)}")


def _build_index(connection: Connection, on_step: Callable[[str], None]) -> None:
    if connection.execute("select vsdb.needs_index()").fetchone() != (True,):
        return
    on_step("building the index")
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [0x76736462_0003])  # two ingests end at once
        rows = connection.execute("select count(*) from vsdb.patch_runs").fetchone()
        memory = min(MAX_BUILD_BYTES, max(64 << 20, (rows or (0,))[0] * BYTES_A_ROW))
        connection.execute("select set_config('maintenance_work_mem', %s, true)", [f"{memory >> 10}kB"])
        connection.execute("select vsdb.build_index()")


def _refresh_background(connection: Connection, on_step: Callable[[str], None]) -> None:
    row = connection.execute(
        """select coalesce((select sum(num_patches) from vsdb.videos), 0)::bigint,
                  coalesce((select num_patches from vsdb.background), 0)"""
    ).fetchone()
    now, measured = row or (0, 0)
    if abs(now - measured) <= CHANGE_WORTH_MEASURING * measured:
        return
    on_step("measuring unrelated prompts")
    connection.execute("select vsdb.refresh_background()")
