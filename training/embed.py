"""The packed model as the training tools use it: pictures and prompts in, embeddings out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP
from PIL import Image

from training.icons import Picture
from training.package import TINY_CONFIG, TINY_WEIGHTS
from vsdb.model.tiny_weights import load_tiny_state_dict


def build_model(state: dict[str, torch.Tensor]) -> CLIP:
    """Return open_clip's CLIP of `tiny.json` with these weights, float32, in eval mode."""
    model = CLIP(**json.loads(TINY_CONFIG.read_text()))
    model.load_state_dict(state)
    return model.eval()


class TinyEncoder:
    """Embeds with the packed weights, through open_clip's own preprocessing and tokenizer."""

    def __init__(self, weights: Path = TINY_WEIGHTS) -> None:
        self.model = build_model(load_tiny_state_dict(weights))
        self.preprocess = open_clip.image_transform(self.model.visual.image_size, is_train=False)

    @torch.no_grad()
    def embed_images(self, images: Iterable[Picture], batch_size: int = 64) -> torch.Tensor:
        """Embed uint8 RGB pictures of any size; return float32, shape (N, 640), rows of length 1."""
        pending, embeddings = iter(images), []
        while batch := list(islice(pending, batch_size)):
            pictures = torch.stack([self.preprocess(Image.fromarray(np.asarray(image))) for image in batch])
            embeddings.append(self.model.encode_image(pictures, normalize=True))
        return torch.cat(embeddings)

    @torch.no_grad()
    def embed_prompts(self, prompts: list[str], batch_size: int = 256) -> torch.Tensor:
        """Embed prompts; return float32, shape (N, 640), rows of length 1."""
        tokens = open_clip.tokenize(prompts).split(batch_size)
        return torch.cat([self.model.encode_text(some, normalize=True) for some in tokens])
