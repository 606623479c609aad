"""From frames and prompts to embeddings, on the device: cut, resize, normalise, encode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own habit)
from numpy.typing import NDArray
from torchvision.transforms import functional as transforms

from vsdb.errors import ModelError
from vsdb.model.folding import fold
from vsdb.model.load import LoadedModel
from vsdb.stopping import StoppedError

ModelInput = torch.Tensor
"""Patches at the size that the model reads: uint8 RGB, shape (P, 3, image_size, image_size), on the device."""
OnDevice = torch.Tensor
"""Embeddings: float16, shape (P, embedding_dim), rows of length 1, on the device."""

MAX_ASPECT = 4
BATCH_SIZES = {"cuda": 512, "mps": 128, "cpu": 64}


class Encoder:
    """Embeds patches and prompts with one model on one device.

    The picture tower runs in bf16 or fp16 where the device is faster with it, prompts always in fp32. On a CPU
    patches are resized in uint8, which gives the same bytes as Pillow; elsewhere in float, within two levels of it.
    """

    def __init__(self, model: LoadedModel, *, device: str = "auto") -> None:
        self.info = model.info
        self.device = choose_device(device)
        self.dtype = fast_dtype(self.device)
        self.batch_size = BATCH_SIZES[self.device.type]
        """Patches worth embedding at once, and no more than the device has memory for."""
        self._module: Any = model.module
        self._tokenizer = model.tokenizer
        self._visual: Any = self._module.visual
        fold(self._visual)
        self._visual.to(device=self.device, dtype=self.dtype, memory_format=torch.channels_last)
        self.is_stopped = False
        """Set by another thread to end :meth:`encode` at the next layer: on a CPU a batch can take many seconds."""
        for layer in self._visual.modules():
            layer.register_forward_pre_hook(self._check_stop)
        self._mean = 255 * torch.tensor(self.info.image_mean, device=self.device).view(1, 3, 1, 1)
        self._std = 255 * torch.tensor(self.info.image_std, device=self.device).view(1, 3, 1, 1)

    def embed_frames(self, images: Sequence[NDArray[np.uint8]], boxes: NDArray[np.int32]) -> NDArray[np.float16]:
        """Embed every patch of some frames and L2-normalise.

        Args:
            images: N frames, RGB in [0, 255], all of shape (H, W, 3).
            boxes: int32, shape (P, 4), rows of x, y, width, height in pixels; a box that is not square goes
                through the model's own preprocessing for whole images (for CLIP: shortest side, centre crop).

        Returns:
            float16, shape (N, P, embedding_dim), embeddings of length 1.
        """
        parts = []
        for image in images:
            # A fine grid over a large frame is cut in parts: its source pixels alone could fill the memory.
            size = self.batch_size  # it may become less on the way
            for start in range(0, len(boxes), size):
                parts.append(self.encode([self.cut(image, boxes[start : start + size])]))
        return self.fetch(parts).reshape(len(images), len(boxes), -1)

    def cut(self, image: NDArray[np.uint8], boxes: NDArray[np.int32]) -> ModelInput:
        """Cut boxes out of a frame and bring each to the model's size.

        Args:
            image: RGB in [0, 255], shape (H, W, 3).
            boxes: as for :meth:`embed_frames`.
        """
        frame = self._upload(image).permute(2, 0, 1)
        pieces = [frame[:, y : y + height, x : x + width] for x, y, width, height in boxes.tolist()]
        # Neighbours of one shape at once: a GPU would have to be told and waited for to gather them from elsewhere.
        alike = (list(group) for _, group in groupby(pieces, key=lambda piece: piece.shape))
        resized = [part for group in alike for part in self._in_batches(group, self._resize)]
        return torch.cat(resized) if resized else self._no_patches()

    def encode(self, inputs: Sequence[ModelInput]) -> OnDevice:
        """Normalise and encode patches; a GPU may still be at it when this returns.

        Returns:
            Rows for the patches, one after the other.

        Raises:
            StoppedError: ``is_stopped`` was set.
        """
        with torch.inference_mode():
            if not sum(map(len, inputs)):
                return torch.empty((0, self.info.embedding_dim), dtype=torch.float16, device=self.device)
            return torch.cat(list(self._in_batches(torch.cat(list(inputs)), self._encode)))

    def fetch(self, embeddings: Sequence[OnDevice]) -> NDArray[np.float16]:
        """Wait for embeddings and bring them from the device, one after the other; shape (N, embedding_dim)."""
        fetched: NDArray[np.float16] = torch.cat(list(embeddings)).cpu().numpy()
        return fetched

    def embed_image(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed one whole image, RGB of shape (H, W, 3), and L2-normalise; float32, shape (embedding_dim,)."""
        height, width = image.shape[:2]
        whole = np.array([[0, 0, width, height]], dtype=np.int32)
        embedding: NDArray[np.float32] = self.embed_frames([image], whole)[0, 0].astype(np.float32)
        return embedding

    def embed_prompt(self, prompt: str) -> NDArray[np.float32]:
        """Embed one prompt in fp32 on the CPU and L2-normalise; float32, shape (embedding_dim,)."""
        with torch.inference_mode():
            embedding = self._module.encode_text(self._tokenizer([prompt]))
            unit: NDArray[np.float32] = F.normalize(embedding.float(), dim=-1)[0].numpy()
        return unit

    def _in_batches(
        self, patches: torch.Tensor | list[torch.Tensor], work: Callable[[torch.Tensor], torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Do something to patches of one shape, as many at once as the device has memory for.

        Where it has not, ``batch_size`` is halved for good: the next batch would not fit either.
        """
        start, size = 0, self.batch_size
        while start < len(patches):
            batch = patches[start : start + size]
            try:
                done = work(torch.stack(batch) if isinstance(batch, list) else batch)
            except RuntimeError as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                done = None  # and go on outside: the error holds what was in memory
            if done is not None:
                yield done
                start += len(batch)
                continue
            size = len(batch) // 2
            self.batch_size = max(1, self.batch_size // 2)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _no_patches(self) -> ModelInput:
        side = self.info.image_size
        return torch.empty((0, 3, side, side), dtype=torch.uint8, device=self.device)

    def _upload(self, image: NDArray[np.uint8]) -> torch.Tensor:
        frame = torch.from_numpy(image)
        if self.device.type == "cuda":  # from pinned memory the copy goes on while the CPU does other things
            return frame.pin_memory().to(self.device, non_blocking=True)
        return frame.to(self.device)

    def _encode(self, patches: ModelInput) -> torch.Tensor:
        normalised = (patches.float() - self._mean) / self._std
        embeddings = self._visual(normalised.to(self.dtype, memory_format=torch.channels_last))
        return F.normalize(embeddings.float(), dim=-1).half()

    def _check_stop(self, *_: object) -> None:
        if self.is_stopped:
            raise StoppedError

    def _resize(self, patches: torch.Tensor) -> torch.Tensor:
        """Bring patches (N, 3, h, w) of one shape to the model's square, as open_clip's own transform does."""
        if self.device.type != "cpu":
            patches = patches.float()  # only CPUs resize bytes
        height, width = patches.shape[-2:]
        if self.info.resize_mode == "shortest" and max(height, width) > MAX_ASPECT * min(height, width):
            # The crop would throw these ends away anyway, after a resize that a very long picture makes huge.
            height, width = (min(side, MAX_ASPECT * min(height, width)) for side in (height, width))
            patches = transforms.center_crop(patches, [height, width])
        side = self.info.image_size
        if height == width or self.info.resize_mode == "squash":
            new_height = new_width = side
        elif self.info.resize_mode == "shortest":
            new_height = max(side, int(side * height / width))
            new_width = max(side, int(side * width / height))
        else:
            new_height = round(side * height / max(height, width))
            new_width = round(side * width / max(height, width))
        mode = self.info.interpolation
        antialias = mode != "nearest"
        resized = F.interpolate(patches, size=(new_height, new_width), mode=mode, antialias=antialias)
        if resized.is_floating_point():
            resized = resized.clamp(0, 255).round().to(torch.uint8)  # bicubic overshoots; uint8 saturates by itself
        square: torch.Tensor = transforms.center_crop(resized, [side, side])
        return square


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        ModelError: that device is not there, with what torch sees instead.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(each for each, there in available.items() if there))
    if name not in available:
        raise ModelError(f'unknown device "{name}"; supported are auto, cpu, cuda and mps')
    if not available[name]:
        there = ", ".join(each for each, yes in available.items() if yes)
        raise ModelError(f'device "{name}" is not available to torch {torch.__version__}; available: {there}')
    return torch.device(name)


def fast_dtype(device: torch.device) -> torch.dtype:
    """The number format in which this device embeds fastest within the parity that the tests ask for."""
    if device.type == "cuda":
        # Cards before Ampere only emulate bf16, which is many times slower than their fp16.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_bf16 else torch.float32


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device lacked memory; MPS, cuBLAS, cuDNN and CPUs say so in words alone."""
    said = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)
