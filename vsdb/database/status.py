"""What the database holds and how large it is."""

from __future__ import annotations

from dataclasses import dataclass

from vsdb.database import Connection, catalog, connect, schema
from vsdb.database.judgements import Reliability, read_reliability


@dataclass(frozen=True, kw_only=True)
class DatabaseStatus:
    """The figures of ``vsdb status``."""

    database: str
    """Where it is: host, port, database and user."""
    server_version: str
    pgvector_version: str
    migration: int
    """Number of the newest migration applied."""
    model: str | None
    """Model whose embeddings are stored; None before the first ingest."""
    embedding_dim: int | None
    num_videos: int
    num_frames: int
    num_patches: int
    video_seconds: float
    """Length of all videos together."""
    patches_bytes: int
    """Size of the patches and their runs on disk, without indexes."""
    indexes_bytes: int
    """Size of the indexes on the patches."""
    num_thumbnails: int
    """Frames of which a small picture is stored."""
    thumbnails_bytes: int
    """Size of those pictures on disk, with their index."""
    text_tower_bytes: int
    """Size of the text tower and the tokenizer, which turn prompts into embeddings."""
    judged: Reliability
    """How often likely and possible were right, as ``vsdb judge`` was told."""


def read_status(connection: Connection) -> DatabaseStatus:
    """Read the figures from the database."""
    model = catalog.get_model(connection)
    row = connection.execute(
        """select (select max(migration_id) from vsdb.migrations),
                  count(*), coalesce(sum(num_frames), 0)::bigint, coalesce(sum(num_patches), 0)::bigint,
                  coalesce(sum(duration_seconds), 0),
                  pg_table_size('vsdb.patches') + pg_table_size('vsdb.patch_runs'),
                  pg_indexes_size('vsdb.patches') + pg_indexes_size('vsdb.patch_runs'),
                  vsdb.text_tower_bytes(),
                  (select count(*) from vsdb.frames), pg_total_relation_size('vsdb.frames')
           from vsdb.videos"""
    ).fetchone()
    assert row is not None  # an aggregate without group by has one row
    return DatabaseStatus(
        database=connect.shown(connection.info.dsn),
        server_version=str(connection.info.parameter_status("server_version")),
        pgvector_version=schema.pgvector_version(connection),
        migration=row[0],
        model=model.model_name if model else None,
        embedding_dim=model.embedding_dim if model else None,
        num_videos=row[1],
        num_frames=row[2],
        num_patches=row[3],
        video_seconds=row[4],
        patches_bytes=row[5],
        indexes_bytes=row[6],
        text_tower_bytes=row[7],
        num_thumbnails=row[8],
        thumbnails_bytes=row[9],
        judged=read_reliability(connection),
    )
