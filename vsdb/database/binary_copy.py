"""COPY in PostgreSQL's binary format, from numpy columns: rows of embeddings without a text of each number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

if TYPE_CHECKING:
    from typing_extensions import LiteralString

Columns = Sequence[NDArray[Any]]
"""The columns of some rows, of equal length: 1-D for numbers, 2-D for vectors, in the table's own types.

float16 in a 2-D array makes a ``halfvec``, float32 a ``vector``.
"""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_ROWS_A_WRITE = 8192  # some 30 MB of the widest embeddings


def copy_columns(cursor: psycopg.Cursor[Any], target: LiteralString, blocks: Iterable[Columns]) -> None:
    """COPY rows into a table.

    Args:
        cursor: inside the caller's transaction.
        target: the table and its columns, such as ``vsdb.patches (video_id, embedding)``.
        blocks: rows, some at a time.
    """
    statement = sql.SQL("copy {} from stdin (format binary)").format(sql.SQL(target))
    with cursor.copy(statement) as copy:
        copy.write(_HEADER)
        for columns in blocks:
            for start in range(0, len(columns[0]), _ROWS_A_WRITE):
                copy.write(_rows([column[start : start + _ROWS_A_WRITE] for column in columns]))
        copy.write(_TRAILER)


def _rows(columns: Columns) -> bytes:
    """A field count, then the length and the big-endian value of each field.

    Source: PostgreSQL's documentation, COPY, "Binary Format". A vector or halfvec is its dimension, a zero and its
    numbers, as pgvector's ``vector_send`` and ``halfvec_send`` have them.
    """
    layout: list[tuple[Any, ...]] = [("num_fields", ">i2")]
    for place, column in enumerate(columns):
        number = column.dtype.newbyteorder(">")
        value = number if column.ndim == 1 else [("dim", ">i2"), ("zero", ">i2"), ("numbers", number, column.shape[1:])]
        layout += [(f"length{place}", ">i4"), (f"value{place}", value)]
    rows = np.zeros(len(columns[0]), dtype=layout)
    rows["num_fields"] = len(columns)
    for place, column in enumerate(columns):
        field: NDArray[Any] = rows[f"value{place}"]
        rows[f"length{place}"] = field.dtype.itemsize
        if column.ndim == 1:
            field[:] = column
        else:
            field["dim"] = column.shape[1]
            field["numbers"] = column
    return rows.tobytes()
