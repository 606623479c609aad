"""The mistakes that ``python -m tests.mutations`` makes: in code that runs, and such as a module can be loaded with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations.__main__ import TESTS, noticed_by
from tests.mutations.mistakes import python_mistakes, sql_mistakes

ROOT = Path(__file__).parents[2]


def test_every_file_and_test_is_there() -> None:
    paths = [*TESTS, *(test for file in TESTS for test in noticed_by(file))]
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    functions = {f"sql/functions/{path.name}" for path in ROOT.glob("sql/functions/*.sql")}
    assert {path for path in TESTS if path.startswith("sql/")} == functions


@pytest.mark.parametrize("file", [path for path in TESTS if path.endswith(".py")])
def test_mistakes_are_python(file: str) -> None:
    source = (ROOT / file).read_bytes()
    mistakes = list(python_mistakes(source))
    assert len(mistakes) > 20
    for mistake in mistakes:
        compile(mistake.made_in(source), file, "exec")


def test_mistakes_in_python_are_those_of_moving_code() -> None:
    source = (
        b'def f(a: dict[int, str], b=2):\n    """1 < 2."""\n    self.x = g(a, b < 1)\n    h("select 1 for share")\n'
    )
    made = {mistake.made_in(source).decode() for mistake in python_mistakes(source)}
    old = source.decode()
    assert made == {
        old.replace("b=2", "b=3"),
        old.replace("    self.x = g(a, b < 1)", "    pass"),
        old.replace("g(a, b < 1)", "g(b < 1, a)"),
        old.replace("b < 1)", "b <= 1)"),
        old.replace("b < 1)", "b < 2)"),
        old.replace('    h("select 1 for share")', "    pass"),
        old.replace("select 1", "select 2"),
        old.replace("for share", "for update"),
    }


def test_mistakes_in_sql_leave_comments_and_strings_alone() -> None:
    source = (
        b"-- 1 < 2\nselect max(a), b from t where a <= 'x < 3' -- true\n  and c is null;\ncomment on table t is '1';\n"
    )
    made = {mistake.made_in(source).decode() for mistake in sql_mistakes(source)}
    old = source.decode()
    assert made == {
        old.replace("max(", "min("),
        old.replace("a <= ", "a < "),
        old.replace("c is null", "c is not null"),
        old.replace("  and c is null;", ";"),
    }
