"""The model in training: open_clip's CLIP with a token table that knows spelling.

While it trains, a token's row is a learned row (for the tokens of the training texts) plus the sum of
features of its letters, so that tokens which training never meets still get a meaningful row. At the end
the table is baked, and what ships is a plain open_clip state dict.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from typing import Any

import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import nn
from torch.nn import functional

from training.concepts import with_article
from training.package import TINY_CONFIG
from training.pictures import Prepared
from training.samples import EMPTY_TEMPLATES, PAIR_TEMPLATES, SIGN_TEMPLATES, TEMPLATES

NUM_FEATURES = 7400
KEPT_RANKS = 16_000
MAX_TOKENS = 30


@functools.cache
def tokenizer() -> SimpleTokenizer:
    """Return CLIP's tokenizer."""
    return SimpleTokenizer()


def tokenize(captions: list[str]) -> torch.Tensor:
    """Return token ids, int64, padded with 0 to the longest caption only: shape (N, longest)."""
    words = tokenizer()
    rows = [[words.sot_token_id, *words.encode(text)[:MAX_TOKENS], words.eot_token_id] for text in captions]
    tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return tokens


def spelling_features(token: str) -> list[int]:
    """Return a token's features: letters by place from both ends, length, and hashed pairs and triples.

    Only tokens of up to 14 plain letters have any; `token` is as the tokenizer spells it ("dog</w>").
    """
    is_end = token.endswith("</w>")
    word = token.removesuffix("</w>")
    if not re.fullmatch(r"[a-z]{1,14}", word):
        return []
    letters = [ord(letter) - ord("a") for letter in word]
    features = [1 + letter * 10 + min(place, 9) for place, letter in enumerate(letters)]
    if is_end:
        features += [261 + letter * 8 + min(place, 7) for place, letter in enumerate(reversed(letters))]
        features.append(469 + len(word))
    framed = "^" + word + ("$" if is_end else "")
    features += [500 + _hash(framed[i : i + 2]) % 900 for i in range(len(framed) - 1)]
    return features + [1400 + _hash(framed[i : i + 3]) % 6000 for i in range(len(framed) - 2)]


def _hash(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest(), 16)


def tokens_of_training(prepared: Prepared) -> list[int]:
    """Return the ids of every token that a training caption can hold, and the padding."""
    words = tokenizer()
    texts = {*TEMPLATES, *SIGN_TEMPLATES, *PAIR_TEMPLATES, *EMPTY_TEMPLATES, *prepared.words["training"]}
    texts |= {"brick wall grass water sand asphalt cloudy sky street at night background"}
    texts |= {"red orange yellow green blue purple pink brown black white gray"}
    texts |= {"circle square triangle star heart rectangle diamond hexagon cross ring oval arrow"}
    for concept in prepared.concepts:
        texts |= {*concept.words, *(with_article(word) for word in concept.words)}
    for entry in prepared.entries:
        texts |= {entry.title, *entry.words}
    ids = {0, words.sot_token_id, words.eot_token_id}
    return sorted(ids.union(*(words.encode(text) for text in texts)))


class SpellingTable(nn.Module):
    """Rows of the token table, made from a learned row and the token's spelling."""

    def __init__(self, width: int, known: list[int]) -> None:
        super().__init__()
        words = tokenizer()
        place = torch.zeros(words.vocab_size, dtype=torch.long)
        place[known] = torch.arange(1, len(known) + 1)
        features = [spelling_features(words.decoder[token]) for token in range(words.vocab_size)]
        padded = torch.zeros(words.vocab_size, max(map(len, features)), dtype=torch.long)
        for row, numbers in zip(padded, features, strict=True):
            row[: len(numbers)] = torch.tensor(numbers, dtype=torch.long)
        self.place: torch.Tensor
        self.features: torch.Tensor
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("features", padded, persistent=False)
        self.known = known
        self.learned = nn.Embedding(len(known) + 1, width, padding_idx=0)
        self.spelled = nn.EmbeddingBag(NUM_FEATURES, width, mode="sum", padding_idx=0)
        for table, deviation in ((self.learned, 0.02), (self.spelled, 0.008)):
            nn.init.normal_(table.weight, std=deviation)
            table.weight.data[0] = 0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the rows of tokens of any shape: float32, that shape and the width."""
        distinct, places = torch.unique(tokens, return_inverse=True)
        rows = self.spelled(self.features[distinct]) + self.learned(self.place[distinct])
        return torch.as_tensor(rows[places])

    @torch.no_grad()
    def bake(self) -> torch.Tensor:
        """Return the plain table: rows of known tokens, single letters, and common words; else zeros."""
        words = tokenizer()
        kept = {*self.known, *range(512)}
        common = range(512, 512 + KEPT_RANKS)
        kept |= {token for token in common if re.fullmatch(r"[a-z]+(</w>)?", words.decoder[token])}
        ids = torch.tensor(sorted(kept), device=self.learned.weight.device)
        table = torch.zeros(words.vocab_size, self.learned.embedding_dim)
        table[ids.cpu()] = self(ids).float().cpu()
        return table


class TinyClip(nn.Module):
    """The two towers and the heads of the helping losses."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__()
        config = json.loads(TINY_CONFIG.read_text())
        self.clip = CLIP(**config)
        self.clip.token_embedding = nn.Embedding(1, 1)
        self.clip.token_embedding.weight.requires_grad = False
        self.clip.logit_scale.data.fill_(math.log(20))
        self.table = SpellingTable(config["text_cfg"]["width"], tokens_of_training(prepared))
        self.concepts = nn.Embedding(len(prepared.concepts), config["embed_dim"])
        nn.init.normal_(self.concepts.weight, std=0.04)
        self.colours = nn.Linear(config["embed_dim"], 11)
        self.letters = nn.Linear(config["embed_dim"], 270)
        self.pair_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.pair_bias = nn.Parameter(torch.tensor(-10.0))

    def encode_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """Embed normalised float pictures of any size; return shape (N, 640), not of length 1."""
        visual = self.clip.visual
        seen = visual.stem(pictures)
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            seen = layer(seen)
        return pool_attention(visual.attnpool, seen)

    def encode_captions(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embed token ids; return shape (N, 640), rows of length 1. As CLIP's own, at any length."""
        length = tokens.shape[1]
        states = self.table(tokens) + self.clip.positional_embedding[:length]
        states = self.clip.transformer(states, attn_mask=self.clip.attn_mask[:length, :length])
        states = self.clip.ln_final(states)[torch.arange(len(tokens)), tokens.argmax(dim=-1)]
        return functional.normalize((states @ self.clip.text_projection).float(), dim=-1)

    def export(self) -> dict[str, torch.Tensor]:
        """Return the state dict that open_clip loads with `tiny.json`."""
        state = {name: value.detach().cpu().clone() for name, value in self.clip.state_dict().items()}
        state.pop("attn_mask", None)
        return state | {"token_embedding.weight": self.table.bake()}


def pool_attention(pool: Any, seen: torch.Tensor) -> torch.Tensor:
    """open_clip's AttentionPool2d for any grid: the positions of the full grid are interpolated.

    Only the first output is needed, so only its query is computed.
    """
    rows, columns = seen.shape[2:]
    positions = _positions(pool.positional_embedding, rows, columns)
    states = seen.flatten(2).permute(2, 0, 1)
    states = torch.cat([states.mean(dim=0, keepdim=True), states]) + positions[:, None].to(seen.dtype)
    pooled, _ = functional.multi_head_attention_forward(
        query=states[:1], key=states, value=states, embed_dim_to_check=states.shape[-1],
        num_heads=pool.num_heads, in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight, out_proj_bias=pool.c_proj.bias, use_separate_proj_weight=True,
        training=pool.training, need_weights=False, q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight,
    )  # fmt: skip
    return pooled[0]


def _positions(full: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    if len(full) == rows * columns + 1:
        return full
    side = math.isqrt(len(full) - 1)
    grid = full[1:].T.reshape(1, -1, side, side)
    scaled = functional.interpolate(grid, size=(rows, columns), mode="bilinear", align_corners=True)
    return torch.cat([full[:1], scaled[0].flatten(1).T])
