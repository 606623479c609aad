"""Work that CLIP's own ResNets do and an encoder can be spared: the outputs stay the same but for rounding."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own habit)
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(module: torch.nn.Module) -> None:
    """Rewrite an open_clip ModifiedResNet in evaluation mode, in place; any other network is left alone."""
    from open_clip.modified_resnet import ModifiedResNet  # warns when it is the first import of open_clip

    if isinstance(module, ModifiedResNet):
        fold_batch_norms(module)
        module.attnpool = OneQueryPool(module.attnpool)


def fold_batch_norms(module: torch.nn.Module) -> None:
    """Fold each batch norm into the convolution before it.

    Pairs are found as these networks name them (``conv1`` and ``bn1``) and where one follows the other in a
    ``Sequential``.
    """
    for parent in list(module.modules()):
        children = dict(parent.named_children())
        names = list(children)
        if isinstance(parent, torch.nn.Sequential):
            pairs = list(pairwise(names))
        else:
            pairs = [(name, name.replace("conv", "bn")) for name in names if name.startswith("conv")]
        for first, second in pairs:
            conv, norm = children[first], children.get(second)
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(parent, first, fuse_conv_bn_eval(conv, norm))
                setattr(parent, second, torch.nn.Identity())


class OneQueryPool(torch.nn.Module):
    """CLIP's attention pooling for the one query whose output is used: that of the mean.

    With one query, projecting every place of the grid to a key and a value is the same as projecting the query back
    (q . (K x) = (K'q) . x) and the weighted sum of places once. The keys' bias is the same for all places, so the
    softmax drops it. RN50x4 is spared 3.4 of its 42.6 GFLOP a picture.
    """

    def __init__(self, pool: Any) -> None:
        """
        Args:
            pool: open_clip's AttentionPool2d, whose parameters are taken over.
        """
        super().__init__()
        heads, width = pool.num_heads, pool.positional_embedding.shape[1]
        self.positional_embedding = pool.positional_embedding
        self.q_proj, self.c_proj = pool.q_proj, pool.c_proj
        self.keys = torch.nn.Parameter(pool.k_proj.weight.detach().view(heads, -1, width).clone())
        self.values = torch.nn.Parameter(pool.v_proj.weight.detach().view(heads, -1, width).clone())
        self.values_bias = pool.v_proj.bias

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Pool features (N, width, rows, columns) to (N, output dimension)."""
        places = grid.flatten(2).transpose(1, 2)
        places = torch.cat([places.mean(dim=1, keepdim=True), places], dim=1) + self.positional_embedding
        query = self.q_proj(places[:, 0]).unflatten(1, self.keys.shape[:2]) * self.keys.shape[1] ** -0.5
        asked = torch.einsum("nhd,hdc->nhc", query, self.keys)
        attention = F.softmax((asked @ places.transpose(1, 2)).float(), dim=-1).to(places.dtype)
        values = torch.einsum("nhc,hdc->nhd", attention @ places, self.values)
        pooled: torch.Tensor = self.c_proj(values.flatten(1) + self.values_bias)
        return pooled
