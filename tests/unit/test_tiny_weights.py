"""The packed weights of the bundled model: they load, expand, and are refused when broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from vsdb.model.tiny_weights import TINY_CONFIG, TINY_FOLDER, TINY_WEIGHTS, load_tiny_state_dict, save_packed_state_dict


def test_bundled_weights_load_strictly_into_open_clip() -> None:
    model = CLIP(**json.loads(TINY_CONFIG.read_text()))
    model.load_state_dict(load_tiny_state_dict(), strict=True)
    with torch.no_grad():
        embedding = model.eval().encode_image(torch.zeros(1, 3, 128, 128))
    assert embedding.shape == (1, 640)
    assert embedding.dtype == torch.float32
    assert torch.isfinite(embedding).all()


def test_bundled_weights_are_small_and_attributed() -> None:
    assert TINY_WEIGHTS.stat().st_size <= 10_000_000
    assert "CC BY 4.0" in (TINY_FOLDER / "ATTRIBUTIONS.md").read_text()
    first_line = (TINY_FOLDER / "MODEL_CARD.md").read_text().splitlines()[0]
    assert "demonstration and tests" in first_line
    assert "RN50x4" in first_line


def test_token_table_has_all_rows_and_zeros_where_the_file_has_none() -> None:
    table = load_tiny_state_dict()["token_embedding.weight"]
    assert table.shape == (49408, 128)
    num_kept = int(table.any(dim=1).sum())
    assert 10_000 < num_kept < 49_408
    start_and_end_of_text = table[-2:]
    assert start_and_end_of_text.any(dim=1).all()


def test_packing_and_loading_give_the_state_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    table = torch.randn(50, 8)
    table[10:30] = 0
    state = {
        "token_embedding.weight": table,
        "transposed": torch.randn(3, 4).T,
        "counter": torch.tensor(7),
        "half": torch.randn(5).half(),
    }
    save_packed_state_dict(state, tmp_path / "packed.safetensors")
    loaded = load_tiny_state_dict(tmp_path / "packed.safetensors")

    assert loaded.keys() == state.keys()
    assert loaded["counter"] == 7
    assert loaded["half"].dtype == torch.float32
    torch.testing.assert_close(loaded["transposed"], state["transposed"], rtol=1e-3, atol=1e-6)
    assert not loaded["token_embedding.weight"][10:30].any()
    steps = table.abs().amax(dim=1, keepdim=True) / 127
    assert ((loaded["token_embedding.weight"] - table).abs() <= steps / 2 + 1e-6).all()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        load_tiny_state_dict(tmp_path / "nowhere.safetensors")


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, str(path))
    with pytest.raises(ValueError, match="not a packed state dict"):
        load_tiny_state_dict(path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(TINY_WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"cut\.safetensors"):
        load_tiny_state_dict(path)
