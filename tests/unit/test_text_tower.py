"""What is read off a model, and which models are refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from vsdb.errors import ModelError
from vsdb.model.text_tower import extract_text_tower
from vsdb.model.tokenizer_rules import NUM_MERGES, read_tokenizer_rules, tokenizer_fingerprint

VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32}


def build_model(*, quick_gelu: bool = True, **text: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
    return open_clip.model.CLIP(32, VISION, sizes | text, quick_gelu=quick_gelu).eval()


def test_extracts_every_array_with_its_shape() -> None:
    model = build_model(layers=3)
    tower = extract_text_tower(model)
    assert (tower.width, tower.heads, len(tower.layers), tower.mlp_ratio) == (64, 2, 3, 4)
    assert (tower.context_length, tower.embedding_dim, tower.activation) == (77, 32, "quick_gelu")
    assert tower.token_embedding.shape == (49408, 64)
    assert tower.projection.shape == (32, 64)
    assert tower.layers[0].attention_in_weights.shape == (192, 64)
    assert tower.layers[2].mlp_out_weights.shape == (64, 256)
    np.testing.assert_array_equal(tower.projection.T, model.text_projection.detach().numpy())


def test_extracted_arrays_are_copies() -> None:
    model = build_model()
    tower = extract_text_tower(model)
    before = tower.final_gain.copy()
    with torch.no_grad():
        model.ln_final.weight.add_(1)
    np.testing.assert_array_equal(tower.final_gain, before)


def test_tells_gelu_from_quick_gelu() -> None:
    assert extract_text_tower(build_model(quick_gelu=False)).activation == "gelu"


def test_half_precision_weights_are_read() -> None:
    tower = extract_text_tower(build_model().half())
    assert tower.token_embedding.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ({"no_causal_mask": True}, "causal mask"),
        ({"pool_type": "last"}, "pooling by 'last'"),
        ({"proj_type": "none"}, "projection"),
        ({"proj_bias": True}, "projection"),
        ({"ls_init_value": 0.1}, "layer scale"),
        ({"qk_norm": True}, "CustomResidualAttentionBlock"),
        ({"vocab_size": 32000}, "32000 tokens"),
        ({"act_kwargs": {"approximate": "tanh"}}, "activation"),
        ({"mlp_ratio": 2.5}, "no multiple"),
        ({"norm_kwargs": {"eps": 1e-6}}, None),
    ],
)
def test_refuses_other_architectures(text: dict[str, Any], difference: str | None) -> None:
    model = build_model(quick_gelu="act_kwargs" not in text, **text)
    if difference is None:
        assert extract_text_tower(model).norm_epsilon == 1e-6
        return
    with pytest.raises(ModelError, match=difference) as error:
        extract_text_tower(model)
    assert "vsdb query" in str(error.value)


def test_refuses_layers_that_differ() -> None:
    model = build_model()
    model.transformer.resblocks[1].ln_1.eps = 1e-3
    with pytest.raises(ModelError, match="epsilons"):
        extract_text_tower(model)


def test_refuses_models_with_a_text_tower_of_their_own() -> None:
    with pytest.raises(ModelError, match="CustomTextCLIP"):
        extract_text_tower(open_clip.model.CustomTextCLIP(32, VISION, {"width": 64, "heads": 2, "layers": 1}))


def test_hash_changes_with_any_number() -> None:
    tower = extract_text_tower(build_model())
    bias = tower.layers[1].mlp_out_bias.copy()
    bias[3] += 1
    layer = dataclasses.replace(tower.layers[1], mlp_out_bias=bias)
    towers = [
        tower,
        dataclasses.replace(tower, layers=(tower.layers[0], layer)),
        dataclasses.replace(tower, heads=4),
        dataclasses.replace(tower, activation="gelu"),
    ]
    assert len({each.sha256 for each in towers}) == len(towers)
    assert extract_text_tower(build_model()).sha256 == tower.sha256


def test_storing_never_imports_torch() -> None:
    program = (
        "import sys, vsdb.database.text_tower, vsdb.model.tokenizer_rules as t; "
        "t.tokenizer_fingerprint(); print('torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output == "False\n"


def test_a_merge_ranks_above_its_parts() -> None:
    """vsdb.merge_bytes takes the token for the rank, and merges one pair at a time: both rest on this."""
    merges = read_tokenizer_rules().merges
    assert [token for _, _, token in merges] == list(range(512, 512 + NUM_MERGES))
    assert all(left < token and right < token for left, right, token in merges)


def test_fingerprint_is_stable() -> None:
    assert tokenizer_fingerprint() == tokenizer_fingerprint()
    assert len(tokenizer_fingerprint()) == 32
