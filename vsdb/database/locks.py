"""Waiting for other sessions: for a while, and with word of whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors, sql

from vsdb.database import Connection
from vsdb.errors import DatabaseError

REMOVE_SECONDS = 10.0


@contextmanager
def bounded_wait(connection: Connection, what: str, *, seconds: float = REMOVE_SECONDS) -> Iterator[None]:
    """Let statements outside of a transaction wait so long for other sessions' locks, and no longer.

    Raises:
        DatabaseError: a lock was not to be had; says who has it and what to do.
    """
    set_lock_timeout(connection, seconds)
    try:
        yield
    except errors.LockNotAvailable:
        raise lock_error(connection, what, seconds) from None
    finally:
        if not connection.closed:
            connection.execute("reset lock_timeout")


def set_lock_timeout(connection: Connection, seconds: float, *, local: bool = False) -> None:
    """Let statements wait so long for a lock: ``local`` in this transaction, else in this session."""
    scope = sql.SQL("local" if local else "session")
    milliseconds = sql.Literal(f"{round(seconds * 1000)}ms")
    connection.execute(sql.SQL("set {} lock_timeout = {}").format(scope, milliseconds))


def lock_error(connection: Connection, what: str, seconds: float) -> DatabaseError:
    """The refusal to wait any longer; outside of a failed transaction."""
    holders = _holders(connection)
    who = "; ".join(text for _, text in holders) or "a session that has gone by now"
    remedy = f" or end it: select pg_terminate_backend({holders[0][0]})" if holders else ""
    return DatabaseError(
        f"{what} waited {seconds:g} s for tables that others are using: {who}. Nothing was changed; "
        f"let that end and run the command again,{remedy or ' as it is'}"
    )


def _holders(connection: Connection) -> list[tuple[int, str]]:
    """Process ids of the sessions that hold locks on vsdb's tables, the oldest transaction first, and what they are."""
    rows = connection.execute(
        """select a.pid, a.usename, a.application_name, a.state, date_trunc('second', now() - a.xact_start)::text
           from pg_stat_activity a
           where a.pid <> pg_backend_pid()
             and exists (select from pg_locks l join pg_class c on c.oid = l.relation
                         where l.pid = a.pid and l.granted and c.relnamespace = to_regnamespace('vsdb')
                           and l.database = (select oid from pg_database where datname = current_database()))
           order by a.xact_start nulls last, a.pid"""
    ).fetchall()
    return [
        (pid, f"process {pid} ({name or 'no name'} of {user}, {state or 'working'} for {since or 'a while'})")
        for pid, user, name, state, since in rows
    ]
