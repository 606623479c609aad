"""Prompts are asked without what all prompts share: order and z follow that, the score stays the plain cosine."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

import vsdb
from tests.integration.search_data import add_video, axis, mixture
from vsdb.database import schema

Connection = psycopg.Connection[Any]
SHARED, DOG, CAT = 0, 1, 2


def prompt(thing: int) -> str:
    """A prompt's embedding: four fifths of it are what all prompts share."""
    return mixture({SHARED: 0.8, thing: 0.6})


@pytest.fixture
def archive(connection: Connection) -> Connection:
    """One picture that prompts in general score high with, and one that shows a dog; twenty others."""
    add_video(connection, "/like any prompt.mp4", [{SHARED: 0.5}])
    add_video(connection, "/dog.mp4", [{DOG: 0.5}])
    add_video(connection, "/others.mp4", [{20 + place: 0.05 + place / 500} for place in range(20)], every=60)
    connection.execute("delete from vsdb.neutral_prompts")
    for place in range(20):
        connection.execute(
            "insert into vsdb.neutral_prompts values (%s, %s)",
            [f"thing {place}", mixture({SHARED: 0.78 + place / 500, 20 + place: 0.6})],
        )
    assert connection.execute("select vsdb.refresh_background()").fetchone() == (True,)
    return connection


def ask(connection: Connection, query: str, asked: str | None, **arguments: Any) -> list[tuple[Any, ...]]:
    """Path, score and match of each moment of vsdb.search_embedding."""
    names = "".join(f", {name} => %({name})s" for name in arguments)
    return connection.execute(
        f"""select video_path, score, match
            from vsdb.search_embedding(%(query)s, asked => %(asked)s{names}) order by rank""",
        {"query": query, "asked": asked, **arguments},
    ).fetchall()


def centred(connection: Connection, query: str) -> str:
    row = connection.execute("select vsdb.centre(%s)::text", [query]).fetchone()
    assert row is not None
    return str(row[0])


def test_what_is_centred_is_less_like_what_all_prompts_share(archive: Connection) -> None:
    row = archive.execute(
        """select -(vsdb.centre(%(prompt)s) <#> %(shared)s), -(vsdb.centre(%(prompt)s) <#> %(dog)s),
                  l2_norm(vsdb.centre(%(prompt)s))""",
        {"prompt": prompt(DOG), "shared": axis(SHARED), "dog": axis(DOG)},
    ).fetchone()
    assert row is not None
    rest = 0.8 * (1 - 0.7)  # by hand: the mean of the neutral prompts is 0.8 along SHARED, and 0.03 along each thing
    assert row[0] == pytest.approx(rest / (rest**2 + 0.6**2) ** 0.5, abs=0.02)
    assert row[1] == pytest.approx(0.6 / (rest**2 + 0.6**2) ** 0.5, abs=0.02)
    assert row[2] == pytest.approx(1, abs=1e-3)


def test_the_order_is_that_of_the_centred_prompt_and_the_score_that_of_the_plain_one(archive: Connection) -> None:
    plainly = ask(archive, prompt(DOG), None, min_z=-1e9, max_moments=2)
    assert [path for path, _, _ in plainly] == ["/like any prompt.mp4", "/dog.mp4"]
    asked = ask(archive, prompt(DOG), centred(archive, prompt(DOG)), min_z=-1e9, max_moments=2)
    assert [path for path, _, _ in asked] == ["/dog.mp4", "/like any prompt.mp4"]
    assert {path: score for path, score, _ in asked} == {path: score for path, score, _ in plainly}
    assert asked[0][1] == pytest.approx(30, abs=0.05)


def test_a_bound_on_the_score_asks_with_the_plain_prompt(archive: Connection) -> None:
    asked = ask(archive, prompt(DOG), centred(archive, prompt(DOG)), min_score=25)
    assert [(path, score) for path, score, _ in asked] == [
        ("/like any prompt.mp4", pytest.approx(40, abs=0.05)),
        ("/dog.mp4", pytest.approx(30, abs=0.05)),
    ]


def test_moments_below_the_line_are_left_out_one_by_one(archive: Connection) -> None:
    found = ask(archive, prompt(DOG), centred(archive, prompt(DOG)), max_moments=10)
    assert [path for path, _, _ in found] == ["/dog.mp4"]
    assert ask(archive, prompt(CAT), centred(archive, prompt(CAT)), max_moments=10) == []


def test_match_says_z_in_a_word(archive: Connection) -> None:
    words = archive.execute("select vsdb.match(z, 1, 3) from unnest('{-1, 0.99, 1, 2.99, 3, 90}'::real[]) z").fetchall()
    assert [word for (word,) in words] == [None, None, "possible", "possible", "likely", "likely"]
    rows = archive.execute(
        "select z, match from vsdb.search_embedding(%s, 30, min_z => '-infinity', asked => vsdb.centre(%s))",
        [prompt(DOG), prompt(DOG)],
    ).fetchall()
    assert len(rows) > 2
    for z, match in rows:
        assert match == ("likely" if z >= 3 else "possible" if z >= 1 else None)


def test_nothing_is_taken_off_until_the_background_is_measured(connection: Connection) -> None:
    assert centred(connection, axis(DOG)) == axis(DOG)


def test_both_parts_of_a_pair_stand_out(archive: Connection) -> None:
    add_video(archive, "/dog, then nothing.mp4", [{DOG: 0.5}, {}, {}, {}])
    add_video(archive, "/dog, then cat.mp4", [{DOG: 0.5}, {}, {}, {CAT: 0.5}])

    def pairs(**arguments: Any) -> list[str]:
        names = "".join(f", {name} => %({name})s" for name in arguments)
        return [
            path
            for (path,) in archive.execute(
                f"""select video_path from vsdb.search_then(%(dog)s, %(cat)s, asked => vsdb.centre(%(dog)s),
                                                            next_asked => vsdb.centre(%(cat)s){names}) order by rank""",
                {"dog": prompt(DOG), "cat": prompt(CAT), **arguments},
            )
        ]

    assert pairs() == ["/dog, then cat.mp4"]
    assert set(pairs(min_z=-1e9)) > {"/dog, then cat.mp4", "/dog, then nothing.mp4"}


def test_words_are_centred_and_pictures_are_not(street_index: vsdb.Index) -> None:
    """The same words through vsdb.search, --not with nothing to take off, and as an embedding that is given."""
    ordered = "select video_id, best_seconds from vsdb.search_embedding(%s, 5, asked => %s, min_z => -9) order by rank"
    row = street_index.connection.execute(
        "select vsdb.embed('a red car')::text, vsdb.centre(vsdb.embed('a red car'))::text"
    ).fetchone()
    assert row is not None
    embedding, centre = row
    assert embedding != centre
    words = [(m.video_id, m.best_seconds) for m in street_index.search("a red car", max_moments=5, min_z=-9)]
    assert words == street_index.connection.execute(ordered, [embedding, centre]).fetchall()


def test_a_migrated_database_refuses_what_is_not_there_at_once(archive: Connection) -> None:
    before = archive.execute("select peak_mean, peak_deviation from vsdb.background").fetchone()
    archive.execute("delete from vsdb.background")
    schema.migrate(archive)
    assert archive.execute("select peak_mean, peak_deviation from vsdb.background").fetchone() == before
