"""Folding changes nothing but the work."""

from __future__ import annotations

import copy

import pytest
import torch

from vsdb.model.folding import OneQueryPool, fold
from vsdb.model.load import load_model


def norms_in(module: torch.nn.Module) -> int:
    return sum(isinstance(each, torch.nn.BatchNorm2d) for each in module.modules())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_folded_outputs_are_the_same() -> None:
    plain = load_model("tiny").module.visual
    folded = copy.deepcopy(plain)
    fold(folded)
    assert (norms_in(plain) > 20, norms_in(folded)) == (True, 0)
    side = plain.image_size[0] if isinstance(plain.image_size, tuple) else plain.image_size
    pictures = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        cosines = torch.nn.functional.cosine_similarity(plain(pictures), folded(pictures))
    assert cosines.min() > 0.999999


def test_other_networks_are_left_alone() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)).eval()
    fold(network)
    assert norms_in(network) == 1


def test_one_query_pools_as_open_clip_does() -> None:
    from open_clip.modified_resnet import AttentionPool2d

    torch.manual_seed(0)
    pool = AttentionPool2d(3, 32, 4, 10).double().eval()
    for projection in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj):
        torch.nn.init.normal_(projection.weight)
        torch.nn.init.normal_(projection.bias)
    grid = torch.randn(5, 32, 3, 3, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.allclose(OneQueryPool(pool)(grid), pool(grid), atol=1e-10)
