"""A second set of vsdb's tables and functions, filled with another model's embeddings, then put in place of the first.

Each set is a schema. While it is filled it is called ``vsdb_next``; a transaction that fills it gives it the name
``vsdb``, which nobody else sees, so that everything that stores videos can do so unchanged. To switch is to rename two
schemas: no row is moved, and searches wait for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import errors, sql

from vsdb.database import Connection, schema
from vsdb.errors import DatabaseError
from vsdb.types import VideoSampling

LIVE, NEXT, BEFORE = "vsdb", "vsdb_next", "vsdb_before"
ASIDE = "vsdb_live"
"""What the live set is called inside :func:`staged`."""
AT_WORK = "vsdb reembed"
"""The application name of the session that stages."""
OTHERS_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class VideoToStage:
    """A stored video, which is to be embedded with the next model, too."""

    video_id: int
    video_path: str
    sampling: VideoSampling


@contextmanager
def staging(connection: Connection, model_name: str) -> Iterator[None]:
    """Make ``vsdb_next``, or bring the one that an earlier run left up to date; one run at a time.

    Raises:
        DatabaseError: another run is at it, an unfinished one has another model, the rows of an earlier switch are
            still there, or a right is missing.
    """
    try:
        _refuse_a_second(connection)
        if _exists(connection, BEFORE):
            raise DatabaseError(
                'the rows of the model before this one are still there; "vsdb reembed --drop-unused" drops them'
            )
        _begin(connection)
        _check_model(connection, model_name)
        yield
    except errors.InsufficientPrivilege as error:
        raise DatabaseError(f"reembed is for the owner of the schema vsdb: {error.diag.message_primary}") from error
    finally:
        if not connection.closed:
            connection.execute("reset application_name")


def _refuse_a_second(connection: Connection) -> None:
    """Not an advisory lock: everybody who can connect may take one, and so keep the owner away."""
    connection.execute("select set_config('application_name', %s, false)", [AT_WORK])
    others = """select from pg_stat_activity where application_name = %s and datname = current_database()
                and usename = current_user and pid <> pg_backend_pid()"""
    if connection.execute(others, [AT_WORK]).rowcount:
        raise DatabaseError("another vsdb reembed is at work in this database; wait until it is done")


@contextmanager
def staged(connection: Connection) -> Iterator[None]:
    """A transaction in which ``vsdb`` is the set that is being filled, and ``vsdb_live`` the live one."""
    with connection.transaction():
        _rename(connection, LIVE, ASIDE)
        _rename(connection, NEXT, LIVE)
        yield
        _rename(connection, LIVE, NEXT)
        _rename(connection, ASIDE, LIVE)


def _begin(connection: Connection) -> None:
    with connection.transaction():
        is_new = not _exists(connection, NEXT)
        if is_new:
            connection.execute("create schema vsdb_next")
        with staged(connection):
            schema.migrate(connection)
            if is_new:  # the owner may have chosen other neutral prompts
                connection.execute("delete from vsdb.neutral_prompts")
                connection.execute(
                    "insert into vsdb.neutral_prompts (prompt) select prompt from vsdb_live.neutral_prompts"
                )
            connection.execute(  # what was removed or embedded again since
                """delete from vsdb.videos n where not exists (
                       select from vsdb_live.videos v
                       where v.video_id = n.video_id and v.content_sha256 = n.content_sha256)"""
            )


def _check_model(connection: Connection, model_name: str) -> None:
    row = connection.execute(
        "select model_name from vsdb_next.models where exists (select from vsdb_next.videos)"
    ).fetchone()
    if row and row[0] != model_name:
        raise DatabaseError(
            f'an unfinished run embeds with {row[0]}: go on with "vsdb reembed --model {row[0]}", '
            'or drop it with "vsdb reembed --drop-unused"'
        )


def videos_to_stage(connection: Connection) -> list[VideoToStage]:
    """Every stored video, those of one sampling after another, by path."""
    rows = connection.execute(
        """select video_id, video_path, every_seconds, patch_size, stride, keyframes, skip_unchanged from vsdb.videos
           order by every_seconds, patch_size, stride, keyframes, skip_unchanged, video_path"""
    )
    return [
        VideoToStage(
            video_id=video_id,
            video_path=path,
            sampling=VideoSampling(
                every_seconds=every, patch_size=size, stride=stride, keyframes=keyframes, skip_unchanged=skip
            ),
        )
        for video_id, path, every, size, stride, keyframes, skip in rows
    ]


def expect(connection: Connection, video: VideoToStage) -> None:
    """Give the next video that is stored the key that it has in the live set; inside :func:`staged`."""
    connection.execute("select setval(pg_get_serial_sequence('vsdb.videos', 'video_id'), %s, false)", [video.video_id])


def adopt(connection: Connection, video: VideoToStage) -> bool:
    """Take over what does not depend on the model: recording time, thumbnails; inside :func:`staged`.

    Returns:
        Whether the video that was stored is the live one; False where its file has other content by now.
    """
    same = connection.execute(
        """update vsdb.videos n set recorded_at = v.recorded_at, ingested_at = v.ingested_at
           from vsdb_live.videos v
           where v.video_id = n.video_id and v.content_sha256 = n.content_sha256 and n.video_id = %s""",
        [video.video_id],
    ).rowcount
    connection.execute(
        "insert into vsdb.frames select * from vsdb_live.frames where video_id = %s on conflict do nothing",
        [video.video_id],
    )
    return bool(same)


def switch(connection: Connection) -> None:
    """Put the set that was filled in the place of the live one, in one short transaction.

    A search that is under way goes on with the set that it began with, as far as it has read its names; ask again what
    fails at that very moment. Videos that are being ingested are refused, because their model is not this one.

    Raises:
        DatabaseError: not every live video is in the new set; says how many are not.
    """
    with connection.transaction():
        connection.execute("select from vsdb.models for update")  # until now and not after, others store with it
        _check_complete(connection)
        connection.execute("delete from vsdb_next.videos where video_id not in (select video_id from vsdb.videos)")
        connection.execute(
            """update vsdb_next.videos n set video_path = v.video_path, recorded_at = v.recorded_at from vsdb.videos v
               where v.video_id = n.video_id
                 and (v.video_path, v.recorded_at) is distinct from (n.video_path, n.recorded_at)"""
        )
        connection.execute(
            """select setval(pg_get_serial_sequence('vsdb_next.videos', 'video_id'),
                             nextval(pg_get_serial_sequence('vsdb.videos', 'video_id')), false)"""
        )
        connection.execute(  # measured below: by the new model they have other scores
            """insert into vsdb_next.judgements
                   (prompt_sha256, content_sha256, best_seconds, prompt, is_right, judged_at)
               select prompt_sha256, content_sha256, best_seconds, prompt, is_right, judged_at from vsdb.judgements"""
        )
        connection.execute("delete from vsdb.models")
        _rename(connection, LIVE, BEFORE)
        _rename(connection, NEXT, LIVE)
    _forget_prompts(connection)
    connection.execute("select vsdb.measure_judgements()")


def _check_complete(connection: Connection) -> None:
    row = connection.execute(
        """select count(*) filter (where n.video_id is null), count(*)
           from vsdb.videos v left join vsdb_next.videos n using (video_id, content_sha256)"""
    ).fetchone()
    missing, total = row or (0, 0)
    if missing:
        raise DatabaseError(
            f"{missing} of {total} videos are not embedded with the new model, so searches still answer with the old "
            'one; bring their files back and run the command again, or forget them: "vsdb remove PATH"'
        )


def _forget_prompts(connection: Connection) -> None:
    """Empty the cache of prompts once nobody is left who might still write an old embedding into it."""
    until = time.monotonic() + OTHERS_SECONDS
    others = """select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                and xact_start < %s and backend_type = 'client backend'"""
    now = connection.execute("select clock_timestamp()").fetchone()
    while connection.execute(others, now).rowcount and time.monotonic() < until:
        time.sleep(0.1)
    connection.execute("delete from vsdb.prompt_embeddings")


def drop_unused(connection: Connection) -> list[str]:
    """Drop the set that was switched away from, and one that is not finished.

    Returns:
        The names of the schemas dropped.

    Raises:
        DatabaseError: something of somebody else's is built on one of them.
    """
    dropped = [name for name in (BEFORE, NEXT) if _exists(connection, name)]
    with connection.transaction():
        for name in dropped:
            _check_no_dependents(connection, name)
            connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))
    return dropped


def _check_no_dependents(connection: Connection, name: str) -> None:
    """Views of others go with a schema that is dropped: they are named instead."""
    views = connection.execute(
        """select distinct r.ev_class::regclass::text
           from pg_depend d
           join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
           join pg_class used on d.refclassid = 'pg_class'::regclass and d.refobjid = used.oid
           join pg_class view on view.oid = r.ev_class
           where used.relnamespace = to_regnamespace(%s) and view.relnamespace <> used.relnamespace""",
        [name],
    ).fetchall()
    if views:
        raise DatabaseError(
            f"views of yours read {name}: {', '.join(view for (view,) in views)}; "
            "create them anew, they then read the new model's rows, and run the command again"
        )


def _exists(connection: Connection, name: str) -> bool:
    return connection.execute("select to_regnamespace(%s) is not null", [name]).fetchone() == (True,)


def _rename(connection: Connection, old: str, new: str) -> None:
    connection.execute(sql.SQL("alter schema {} rename to {}").format(sql.Identifier(old), sql.Identifier(new)))
