"""What vsdb_reader may do: read and ask. Every relation and function of the schema is asked, also those to come."""

from __future__ import annotations

import pytest
from psycopg import errors

from vsdb.database import Connection

WRITING = ["insert", "update", "delete", "truncate", "references", "trigger"]
CALLS = {
    "measure_judgements": "vsdb.measure_judgements()",
    "refresh_background": "vsdb.refresh_background()",
    "uncalibrate": "vsdb.uncalibrate()",
}
SILENT = {
    "calibrate",  # with nothing judged it ends before it writes; test_judge has a reader call both
    "judge",
    "add_patch_runs",  # a trigger, which only those fire who may insert
    "remember",  # writes only where it may; test_embed_install has a reader ask
}


def names(connection: Connection, query: str) -> set[str]:
    """The first column of a query."""
    return {row[0] for row in connection.execute(query)}


def test_the_reader_reads_every_table_and_view_and_writes_none(connection: Connection) -> None:
    rows = connection.execute(
        """select c.relname, has_table_privilege('vsdb_reader', c.oid, 'select'),
                  array(select privilege from unnest(%s::text[]) privilege
                        where has_table_privilege('vsdb_reader', c.oid, privilege)),
                  has_any_column_privilege('vsdb_reader', c.oid, 'insert, update, references')
           from pg_class c
           where c.relnamespace = 'vsdb'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')""",
        [WRITING],
    ).fetchall()
    assert {"videos", "patches", "patch_runs", "frames", "models", "migrations", "prompt_embeddings"} < {
        row[0] for row in rows
    }
    assert [row for row in rows if row[1:] != (True, [], False)] == []


def test_the_reader_comes_into_the_schema_but_moves_no_sequence_and_creates_nothing(connection: Connection) -> None:
    sequences = """select c.relname from pg_sequence s join pg_class c on c.oid = s.seqrelid
                   where c.relnamespace = 'vsdb'::regnamespace"""
    assert "videos_video_id_seq" in names(connection, sequences)
    moved = sequences + " and has_sequence_privilege('vsdb_reader', s.seqrelid, 'usage, update')"
    assert names(connection, moved) == set()
    allowed = """select privilege from unnest(array['usage', 'create']) privilege
                 where has_schema_privilege('vsdb_reader', 'vsdb', privilege)"""
    assert names(connection, allowed) == {"usage"}


def test_every_function_runs_with_the_rights_of_who_calls_it(connection: Connection) -> None:
    functions = "select proname from pg_proc where pronamespace = 'vsdb'::regnamespace"
    assert {"search", "embed", "refresh_background"} < names(connection, functions)
    assert names(connection, functions + " and prosecdef") == set()
    # Granted to the reader by name: some servers take what everybody may do by default away.
    by_name = """ and not exists (select from aclexplode(proacl) granted
                                  where grantee = 'vsdb_reader'::regrole and privilege_type = 'EXECUTE')"""
    assert names(connection, functions + by_name) == set()


def test_functions_that_write_refuse_the_reader(connection: Connection) -> None:
    written = names(
        connection,
        r"""select proname from pg_proc
            where pronamespace = 'vsdb'::regnamespace and prokind <> 'a'
              and pg_get_functiondef(oid)
                  ~* '\m(insert into|update|delete from|truncate|merge into|lock table|create index|drop index)\M'""",
    )
    assert written == CALLS.keys() | SILENT
    connection.execute("set role vsdb_reader")
    for call in CALLS.values():
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(f"select {call}")
