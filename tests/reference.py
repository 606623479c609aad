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


def random_openai_state_dict() -> dict[str, torch.Tensor]:
    """Random weights of RN50x4, in the names and company of OpenAI's own files, all floats in half precision."""
    torch.manual_seed(0)
    module = open_clip.create_model("RN50x4")
    _show_pictures(module.visual)
    state_dict = module.half().state_dict()
    state_dict.pop("attn_mask", None)
    bookkeeping = {"input_resolution": RN50X4_SIZE, "context_length": CONTEXT_LENGTH, "vocab_size": VOCAB_SIZE}
    return {**state_dict, **{name: torch.tensor(value) for name, value in bookkeeping.items()}}


def _show_pictures(visual: torch.nn.Module) -> None:
    """Let a fresh picture tower tell pictures apart, which one with statistics of 0 and 1 hardly does.

    Its blocks end in gains of 0, so that it leaves most of itself out; these become small, as large ones would make
    it a chaos that amplifies rounding. Then its norms take their statistics from pictures.
    """
    generator = torch.Generator().manual_seed(1)
    for name, module in visual.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            lowest, highest = (0.05, 0.15) if name.endswith(".bn3") else (0.5, 1.5)
            torch.nn.init.uniform_(module.weight, lowest, highest, generator=generator)
            torch.nn.init.normal_(module.bias, 0, 0.2, generator=generator)
            module.momentum = None  # the plain mean of what comes
    pictures = np.stack([picture(seed) for seed in range(4)]).transpose(0, 3, 1, 2) / 255
    visual.train()
    with torch.no_grad():
        visual(torch.from_numpy((pictures - 0.45) / 0.27).float())
    visual.eval()


def picture(seed: int, side: int = RN50X4_SIZE) -> NDArray[np.uint8]:
    """A square of coloured squares of all sizes, as uneven as photographs are; RGB, shape (side, side, 3)."""
    rng = np.random.default_rng(seed)
    light = np.full((side, side, 3), 128.0)
    for cell in (1, 2, side // 36, side // 9, side // 3):
        cells = side // cell
        light += 40 * np.kron(rng.normal(size=(cells, cells, 3)), np.ones((cell, cell, 1)))
    return light.clip(0, 255).astype(np.uint8)


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
