"""How fast a model is on this machine."""

from __future__ import annotations

import time

import torch

from vsdb.model.encoder import Encoder
from vsdb.model.load import build_random

SECONDS = 5.0


def pictures_a_second(name: str, *, device: str = "auto") -> float:
    """Pictures that a model embeds a second, in full batches, with random weights: these are as fast as any.

    Args:
        name: as for :func:`vsdb.model.load.load_model`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ModelError: unknown name, or no such device.
    """
    encoder = Encoder(build_random(name), device=device)
    side = encoder.info.image_size
    pictures = torch.randint(0, 256, (encoder.batch_size, 3, side, side), dtype=torch.uint8, device=encoder.device)
    encoder.fetch([encoder.encode([pictures])])  # the first batch sets up what later ones find
    began, done = time.monotonic(), 0
    while (seconds := time.monotonic() - began) < SECONDS:
        encoder.fetch([encoder.encode([pictures])])
        done += len(pictures)
    return done / seconds
