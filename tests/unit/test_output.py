"""What is printed fits where it is printed."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace

import pytest

from vsdb.cli import output
from vsdb.types import Moment


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize("text", ["a red car", "é", "€", "😀", "\udcff"])
def test_json_is_valid_whatever_stdout_can_carry(monkeypatch: pytest.MonkeyPatch, encoding: str, text: str) -> None:
    out = io.BytesIO()
    stdout = io.TextIOWrapper(out, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stdout)
    print(output.moments_json(text, "tiny", []), flush=True)
    assert json.loads(out.getvalue().decode(encoding))["prompt"] == text
    if encoding == "utf-8" and text == "😀":
        assert "😀" in out.getvalue().decode()


def test_every_value_of_a_moment_stands_under_its_name_in_csv() -> None:
    moment = Moment(
        rank=3,
        video_path='/videos/a "b", c.mp4',
        start_seconds=1.5,
        end_seconds=4.25,
        best_seconds=2.75,
        score=31.5,
        box=(10, 20, 30, 40),
        video_id=7,
        z=5.125,
        match="likely",
    )
    without_z = replace(moment, rank=4, z=None, match=None)
    first, second = csv.DictReader(io.StringIO(output.moments_csv([moment, without_z])))
    assert first == {
        "rank": "3",
        "video_path": '/videos/a "b", c.mp4',
        "start_seconds": "1.5",
        "end_seconds": "4.25",
        "best_seconds": "2.75",
        "score": "31.5",
        "x": "10",
        "y": "20",
        "width": "30",
        "height": "40",
        "video_id": "7",
        "z": "5.125",
        "match": "likely",
    }
    assert second == {**first, "rank": "4", "z": "", "match": ""}
