"""Weights: every format that people have, the right activation, and nothing that runs code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vsdb.errors import ModelError
from vsdb.model.load import OPENAI_BOOKKEEPING, StateDict, load_model, read_state_dict

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def hub_file(openai_weights: StateDict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """OpenAI's weights as the hub has them."""
    path = tmp_path_factory.mktemp("hub") / "open_clip_model.safetensors"
    save_file(without_bookkeeping(openai_weights), path)
    yield path
    path.unlink()  # 350 MB


def without_bookkeeping(weights: StateDict) -> StateDict:
    return {name: tensor for name, tensor in weights.items() if name not in OPENAI_BOOKKEEPING}


def test_every_format_is_the_same_model(
    openai_archive: Path, openai_weights: StateDict, hub_file: Path, tmp_path: Path
) -> None:
    trained = {f"module.{name}": tensor for name, tensor in without_bookkeeping(openai_weights).items()}
    torch.save({"epoch": 3, "state_dict": trained}, tmp_path / "trained.pt")
    paths = (openai_archive, tmp_path / "trained.pt", hub_file)
    assert len({load_model("RN50x4", weights=path).info.weights_sha256 for path in paths}) == 1


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    (tmp_path / "trap.pt").write_bytes(pickle.dumps({"state_dict": Trap()}))
    torch.save({"state_dict": Trap()}, tmp_path / "trap_in_a_zip.pt")
    for name in ("trap.pt", "trap_in_a_zip.pt"):
        with pytest.raises(ModelError, match="cannot read weights"):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "trapped").exists()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tiny = load_model("tiny")
    save_file({k: v.contiguous() for k, v in tiny.module.state_dict().items()}, tmp_path / "tiny.safetensors")
    with pytest.raises(ModelError, match="the weights do not fit RN50x4"):
        load_model("RN50x4", weights=tmp_path / "tiny.safetensors")
    save_file({"something.else": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="the weights do not fit tiny: .* names differ"):
        load_model("tiny", weights=tmp_path / "other.safetensors")


def test_missing_and_broken_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights file"):
        load_model("RN50x4", weights=tmp_path / "absent.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="cannot read weights"):
        load_model("RN50x4", weights=tmp_path / "broken.safetensors")


def test_without_network_the_error_names_size_flag_and_alternative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"RN50x4 \(about 350 MB\).*--weights FILE.*--model tiny"):
        load_model("RN50x4")


def test_the_hub_s_file_is_read_where_it_is_on_the_machine(
    hub_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout that the hub's client leaves behind, found again without network."""
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--timm--resnet50x4_clip.openai"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / hub_file.name).symlink_to(hub_file)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    info = load_model("RN50x4").info
    assert (info.model_name, info.embedding_dim, info.image_size) == ("RN50x4", 640, 288)
    assert info.weights_path is None


@pytest.mark.parametrize("name", ["RN50x5", "clip", "../tiny", ""])
def test_an_unknown_model_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="unknown model"):
        load_model(name)


def test_an_ambiguous_model_lists_its_tags() -> None:
    with pytest.raises(ModelError, match="needs a pretrained tag; supported are ViT-H-14:laion2b_s32b_b79k"):
        load_model("ViT-H-14")


def test_tiny_is_described() -> None:
    info = load_model("tiny").info
    assert (info.embedding_dim, info.image_size) == (640, 128)
    assert (info.resize_mode, info.interpolation) == ("shortest", "bicubic")
    assert info.image_mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert info.image_std == pytest.approx((0.26862954, 0.26130258, 0.27577711))
    assert len(info.weights_sha256) == 32
