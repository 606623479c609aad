"""What the database holds: its videos and the one model that embedded them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from vsdb.database import Connection, schema
from vsdb.errors import DatabaseError
from vsdb.types import ModelInfo, Video, VideoSampling


@dataclass(frozen=True, kw_only=True)
class StoredVideo(VideoSampling):
    """What the database knows of one content."""

    video_id: int
    video_path: str
    content_sha256: bytes
    recorded_at: datetime | None
    num_frames: int
    num_patches: int


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """What the database knows of a video's file."""

    video_path: str
    size_bytes: int
    content_sha256: bytes
    file_changed_ns: int | None
    """When it was last changed as it was ingested, by its file system's clock; None where that is not known."""


def find_content(connection: Connection, content_sha256: bytes) -> StoredVideo | None:
    """The stored video with this content, wherever it lay when it was ingested."""
    return _find(connection, sql.SQL("content_sha256 = %s"), content_sha256)


def find_path(connection: Connection, path: str) -> StoredVideo | None:
    """The video that is stored under exactly this path."""
    return _find(connection, sql.SQL("video_path = %s"), path)


def find_file(connection: Connection, video_id: int) -> StoredFile | None:
    """The file of a video; None where the database has no such video."""
    row = connection.execute(
        """select video_path, size_bytes, content_sha256, file_changed_ns
           from vsdb.videos where video_id = %s""",
        [video_id],
    ).fetchone()
    if row is None:
        return None
    return StoredFile(video_path=row[0], size_bytes=row[1], content_sha256=row[2], file_changed_ns=row[3])


def _find(connection: Connection, condition: sql.SQL, value: bytes | str) -> StoredVideo | None:
    names = sql.SQL(", ").join(sql.Identifier(each.name) for each in fields(StoredVideo))
    query = sql.SQL("select {} from vsdb.videos where {}").format(names, condition)
    with connection.cursor(row_factory=class_row(StoredVideo)) as cursor:
        return cursor.execute(query, [value]).fetchone()


def move_video(connection: Connection, video_id: int, new_path: str) -> None:
    """Note that a video now lies elsewhere; what was stored under that path before is gone with it."""
    with connection.transaction():
        connection.execute("delete from vsdb.videos where video_path = %s and video_id <> %s", [new_path, video_id])
        connection.execute("update vsdb.videos set video_path = %s where video_id = %s", [new_path, video_id])


def set_recorded_at(connection: Connection, video_id: int, recorded_at: datetime) -> None:
    """Note when a recording began."""
    connection.execute("update vsdb.videos set recorded_at = %s where video_id = %s", [recorded_at, video_id])


def list_videos(
    connection: Connection,
    *,
    video_id: int | None = None,
    video_like: str | None = None,
    max_videos: int | None = None,
    offset: int = 0,
) -> list[Video]:
    """Videos by path: all, the one of that key, or those whose path is LIKE that; ``offset`` are passed over."""
    with connection.cursor(row_factory=class_row(Video)) as cursor:
        return cursor.execute(
            """select * from vsdb.videos_view
               where (%(video_id)s::bigint is null or video_id = %(video_id)s)
                 and (%(video_like)s::text is null or video_path like %(video_like)s)
               order by video_path limit %(max_videos)s offset %(offset)s""",
            {"video_id": video_id, "video_like": video_like, "max_videos": max_videos, "offset": offset},
        ).fetchall()


def count_videos(connection: Connection, *, video_like: str | None = None) -> tuple[int, float]:
    """How many videos there are, or have a path LIKE that, and their length in seconds."""
    row = connection.execute(
        """select count(*), coalesce(sum(duration_seconds), 0) from vsdb.videos
           where %(video_like)s::text is null or video_path like %(video_like)s""",
        {"video_like": video_like},
    ).fetchone()
    assert row is not None  # an aggregate without group by has one row
    return row[0], row[1]


def has_path(connection: Connection, path: str) -> bool:
    """Whether a video is stored under exactly this path."""
    return connection.execute("select from vsdb.videos where video_path = %s", [path]).rowcount > 0


def remove_videos(connection: Connection, pattern: str) -> list[str]:
    """Delete the video at a path; else those in a folder, or, where ``pattern`` holds a %, that SQL's LIKE matches.

    Returns:
        Their paths.
    """
    rows = connection.execute(
        """delete from vsdb.videos
           where video_path = %(path)s
              or not exists (select from vsdb.videos v where v.video_path = %(path)s)
                 and (starts_with(video_path, rtrim(%(path)s, '/') || '/')
                      or strpos(%(path)s, '%%') > 0 and video_path like %(path)s)
           returning video_path""",
        {"path": pattern},
    ).fetchall()
    return sorted(row[0] for row in rows)


def get_model(connection: Connection) -> ModelInfo | None:
    """The model whose embeddings the database holds; None while it holds no video."""
    names = ", ".join(each.name for each in fields(ModelInfo))
    with connection.cursor(row_factory=class_row(ModelInfo)) as cursor:
        return cursor.execute(f"select {names} from vsdb.models where exists (select from vsdb.videos)").fetchone()


def require_model(connection: Connection) -> ModelInfo:
    """The model whose embeddings the database holds.

    Raises:
        DatabaseError: it holds no video yet.
    """
    model = get_model(connection)
    if model is None:
        raise no_video_error()
    return model


def no_video_error() -> DatabaseError:
    """The answer to a question that comes before the first video."""
    return DatabaseError('the database holds no video yet; run "vsdb ingest PATH" first')


def register_model(connection: Connection, info: ModelInfo) -> None:
    """Make a database without videos this model's, or check that it already is.

    Raises:
        DatabaseError: the database holds embeddings of other weights.
    """
    with connection.transaction():
        connection.execute("select from vsdb.models for update")  # until no one stores a video with it
        stored = get_model(connection)
        if stored is None:
            _replace_model(connection, info)
        elif stored.weights_sha256 != info.weights_sha256:
            raise other_model_error(stored.model_name, info.model_name)


def _replace_model(connection: Connection, info: ModelInfo) -> None:
    values = vars(info)
    # The same model's row stays in place: another process may be waiting for it to store its first video.
    if connection.execute(
        "update vsdb.models set weights_path = %s where weights_sha256 = %s", [info.weights_path, info.weights_sha256]
    ).rowcount:
        return
    connection.execute("delete from vsdb.models")
    connection.execute("delete from vsdb.background")
    connection.execute("update vsdb.neutral_prompts set embedding = null")
    connection.execute("update vsdb.judgements set embedding = null, score = null, z = null")
    connection.execute("delete from vsdb.calibrations")
    schema.set_embedding_dim(connection, info.embedding_dim)
    connection.execute(
        f"""insert into vsdb.models ({", ".join(values)}) values ({", ".join(["%s"] * len(values))})
            on conflict do nothing""",
        list(values.values()),
    )


def other_model_error(stored: str, asked: str) -> DatabaseError:
    """The refusal to mix two models in one database."""
    what = f"other weights of {stored}" if stored == asked else f"embeddings of {stored}"
    return DatabaseError(
        f"this database holds {what}, and one database holds one model ({asked} was asked for); "
        '"vsdb reembed --model NAME" embeds all videos with another one; '
        "a database of its own (--dsn DSN, or VSDB_HOME=FOLDER for a second embedded one) keeps both"
    )
