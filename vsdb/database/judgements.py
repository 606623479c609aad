"""What people said of answers: the lines fitted to it, and how often each word was right."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from vsdb.database import Connection
from vsdb.database.connect import database_message
from vsdb.errors import DatabaseError
from vsdb.types import Calibration


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How the judgements of a database go with the words that its answers carry now."""

    possible_from_z: float
    """The line of no match."""
    likely_from_z: float
    num_likely: int
    """Judged moments that are likely."""
    num_likely_right: int
    """Those of them that answer their prompt."""
    num_possible: int
    """Judged moments that are possible and not likely."""
    num_possible_right: int
    num_below: int
    """Judged moments below the line of no match."""
    num_below_right: int


def read_reliability(connection: Connection) -> Reliability:
    """Count the judgements of this database's model by today's z and lines."""
    with connection.cursor(row_factory=class_row(Reliability)) as cursor:
        row = cursor.execute(
            """with judged as (
                   select l.possible, l.likely, j.is_right, j.z is not null as is_measured,
                          vsdb.match(j.z, l.possible, l.likely) as match
                   from vsdb.line l left join vsdb.judgements j on true
               )
               select max(possible) as possible_from_z, max(likely) as likely_from_z,
                      count(*) filter (where match = 'likely') as num_likely,
                      count(*) filter (where match = 'likely' and is_right) as num_likely_right,
                      count(*) filter (where match = 'possible') as num_possible,
                      count(*) filter (where match = 'possible' and is_right) as num_possible_right,
                      count(*) filter (where match is null and is_measured) as num_below,
                      count(*) filter (where match is null and is_measured and is_right) as num_below_right
               from judged"""
        ).fetchone()
    assert row is not None  # an aggregate without group by has one row
    return row


def may_judge(connection: Connection) -> bool:
    """Whether this session's user may store judgements."""
    row = connection.execute(
        """select has_table_privilege('vsdb.judgements', 'insert') and has_table_privilege('vsdb.judgements', 'update')
                  and not pg_is_in_recovery()"""
    ).fetchone()
    return row == (True,)


def calibrate(connection: Connection) -> Calibration:
    """Fit the lines to the judgements; see ``vsdb.calibrate`` in SQL.

    Raises:
        DatabaseError: the judgements are too few, all of one kind, or do not go with z; says what is missing.
    """
    return _change(connection, "select * from vsdb.calibrate()")


def uncalibrate(connection: Connection) -> Calibration:
    """Take the newest calibration back; see ``vsdb.uncalibrate`` in SQL.

    Raises:
        DatabaseError: there is none.
    """
    return _change(connection, "select * from vsdb.uncalibrate()")


def _change(connection: Connection, statement: str) -> Calibration:
    try:
        with connection.cursor(row_factory=class_row(Calibration)) as cursor:
            row = cursor.execute(statement.encode()).fetchone()
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise DatabaseError(database_message(error)) from None
    assert row is not None  # a function with out arguments has one row
    return row
