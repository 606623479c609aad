"""Weights: every format that people have, the right activation, and nothing that runs code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests import reference
from vsdb.errors import ModelError
from vsdb.model.encoder import Encoder
from vsdb.model.load import OPENAI_BOOKKEEPING, build_random, load_model, read_state_dict

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

PROMPT = "a laundromat sign"


@pytest.fixture(scope="module")
def openai_weights() -> dict[str, torch.Tensor]:
    return reference.random_openai_state_dict()


@pytest.fixture(scope="module")
def openai_archive(openai_weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("weights") / "RN50x4.pt"
    reference.save_as_openai_archive(openai_weights, path)
    yield path
    path.unlink()  # 700 MB


def test_openai_s_archive_gives_openai_s_text_embedding(
    openai_archive: Path, openai_weights: dict[str, torch.Tensor]
) -> None:
    """QuickGELU: with plain GELU the cosine is 0.9999, not 1."""
    encoder = Encoder(load_model("RN50x4", weights=openai_archive))
    expected = reference.ArticleModel(openai_weights).embed_prompt(PROMPT)
    assert float(encoder.embed_prompt(PROMPT) @ expected) > 0.999999


def test_every_format_is_the_same_model(
    openai_archive: Path, openai_weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    plain = {name: tensor.half() for name, tensor in openai_weights.items() if name not in OPENAI_BOOKKEEPING}
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in plain.items()}}, tmp_path / "trained.pt")
    save_file({name: tensor.contiguous() for name, tensor in plain.items()}, tmp_path / "hub.safetensors")
    hashes = {
        load_model("RN50x4", weights=path).info.weights_sha256
        for path in (openai_archive, tmp_path / "trained.pt", tmp_path / "hub.safetensors")
    }
    assert len(hashes) == 1


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
    openai_weights: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout that the hub's client leaves behind, found again without network."""
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--timm--resnet50x4_clip.openai"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    plain = {name: tensor.half() for name, tensor in openai_weights.items() if name not in OPENAI_BOOKKEEPING}
    save_file(plain, repository / "snapshots" / commit / "open_clip_model.safetensors")
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


def test_a_weights_file_needs_no_tag(tmp_path: Path) -> None:
    """ViT-H-14 has several; the file is asked for first, so that nothing of its size is built here."""
    with pytest.raises(ModelError, match="no weights file"):
        load_model("ViT-H-14", weights=tmp_path / "absent.pt")
    with pytest.raises(ModelError, match="ViT-H-14:laion9b.* needs a pretrained tag"):
        load_model("ViT-H-14:laion9b", weights=tmp_path / "absent.pt")


def test_the_only_tag_need_not_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="the weights of PE-Core-T-16-384 .* are not on this machine"):
        load_model("PE-Core-T-16-384")


def test_a_file_in_clip_s_names_fits_a_text_tower_in_a_module_of_its_own(tmp_path: Path) -> None:
    module = build_random("MobileCLIP2-B").module
    named = {name.removeprefix("text."): each.half().contiguous() for name, each in module.state_dict().items()}
    save_file(named, tmp_path / "old.safetensors")
    loaded = load_model("MobileCLIP2-B", weights=tmp_path / "old.safetensors").module
    assert torch.equal(loaded.text.ln_final.weight, module.text.ln_final.weight)


def test_tiny_is_described() -> None:
    info = load_model("tiny").info
    assert (info.embedding_dim, info.image_size, info.resize_mode) == (640, 128, "shortest")
    assert np.allclose(info.image_mean, (0.48145466, 0.4578275, 0.40821073))
    assert len(info.weights_sha256) == 32
