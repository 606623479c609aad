"""The package as people install it: from a wheel, and editable; `sql/` and the bundled files come along."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOK = (
    "from vsdb import demo; from vsdb.database import schema; from vsdb.model import tiny_weights as t; "
    "print(schema.sql_folder(), demo.CLIP, t.TINY_WEIGHTS, sep='\\n')"
)


def run(*command: str | Path, cwd: Path) -> str:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, check=True, capture_output=True, text=True, timeout=300
    ).stdout


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment that sees this one's packages, but no vsdb; gives its python."""
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    folder = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    (Path(folder) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_what_is_needed_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for path in (path for path in ROOT.glob("sql/**/*") if path.is_file()):
        assert f"vsdb/{path.relative_to(ROOT)}" in names
    assert {"vsdb/py.typed", "vsdb/demo/street.mp4", "vsdb/tiny/tiny.safetensors"} <= names
    assert {f"vsdb/serve/page/{path.name}" for path in (ROOT / "vsdb" / "serve" / "page").iterdir()} <= names
    assert not [name for name in names if name.startswith(("tests/", "training/", "benchmarks/", "tools/"))]
    assert wheel.stat().st_size <= 15_000_000


def test_an_installed_wheel_finds_its_files(wheel: Path, environment: Path, tmp_path: Path) -> None:
    run(environment, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    for line in run(environment, "-c", LOOK, cwd=tmp_path).splitlines():
        assert str(tmp_path) in line
        assert Path(line).exists()
    assert "vsdb" in run(environment.parent / "vsdb", "--help", cwd=tmp_path)


def test_an_editable_install_finds_the_source_tree_s_files(environment: Path, tmp_path: Path) -> None:
    run(environment, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", ROOT, cwd=tmp_path)
    folder, *_ = run(environment, "-c", LOOK, cwd=tmp_path).splitlines()
    assert Path(folder) == ROOT / "sql"
