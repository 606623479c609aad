"""The article's way, step by step: Pillow crops, CLIP's own preprocessing, OpenAI's own model code in fp32."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pkg_resources, which it imports
    import clip

CONTEXT_LENGTH, VOCAB_SIZE, RN50X4_SIZE = 77, 49_408, 288


def random_openai_state_dict(architecture: str = "RN50x4") -> dict[str, torch.Tensor]:
    """Random weights of an architecture, in the names, number formats and company of OpenAI's own files."""
    torch.manual_seed(0)
    state_dict = open_clip.create_model(architecture).state_dict()
    state_dict.pop("attn_mask", None)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in state_dict.items():  # a fresh network's statistics are all 0 and 1, which would hide mistakes
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1, generator=generator)
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0, generator=generator)
    bookkeeping = {"input_resolution": RN50X4_SIZE, "context_length": CONTEXT_LENGTH, "vocab_size": VOCAB_SIZE}
    return {**state_dict, **{name: torch.tensor(value) for name, value in bookkeeping.items()}}


def save_as_openai_archive(state_dict: dict[str, torch.Tensor], path: Path) -> None:
    """Save as a TorchScript archive, which is what OpenAI's ``RN50x4.pt`` is."""
    root = torch.nn.Module()
    for name, tensor in state_dict.items():
        *parents, last = name.split(".")
        module = root
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, torch.nn.Module())
            module = getattr(module, parent)
        module.register_buffer(last, tensor)
    torch.jit.script(root).save(str(path))  # type: ignore[no-untyped-call]


class ArticleModel:
    """OpenAI's implementation, as in the article's notebook."""

    def __init__(self, state_dict: dict[str, torch.Tensor]) -> None:
        self._model: Any = clip.model.build_model(dict(state_dict)).float().eval()
        self._preprocess = clip.clip._transform(RN50X4_SIZE)

    def embed(self, image: NDArray[np.uint8], boxes: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32, shape (P, 640), rows of length 1."""
        picture = Image.fromarray(image)
        crops = [picture.crop((x, y, x + w, y + h)) for x, y, w, h in boxes.tolist()]
        with torch.no_grad():
            embeddings = self._model.encode_image(torch.stack([self._preprocess(crop) for crop in crops]))
        return torch.nn.functional.normalize(embeddings, dim=-1).numpy()

    def embed_prompt(self, prompt: str) -> NDArray[np.float32]:
        """float32, shape (640,), length 1."""
        with torch.no_grad():
            embedding = self._model.encode_text(clip.tokenize([prompt]))
        return torch.nn.functional.normalize(embedding, dim=-1)[0].numpy()
