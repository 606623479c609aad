"""Makes single-line mistakes in a copy of this tree and prints the share that the tests catch.

python -m tests.mutations                            three mistakes in each file below
python -m tests.mutations --each 10 vsdb/search.py   ten in one
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
from functools import cache
from pathlib import Path

from tests.mutations.mistakes import Mistake, python_mistakes, sql_mistakes
from tests.servers import running

TESTS = {  # the tests that should notice, the quick ones first; each list takes well under a minute
    "vsdb/media/patches.py": "unit/patches",
    "vsdb/media/video.py": "unit/video unit/keyframes",
    "vsdb/database/store.py": "integration/store integration/thumbnails",
    "vsdb/database/catalog.py": "integration/catalog integration/store integration/ingest",
    "vsdb/ingest/channels.py": "unit/pipeline integration/pipeline",
    "vsdb/ingest/stages.py": "integration/pipeline integration/sampling integration/ingest",
    "vsdb/ingest/run.py": "integration/ingest integration/pipeline integration/sampling",
    "vsdb/ingest/ledger.py": "integration/ingest integration/sampling integration/pipeline",
    "vsdb/search.py": "integration/serve_api acceptance/ways_to_ask",
    "vsdb/serve/files.py": "unit/file_keeper integration/serve_files",
    "vsdb/cli/output.py": "unit/output unit/tables",
    "sql/functions/background.sql": "integration/centred integration/search_ways",
    "sql/functions/clean.sql": "integration/tokenize",
    "sql/functions/embed.sql": "integration/embed_install integration/embed",
    "sql/functions/explain.sql": "integration/search_ways",
    "sql/functions/filters.sql": "integration/search_contract integration/plans",
    "sql/functions/grants.sql": "integration/reader",
    "sql/functions/judge.sql": "integration/judge",
    "sql/functions/moments.sql": "integration/search_moments integration/search_contract integration/plans",
    "sql/functions/nearest.sql": "integration/search_contract integration/plans",
    "sql/functions/patch_runs.sql": "integration/patch_runs integration/store integration/plans",
    "sql/functions/refresh.sql": "integration/centred integration/search_ways",
    "sql/functions/scans.sql": "integration/search_contract integration/plans",
    "sql/functions/search.sql": "integration/search_moments integration/search_contract"
    " integration/search_ways integration/plans",
    "sql/functions/search_ways.sql": "integration/search_ways",
    "sql/functions/text_tower.sql": "integration/embed",
    "sql/functions/tokenize.sql": "integration/tokenize",
    "sql/functions/video_scores.sql": "integration/serve_api",
    "sql/functions/views.sql": "integration/store integration/serve_api",
}
TIME_LIMIT_SECONDS = 300  # several times what the slowest list takes
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
        outcome, by = run_tests(tree, noticed_by(file))
        print(f"{outcome:<7} {time.monotonic() - began:4.0f} s  {describe(file, source, mistake)}  {by}", flush=True)
        (tree / file).write_bytes(source)
        if outcome == "caught" and not passes(tree, by):
            sys.exit(f"{by} fails without a mistake")
        each -= outcome != "refused"
        yield outcome


@cache
def passes(tree: Path, test: str) -> bool:
    """Whether a test passes where there is no mistake: one that fails anyway would catch everything."""
    return run_tests(tree, [test])[0] == "missed"


def describe(file: str, source: bytes, mistake: Mistake) -> str:
    """Where it is, and the line before and after."""
    number = source.count(b"\n", 0, mistake.start)
    before, after = (text.splitlines()[number].decode().strip() for text in (source, mistake.made_in(source)))
    return f"{file}:{number + 1}  {mistake.kind}\n      - {before}\n      + {after}\n     "


def noticed_by(file: str) -> list[str]:
    """The files of tests that should notice a mistake in a file."""
    asked = (["integration/golden_schema"] if file.endswith(".sql") else []) + TESTS[file].split()
    return [f"tests/{folder}/test_{name}.py" for folder, _, name in (each.partition("/") for each in asked)]


def run_tests(tree: Path, tests: list[str]) -> tuple[str, str]:
    """Run some files of tests until one fails.

    Returns:
        ``caught``, ``hung`` (the time limit ended it), ``refused`` (it cannot even be imported, or migrated to) or
        ``missed``; and by which test.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        # Two versions of a module within a second would share their byte code.
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=TIME_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "hung", ""
    if process.returncode == 0:
        return "missed", ""
    by = re.search(r"^(?:FAILED|ERROR) ([^\s\[]+)", output, re.MULTILINE)
    is_refused = process.returncode > 1 or "    schema.migrate(connection)\n" in output
    return "refused" if is_refused else "caught", by[1] if by else ""


if __name__ == "__main__":
    main()
