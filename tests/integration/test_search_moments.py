"""Moments: where they start and end, which patch is their best, and in what order they come."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.integration.search_data import add_video, axis, scores, search, spans

Connection = psycopg.Connection[Any]


def test_empty_database_gives_no_moments(connection: Connection) -> None:
    assert search(connection, axis(0)) == []


def test_one_hit_has_its_time_score_and_box(connection: Connection) -> None:
    video_id = add_video(connection, "/a.mp4", scores([0, 0, 0, 80, 0, 0, 0]), num_patches=3)
    (moment,) = search(connection, axis(0), max_moments=1)
    assert (moment.rank, moment.video_path, moment.video_id) == (1, "/a.mp4", video_id)
    assert (moment.start_seconds, moment.end_seconds, moment.best_seconds) == (3, 4, 3)
    assert moment.score == pytest.approx(80, abs=0.05)
    assert (moment.x, moment.y, moment.width, moment.height) == (20, 0, 180, 180)


def test_score_is_independent_of_the_query_length(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 0, 50, 0]))
    long_query = axis(0).replace("[1,", "[7,")
    assert search(connection, long_query) == search(connection, axis(0))


def test_hits_closer_than_the_gap_are_one_moment(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 90, 0, 90, 0, 0, 0]), seconds=[0, 1, 2, 2.9, 4, 5, 6])
    assert spans(search(connection, axis(0))) == [("/a.mp4", 1, 3.9)]


def test_hits_exactly_the_gap_apart_are_two_moments(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 90, 0, 90, 0, 0]))
    assert spans(search(connection, axis(0))) == [("/a.mp4", 1, 2), ("/a.mp4", 3, 4)]


def test_hits_just_short_of_the_gap_are_one_moment(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 90, 0, 90, 0, 0]), seconds=[0, 1, 2, 2.999, 4, 5])
    assert spans(search(connection, axis(0))) == [("/a.mp4", 1, 3.999)]


@pytest.mark.parametrize("values", [[0, 0, 0, 80, 0, 90, 0, 0, 0], [0, 0, 0, 90, 0, 80, 0, 0, 0]])
def test_a_hit_exactly_the_gap_from_a_better_moment_is_another_one(connection: Connection, values: list[float]) -> None:
    add_video(connection, "/a.mp4", scores(values))
    assert sorted(spans(search(connection, axis(0)))) == [("/a.mp4", 3, 4), ("/a.mp4", 5, 6)]


def test_neighbours_of_a_video_sampled_at_exactly_the_gap_are_one_moment(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 90, 90, 90, 0, 90, 0]), every=2)
    assert spans(search(connection, axis(0))) == [("/a.mp4", 2, 8), ("/a.mp4", 10, 12)]


@pytest.mark.parametrize("num_before", [11, 12, 13, 24, 36, 37, 60])
def test_a_moment_that_ends_where_reading_stops_goes_on(connection: Connection, num_before: int) -> None:
    """12 frames on each side of a peak are read at first, and then as many as it takes."""
    values = [80.0] * num_before + [90] + [80.0] * num_before
    add_video(connection, "/a.mp4", scores([0.0] * 9 + values + [0.0] * 9))
    assert spans(search(connection, axis(0))) == [("/a.mp4", 9, 10 + 2 * num_before)]


@pytest.mark.parametrize(("neutral", "start", "end"), [(10, 10, 90), (70, 49, 52)])
def test_a_prompt_that_fills_the_archive_stands_out_from_other_prompts(
    connection: Connection, neutral: float, start: float, end: float
) -> None:
    """Its own mean may be too high a ground: the cut is half way up from the lower of the two."""
    values = [5.0] * 10 + [55.0] * 39 + [75, 90, 75] + [55.0] * 38 + [5.0] * 10  # mean 45.75: half way up is 67.9
    add_video(connection, "/a.mp4", scores(values))
    assert spans(search(connection, axis(0), max_moments=1)) == [("/a.mp4", 49, 52)]
    connection.execute(
        "insert into vsdb.background select true, mean, mean, 0, 0, 1, %s, 20, 1, 40, 100 from vsdb.mean_patch() mean",
        [neutral],
    )
    assert spans(search(connection, axis(0), max_moments=1)) == [("/a.mp4", start, end)]


@pytest.mark.parametrize(("gap", "moments"), [(0, 4), (0.5, 4), (1.5, 2), (4, 2), (4.5, 1), (1e6, 1)])
def test_gap_seconds(connection: Connection, gap: float, moments: int) -> None:
    values = scores([0, 0, 0, 90, 90, 0, 0, 0, 90, 90, 0, 0, 0, 0])
    add_video(connection, "/a.mp4", values, every=0.4, seconds=[float(second) for second in range(14)])
    assert len(search(connection, axis(0), gap_seconds=gap, min_score=50)) == moments


def test_neighbours_of_a_sparsely_sampled_video_are_one_moment(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 90, 90, 90, 0, 0]), every=5)
    assert spans(search(connection, axis(0))) == [("/a.mp4", 5, 20)]


def test_neighbouring_key_frames_are_one_moment(connection: Connection) -> None:
    values = scores([0, 90, 90, 90, 0, 0])
    video_id = add_video(connection, "/a.mp4", values, seconds=[0, 8, 16, 17, 24, 32], duration=36)
    connection.execute("update vsdb.videos set keyframes = true where video_id = %s", (video_id,))
    assert spans(search(connection, axis(0))) == [("/a.mp4", 8, 23)]


def test_whole_video_is_one_moment_however_long(connection: Connection) -> None:
    add_video(connection, "/long.mp4", scores([90] * 2000), num_patches=2)
    add_video(connection, "/other.mp4", scores([0] * 2000), num_patches=2)
    assert spans(search(connection, axis(0), max_moments=1)) == [("/long.mp4", 0, 2000)]


def test_everything_scoring_the_same_is_one_moment_a_video(connection: Connection) -> None:
    for name in "abc":
        add_video(connection, f"/{name}.mp4", scores([33.3] * 40))
    assert spans(search(connection, axis(0))) == [(f"/{name}.mp4", 0, 40) for name in "abc"]


def test_as_many_moments_as_asked_for(connection: Connection) -> None:
    # Every moment is longer than any fixed number of candidates is likely to be.
    for number in range(12):
        values = [0.0] * 10 + [80.0 - number] * 100 + [0.0] * 10
        add_video(connection, f"/{number:02}.mp4", scores(values), num_patches=5)
    found = spans(search(connection, axis(0), max_moments=10))
    assert found == [(f"/{number:02}.mp4", 10, 110) for number in range(10)]


def test_a_shorter_list_is_the_head_of_a_longer_one(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 70, 0, 0, 60, 0, 0, 50, 45, 0, 0, 40, 0, 0, 0, 65, 0, 0]))
    longest = search(connection, axis(0), max_moments=10)
    assert [moment.rank for moment in longest] == list(range(1, len(longest) + 1))
    for length in range(1, len(longest)):
        assert search(connection, axis(0), max_moments=length) == longest[:length]


def test_cut_is_half_way_from_the_background_to_the_best(connection: Connection) -> None:
    # 1,000 frames at 20 hold the background near 20, so the cut of a best of 80 is near 50.
    slope = [20.0] * 500 + [44, 56, 68, 80, 68, 56, 44] + [20.0] * 500
    add_video(connection, "/a.mp4", scores(slope))
    (moment, *_) = search(connection, axis(0))
    assert (moment.start_seconds, moment.end_seconds, moment.best_seconds) == (501, 506, 503)


def test_slope_of_a_better_moment_is_not_another_one(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0.0] * 50 + [30] * 10 + [80] * 5 + [30] * 10 + [0.0] * 50))
    assert spans(search(connection, axis(0))) == [("/a.mp4", 60, 65)]


def test_min_score_is_the_cut_and_the_floor(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 40, 60, 80, 60, 40, 0, 0, 50, 0, 0, 0]))
    assert spans(search(connection, axis(0), min_score=60)) == [("/a.mp4", 2, 5)]
    assert spans(search(connection, axis(0), min_score=45)) == [("/a.mp4", 2, 5), ("/a.mp4", 8, 9)]
    assert search(connection, axis(0), min_score=81) == []


def test_a_score_that_was_returned_is_found_again_as_min_score(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 0, 61.7, 0, 0]))
    (moment,) = search(connection, axis(0), max_moments=1)
    assert search(connection, axis(0), min_score=moment.score) == [moment]


def test_ties_come_in_order_of_video_and_time(connection: Connection) -> None:
    for name in "ab":
        add_video(connection, f"/{name}.mp4", scores([50, 0, 0, 0, 50, 0, 0, 0]))
    expected = [("/a.mp4", 0, 1), ("/a.mp4", 4, 5), ("/b.mp4", 0, 1), ("/b.mp4", 4, 5)]
    assert spans(search(connection, axis(0), max_moments=4)) == expected


def test_best_patch_is_the_first_of_equals(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 0, 70, 70, 0, 0]))
    (moment,) = search(connection, axis(0), max_moments=1)
    assert moment.best_seconds == 2


def test_end_stays_inside_the_video(connection: Connection) -> None:
    add_video(connection, "/a.mp4", scores([0, 0, 0, 70]), duration=3.4)
    add_video(connection, "/b.mp4", scores([0, 0, 0, 60]), duration=2.5)
    assert spans(search(connection, axis(0), max_moments=2)) == [("/a.mp4", 3, 3.4), ("/b.mp4", 3, 3)]


def test_one_frame_video(connection: Connection) -> None:
    add_video(connection, "/still.png", scores([70]), duration=0)
    assert spans(search(connection, axis(0))) == [("/still.png", 0, 0)]


def test_irregular_time_stamps(connection: Connection) -> None:
    add_video(
        connection,
        "/vfr.mp4",
        scores([0, 0, 0, 70, 71, 70, 0, 0]),
        seconds=[0, 1, 2, 3.25, 4.5, 9.75, 10, 11],
    )
    assert spans(search(connection, axis(0), max_moments=2)) == [
        ("/vfr.mp4", 3.25, 5.5),
        ("/vfr.mp4", 9.75, 10.75),
    ]


def test_prompt_goes_through_embed(connection: Connection) -> None:
    connection.execute(
        "create or replace function vsdb.embed(prompt text) returns halfvec language sql immutable"
        f" as $$ select '{axis(3)}'::public.halfvec $$"
    )
    add_video(connection, "/a.mp4", scores([0, 70, 0, 0], prompt=3))
    by_prompt = connection.execute("select * from vsdb.search('anything', max_moments => 2)").fetchall()
    by_embedding = connection.execute("select * from vsdb.search_embedding(%s, 2)", (axis(3),)).fetchall()
    assert by_prompt == by_embedding
    assert len(by_prompt) == 1
