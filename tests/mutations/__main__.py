"""Makes single-line mistakes in a copy of this tree and prints the share that the tests catch.

python -m tests.mutations                            three mistakes in each file below
python -m tests.mutations --each 10 sql/moments.sql  ten in one
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.mutations.mistakes import Mistake, python_mistakes, sql_mistakes
from tests.servers import running

UNIT, WITH_SQL, WHOLE = "tests/unit/test_", "tests/integration/test_", "tests/acceptance/test_"
TESTS = {  # the quick ones first; each list takes well under a minute
    "vsdb/media/patches.py": [f"{UNIT}patches.py"],
    "vsdb/media/video.py": [f"{UNIT}video.py", f"{UNIT}keyframes.py"],
    "vsdb/database/store.py": [f"{WITH_SQL}store.py", f"{WITH_SQL}thumbnails.py"],
    "vsdb/database/catalog.py": [f"{WITH_SQL}store.py", f"{WITH_SQL}serve_api.py", f"{WITH_SQL}ingest.py"],
    "vsdb/ingest/channels.py": [f"{UNIT}pipeline.py", f"{WITH_SQL}pipeline.py"],
    "vsdb/ingest/stages.py": [f"{WITH_SQL}pipeline.py", f"{WITH_SQL}sampling.py", f"{WITH_SQL}ingest.py"],
    "vsdb/ingest/run.py": [f"{WITH_SQL}ingest.py", f"{WITH_SQL}pipeline.py", f"{WITH_SQL}sampling.py"],
    "vsdb/ingest/ledger.py": [f"{WITH_SQL}ingest.py", f"{WITH_SQL}sampling.py"],
    "vsdb/search.py": [f"{WHOLE}ways_to_ask.py", f"{WITH_SQL}serve_api.py"],
    "vsdb/serve/files.py": [f"{UNIT}file_keeper.py", f"{WITH_SQL}serve_files.py"],
    "vsdb/cli/output.py": [f"{UNIT}output.py", f"{WHOLE}cli.py"],
    "sql/background.sql": [f"{WITH_SQL}search_ways.py"],
    "sql/embed.sql": [f"{WITH_SQL}embed.py", f"{WITH_SQL}embed_install.py"],
    "sql/explain.sql": [f"{WITH_SQL}search_ways.py"],
    "sql/grants.sql": [f"{WITH_SQL}reader.py"],
    "sql/index.sql": [f"{WITH_SQL}upkeep.py", f"{WITH_SQL}search_ways.py", f"{WITH_SQL}plans.py"],
    "sql/moments.sql": [f"{WITH_SQL}search_moments.py", f"{WITH_SQL}search_contract.py", f"{WITH_SQL}plans.py"],
    "sql/nearest.sql": [f"{WITH_SQL}search_contract.py", f"{WITH_SQL}plans.py", f"{WITH_SQL}search_ways.py"],
    "sql/search.sql": [
        f"{WITH_SQL}search_moments.py",
        f"{WITH_SQL}search_contract.py",
        f"{WITH_SQL}search_ways.py",
        f"{WITH_SQL}plans.py",
    ],
    "sql/search_ways.sql": [f"{WITH_SQL}search_ways.py"],
    "sql/tokenize.sql": [f"{WITH_SQL}tokenize.py"],
    "sql/video_scores.sql": [f"{WITH_SQL}serve_api.py"],
    "sql/views.sql": [f"{WITH_SQL}schema.py::test_views_keep_their_columns_in_order", f"{WITH_SQL}store.py"],
}
TIME_LIMIT_SECONDS = 180
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Try a repeatable sample of mistakes, file by file."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=main.__doc__)
    parser.add_argument("files", nargs="*", default=list(TESTS), help="to make mistakes in")
    parser.add_argument("--each", type=int, default=3, help="mistakes in each file (3)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another sample (1)")
    asked = parser.parse_args()
    outcomes: Counter[str] = Counter()
    with running() as server, tempfile.TemporaryDirectory(prefix="vsdb-mutants-") as folder:
        os.environ["VSDB_TEST_DSN"] = server.admin_dsn
        tree = copy_tree(Path(folder))
        without, by = run_tests(tree, sorted({test for file in asked.files for test in TESTS[file]}), seconds=3600)
        if without != "missed":
            sys.exit(f"tests fail without a mistake: {without}, {by}")
        for file in asked.files:
            outcomes.update(try_mistakes(tree, file, each=asked.each, seed=asked.seed))
    judged = outcomes.total() - outcomes["refused"]
    print(dict(outcomes))
    print(f"caught: {judged - outcomes['missed']} of {judged} ({1 - outcomes['missed'] / judged:.0%})")


def copy_tree(folder: Path) -> Path:
    """A copy of what git knows of this tree, and of what it does not ignore; mistakes are made there."""
    tree = folder / "tree"
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for file in files:
        if (ROOT / file).is_file():
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, tree / file)
    return tree


def try_mistakes(tree: Path, file: str, *, each: int, seed: int) -> Iterator[str]:
    """Make that many mistakes in a file, one after the other, beside those that cannot even be loaded."""
    source = (tree / file).read_bytes()
    mistakes = list((sql_mistakes if file.endswith(".sql") else python_mistakes)(source))
    random.Random(f"{seed} {file}").shuffle(mistakes)
    while each > 0 and mistakes:
        mistake = mistakes.pop()
        (tree / file).write_bytes(mistake.made_in(source))
        began = time.monotonic()
        outcome, by = run_tests(tree, TESTS[file])
        print(f"{outcome:<7} {time.monotonic() - began:4.0f} s  {describe(file, source, mistake)}  {by}", flush=True)
        each -= outcome != "refused"
        yield outcome
    (tree / file).write_bytes(source)


def describe(file: str, source: bytes, mistake: Mistake) -> str:
    """Where it is, and the line before and after."""
    number = source.count(b"\n", 0, mistake.start)
    before, after = (text.splitlines()[number].decode().strip() for text in (source, mistake.made_in(source)))
    return f"{file}:{number + 1}  {mistake.kind}\n      - {before}\n      + {after}\n     "


def run_tests(tree: Path, tests: list[str], *, seconds: float = TIME_LIMIT_SECONDS) -> tuple[str, str]:
    """Run some files of tests until one fails.

    Returns:
        ``caught``, ``hung`` (the time limit ended it), ``refused`` (it cannot even be imported, or migrated to) or
        ``missed``; and by which test, or for a failure that nobody expected what was said.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        # Two versions of a module within a second would share their byte code.
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "hung", ""
    if process.returncode == 0:
        return "missed", ""
    by = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    is_refused = process.returncode > 1 or "    schema.migrate(connection)\n" in output
    return "refused" if is_refused else "caught", by[1] if by else output


if __name__ == "__main__":
    main()
