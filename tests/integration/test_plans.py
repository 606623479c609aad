"""What a search compares, by whom, and how: nothing silently bypassed, nothing silently by one process alone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import psycopg
import pytest
from pgvector import HalfVector

from tests.integration.search_data import add_random_videos, add_video, axis, pretend_size, scores, search

Connection = psycopg.Connection[Any]

NO_FILTERS = "row(null, null, null, null, null)::vsdb.filters"
FILTERS = {
    "plain": NO_FILTERS,
    "some videos": "row(array[1, 2, 3], null, null, null, null)::vsdb.filters",
    "one video": "row(array[2], null, null, null, null)::vsdb.filters",
    "time range": "row(null, 10, 20, null, null)::vsdb.filters",
    "recorded": "row(null, null, null, '2026-01-01', '2027-01-01')::vsdb.filters",
    "everything": "row(array[1, 2], 5, 90, '2026-01-01', '2027-01-01')::vsdb.filters",
}


PARALLEL_WHATEVER_THE_SIZE = """
    set min_parallel_table_scan_size = 0; set min_parallel_index_scan_size = 0;
    set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
"""


def settings(connection: Connection, function: str) -> dict[str, str]:
    """What a function sets while it runs."""
    row = connection.execute("select proconfig from pg_proc where proname = %s", (function,)).fetchone()
    assert row is not None
    return dict(setting.split("=", 1) for setting in row[0])


def plan(connection: Connection, scan: str, arguments: str) -> str:
    """The plan of a scan's statement under the settings of the function that runs it."""
    with connection.transaction(force_rollback=True):
        for name, value in settings(connection, f"nearest_{scan}").items():
            connection.execute("select set_config(%s, %s, true)", (name, value.strip('"')))
        connection.execute("set local search_path to default")  # the statement names pgvector's type
        statement = f"explain select * from vsdb.compare_{scan}(%s, {arguments})"
        lines = connection.execute(statement.encode(), (axis(0),)).fetchall()
    return "\n".join(line for (line,) in lines)


@pytest.mark.parametrize("name", FILTERS)
def test_runs_are_compared_by_parallel_workers_whatever_the_filter(connection: Connection, name: str) -> None:
    add_random_videos(connection, num_videos=8, num_frames=100, num_patches=4)
    connection.execute(PARALLEL_WHATEVER_THE_SIZE)
    text = plan(connection, "runs", f"{FILTERS[name]}, 1500")
    assert re.search(r"Gather.*\n.*Workers Planned: [12]", text), text
    assert re.search(r"Parallel .*Scan.* on .*patch_runs", text), text
    assert "in_times" not in text, text  # written out, not called for each row


def test_a_large_table_of_runs_gets_as_many_workers_as_the_server_allows(connection: Connection) -> None:
    add_random_videos(connection, num_videos=4, num_frames=100, num_patches=4)
    connection.execute(PARALLEL_WHATEVER_THE_SIZE)
    connection.execute("set max_parallel_workers_per_gather = 20")
    assert "Workers Planned: 20" in plan(connection, "runs", f"{NO_FILTERS}, 1500")


def test_the_runs_of_a_million_patches_get_workers_without_tuning(connection: Connection) -> None:
    connection.execute(
        """insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,
                                    every_seconds, patch_size, stride, num_frames, num_patches)
           values ('/a', sha256('a'), 1, 1, 640, 360, 1, 180, 90, 1, 1000000)"""
    )
    connection.execute(
        """insert into vsdb.patch_runs
           select v.video_id, n, n, n, n, 0, array_fill(1::real, array[640])::halfvec
           from vsdb.videos v, generate_series(1, 60000) n"""
    )
    connection.execute("analyze vsdb.patch_runs")
    assert "Workers Planned: 2" in plan(connection, "runs", f"{NO_FILTERS}, 1500")


def workers_asked_for(connection: Connection) -> int:
    """How many parallel workers the database's sessions wanted so far."""
    connection.execute("select pg_stat_force_next_flush()")
    connection.execute("select 1")
    row = connection.execute(
        "select parallel_workers_to_launch from pg_stat_database where datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("exact", [False, True], ids=["runs", "patches"])
def test_a_search_is_shared_by_parallel_workers(connection: Connection, *, exact: bool) -> None:
    """Seen from the server's own counts: a statement in a function may lose its workers without a word."""
    if connection.info.server_version < 180000:
        pytest.skip("PostgreSQL counts parallel workers from 18 on")
    add_random_videos(connection, num_videos=8, num_frames=100, num_patches=4)
    pretend_size(connection, 10_000_000)
    connection.execute(PARALLEL_WHATEVER_THE_SIZE)
    before = workers_asked_for(connection)
    search(connection, axis(0), exact=exact)
    assert workers_asked_for(connection) > before
    connection.execute("set max_parallel_workers_per_gather = 0")
    before = workers_asked_for(connection)
    search(connection, axis(0), exact=exact)
    assert workers_asked_for(connection) == before


@pytest.mark.parametrize("function", ["nearest_runs", "nearest_frames", "find_moments", "plan_scan"])
def test_what_scans_is_never_compiled(connection: Connection, function: str) -> None:
    assert settings(connection, function)["jit"] == "off"


def test_exact_scan_of_a_few_videos_reads_only_those(connection: Connection) -> None:
    add_random_videos(connection, num_videos=8, num_frames=100, num_patches=4)
    text = plan(connection, "frames", FILTERS["one video"])
    assert "patches_pkey" in text
    assert "Seq Scan on patches" not in text


def test_a_time_filter_is_compared_and_not_called(connection: Connection) -> None:
    add_random_videos(connection, num_videos=2, num_frames=50, num_patches=2)
    text = plan(connection, "frames", FILTERS["time range"])
    assert "pts_seconds >= " in text
    assert "in_times" not in text


@pytest.mark.parametrize(
    "statement",
    [
        "vsdb.search_embedding(%(query)s)",
        "vsdb.search_embedding(%(query)s, exact => true, video_like => 'a')",
        "vsdb.search_then(%(query)s, %(query)s)",
        "vsdb.videos v, vsdb.search('a dog', video_ids => array[v.video_id])",
        "vsdb.videos_view",
    ],
)
@pytest.mark.parametrize("analyze", ["", "analyze"])
def test_plans_look_too_cheap_to_compile(connection: Connection, statement: str, analyze: str) -> None:
    """Where PostgreSQL compiles costly plans, guessing too many rows made a search of 5 ms take 600."""
    add_random_videos(connection, num_videos=2, num_frames=50, num_patches=2)
    connection.execute(analyze)
    row = connection.execute(f"explain (format json) select * from {statement}".encode(), {"query": axis(0)}).fetchone()
    assert row is not None
    assert row[0][0]["Plan"]["Total Cost"] < 100_000  # the default of jit_above_cost


def chosen(connection: Connection, arguments: str) -> str:
    """The scan that a search with these filters would use."""
    row = connection.execute(f"select scan from vsdb.choose_scan({arguments})".encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_scan_is_chosen_by_what_the_filters_leave(connection: Connection) -> None:
    add_random_videos(connection, num_videos=4, num_frames=50, num_patches=1)
    plain = f"null, {NO_FILTERS}, false"
    assert chosen(connection, plain) == "patches"
    few, many = "array[2], 10, 10", "array[2, 3], 10, 12"
    pretend_size(connection, 50_000)
    assert chosen(connection, plain) == "runs"
    assert chosen(connection, f"null, row({few}, null, null)::vsdb.filters, false") == "patches"
    pretend_size(connection, 5_000_000)
    assert chosen(connection, plain) == "runs"
    assert chosen(connection, f"null, {NO_FILTERS}, true") == "patches"
    assert chosen(connection, f"'/random/001%', {NO_FILTERS}, false") == "runs"
    assert chosen(connection, f"null, row({many}, null, null)::vsdb.filters, false") == "runs"


def test_the_runs_find_the_best_moment_and_most_others(connection: Connection) -> None:
    vectors = add_random_videos(connection, num_videos=6, num_frames=100, num_patches=4)
    pretend_size(connection, 10_000_000)
    recalls = []
    for video, frame in [(0, 10), (1, 50), (2, 99), (3, 0), (4, 70), (5, 30)]:
        query = str(HalfVector(vectors[video, frame, 1]).to_list())
        exact = search(connection, query, exact=True)
        found = search(connection, query)
        assert exact[0].best_seconds == frame
        assert found[0] == exact[0]
        recalls.append(len(set(exact) & set(found)) / len(exact))
    assert np.mean(recalls) >= 0.9  # all but the first are chance likenesses of random walks


@pytest.mark.parametrize("num_patches", [5_000, 10_000_000], ids=["patches", "runs"])
def test_filters_lose_nothing_whatever_the_scan(connection: Connection, num_patches: int) -> None:
    for number in range(20):
        values = [0.0] * 30
        values[number] = 70.0 - number
        add_video(
            connection,
            f"/{number:02}.mp4",
            scores(values),
            recorded_at=f"2026-05-{number + 1:02} 10:00:00+00",
        )
    pretend_size(connection, num_patches)
    for filters in (
        {"video_like": "/17%"},
        {"video_ids": [4, 18]},
        {"from_seconds": 12, "to_seconds": 15},
        {"recorded_from": "2026-05-09 10:00:00+00", "recorded_to": "2026-05-10 10:00:20+00"},
        {"video_like": "/1%", "from_seconds": 14.5, "max_moments": 3},
    ):
        found = search(connection, axis(0), min_score=30, **filters)
        assert found == search(connection, axis(0), min_score=30, exact=True, **filters)
        assert found


@pytest.mark.parametrize("num_patches", [5_000, 10_000_000], ids=["patches", "runs"])
def test_a_bound_in_the_middle_of_a_run_cuts_it(connection: Connection, num_patches: int) -> None:
    """The frames 10 to 19 are one run; what lies at a bound is inside."""
    day = "2026-05-01 10:00"
    values = [0.0] * 10 + [70.0] * 10 + [0.0] * 20
    for path in ("/a.mp4", "/b.mp4"):
        add_video(connection, path, scores(values if path == "/a.mp4" else [0.0] * 40), recorded_at=f"{day}:00+00")
    runs = connection.execute("select first_frame, last_frame from vsdb.patch_runs where video_id = 1 order by 1")
    assert (10, 19) in runs.fetchall()
    pretend_size(connection, num_patches)
    for filters, start, end in (
        ({"recorded_to": f"{day}:13+00"}, 10, 14),
        ({"recorded_from": f"{day}:17+00"}, 17, 20),
        ({"recorded_from": f"{day}:13+00", "recorded_to": f"{day}:17+00"}, 13, 18),
        ({"recorded_from": f"{day}:19+00"}, 19, 20),
        ({"recorded_to": f"{day}:10+00"}, 10, 11),
        ({"to_seconds": 13}, 10, 14),
        ({"from_seconds": 17}, 17, 20),
        ({"from_seconds": 13, "to_seconds": 17}, 13, 18),
    ):
        found = search(connection, axis(0), min_score=30, **filters)
        assert [(each.video_path, each.start_seconds, each.end_seconds) for each in found] == [("/a.mp4", start, end)]


@pytest.mark.parametrize("bounds", ["null, null, '10:00:14', '10:00:14'", "14, 14, null, null"])
def test_scans_read_the_runs_that_bounds_touch(connection: Connection, bounds: str) -> None:
    """Of the runs 0 to 9, 10 to 19 and 20 to 39 only the second holds the 14th second."""
    values = [0.0] * 10 + [70.0] * 10 + [0.0] * 20
    add_video(connection, "/a.mp4", scores(values), recorded_at="2026-05-01 10:00:00+00")
    bounds = bounds.replace("'10", "'2026-05-01 10").replace("4'", "4+00'")
    filters = f"row(null, {bounds})::vsdb.filters"
    runs = connection.execute(f"select first_frame from vsdb.nearest_runs(%s, {filters}, 9)", (axis(0),))
    assert runs.fetchall() == [(10,)]
    frames = connection.execute(
        f"select frame_index from vsdb.frames_of_runs(%s, '{{1}}', '{{0}}', '{{39}}', '{{0}}', {filters})", (axis(0),)
    )
    assert frames.fetchall() == [(14,)]
    frames = connection.execute(f"select frame_index from vsdb.nearest_frames(%s, {filters})", (axis(0),))
    assert frames.fetchall() == [(14,)]


@pytest.mark.parametrize("num_patches", [5_000, 10_000_000], ids=["patches", "runs"])
def test_one_huge_moment_does_not_hide_the_others(connection: Connection, num_patches: int) -> None:
    add_video(connection, "/long.mp4", scores([90] * 2600), num_patches=1)
    for number in range(3):
        add_video(connection, f"/{number}.mp4", scores([0] * 10 + [60 - number] + [0] * 10))
    pretend_size(connection, num_patches)
    found = search(connection, axis(0), max_moments=4)
    assert [moment.video_path for moment in found] == ["/long.mp4", "/0.mp4", "/1.mp4", "/2.mp4"]
    assert (found[0].start_seconds, found[0].end_seconds) == (0, 2600)


def test_the_runs_serve_a_reader_without_search_path(connection: Connection, dsn: str) -> None:
    add_video(connection, "/a.mp4", scores([0] * 20 + [70] * 5 + [0] * 20))
    pretend_size(connection, 10_000_000)
    wanted = search(connection, axis(0), exact=True)
    with psycopg.connect(dsn) as other:
        other.execute("set search_path = ''")
        other.execute("set role vsdb_reader")
        other.execute("set transaction read only")
        rows = other.execute(
            "select start_seconds, end_seconds from vsdb.search_embedding(%s::public.halfvec)", (axis(0),)
        ).fetchall()
    assert rows == [(moment.start_seconds, moment.end_seconds) for moment in wanted]
