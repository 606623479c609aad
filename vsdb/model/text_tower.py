"""The text tower of a model as numpy arrays, and what it must be for `vsdb.embed` to compute it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vsdb.errors import ModelError

if TYPE_CHECKING:
    import torch

Float32 = npt.NDArray[np.float32]

VOCAB_SIZE = 49408
"""Tokens of OpenAI's byte-pair encoding: the one that `vsdb.tokenize` knows."""


@dataclass(frozen=True)
class TextLayer:
    """One layer of the transformer; all arrays float32, W the tower's width, H = mlp_ratio * W."""

    attention_gain: Float32
    """Shape (W,): gain of the layer normalisation before attention."""
    attention_bias: Float32
    """Shape (W,): its bias."""
    attention_in_weights: Float32
    """Shape (3 W, W): queries, keys and values, in this order."""
    attention_in_bias: Float32
    """Shape (3 W,)."""
    attention_out_weights: Float32
    """Shape (W, W)."""
    attention_out_bias: Float32
    """Shape (W,)."""
    mlp_gain: Float32
    """Shape (W,): gain of the layer normalisation before the perceptron."""
    mlp_bias: Float32
    """Shape (W,): its bias."""
    mlp_in_weights: Float32
    """Shape (H, W)."""
    mlp_in_bias: Float32
    """Shape (H,)."""
    mlp_out_weights: Float32
    """Shape (W, H)."""
    mlp_out_bias: Float32
    """Shape (W,)."""


@dataclass(frozen=True)
class TextTower:
    """A text transformer of OpenAI's CLIP architecture (Radford et al. 2021); all arrays float32."""

    width: int
    """Numbers that describe a token between layers (W)."""
    heads: int
    """Attention heads of a layer."""
    mlp_ratio: int
    """Width of the perceptron's hidden layer, in W."""
    context_length: int
    """Most tokens of a prompt, start and end included (C)."""
    embedding_dim: int
    """Numbers in an embedding (E)."""
    activation: str
    """"quick_gelu" or "gelu"."""
    norm_epsilon: float
    """What layer normalisation adds to the variance."""
    token_embedding: Float32
    """Shape (vocabulary, W)."""
    position_embedding: Float32
    """Shape (C, W)."""
    layers: tuple[TextLayer, ...]
    """From the first to the last."""
    final_gain: Float32
    """Shape (W,): gain of the last layer normalisation."""
    final_bias: Float32
    """Shape (W,): its bias."""
    projection: Float32
    """Shape (E, W): from the last token to the embedding."""

    @property
    def sha256(self) -> bytes:
        """SHA-256 of all numbers and arrays, 32 bytes: equal towers have equal hashes."""
        digest = hashlib.sha256()
        parts: tuple[TextTower | TextLayer, ...] = (self, *self.layers)
        for part in parts:
            for field in fields(part):
                value = getattr(part, field.name)
                if isinstance(value, np.ndarray):
                    digest.update(f"{field.name} {value.shape}".encode())
                    digest.update(np.ascontiguousarray(value, dtype="<f4").data)
                elif field.name != "layers":
                    digest.update(f"{field.name}={value}".encode())
        return digest.digest()


def extract_text_tower(module: torch.nn.Module) -> TextTower:
    """Read the text tower of an open_clip `CLIP` module.

    Args:
        module: the model, its text weights in any float dtype, on any device.

    Returns:
        Copies of the weights as float32.

    Raises:
        ModelError: the text tower has another architecture than OpenAI's; the message names the difference.
    """
    model: Any = module
    _check_architecture(model)
    blocks = list(model.transformer.resblocks)
    width = int(model.token_embedding.weight.shape[1])
    return TextTower(
        width=width,
        heads=int(blocks[0].attn.num_heads),
        mlp_ratio=int(blocks[0].mlp.c_fc.weight.shape[0]) // width,
        context_length=int(model.positional_embedding.shape[0]),
        embedding_dim=int(model.text_projection.shape[1]),
        activation=_activation(blocks[0]) or "",
        norm_epsilon=float(model.ln_final.eps),
        token_embedding=_array(model.token_embedding.weight),
        position_embedding=_array(model.positional_embedding),
        layers=tuple(_layer(block) for block in blocks),
        final_gain=_array(model.ln_final.weight),
        final_bias=_array(model.ln_final.bias),
        projection=np.ascontiguousarray(_array(model.text_projection).T),
    )


def _array(tensor: Any) -> Float32:
    array: Float32 = tensor.detach().to("cpu").float().numpy().copy()
    return array


def _layer(block: Any) -> TextLayer:
    return TextLayer(
        attention_gain=_array(block.ln_1.weight),
        attention_bias=_array(block.ln_1.bias),
        attention_in_weights=_array(block.attn.in_proj_weight),
        attention_in_bias=_array(block.attn.in_proj_bias),
        attention_out_weights=_array(block.attn.out_proj.weight),
        attention_out_bias=_array(block.attn.out_proj.bias),
        mlp_gain=_array(block.ln_2.weight),
        mlp_bias=_array(block.ln_2.bias),
        mlp_in_weights=_array(block.mlp.c_fc.weight),
        mlp_in_bias=_array(block.mlp.c_fc.bias),
        mlp_out_weights=_array(block.mlp.c_proj.weight),
        mlp_out_bias=_array(block.mlp.c_proj.bias),
    )


def _activation(block: Any) -> str | None:
    name = type(block.mlp.gelu).__name__
    if name == "QuickGELU":
        return "quick_gelu"
    return "gelu" if name == "GELU" and block.mlp.gelu.approximate == "none" else None


def _check_architecture(model: Any) -> None:
    """Raise ModelError unless `vsdb.embed` would compute exactly what this module computes."""
    for difference in _differences(model):
        raise ModelError(
            f"unsupported text architecture: {difference}; vsdb.embed computes OpenAI's "
            'CLIP text transformer only. The model is still usable: "vsdb query" embeds its prompts in Python'
        )


def _differences(model: Any) -> Iterator[str]:
    """What is not as in OpenAI's text transformer, first the differences that later checks rely on."""
    parts = ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection")
    if type(model).__name__ != "CLIP" or not all(hasattr(model, part) for part in parts):
        yield f"the model is a {type(model).__name__}, not an open_clip CLIP"
    if model.token_embedding.weight.shape[0] != VOCAB_SIZE:
        yield f"{model.token_embedding.weight.shape[0]} tokens, not {VOCAB_SIZE}"
    if model.text_pool_type != "argmax":
        yield f"pooling by {model.text_pool_type!r}, not at the end token"
    if getattr(model.text_projection, "ndim", None) != 2:
        yield "a projection that is not one matrix"
    if not _is_causal(model.attn_mask):
        yield "attention without the causal mask"
    for block in model.transformer.resblocks:
        yield from _block_differences(block, int(model.token_embedding.weight.shape[1]), model.ln_final.eps)
    shapes = {(_activation(b), b.attn.num_heads, b.mlp.c_fc.weight.shape) for b in model.transformer.resblocks}
    if len(shapes) != 1:
        yield "layers that differ from one another"


def _is_causal(mask: Any) -> bool:
    if mask is None:
        return False
    allowed = np.tril(np.ones(tuple(mask.shape), dtype=bool))
    return bool(np.array_equal(_array(mask), np.where(allowed, 0, -np.inf)))


def _block_differences(block: Any, width: int, epsilon: float) -> Iterator[str]:
    if type(block).__name__ != "ResidualAttentionBlock" or hasattr(block, "ln_1_kv"):
        yield f"layers of type {type(block).__name__}"
    if {type(block.ls_1).__name__, type(block.ls_2).__name__} != {"Identity"}:
        yield "layer scale"
    if block.attn.in_proj_weight is None or block.attn.in_proj_bias is None or block.attn.bias_k is not None:
        yield "attention without one input matrix and bias"
    if _activation(block) is None:
        yield f"activation {block.mlp.gelu}"
    if block.mlp.c_fc.weight.shape[0] % width != 0:
        yield f"a perceptron of {block.mlp.c_fc.weight.shape[0]}, which is no multiple of the width {width}"
    if {block.ln_1.eps, block.ln_2.eps} != {epsilon}:
        yield "layer normalisations with different epsilons"
