"""Make the pictures of the documentation from the demo's clip: python docs/make_pictures.py

The contact sheet and the page of the README, the page on a phone, and the outputs of examples/quickstart.ipynb. Needs
the development dependencies and Chromium.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from page_pictures import page_pictures

import vsdb
from vsdb.database.embedded import EmbeddedServer
from vsdb.demo import CLIP
from vsdb.look.contact_sheet import as_jpeg

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
MAX_BYTES = 200_000


@contextmanager
def demo_index() -> Iterator[vsdb.Index]:
    """The demo's clip in a database of its own, which is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="vsdb-pictures-"))
    server = EmbeddedServer(home)
    try:
        with vsdb.connect(dsn=server.start(), model="tiny", device="cpu") as index:
            index.ingest([CLIP])
            yield index
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def make_contact_sheet(index: vsdb.Index) -> None:
    """What ``vsdb query 'a car' -n 3 --save DIR`` writes."""
    sheet = index.search("a car", max_moments=3).contact_sheet()
    write(IMAGES / "contact_sheet.jpg", as_jpeg(sheet))


def run_notebook() -> None:
    """Run the notebook and keep its pictures and printed lines, but no text that stands in for a picture."""
    import nbformat
    from nbclient import NotebookClient

    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place}"
        cell.metadata = {}
        if cell.cell_type == "code":  # warnings are those of this machine
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            trim(output)
    write(NOTEBOOK, (nbformat.writes(notebook) + "\n").encode())


def trim(output: Any) -> None:
    """Keep the JPEG of a picture, else what is there."""
    data = output.get("data", {})
    if "image/jpeg" in data:
        output.data = {"image/jpeg": data["image/jpeg"]}


def write(path: Path, data: bytes) -> None:
    """Write a file of the documentation; SystemExit where it grew too large for that."""
    if len(data) > MAX_BYTES:
        raise SystemExit(f"{path.name} would have {len(data):,} bytes, at most {MAX_BYTES:,} are wanted")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"{path.relative_to(ROOT)}  {len(data):,} bytes")


def main() -> None:
    """Make everything anew."""
    os.environ.pop("VSDB_DSN", None)
    with demo_index() as index:
        make_contact_sheet(index)
        for name, picture in page_pictures(index.connection.info.dsn).items():
            write(IMAGES / name, picture)
    run_notebook()


if __name__ == "__main__":
    main()
