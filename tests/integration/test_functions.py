"""What holds for every function of the schema (sql/README.md): order, search_path, what is public, what is bound."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from tests.integration.search_data import add_video, axis, scores, search
from vsdb.database import Connection, schema

DOCS = Path(__file__).parents[2] / "docs" / "sql.md"
FUNCTIONS = "select * from pg_proc where pronamespace = 'vsdb'::regnamespace"

# A `begin atomic` function that reads a table and calls another that reads one: Citus cannot distribute such chains.
# None may be added; the work on the recording time and on the background takes the rest away.
CHAINS = {
    ("compare_frames", "wall_clock"),
    ("compare_runs", "wall_clock"),
    ("frames_of_runs", "wall_clock"),
    ("lower_characters", "lower_final_sigmas"),
    ("score_frames", "wall_clock"),
    ("search_embedding", "mean_patch"),
}


def names(connection: Connection, condition: str) -> set[str]:
    """Names of the functions for which a condition holds."""
    return {name for (name,) in connection.execute(f"select proname from ({FUNCTIONS}) p where {condition}".encode())}


def test_every_file_is_applied_once_and_grants_come_last() -> None:
    applied = [path.name for path in schema.function_files()]
    assert sorted(applied) == sorted(path.name for path in (schema.sql_folder() / "functions").glob("*.sql"))
    assert applied[-1] == "grants.sql"


def test_no_function_needs_a_search_path(connection: Connection) -> None:
    """plpgsql looks names up when it runs: in no schema but PostgreSQL's own. Other bodies are bound at creation."""
    bound = "prosqlbody is not null or prokind = 'a'"
    assert (
        names(connection, f"not ({bound}) and prolang <> (select oid from pg_language where lanname = 'plpgsql')")
        == set()
    )
    assert names(connection, f"not ({bound}) and 'search_path=\"\"' <> all (coalesce(proconfig, '{{}}'))") == set()
    assert names(connection, f"({bound}) and array_to_string(proconfig, ' ') like '%search_path%'") == set()


def test_what_is_not_documented_is_internal(connection: Connection) -> None:
    documented = set(re.findall(r"vsdb\.(\w+)\(", "".join(re.findall(r"(?m)^## .*$", DOCS.read_text()))))
    assert {"search", "search_embedding", "embed"} <= documented
    assert names(connection, "obj_description(oid, 'pg_proc') not like 'Internal. %'") == documented


def test_no_new_chain_of_functions_that_read_tables(connection: Connection) -> None:
    rows = connection.execute(
        f"""with recursive functions as ({FUNCTIONS}),
            reads as (
                select d.objid as reader from pg_depend d join pg_class c on c.oid = d.refobjid
                where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_class'::regclass
                  and c.relnamespace = 'vsdb'::regnamespace and c.relkind in ('r', 'v')
            ),
            calls as (
                select d.objid as caller, d.refobjid as called from pg_depend d
                where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_proc'::regclass
                union select c.caller, d.refobjid from calls c join pg_depend d on d.objid = c.called
                where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_proc'::regclass
            )
            select distinct a.proname, b.proname
            from calls c join functions a on a.oid = c.caller join functions b on b.oid = c.called
            where c.caller in (select reader from reads) and c.called in (select reader from reads)""".encode()
    ).fetchall()
    assert set(rows) == CHAINS


def test_pgvector_may_move_to_another_schema(connection: Connection, dsn: str) -> None:
    """Names of pgvector's are bound by what they mean: nothing has to be migrated."""
    add_video(connection, "/before.mp4", scores([0, 50, 0]))
    connection.execute("create schema extensions; alter extension vector set schema extensions")
    connection.execute("set search_path = extensions")
    add_video(connection, "/after.mp4", scores([0, 60, 0]))
    assert connection.execute("select count(distinct video_id) from vsdb.patch_runs").fetchone() == (2,)
    assert [moment.video_path for moment in search(connection, axis(0), exact=True)] == ["/after.mp4", "/before.mp4"]
    with psycopg.connect(dsn, autocommit=True) as other:
        explained = other.execute("select result from vsdb.explain_embedding(%s::extensions.halfvec)", [axis(0)])
        assert ("patches, about 6 patches in all videos",) in explained.fetchall()


def test_the_trigger_of_another_version_is_replaced(connection: Connection) -> None:
    connection.execute(
        "create or replace function vsdb.add_patch_runs() returns trigger language plpgsql as 'begin return null; end'"
    )
    schema.migrate(connection)
    add_video(connection, "/a.mp4", scores([0, 50, 0]))
    assert connection.execute("select count(*) > 0 from vsdb.patch_runs").fetchone() == (True,)


def test_a_view_on_the_search_outlives_the_migration_of_its_insides(connection: Connection) -> None:
    """As it was before vsdb.filters: other arguments inside, the same ones outside."""
    connection.execute("create view public.report as select rank, score from vsdb.search('a red car')")
    connection.execute("drop function vsdb.compare_runs, vsdb.compare_frames")
    connection.execute("create function vsdb.open_runs(query text) returns text language sql return query")
    schema.migrate(connection)
    rows = connection.execute("select to_regproc('vsdb.open_runs'), to_regclass('public.report') is null").fetchone()
    assert rows == (None, False)
