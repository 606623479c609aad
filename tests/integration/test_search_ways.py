"""More ways to ask, what explain tells, and the honest "no match"."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest

from tests.integration.search_data import add_random_videos, add_video, axis, pretend_size, scores, search

Connection = psycopg.Connection[Any]


def test_without_turns_away_from_what_is_not_wanted(connection: Connection) -> None:
    both = {0: 0.7, 1: 0.6}
    add_video(connection, "/both.mp4", [{}, both, {}])
    add_video(connection, "/one.mp4", [{}, {0: 0.6}, {}])
    assert [m.video_path for m in search(connection, axis(0), max_moments=2)] == ["/both.mp4", "/one.mp4"]
    row = connection.execute("select vsdb.without(%s, %s)::text", (axis(0), axis(1))).fetchone()
    assert row is not None
    assert [m.video_path for m in search(connection, row[0], max_moments=2)] == ["/one.mp4", "/both.mp4"]


def then(connection: Connection, within: float) -> list[tuple[Any, ...]]:
    """Path, start, end and time of the second event."""
    return connection.execute(
        "select video_path, start_seconds, end_seconds, next_seconds from vsdb.search_then(%s, %s, %s)"
        " where next_score > 50",
        (axis(0), axis(1), within),
    ).fetchall()


def test_then_finds_one_event_after_another(connection: Connection) -> None:
    first, second, nothing = {0: 0.8}, {1: 0.8}, dict[int, float]()
    add_video(connection, "/in order.mp4", [nothing, first, first, nothing, nothing, second, nothing])
    add_video(connection, "/other way.mp4", [nothing, second, nothing, nothing, first, nothing, nothing])
    add_video(connection, "/first only.mp4", [nothing, first, nothing])
    assert then(connection, 3) == [("/in order.mp4", 1, 6, 5)]
    assert then(connection, 1) == []


def test_explain_tells_scan_candidates_and_recall(connection: Connection) -> None:
    add_random_videos(connection, num_videos=4, num_frames=50, num_patches=4)
    pretend_size(connection, 10_000_000)
    rows = connection.execute("select * from vsdb.explain_embedding(%s)", (axis(0),)).fetchall()
    results = {step: result for step, result, _ in rows if step != "plan"}
    assert results["scan"] == "runs, about 40000000 patches in all videos"
    assert results["moments"] == results["exact moments"]
    assert int(results["candidates"]) > 0
    assert results["recall"].endswith(f" of {results['exact moments']}")
    assert any(result.endswith("Scan on patch_runs") for step, result, _ in rows if step == "plan")
    assert results["parallel workers"] == "0"  # too few runs for them to pay
    assert all(time is None or time > 0 for _, _, time in rows)


def test_explain_of_a_filtered_search_is_exact(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 70, 0]))
    rows = connection.execute("select step, result from vsdb.explain_embedding(%s, video_like => '/a%%')", (axis(0),))
    results = dict(rows.fetchall())
    assert results["scan"] == "patches, about 3 patches in 1 videos"
    assert results["recall"] == "1 of 1"


@pytest.mark.parametrize(
    ("filters", "scan", "num_moments", "filtered"),
    [
        ({}, "patches, about 400 patches in all videos", 6, "0"),
        ({"max_moments": 3}, "patches, about 400 patches in all videos", 3, "0"),
        ({"video_like": "/b%"}, "patches, about 200 patches in 1 videos", 4, "200"),
        ({"video_ids": [1]}, "patches, about 200 patches in 1 videos", 4, "200"),
        ({"video_ids": []}, "patches, about 0 patches in 0 videos", 0, "0"),
        ({"from_seconds": 60}, "patches, about 282 patches in all videos", 6, "120"),
        ({"to_seconds": 60}, "patches, about 122 patches in all videos", 2, "278"),
        (
            {"video_like": "/a%", "from_seconds": 60, "to_seconds": 130},
            "patches, about 71 patches in 1 videos",
            2,
            "329",
        ),
    ],
    ids=str,
)
def test_explain_searches_with_the_filters_it_is_given(
    connection: Connection, filters: dict[str, object], scan: str, num_moments: int, filtered: str
) -> None:
    """Two videos of 200 s with moments at 20, 70, 120 and 170 s."""
    for path in ("/a.mp4", "/b.mp4"):
        add_video(connection, path, scores([70.0 if second % 50 == 20 else 0.0 for second in range(200)]))
    connection.execute("analyze")
    connection.execute(
        "create or replace function vsdb.embed(prompt text) returns halfvec language sql immutable"
        f" as $$ select '{axis(0)}'::public.halfvec $$"
    )
    arguments = "".join(f", {name} => %({name})s" for name in filters)
    for call in ("explain_embedding(%(query)s", "explain('anything'"):
        rows = connection.execute(
            f"select step, result from vsdb.{call}{arguments})", {"query": axis(0), **filters}
        ).fetchall()
        told = dict(row for row in rows if row[0] not in ("plan", "background"))
        assert told["scan"] == scan
        assert told["moments"] == told["exact moments"] == str(num_moments)
        assert told["recall"] == f"{num_moments} of {num_moments}"
        assert told["rows filtered out"] == filtered


def test_explain_counts_the_rows_that_filters_throw_away(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 70, 0, 0]))
    rows = connection.execute("select step, result from vsdb.explain_embedding(%s, from_seconds => 2)", (axis(0),))
    results = rows.fetchall()
    assert ("rows filtered out", "2") in results, results
    assert any(step == "plan" and "on patches" in result for step, result in results)


def test_a_short_time_in_many_patches_is_not_worth_reading_all(connection: Connection) -> None:
    add_random_videos(connection, num_videos=4, num_frames=50, num_patches=4)
    pretend_size(connection, 10_000_000)
    connection.execute("update vsdb.videos set duration_seconds = 1e6")
    call = "select video_path, start_seconds, end_seconds, score from vsdb.search_embedding(%s, 10, from_seconds => 20"
    found = connection.execute(call + ", to_seconds => 30, min_z => '-infinity')", (axis(0),)).fetchall()
    wanted = connection.execute(
        call + ", to_seconds => 30, min_z => '-infinity', exact => true)", (axis(0),)
    ).fetchall()
    assert found == wanted
    rows = connection.execute(
        "select step, result from vsdb.explain_embedding(%s, from_seconds => 20, to_seconds => 30)", (axis(0),)
    ).fetchall()
    assert dict(rows)["scan"].startswith("runs, ")


def test_explain_leaves_the_planner_as_it_was(connection: Connection) -> None:
    add_random_videos(connection, num_videos=4, num_frames=50, num_patches=4)
    pretend_size(connection, 10_000_000)
    with connection.transaction():
        connection.execute("set local enable_sort = off")
        connection.execute("select * from vsdb.explain_embedding(%s)", (axis(0),))
        names = ("enable_seqscan", "enable_sort", "enable_indexscan")
        assert [connection.execute(f"show {name}").fetchone() for name in names] == [("on",), ("off",), ("on",)]


@pytest.fixture
def measured(connection: Connection) -> Connection:
    """A database whose noise is known and whose neutral prompts were measured against it."""
    rng = np.random.default_rng(1)
    noise = [{index: float(rng.normal(0, 0.05)) for index in range(60)} for _ in range(200)]
    noise[50] = {**noise[50], 3: 0.6}
    add_video(connection, "/a.mp4", noise)
    connection.execute("delete from vsdb.neutral_prompts")
    for index in range(10, 50):
        connection.execute("insert into vsdb.neutral_prompts values (%s, %s)", (f"thing {index}", axis(index)))
    connection.execute("select vsdb.refresh_background()")
    return connection


def z_of(connection: Connection, query: str) -> float:
    """z of the best moment."""
    row = connection.execute("select z from vsdb.search_embedding(%s, 1, min_z => '-infinity')", (query,)).fetchone()
    assert row is not None
    return float(row[0])


def test_z_is_high_for_what_is_there_and_low_for_what_is_not(measured: Connection) -> None:
    assert z_of(measured, axis(3)) > 5
    assert max(z_of(measured, axis(index)) for index in (5, 6, 7, 55)) < 4


def test_min_z_refuses_what_is_not_there(measured: Connection) -> None:
    assert len(search(measured, axis(3), min_z=5)) == 1
    assert search(measured, axis(5), min_z=5) == []


def test_z_is_null_until_the_background_is_measured(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 70, 0]))
    row = connection.execute("select z from vsdb.search_embedding(%s, 1)", (axis(0),)).fetchone()
    assert row == (None,)
    assert search(connection, axis(0), min_z=3) == []


def test_rows_that_are_gone_or_not_committed_change_no_z(measured: Connection) -> None:
    before = z_of(measured, axis(3))
    noise = [{60 + index % 9: 0.9} for index in range(1500)]
    with measured.transaction(force_rollback=True):
        add_video(measured, "/other.mp4", noise)
    assert z_of(measured, axis(3)) == before
    measured.execute("update vsdb.patches set x = x where frame_index % 3 = 0")  # the rows of these are elsewhere now
    assert z_of(measured, axis(3)) == before


BACKGROUND = """select neutral_score, peak_mean, peak_deviation, plain_neutral_score, plain_peak_mean,
                       plain_peak_deviation, num_prompts, num_patches
                from vsdb.background"""


def background(connection: Connection) -> list[float]:
    """The measured background, without its time."""
    row = connection.execute(BACKGROUND).fetchone()
    assert row is not None
    return list(row)


def test_the_background_is_what_the_neutral_prompts_score(connection: Connection) -> None:
    """170 frames of one patch: the sample is all of them."""
    noise = np.random.default_rng(3).normal(0, 0.05, (170, 30)).astype(np.float16).astype(float)
    add_video(connection, "/a.mp4", [dict(enumerate(row)) for row in noise[:100]])
    add_video(connection, "/b.mp4", [dict(enumerate(row)) for row in noise[100:]])
    connection.execute("delete from vsdb.neutral_prompts")
    for index in range(30):
        connection.execute("insert into vsdb.neutral_prompts values (%s, %s)", (f"thing {index}", axis(index)))
    assert connection.execute("select vsdb.refresh_background()").fetchone() == (True,)
    centred = np.eye(30) - 0.7 / 30  # seven tenths of the mean of all are taken off each
    expected = []
    for queries in (centred / np.linalg.norm(centred, axis=0), np.eye(30)):
        scores = 100 * noise @ queries
        expected += [scores.mean(), scores.max(axis=0).mean(), scores.max(axis=0).std(ddof=1)]
    assert background(connection) == pytest.approx([*expected, 30, 170], rel=1e-3, abs=1e-3)


def test_the_sample_is_spread_evenly_over_frames_and_patches(connection: Connection) -> None:
    """Of 340 frames every second one; of its 12 patches 0 to 5 or, in the next one, 6 to 11 count."""
    frames = [{0: 0.8} if index % 2 == 0 else {} for index in range(340)]
    add_video(connection, "/a.mp4", frames, num_patches=12)
    row = connection.execute("select vsdb.mean_score(%s, vsdb.mean_patch())", (axis(0),)).fetchone()
    # 85 of the 170 frames show their last patch, and so 1 in 12 of what is looked at scores 80.
    assert row == pytest.approx((80 / 12,), rel=1e-3)


def test_a_second_refresh_of_the_background_changes_nothing(measured: Connection) -> None:
    before = background(measured)
    for _ in range(2):
        assert measured.execute("select vsdb.refresh_background()").fetchone() == (True,)
        assert background(measured) == before
    assert measured.execute("select count(*) from vsdb.background").fetchone() == (1,)


def test_a_refresh_after_an_ingest_measures_as_the_first_one_would(measured: Connection) -> None:
    old = background(measured)
    rng = np.random.default_rng(2)
    add_video(measured, "/b.mp4", [{index: float(rng.normal(0.1, 0.1)) for index in range(60)} for _ in range(300)])
    time = "select refreshed_at from vsdb.background"
    before = measured.execute(time).fetchone()
    measured.execute("select vsdb.refresh_background()")
    refreshed = background(measured)
    assert measured.execute(time).fetchone() != before
    measured.execute("delete from vsdb.background")
    measured.execute("select vsdb.refresh_background()")
    assert refreshed == background(measured)
    assert [new for new, previous in zip(refreshed, old, strict=True) if new == previous] == [40]  # the prompts


def test_background_of_an_empty_database_is_not_measured(connection: Connection) -> None:
    connection.execute("update vsdb.neutral_prompts set embedding = %s", (axis(1),))
    assert connection.execute("select vsdb.refresh_background()").fetchone() == (False,)
