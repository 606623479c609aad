"""What the README shows is what the program prints: every checked block is run again and compared."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
import pytest
from PIL import Image

import vsdb
from tests.conftest import clean_environment
from tests.printed import assert_same_output
from vsdb.database import Connection
from vsdb.demo import CLIP, NEXT
from vsdb.model.known import KNOWN_MODELS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def checked_block(name: str, page: str = README) -> str:
    """The text block after ``<!-- checked: name -->``."""
    match = re.search(rf"<!-- checked: {name} -->\n```text\n(.*?)```", page, re.DOTALL)
    assert match, f"no checked block {name}"
    return match.group(1)


@pytest.fixture
def demo(run_vsdb: Run) -> str:
    run = run_vsdb("demo")
    assert run.returncode == 0, run.stderr
    assert NEXT in run.stderr
    return run.stdout


def test_readme_and_demo(demo: str, run_vsdb: Run, connection: Connection, dsn: str) -> None:
    assert_same_output(checked_block("demo"), demo)

    (prompt,) = re.findall(r"vsdb query '([^']+)' -n 10 ", README)
    answer = run_vsdb("query", prompt, "-n", "3").stdout
    assert_same_output(checked_block("query"), answer.replace(str(CLIP.parent) + "/", ""))

    for command in re.findall(r"^  vsdb query '(.*)'$", NEXT, re.MULTILINE):
        assert run_vsdb("query", command).stdout.startswith("rank")
    for statement in re.findall(r"^  vsdb db psql -c \"(.*)\"$", NEXT, re.MULTILINE):
        assert connection.execute(statement).fetchone()

    first, *others = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    printed = run_vsdb("db", "psql", "-c", first).stdout
    assert_same_output(checked_block("psql"), printed)
    for statement in (each for block in others for each in block.split(";") if each.strip()):
        with psycopg.connect(dsn) as other:
            assert other.execute(statement).fetchall()

    second = run_vsdb("demo")
    assert (second.returncode, second.stdout) == (0, demo)


def test_the_picture_is_what_the_program_draws(street_index: vsdb.Index) -> None:
    drawn = street_index.search("a car", max_moments=3).contact_sheet()
    with Image.open(ROOT / "docs" / "images" / "contact_sheet.jpg") as shown:
        assert shown.size == drawn.size
        assert np.abs(np.asarray(shown, int) - np.asarray(drawn, int)).mean() < 3


def test_the_table_of_models_is_what_the_command_prints(run_vsdb: Run) -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert checked_block("models", page) == run_vsdb("models").stdout
    for model in KNOWN_MODELS:
        assert re.search(rf"^\| `{re.escape(model.name)}` \| [\d.]+ \| [\d.]+ \|", page, re.MULTILINE), model.name


def test_readme_s_python_runs(run_vsdb: Run, street: Path, dsn: str, tmp_path: Path) -> None:
    run_vsdb("ingest", str(street), "--model", "tiny")
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "video.mp4").symlink_to(street)
    run = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env={**clean_environment(), "VSDB_DSN": dsn, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert str(street) in run.stdout


def test_the_demo_leaves_another_model_s_database_alone(run_vsdb: Run, connection: Connection) -> None:
    connection.execute(
        """insert into vsdb.models (model_name, weights_sha256, embedding_dim, image_size, image_mean, image_std,
                                    interpolation, resize_mode)
           values ('RN50x4', sha256('x'), 640, 288, '{0,0,0}', '{1,1,1}', 'bicubic', 'shortest')"""
    )
    connection.execute(
        """insert into vsdb.videos (video_path, content_sha256, size_bytes, duration_seconds, width, height,
                                    every_seconds, patch_size, stride, num_frames, num_patches)
           values ('/a.mp4', sha256('a'), 1, 1, 1, 1, 1, 1, 1, 1, 1)"""
    )
    run = run_vsdb("demo")
    assert run.returncode == 1
    assert "nothing was touched" in run.stderr
    assert connection.execute("select video_path from vsdb.videos").fetchall() == [("/a.mp4",)]


def test_every_command_of_the_readme_exists(run_vsdb: Run) -> None:
    named = set(re.findall(r"(?:`|^    )vsdb ([a-z]+)", README, re.MULTILINE))
    front = run_vsdb("--help").stdout
    for command in named:
        assert re.search(rf"\b{command}\b", front), command
    flags = set(re.findall(r"--[a-z][a-z-]+", README)) - {"--detach", "--wait"}
    commands = "ingest query serve videos remove status demo models reembed judge calibrate".split()
    helps = "".join(run_vsdb(command, "--help").stdout for command in commands)
    helps += run_vsdb("db", "start", "--help").stdout
    assert sorted(flag for flag in flags if flag not in helps) == []
