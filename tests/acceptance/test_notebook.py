"""The quickstart notebook runs from top to bottom, offline, and leaves nothing behind."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import clean_environment
from tests.printed import assert_same_output
from vsdb.demo import true_intervals

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
for cell in notebook.cells:
    if cell.cell_type == "code":
        cell.outputs = []
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def outputs(path: Path) -> list[tuple[str, list[Any]]]:
    """Source and outputs of each code cell that has any."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [("".join(cell["source"]), cell["outputs"]) for cell in cells if cell.get("outputs")]


def text(output: Any) -> str:
    return "".join(output.get("text", output.get("data", {}).get("text/plain", "")))


def homes() -> list[Path]:
    """Folders of the notebook's databases."""
    return sorted(Path(tempfile.gettempdir()).glob("vsdb-quickstart-*"))


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook, run anew; the database that it makes is gone again."""
    folder = tmp_path_factory.mktemp("notebook")
    target = folder / "executed.ipynb"
    before = homes()
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK), str(target)],
        cwd=folder,
        env={**clean_environment(), "VSDB_DSN": "postgresql://nobody@127.0.0.1:1/none", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stderr
    assert homes() == before
    return target


def test_it_indexes_searches_and_looks(executed: Path) -> None:
    found = dict(outputs(executed))
    (ingested,) = (each for source, each in found.items() if "index.ingest" in source)
    assert text(ingested[0]) == "street.mp4 ingested 60 frames 1140 patches\n"
    sheet, frame = (
        Image.open(io.BytesIO(base64.b64decode(output["data"]["image/jpeg"])))
        for each in found.values()
        for output in each
        if "image/jpeg" in output.get("data", {})
    )
    assert sheet.width > 3 * 320
    assert frame.size == (640, 360)
    (rows,) = (text(each[0]) for source, each in found.items() if "from vsdb.search" in source)
    start, end = true_intervals()["a red car"]
    assert rows.startswith("[(1, 2.0, 7.0, ")
    assert start <= 2.0 < 7.0 <= end
    (nothing,) = (text(each[0]) for source, each in found.items() if "an airplane" in source)
    assert nothing == "[]"


def test_what_is_committed_is_what_it_shows(executed: Path) -> None:
    committed, fresh = outputs(NOTEBOOK), outputs(executed)
    assert [source for source, _ in committed] == [source for source, _ in fresh]
    for (_, shown), (_, printed) in zip(committed, fresh, strict=True):
        pictures = [["image/jpeg" in each.get("data", {}) for each in side] for side in (shown, printed)]
        assert pictures[0] == pictures[1]
        if not any(pictures[0]):
            assert len(shown) == len(printed)
            for before, now in zip(shown, printed, strict=True):
                assert_same_output(text(before), text(now))


def test_it_is_small_and_names_no_machine() -> None:
    committed = NOTEBOOK.read_text(encoding="utf-8")
    assert len(committed) < 200_000
    assert not [line for line in committed.splitlines() if "/home/" in line or "/tmp/" in line or "/root/" in line]
