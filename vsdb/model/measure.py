"""How fast a model is on this machine."""

from __future__ import annotations

import time

import torch

from vsdb.model.encoder import Encoder
from vsdb.model.load import build_random

SECONDS = 5.0
CPU_PICTURES = 16  # at once: on a CPU no slower than full batches, of which one can take half a minute


def pictures_a_second(name: str, *, device: str = "auto") -> float:
    """Pictures that a model embeds a second, many at once, with random weights: these are as fast as any.

    On a CPU processor time is measured, which other work on the machine does not lengthen.

    Args:
        name: as for :func:`vsdb.model.load.load_model`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        ModelError: unknown name, or no such device.
    """
    encoder = Encoder(build_random(name), device=device)
    side = encoder.info.image_size
    num_pictures = CPU_PICTURES if encoder.device.type == "cpu" else encoder.batch_size
    pictures = torch.randint(0, 256, (num_pictures, 3, side, side), dtype=torch.uint8, device=encoder.device)
    encoder.fetch([encoder.encode([pictures])])  # the first batch sets up what later ones find
    began, done = _seconds(encoder), 0
    while (seconds := _seconds(encoder) - began) < SECONDS:
        encoder.fetch([encoder.encode([pictures])])
        done += len(pictures)
    return done / seconds


def _seconds(encoder: Encoder) -> float:
    """Of the clock, or of one core where several compute together."""
    return time.process_time() / torch.get_num_threads() if encoder.device.type == "cpu" else time.monotonic()
