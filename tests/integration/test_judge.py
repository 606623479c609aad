"""What people say of answers is kept, and the lines of possible and likely are fitted to it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import errors

import vsdb
from tests.conftest import StreetCopy, clean_environment
from tests.servers import Server
from tests.serving import Served, serving
from vsdb.demo import CLIP
from vsdb.errors import DatabaseError

Connection = psycopg.Connection[Any]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
DOCS = Path(__file__).parents[2] / "docs" / "sql.md"
PROMPT = "a red car"
ENOUGH = [(z / 5, z > 12 or z == 9) for z in range(24)]  # z from 0 to 4.6, right from 2.6 on, and at 1.8


@pytest.fixture(scope="session")
def demo_template(server: Server, template: str, session_database: Callable[..., str]) -> str:
    """Name of a database that holds the demo's clip, to be cloned: it answers with several moments."""
    name = session_database("demo", template=template)
    with vsdb.connect(dsn=server.dsn(name), model="tiny", device="cpu") as index:
        index.ingest([CLIP])
    return name


@pytest.fixture
def demo_dsn(new_database: Callable[[str], str], demo_template: str) -> str:
    return new_database(demo_template)


@pytest.fixture
def demo(demo_dsn: str) -> Iterator[Connection]:
    """A connection to a database of its own that holds the demo's clip."""
    with psycopg.connect(demo_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def run_demo(demo_dsn: str, run_vsdb: Run) -> Run:
    """The real command on that database."""
    return lambda *arguments: run_vsdb(*arguments, VSDB_DSN=demo_dsn)


def store(connection: Connection, judged: Sequence[tuple[float, bool]]) -> None:
    """Judgements of given z, as vsdb.judge stores them."""
    connection.cursor().executemany(
        """insert into vsdb.judgements (prompt_sha256, content_sha256, best_seconds, prompt, is_right, score, z)
           values (sha256(%(prompt)s::bytea), sha256('a video'), 0, %(prompt)s, %(is_right)s, 20, %(z)s)""",
        [{"prompt": f"prompt {n}", "is_right": is_right, "z": z} for n, (z, is_right) in enumerate(judged)],
    )


def one(connection: Connection, query: str, values: Any = None) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return tuple(row)


def answer(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select video_id, best_seconds, score, z, match from vsdb.search(%s, min_z => '-infinity') order by rank",
        [PROMPT],
    ).fetchall()


def test_a_judgement_holds_what_the_search_finds(demo: Connection) -> None:
    found = answer(demo)
    assert len(found) >= 2
    for video_id, best_seconds, score, z, _ in found:
        call = "select * from vsdb.judge(%s, %s, %s, true)"
        assert one(demo, call, [PROMPT, video_id, best_seconds]) == (score, z)
    stored = demo.execute("select best_seconds, score, z, is_right, prompt from vsdb.judgements").fetchall()
    assert sorted(stored) == sorted((*each[1:4], True, PROMPT) for each in found)


def test_judging_again_changes_one_s_mind(demo: Connection) -> None:
    video_id, best_seconds, *_ = answer(demo)[0]
    for is_right in (True, False):
        demo.execute("select vsdb.judge(%s, %s, %s, %s)", [PROMPT, video_id, best_seconds, is_right])
    demo.execute("select vsdb.judge('a dog', %s, %s, true)", [video_id, best_seconds])
    rows = demo.execute("select prompt, is_right from vsdb.judgements order by prompt desc").fetchall()
    assert rows == [(PROMPT, False), ("a dog", True)]


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("1, 0.123", errors.NoDataFound, "video 1 has no frame at 0.123 s"),
        ("99, 0", errors.NoDataFound, "video 99 has no frame at 0 s"),
        ("null, null", errors.NoDataFound, "video null has no frame at null s"),
    ],
)
def test_only_a_frame_that_is_there_is_judged(
    demo: Connection, place: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        demo.execute(f"select vsdb.judge('a red car', {place}, true)".encode())


def test_without_a_background_there_is_nothing_to_learn_from(demo: Connection) -> None:
    demo.execute("delete from vsdb.background")
    video_id, best_seconds, *_ = answer(demo)[0]
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="not measured yet"):
        demo.execute("select vsdb.judge(%s, %s, %s, true)", [PROMPT, video_id, best_seconds])


def test_a_prompt_that_sql_cannot_embed_is_embedded_here(demo: Connection, demo_dsn: str) -> None:
    expected = answer(demo)[0][2:4]
    demo.execute("update vsdb.text_towers set architecture = 'other'")
    with vsdb.connect(dsn=demo_dsn) as index:
        index.judge(PROMPT, index.search(PROMPT)[0], True)
    assert one(demo, "select score, z from vsdb.judgements") == pytest.approx(expected, abs=0.05)


def test_a_judgement_outlives_its_video_and_knows_it_again(street_copy: StreetCopy) -> None:
    with vsdb.connect(dsn=street_copy.dsn, model="tiny", device="cpu") as index:
        moment = index.search(PROMPT)[0]
        index.judge(PROMPT, moment, True)
        before = one(index.connection, "select score, z from vsdb.judgements")
        (result,) = index.ingest([street_copy.path], force=True)
        assert result.status == "ingested"
        index.connection.execute("update vsdb.background set peak_mean = peak_mean + peak_deviation")
        assert one(index.connection, "select vsdb.measure_judgements()") == (1,)
        assert one(index.connection, "select score, z from vsdb.judgements") == pytest.approx(
            (before[0], before[1] - 1), abs=1e-4
        )
        index.remove(street_copy.path)
        assert one(index.connection, "select vsdb.measure_judgements()") == (0,)
        assert one(index.connection, "select count(*), count(z) from vsdb.judgements") == (1, 1)


def test_a_new_background_measures_judgements_anew(demo: Connection) -> None:
    video_id, best_seconds, _, z, _ = answer(demo)[0]
    demo.execute("select vsdb.judge(%s, %s, %s, true)", [PROMPT, video_id, best_seconds])
    demo.execute("update vsdb.judgements set z = 99")
    demo.execute("select vsdb.refresh_background()")
    assert one(demo, "select z from vsdb.judgements") == (pytest.approx(z, abs=1e-5),)


def test_another_model_forgets_what_was_fitted_and_keeps_what_was_said(index: vsdb.Index) -> None:
    from vsdb.database.catalog import register_model
    from vsdb.types import ModelInfo

    store(index.connection, ENOUGH)
    index.calibrate()
    register_model(
        index.connection,
        ModelInfo(
            model_name="other",
            weights_sha256=bytes(32),
            weights_path=None,
            embedding_dim=64,
            image_size=32,
            image_mean=[0, 0, 0],
            image_std=[1, 1, 1],
            interpolation="bicubic",
            resize_mode="shortest",
        ),
    )
    assert one(index.connection, "select count(*), count(z) from vsdb.judgements") == (len(ENOUGH), 0)
    assert one(index.connection, "select possible, likely from vsdb.line") == (1, 3)
    with pytest.raises(DatabaseError, match="too few judgements to fit a line to: 0"):
        index.calibrate()


def test_a_reader_reads_and_may_not_judge(demo: Connection) -> None:
    video_id, best_seconds, *_ = answer(demo)[0]
    store(demo, ENOUGH)
    demo.execute("set role vsdb_reader")
    assert one(demo, "select count(*) from vsdb.judgements") == (len(ENOUGH),)
    for call in ("vsdb.judge('a red car', %s, %s, true)", "vsdb.calibrate()", "vsdb.uncalibrate()"):
        with pytest.raises(errors.InsufficientPrivilege):
            demo.execute(f"select {call}".encode(), [video_id, best_seconds] if "%s" in call else None)


def logistic(judged: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """The lines at 0.5 and 0.9 by Newton's method in numpy, with Platt's targets."""
    z = np.array([each for each, _ in judged])
    right = np.array([each for _, each in judged])
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))
    inputs = np.stack([np.ones_like(z), z], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-inputs @ weights))
        weights += np.linalg.solve((inputs.T * (p * (1 - p))) @ inputs, inputs.T @ (target - p))
    return float(-weights[0] / weights[1]), float((np.log(9) - weights[0]) / weights[1])


SEPARABLE = [(z / 5, z > 12) for z in range(24)]
UNLIKE = [(z / 50, z % 3 > 0 or z > 200) for z in range(300)]
FAR = [(-30 + z / 100, False) for z in range(15)] + [(500 + z / 100, True) for z in range(5)]


@pytest.mark.parametrize("judged", [ENOUGH, SEPARABLE, UNLIKE, FAR], ids=["mixed", "separable", "many", "far apart"])
def test_the_lines_are_those_of_a_logistic_regression(
    connection: Connection, judged: Sequence[tuple[float, bool]]
) -> None:
    store(connection, judged)
    possible, likely = logistic(judged)
    lowest = judged[0][0]
    row = one(connection, "select * from vsdb.calibrate()")
    assert row == (
        len(judged), 1, 3, pytest.approx(max(possible, lowest), abs=1e-4), pytest.approx(max(likely, lowest), abs=1e-4)
    )  # fmt: skip
    assert one(connection, "select possible, likely, num_judgements from vsdb.line") == (*row[3:], len(judged))


def test_the_documented_call_prints_what_is_documented(demo: Connection) -> None:
    (call, score, z) = re.findall(
        r"(select \* from vsdb.judge\(.*?\);).*?\n +([\d.]+) +\| +([\d.]+)\n", DOCS.read_text(), re.DOTALL
    )[0]
    assert one(demo, call) == (pytest.approx(float(score), abs=0.01), pytest.approx(float(z), abs=0.01))


def test_what_is_known_of_separable_judgements(connection: Connection) -> None:
    store(connection, SEPARABLE)
    _, _, _, possible, likely = one(connection, "select * from vsdb.calibrate()")
    assert 2.4 < possible < 2.6  # between the last that is wrong and the first that is right
    assert possible < likely < 4.6


def test_no_line_goes_below_what_was_judged(connection: Connection) -> None:
    store(connection, [(3 + z / 10, z != 3) for z in range(30)])  # nearly all right: a half would be far below
    _, _, _, possible, likely = one(connection, "select * from vsdb.calibrate()")
    assert (possible, likely) == (3, pytest.approx(3, abs=0.5))


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        ([], "^too few judgements to fit a line to: 0, expected 20 or more"),
        (ENOUGH[:19], "^too few judgements to fit a line to: 19"),
        ([(z, True) for z in range(20)], "^all 20 judgements are right"),
        ([(z, False) for z in range(20)], "^all 20 judgements are wrong"),
        ([(z, z < 10) for z in range(20)], "^in these 20 judgements a higher z does not go with being right"),
        ([(1, z < 10) for z in range(20)], "^in these 20 judgements a higher z does not go with being right"),
    ],
    ids=["none", "few", "right", "wrong", "against", "one z"],
)
def test_what_is_missing_is_said(connection: Connection, judged: Sequence[tuple[float, bool]], message: str) -> None:
    store(connection, judged)
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match=message):
        connection.execute("select vsdb.calibrate()")
    assert one(connection, "select count(*) from vsdb.calibrations") == (0,)


def test_each_calibration_is_undone_by_itself(index: vsdb.Index) -> None:
    store(index.connection, ENOUGH)
    first = index.calibrate()
    index.connection.execute("update vsdb.judgements set z = z + 1")
    second = index.calibrate()
    assert second.possible == pytest.approx(first.possible + 1, abs=1e-4)
    assert (second.possible_before, second.likely_before) == (first.possible, first.likely)
    undone = index.uncalibrate()
    assert (undone.possible_before, undone.possible, undone.likely) == (second.possible, first.possible, first.likely)
    assert undone.num_judgements == len(ENOUGH)
    undone = index.uncalibrate()
    assert (undone.num_judgements, undone.possible, undone.likely) == (None, 1, 3)
    with pytest.raises(DatabaseError, match="no calibration to undo"):
        index.uncalibrate()


def test_a_calibrated_line_changes_the_answer(demo: Connection, run_demo: Run) -> None:
    def asked() -> list[tuple[float, str]]:
        moments = json.loads(run_demo("query", PROMPT, "--json").stdout)["moments"]
        return [(each["z"], each["match"]) for each in moments]

    everything = [z for _, _, _, z, _ in answer(demo)]
    assert [z for z, _ in asked()] == [z for z in everything if z >= 1]
    demo.execute(
        "insert into vsdb.calibrations (possible, likely, num_judgements) values (%s, %s, 20)",
        [everything[-1] - 1e-4, everything[0] - 1e-4],  # z is a real
    )
    assert asked() == [(z, "likely" if z >= everything[0] else "possible") for z in everything]
    demo.execute(
        "insert into vsdb.calibrations (possible, likely, num_judgements) values (%s, %s, 20)",
        [everything[0] + 1, everything[0] + 2],
    )
    assert asked() == []
    assert run_demo("calibrate", "--undo").returncode == 0
    assert len(asked()) == len(everything)


def test_pairs_follow_the_line_too(demo: Connection) -> None:
    pairs = """select least(z, next_z), match from vsdb.search_then(
                   vsdb.embed('a red car'), vsdb.embed('a dog'), min_z => '-infinity')"""
    assert {match for z, match in demo.execute(pairs) if z < 50} <= {None, "possible", "likely"}
    demo.execute("insert into vsdb.calibrations (possible, likely, num_judgements) values (-1000, -999, 20)")
    rows = demo.execute(pairs).fetchall()
    assert rows
    assert {match for _, match in rows} == {"likely"}


def test_ranks_are_judged_and_status_says_how_reliable_the_words_are(demo: Connection, run_demo: Run) -> None:
    found = answer(demo)
    num = len(found)
    status = run_demo("status").stdout
    assert "lines       likely from z 3.00, possible from 1.00" in status
    assert "judged      nothing yet: vsdb judge PROMPT" in status
    run = run_demo("judge", PROMPT, "--min-z", "-9", "--yes", "1", "--no", f"2-{num}", "--json")
    assert json.loads(run.stdout) == {
        "prompt": PROMPT,
        "num_right": 1,
        "num_wrong": num - 1,
        "num_judgements": num,
    }, run.stderr
    rows = demo.execute("select best_seconds, is_right from vsdb.judgements").fetchall()
    assert sorted(rows) == sorted((best, rank == 0) for rank, (_, best, *_) in enumerate(found))
    judged = json.loads(run_demo("status", "--json").stdout)["judged"]
    words = [match for *_, match in found]
    assert judged == {
        "possible_from_z": 1,
        "likely_from_z": 3,
        "num_likely": words.count("likely"),
        "num_likely_right": int(words[0] == "likely"),
        "num_possible": words.count("possible"),
        "num_possible_right": int(words[0] == "possible"),
        "num_below": words.count(None),
        "num_below_right": int(words[0] is None),
    }
    shown = {None: "no match"}.get(words[0], words[0])
    assert f"{shown}: 1 of {words.count(words[0])} right" in run_demo("status").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--yes", "99"], "the answer has"),
        (["--yes", "0"], "the answer has"),
        (["--yes", "one"], 'error: --yes "one" is no list of ranks, such as 1,3-5'),
        (["--yes", "1", "--no", "1"], "error: rank 1 is in --yes and in --no"),
        ([], "error: there is no terminal to answer at; say which ranks are right: --yes 1,2 --no 3"),
    ],
)
def test_nothing_is_stored_of_a_call_that_makes_no_sense(
    demo: Connection, run_demo: Run, arguments: list[str], message: str
) -> None:
    run = run_demo("judge", PROMPT, "--min-z", "-9", *arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr
    assert one(demo, "select count(*) from vsdb.judgements") == (0,)


def test_a_person_answers_at_the_terminal(demo_dsn: str, demo: Connection) -> None:
    found = answer(demo)
    assert len(found) >= 3
    terminal, keyboard = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vsdb", "judge", PROMPT, "--min-z", "-9"],
        env={**clean_environment(), "VSDB_DSN": demo_dsn},
        stdin=keyboard,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(keyboard)
    os.write(terminal, b"what?\nyes\ns\nN\nq\n")
    out, err = process.communicate(timeout=120)
    os.close(terminal)
    assert (process.returncode, out) == (0, ""), err
    assert "y(es), n(o), s(kip), o(pen), q(uit)" in err
    assert "judged 1 right and 1 wrong; 2 in all" in err
    rows = demo.execute("select best_seconds, is_right from vsdb.judgements").fetchall()
    assert sorted(rows) == sorted([(found[0][1], True), (found[2][1], False)])


def test_calibrate_shows_before_and_after(demo: Connection, run_demo: Run) -> None:
    refused = run_demo("calibrate")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: too few judgements to fit a line to: 0, expected 20 or more" in refused.stderr
    assert "vsdb judge PROMPT" in refused.stderr
    store(demo, ENOUGH)
    shown = run_demo("calibrate")
    possible, likely = logistic(ENOUGH)
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["match", "from", "z", "before", "from", "z", "now"],
        ["likely", "3.00", f"{likely:.2f}"],
        ["possible", "1.00", f"{possible:.2f}"],
    ]
    assert f"fitted to {len(ENOUGH)} judgements" in shown.stderr
    undone = json.loads(run_demo("calibrate", "--undo", "--json").stdout)
    assert undone == {
        "num_judgements": None,
        "possible_before": pytest.approx(possible, abs=1e-4),
        "likely_before": pytest.approx(likely, abs=1e-4),
        "possible": 1,
        "likely": 3,
    }


def test_a_visitor_judges_only_where_the_server_was_told_so(demo: Connection, demo_dsn: str) -> None:
    video_id, best_seconds, score, z, _ = answer(demo)[0]
    said = {"prompt": PROMPT, "video_id": video_id, "best_seconds": best_seconds, "is_right": False}
    stored = "select is_right, score, z from vsdb.judgements"

    def post(server: Served, what: object, **headers: str) -> tuple[int, Any]:
        sent = server.request("POST", "/api/judgements", json.dumps(what).encode(), **headers)
        return sent.status, sent.json

    with serving(VSDB_DSN=demo_dsn) as server:
        assert server.get("/api/search", prompt=PROMPT).json["may_judge"] is False
        assert post(server, said) == (404, {"error": "this server notes nothing; start it with --judge"})
    with serving("--judge", VSDB_DSN=demo_dsn) as server:
        assert server.get("/api/search", prompt=PROMPT).json["may_judge"] is True
        for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Origin": "http://other.example"}):
            assert post(server, said, **headers) == (403, {"error": "pages of other sites may not ask"})
        assert post(server, said, Host="other.example")[0] == 421
        wrongs: list[object] = [{**said, "z": 9}, {**said, "video_id": 0}, {**said, "is_right": "perhaps"}, [], {}]
        for wrong in wrongs:
            assert post(server, wrong)[0] == 422, wrong
        assert post(server, {**said, "best_seconds": 0.123}) == (404, {"error": "video 1 has no frame at 0.123 s"})
        assert post(server, {**said, "more": "x" * 20_000})[0] == 413
        assert demo.execute(stored.encode()).fetchall() == []
        assert post(server, said) == (200, {"is_right": False})
    assert demo.execute(stored.encode()).fetchall() == [(False, score, z)]


def test_a_visitor_needs_the_token_to_judge(demo: Connection, demo_dsn: str) -> None:
    video_id, best_seconds, *_ = answer(demo)[0]
    said = {"prompt": PROMPT, "video_id": video_id, "best_seconds": best_seconds, "is_right": True}
    with serving("--judge", VSDB_DSN=demo_dsn, VSDB_TOKEN="abcdefghijkl-0123456789") as server:
        assert server.request("POST", "/api/judgements", json.dumps(said).encode()).status == 401
    assert one(demo, "select count(*) from vsdb.judgements") == (0,)


def test_a_reader_cannot_serve_judging(demo_dsn: str, run_vsdb: Run) -> None:
    run = run_vsdb("serve", "--judge", "--port", "0", VSDB_DSN=demo_dsn, PGOPTIONS="-c role=vsdb_reader")
    assert (run.returncode, "--judge writes to vsdb.judgements, which this user may not" in run.stderr) == (2, True)
