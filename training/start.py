"""Begin a run at weights that were packed before, instead of at random ones.

A packed file holds the baked token table. The features of spelling are found again from the rows of tokens that
training never met, which are nothing but sums of features; what is left of the other rows was learned.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from training.concepts import with_article
from training.pictures import Prepared
from training.tower import SpellingTable, TinyClip, tokenize
from vsdb.model.tiny_weights import load_tiny_state_dict

KNOWN_WEIGHT = 0.05  # a learned row says little about the features of its spelling
RIDGE = 1e-3
CAPTIONS_A_BATCH = 256


@torch.no_grad()
def start_from(model: TinyClip, weights: Path, prepared: Prepared) -> None:
    """Load packed weights into a model in training; its concepts begin at the embeddings of their names."""
    state = load_tiny_state_dict(weights)
    baked = state.pop("token_embedding.weight").float()
    missing = model.clip.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    assert set(missing.missing_keys) <= {"token_embedding.weight", "attn_mask"}, missing
    assert not missing.unexpected_keys, missing
    unbake(model.table, baked)
    captions = [f"a photo of {with_article(concept.display)}" for concept in prepared.concepts]
    parts = [captions[i : i + CAPTIONS_A_BATCH] for i in range(0, len(captions), CAPTIONS_A_BATCH)]
    model.concepts.weight.copy_(torch.cat([model.encode_captions(tokenize(part)) for part in parts]))


@torch.no_grad()
def unbake(table: SpellingTable, baked: torch.Tensor) -> None:
    """Split rows of a baked table (vocabulary, width) into features of spelling and learned rows."""
    kept = torch.nonzero((baked.abs().sum(dim=1) > 0) & (table.features.sum(dim=1) > 0)).flatten()
    weight = torch.where(table.place[kept] > 0, KNOWN_WEIGHT, 1.0)
    counts = torch.zeros(len(kept), table.spelled.num_embeddings)
    counts.scatter_add_(1, table.features[kept], torch.ones_like(table.features[kept], dtype=torch.float32))
    counts[:, 0] = 0  # the padding
    weighted = counts * weight[:, None]
    gram = weighted.T @ weighted + RIDGE * torch.eye(counts.shape[1])
    features = torch.cholesky_solve(weighted.T @ (baked[kept] * weight[:, None]), torch.linalg.cholesky(gram))
    table.spelled.weight.copy_(features)
    known = torch.tensor(table.known)
    sums = functional.embedding_bag(table.features[known], table.spelled.weight, mode="sum", padding_idx=0)
    learned = torch.where(baked[known].abs().sum(dim=1, keepdim=True) > 0, baked[known] - sums, 0.0)
    table.learned.weight[1:] = learned
