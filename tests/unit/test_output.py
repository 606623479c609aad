"""What is printed fits where it is printed."""

from __future__ import annotations

import io
import json
import sys

import pytest

from vsdb.cli import output


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
