"""The schema as users get it, compared with the dump in golden_schema.txt; `make golden` writes that anew."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from vsdb.database import Connection

GOLDEN = Path(__file__).parent / "golden_schema.txt"

# Nothing here depends on the owner, on the version of the server, or on the schema that pgvector lives in.
SECTIONS = {
    "tables, views and types": """
        select case when a.attnum is null or a.attnum = min(a.attnum) over (partition by c.oid)
                    then format(e'\\n%s vsdb.%s -- %s\\n', case c.relkind when 'r' then 'table' when 'v' then 'view'
                                                                       else 'type' end, c.relname,
                                coalesce(obj_description(c.oid), obj_description(c.reltype))) else '' end
               || format('    %s %s%s%s%s -- %s', a.attname, format_type(a.atttypid, a.atttypmod),
                         case when a.attnotnull then ' not null' end,
                         case when a.attidentity <> '' then ' generated always as identity' end,
                         ' default ' || pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = 'vsdb'::regnamespace and c.relkind in ('r', 'v', 'c')
        order by c.relkind, c.relname, a.attnum""",
    "how columns are stored": """
        select format('%s.%s %s', c.oid::regclass, a.attname, a.attstorage)
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        join pg_type t on t.oid = a.atttypid
        where c.relnamespace = 'vsdb'::regnamespace and c.relkind = 'r' and a.attstorage <> t.typstorage
        order by c.relname, a.attnum""",
    "constraints": """
        select format('%s %s: %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
        from pg_constraint c
        where c.connamespace = 'vsdb'::regnamespace and c.contype in ('p', 'u', 'f', 'c')
        order by c.conrelid::regclass::text collate "C", c.conname""",
    "indexes": "select indexdef from pg_indexes where schemaname = 'vsdb' order by indexname",
    "triggers": """
        select pg_get_triggerdef(t.oid)
        from pg_trigger t
        join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = 'vsdb'::regnamespace and not t.tgisinternal
        order by t.tgname""",
    "functions": """
        select format(e'%s(%s)%s\\n    %s%s%s%s%s%s%s\\n    %s', p.oid::regproc, pg_get_function_arguments(p.oid),
                      ' -> ' || pg_get_function_result(p.oid), l.lanname,
                      case p.prokind when 'a' then ' aggregate' end,
                      case p.provolatile when 'i' then ' immutable' when 's' then ' stable' else ' volatile' end,
                      case when p.proisstrict then ' strict' end,
                      case when p.prosecdef then ' security definer' end,
                      case p.proparallel when 's' then ' parallel safe' end,
                      (select string_agg(' [' || setting || ']', '' order by setting) from unnest(p.proconfig) setting),
                      obj_description(p.oid, 'pg_proc'))
        from pg_proc p
        join pg_language l on l.oid = p.prolang
        where p.pronamespace = 'vsdb'::regnamespace
        order by p.proname, pg_get_function_arguments(p.oid) collate "C"
    """,
    "what vsdb_reader and everybody may do": """
        with granted as (
            select 'schema' as kind, n.nspname::text as name, n.nspacl as acl, n.nspowner as owner
            from pg_namespace n where n.nspname = 'vsdb'
            union all
            select 'table', c.relname, c.relacl, c.relowner
            from pg_class c where c.relnamespace = 'vsdb'::regnamespace and c.relkind in ('r', 'v', 'S')
            union all
            select 'function', p.proname, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
            from pg_proc p where p.pronamespace = 'vsdb'::regnamespace
        )
        select format('%s %s: %s', g.kind, g.name, coalesce(
            string_agg(format('%s %s', case a.grantee when 0 then 'everybody' else a.grantee::regrole::text end,
                              lower(a.privilege_type)), ', ' order by a.grantee, a.privilege_type)
            filter (where a.grantee is not null), 'nobody'))
        from granted g
        left join lateral aclexplode(g.acl) a on a.grantee <> g.owner
        group by g.kind, g.name
        order by g.kind, g.name collate "C"
    """,
}


@pytest.fixture
def dump(connection: Connection) -> str:
    """The schema in words: pgvector's names without their schema, vsdb's with it."""
    row = connection.execute("select extnamespace::regnamespace::text from pg_extension where extname = 'vector'")
    (vector_schema,) = row.fetchone() or ("",)
    connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(vector_schema)))
    parts = [f"# {title}\n\n{lines(connection, query)}\n" for title, query in SECTIONS.items()]
    return "\n".join(parts)


def lines(connection: psycopg.Connection[tuple[str, ...]], query: str) -> str:
    """The rows of a query of one column, one below the other."""
    return "\n".join(line for (line,) in connection.execute(query.encode())).strip()


def test_the_schema_is_the_golden_one(dump: str) -> None:
    if os.environ.get("VSDB_GOLDEN") == "write":
        GOLDEN.write_text(dump)
    assert GOLDEN.exists(), f'{GOLDEN.name} is missing; "make golden" writes it'
    assert dump == GOLDEN.read_text(), 'the schema has changed; if that is meant, run "make golden" and read git diff'
