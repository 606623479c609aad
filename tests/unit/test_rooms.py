"""Who may import whom, as docs/architecture.md draws it: imports follow the data."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vsdb"


def table() -> tuple[set[str], dict[str, set[str]], dict[str, set[str]]]:
    """The rooms' table: the names that base stands for, who may import whom, and what nobody there imports."""
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \| .+? \|(.*)\|(.*)\|$", text, flags=re.M)
    base = set(re.findall(r"`(\w+)`", rows[0][0]))
    may_import: dict[str, set[str]] = {}
    never: dict[str, set[str]] = {}
    for names, allowed, forbidden in rows:
        for name in re.findall(r"`(\w+)`", names):
            words = set(allowed.split())
            may_import[name] = words - {"base"} | (base if "base" in words else set())
            never[name] = set(forbidden.split())
    return base, may_import, never


BASE, MAY_IMPORT, NEVER = table()
ARRAYS = {"vsdb.model.text_tower", "vsdb.model.tokenizer_rules"}
"""What the database takes of the model: arrays, no network."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """The room of a dotted name: ``vsdb.media.patches`` is in ``media``, ``vsdb`` in ``vsdb``."""
    return module.split(".")[1] if "." in module else module


def imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports when it runs, also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: vsdb's imports are absolute"
            for each in node.names:
                submodule = PACKAGE.parent / node.module.replace(".", "/") / each.name if node.module else None
                is_module = submodule and (submodule.with_suffix(".py").is_file() or submodule.is_dir())
                yield f"{node.module}.{each.name}" if is_module else str(node.module)


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_table_names_the_rooms_there_are() -> None:
    assert {"types", "errors", "config", "readable", "stopping"} == BASE
    assert {room_of(dotted(path)) for path in modules()} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room = room_of(dotted(path))
    assert room in MAY_IMPORT, "a new room: draw it in docs/architecture.md and name here what it may import"
    for name in imports(path):
        if name.split(".")[0] == "vsdb":
            assert room_of(name) in MAY_IMPORT[room] | {room}, f"{room} may not import {name}"
        else:
            assert name.split(".")[0] not in NEVER[room], f"{room} may not import {name}"


def test_the_database_takes_arrays_of_the_model_and_nothing_else() -> None:
    taken = {name for path in (PACKAGE / "database").glob("*.py") for name in imports(path) if "vsdb.model" in name}
    assert taken <= ARRAYS


def test_rooms_that_may_import_each_other_do_not_exist() -> None:
    def reached(room: str, seen: frozenset[str] = frozenset()) -> set[str]:
        assert room not in seen, f"a circle through {room}"
        return MAY_IMPORT[room].union(*(reached(each, seen | {room}) for each in MAY_IMPORT[room]))

    for room in MAY_IMPORT:
        assert room not in reached(room)


def test_no_two_modules_import_each_other() -> None:
    graph = {dotted(path): {name for name in imports(path) if name.startswith("vsdb.")} for path in modules()}

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module not in done:
            for name in graph.get(module, ()):
                visit(name, (*above, module))
            done.add(module)

    done: set[str] = set()
    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("program", ["import vsdb", "from vsdb.cli.app import app", "from vsdb import search"])
def test_asking_needs_no_torch_and_no_decoder(program: str) -> None:
    heavy = "{'torch', 'open_clip', 'cv2', 'av', 'PIL', 'numpy', 'fastapi'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print({heavy})"], check=True, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"
