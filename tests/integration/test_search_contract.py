"""What callers rely on: errors that say what to do, filters that lose nothing, any session may call."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.integration.search_data import add_video, axis, scores, search, spans

Connection = psycopg.Connection[Any]

COLUMNS = [
    "rank",
    "video_path",
    "start_seconds",
    "end_seconds",
    "best_seconds",
    "score",
    "x",
    "y",
    "width",
    "height",
    "video_id",
]


def test_columns_are_those_of_the_design(connection: Connection) -> None:
    cursor = connection.execute("select * from vsdb.search_embedding(%s)", (axis(0),))
    assert cursor.description is not None
    assert [column.name for column in cursor.description][: len(COLUMNS)] == COLUMNS


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, "the query embedding is null, expected a halfvec of 640 numbers"),
        ("[1,2,3]", "the query embedding has 3 numbers, expected 640"),
        ("[" + ",".join("0" * 640) + "]", "the query embedding is all zeros"),
    ],
)
def test_bad_queries_are_refused(connection: Connection, query: str | None, message: str) -> None:
    with pytest.raises(psycopg.errors.DataError, match=message) as caught:
        connection.execute("select * from vsdb.search_embedding(%s)", (query,))
    assert caught.value.diag.message_hint


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_moments": 0},
        {"max_moments": None},
        {"max_moments": 2_000_000_000},
        {"gap_seconds": -1},
        {"gap_seconds": None},
        {"gap_seconds": "NaN"},
        {"gap_seconds": "Infinity"},
    ],
)
def test_bad_arguments_are_refused(connection: Connection, arguments: dict[str, object]) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=next(iter(arguments))) as caught:
        search(connection, axis(0), **arguments)
    assert caught.value.diag.message_hint


@pytest.mark.parametrize(("min_score", "found"), [(1e300, 0), ("Infinity", 0), (-1e300, 1), ("-Infinity", 1)])
def test_a_score_of_any_size_may_be_asked_for(connection: Connection, min_score: object, found: int) -> None:
    add_video(connection, "/a.mp4", scores([0, 70, 0]))
    assert len(search(connection, axis(0), max_moments=1, min_score=min_score)) == found


def test_nobody_s_operators_run_in_a_search(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 70, 0]))
    connection.execute(
        "create schema others;"
        " create function others.trap(real[], real) returns real[] language plpgsql"
        " as $$ begin raise exception 'trapped'; end $$;"
        " create operator others.|| (leftarg = real[], rightarg = real, function = others.trap);"
        " set search_path = others, public"
    )
    with pytest.raises(psycopg.errors.RaiseException, match="trapped"):
        connection.execute("select array[1::real] || 1::real")
    assert len(search(connection, axis(0), max_moments=1)) == 1


@pytest.fixture
def filled(connection: Connection) -> Connection:
    for number in range(4):
        values = [0.0] * 60
        values[10:20] = [70.0 - number] * 10
        values[40:45] = [50.0 - number] * 5
        add_video(
            connection,
            f"/cam{number}/x.mp4",
            scores(values),
            recorded_at=f"2026-05-0{number + 1} 10:00:00+00",
        )
    add_video(connection, "/cam4/undated.mp4", scores([60] * 5))
    return connection


def test_video_like(filled: Connection) -> None:
    found = spans(search(filled, axis(0), video_like="/cam3/%", max_moments=2))
    assert found == [("/cam3/x.mp4", 10, 20), ("/cam3/x.mp4", 40, 45)]
    assert search(filled, axis(0), video_like="/none/%") == []


def test_time_range_clips_moments(filled: Connection) -> None:
    found = search(filled, axis(0), video_like="/cam0/%", from_seconds=15, to_seconds=41, min_score=30)
    assert spans(found) == [("/cam0/x.mp4", 15, 20), ("/cam0/x.mp4", 40, 42)]
    assert search(filled, axis(0), from_seconds=15, to_seconds=14) == []


def test_video_ids(filled: Connection) -> None:
    everything = search(filled, axis(0), max_moments=9, min_score=30)
    wanted = sorted({moment.video_id for moment in everything})[1:3]
    found = search(filled, axis(0), max_moments=9, min_score=30, video_ids=wanted)
    assert spans(found) == spans([moment for moment in everything if moment.video_id in wanted])
    assert search(filled, axis(0), video_ids=[]) == []


def test_recorded_at_is_a_range_of_wall_clock_time(filled: Connection) -> None:
    found = search(
        filled,
        axis(0),
        min_score=30,
        recorded_from="2026-05-02 10:00:15+00",
        recorded_to="2026-05-03 10:00:12+00",
    )
    assert spans(found) == [("/cam1/x.mp4", 15, 20), ("/cam2/x.mp4", 10, 13), ("/cam1/x.mp4", 40, 45)]


def test_reader_with_an_empty_search_path_in_a_read_only_transaction(filled: Connection, dsn: str) -> None:
    expected = search(filled, axis(0))
    with psycopg.connect(dsn) as other:
        other.execute("set search_path = ''")
        other.execute("set role vsdb_reader")
        other.execute("set transaction read only")
        rows = other.execute(
            "select video_path, start_seconds, end_seconds from vsdb.search_embedding(%s::public.halfvec)",
            (axis(0),),
        ).fetchall()
    assert rows == spans(expected)


def test_settings_of_the_session_are_left_alone(filled: Connection) -> None:
    names = [
        "enable_sort",
        "enable_seqscan",
        "plan_cache_mode",
        "jit",
    ]

    def settings() -> list[str]:
        row = filled.execute("select " + ", ".join(f"current_setting('{name}')" for name in names)).fetchone()
        assert row is not None
        return list(row)

    before = settings()
    search(filled, axis(0))
    assert settings() == before


def test_moments_join_and_filter_like_any_table(filled: Connection) -> None:
    rows = filled.execute(
        "select q.n, m.video_path from (values (1, %s::halfvec), (2, %s::halfvec)) as q(n, embedding),"
        " lateral vsdb.search_embedding(q.embedding, 9) m where m.score > 62 order by q.n, m.rank",
        (axis(0), axis(1)),
    ).fetchall()
    assert rows == [(1, f"/cam{number}/x.mp4") for number in range(4)]


def test_every_function_and_argument_is_described(connection: Connection) -> None:
    rows = connection.execute(
        "select p.proname from pg_proc p where p.pronamespace = 'vsdb'::regnamespace"
        " and obj_description(p.oid, 'pg_proc') is null and p.proname <> 'embed'"
    ).fetchall()
    assert rows == []
