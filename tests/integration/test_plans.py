"""The index is used where it pays and never silently bypassed."""

from __future__ import annotations

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


def plan(connection: Connection, scan: str, statement: str) -> str:
    """The plan of a statement under the settings that vsdb.open_scan carries and makes for this scan."""
    row = connection.execute("select proconfig from pg_proc where proname = 'open_scan'").fetchone()
    assert row is not None
    with connection.transaction(force_rollback=True):
        for setting in row[0]:
            name, _, value = setting.partition("=")
            connection.execute("select set_config(%s, %s, true)", (name, value.strip('"')))
        connection.execute("select vsdb.set_scan(%s)", (scan,))
        connection.execute("set local search_path to default")  # the statement names pgvector's type
        lines = connection.execute(f"explain {statement}".encode(), (axis(0),)).fetchall()
    return "\n".join(line for (line,) in lines)


def test_index_is_used_whatever_the_filter_limit_and_size(connection: Connection) -> None:
    for num_frames in (50, 400):
        connection.execute("truncate vsdb.videos, vsdb.frames, vsdb.patches, vsdb.patch_runs restart identity")
        connection.execute("drop index if exists vsdb.patch_runs_embedding_l2")
        add_random_videos(connection, num_videos=4, num_frames=num_frames, num_patches=4)
        for name, filters in FILTERS.items():
            for limit in (1, 100, 20000):
                statement = f"select * from vsdb.nearest_runs(%s, {filters}, {limit})"
                text = plan(connection, "index", statement)
                assert "Index Scan using patch_runs_embedding_l2" in text, (num_frames, name, limit, text)
                assert "Sort" not in text, (num_frames, name, limit, text)
                assert "in_times" not in text, (num_frames, name, limit, text)  # written out, not called for each row


def test_exact_scan_of_a_few_videos_reads_only_those(connection: Connection) -> None:
    add_random_videos(connection, num_videos=8, num_frames=100, num_patches=4)
    text = plan(connection, "patches", f"select * from vsdb.nearest_frames(%s, {FILTERS['one video']})")
    assert "patches_pkey" in text
    assert "Seq Scan on patches" not in text


def test_a_time_filter_is_compared_and_not_called(connection: Connection) -> None:
    add_random_videos(connection, num_videos=2, num_frames=50, num_patches=2)
    text = plan(connection, "patches", f"select * from vsdb.nearest_frames(%s, {FILTERS['time range']})")
    assert "pts_seconds >= " in text
    assert "in_times" not in text


def test_run_scan_passes_the_index_by(connection: Connection) -> None:
    add_random_videos(connection, num_videos=8, num_frames=100, num_patches=4)
    for filters in FILTERS.values():
        text = plan(connection, "runs", f"select * from vsdb.nearest_runs(%s, {filters}, 20000)")
        assert "patch_runs_embedding_l2" not in text


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


def scans(connection: Connection) -> int:
    """How often the index was scanned so far."""
    connection.execute("select pg_stat_force_next_flush()")
    connection.execute("select 1")
    row = connection.execute(
        "select idx_scan from pg_stat_user_indexes where indexrelname = 'patch_runs_embedding_l2'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def chosen(connection: Connection, arguments: str) -> str:
    """The scan that a search with these filters would use."""
    row = connection.execute(f"select scan from vsdb.choose_scan({arguments})".encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_scan_is_chosen_by_what_the_filters_leave(connection: Connection) -> None:
    add_random_videos(connection, num_videos=4, num_frames=50, num_patches=1)
    plain = f"null, {NO_FILTERS}, false"
    assert chosen(connection, plain) == "patches"
    pretend_size(connection, 50_000)
    assert chosen(connection, plain) == "index"
    assert chosen(connection, "null, row(array[2], 10, 10, null, null)::vsdb.filters, false") == "patches"
    pretend_size(connection, 5_000_000)
    assert chosen(connection, plain) == "index"
    assert chosen(connection, f"null, {NO_FILTERS}, true") == "patches"
    assert chosen(connection, f"'/random/001%', {NO_FILTERS}, false") == "index"
    assert chosen(connection, "null, row(array[2, 3], 10, 12, null, null)::vsdb.filters, false") == "index"
    connection.execute("drop index vsdb.patch_runs_embedding_l2")
    assert chosen(connection, plain) == "runs"


@pytest.mark.parametrize("arguments", [{}, {"max_moments": 50}, {"video_like": "/random/%"}, {"from_seconds": 3}])
def test_search_scans_the_index_where_it_pays(connection: Connection, arguments: dict[str, object]) -> None:
    add_random_videos(connection, num_videos=4, num_frames=50, num_patches=4)
    pretend_size(connection, 10_000_000)
    before = scans(connection)
    search(connection, axis(0), **arguments)
    assert scans(connection) == before + 1
    search(connection, axis(0), exact=True, **arguments)
    assert scans(connection) == before + 1
    pretend_size(connection, 20_000)
    search(connection, axis(0), **arguments)
    assert scans(connection) == before + 1


@pytest.mark.parametrize("num_patches", [50_000, 10_000_000], ids=["runs", "index"])
def test_coarse_scans_find_the_best_moment_and_most_others(connection: Connection, num_patches: int) -> None:
    vectors = add_random_videos(connection, num_videos=6, num_frames=100, num_patches=4)
    pretend_size(connection, num_patches)
    recalls = []
    for video, frame in [(0, 10), (1, 50), (2, 99), (3, 0), (4, 70), (5, 30)]:
        query = str(HalfVector(vectors[video, frame, 1]).to_list())
        exact = search(connection, query, exact=True)
        found = search(connection, query)
        assert exact[0].best_seconds == frame
        assert found[0] == exact[0]
        recalls.append(len(set(exact) & set(found)) / len(exact))
    assert np.mean(recalls) >= 0.9  # all but the first are chance likenesses of random walks


@pytest.mark.parametrize("num_patches", [5_000, 50_000, 10_000_000], ids=["patches", "runs", "index"])
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
    connection.execute("select vsdb.build_index(min_patches => 0)")
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


@pytest.mark.parametrize("num_patches", [5_000, 50_000, 10_000_000], ids=["patches", "runs", "index"])
def test_a_bound_in_the_middle_of_a_run_cuts_it(connection: Connection, num_patches: int) -> None:
    """The frames 10 to 19 are one run; what lies at a bound is inside."""
    day = "2026-05-01 10:00"
    values = [0.0] * 10 + [70.0] * 10 + [0.0] * 20
    for path in ("/a.mp4", "/b.mp4"):
        add_video(connection, path, scores(values if path == "/a.mp4" else [0.0] * 40), recorded_at=f"{day}:00+00")
    runs = connection.execute("select first_frame, last_frame from vsdb.patch_runs where video_id = 1 order by 1")
    assert (10, 19) in runs.fetchall()
    connection.execute("select vsdb.build_index(min_patches => 0)")
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
def test_coarse_scans_read_the_runs_that_bounds_touch(connection: Connection, bounds: str) -> None:
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


@pytest.mark.parametrize("num_patches", [5_000, 50_000, 10_000_000], ids=["patches", "runs", "index"])
def test_one_huge_moment_does_not_hide_the_others(connection: Connection, num_patches: int) -> None:
    add_video(connection, "/long.mp4", scores([90] * 2600), num_patches=1)
    for number in range(3):
        add_video(connection, f"/{number}.mp4", scores([0] * 10 + [60 - number] + [0] * 10))
    connection.execute("select vsdb.build_index(min_patches => 0)")
    pretend_size(connection, num_patches)
    found = search(connection, axis(0), max_moments=4)
    assert [moment.video_path for moment in found] == ["/long.mp4", "/0.mp4", "/1.mp4", "/2.mp4"]
    assert (found[0].start_seconds, found[0].end_seconds) == (0, 2600)


@pytest.mark.parametrize("with_index", [False, True], ids=["runs", "index"])
def test_coarse_scans_serve_a_reader_without_search_path(connection: Connection, dsn: str, *, with_index: bool) -> None:
    add_video(connection, "/a.mp4", scores([0] * 20 + [70] * 5 + [0] * 20))
    if with_index:
        connection.execute("select vsdb.build_index(min_patches => 0)")
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


def test_build_index_waits_for_a_size_that_pays(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 50, 0]))

    def build(arguments: str) -> bool:
        row = connection.execute(f"select vsdb.build_index({arguments})".encode()).fetchone()
        assert row is not None
        return bool(row[0])

    assert not build("")
    assert build("min_patches => 3")
    assert not build("min_patches => 3")
