"""What a database needs after videos were stored: statistics, and how high unrelated prompts score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import errors

from vsdb.database import Connection
from vsdb.database.connect import database_message

CHANGE_WORTH_MEASURING = 0.1  # of the patches stored
PATCHES_WORTH_STATISTICS = 100_000


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
    """Measure unrelated prompts anew where the database has changed enough.

    It is for those who own the tables: who may only add videos leaves it to the owner's next ingest.

    Args:
        connection: to a database whose videos are all committed.
        on_step: is told what takes time.
        on_warning: is told what failed: the videos are stored all the same.
    """
    try:
        _refresh(connection, on_step)
    except errors.InsufficientPrivilege:
        return
    except psycopg.Error as error:
        on_warning(f"the videos are stored, but the upkeep of the database failed: {database_message(error)}")


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
