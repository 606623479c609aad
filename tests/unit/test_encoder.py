"""How an encoder copes with a device whose memory is too small; what it computes is held against CLIP elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vsdb.media.patches import patch_boxes
from vsdb.model.encoder import Encoder
from vsdb.model.load import load_model

BOXES = patch_boxes(320, 180, patch_size=45, stride=20)


@pytest.fixture
def image() -> Any:
    return np.random.default_rng(1).integers(0, 256, (180, 320, 3), np.uint8)


def encoder_with_room_for(num_patches: int) -> Encoder:
    """An encoder whose network runs out of memory, as torch says it, beyond so many patches at once."""
    encoder = Encoder(load_model("tiny"), device="cpu")

    def check(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > num_patches:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")

    encoder._visual.register_forward_pre_hook(check)
    return encoder


def test_a_batch_that_does_not_fit_is_halved_and_the_size_remembered(image: Any) -> None:
    roomy, tight = Encoder(load_model("tiny"), device="cpu"), encoder_with_room_for(10)
    assert len(BOXES) > roomy.batch_size
    expected = roomy.embed_frames([image], BOXES)
    np.testing.assert_allclose(tight.embed_frames([image], BOXES), expected, atol=2e-3)
    assert tight.batch_size == 8
    calls: list[int] = []
    tight._visual.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    tight.encode([tight.cut(image, BOXES)])
    assert max(calls) == 8  # no second attempt at what does not fit
    assert sum(calls) == len(BOXES)


def test_without_room_for_one_patch_it_is_an_error(image: Any) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        encoder_with_room_for(0).embed_frames([image], BOXES)


def test_cutting_halves_too(image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(load_model("tiny"), device="cpu")
    expected = encoder.cut(image, BOXES)
    resize = encoder._resize

    def check(patches: torch.Tensor) -> torch.Tensor:
        if len(patches) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return resize(patches)

    monkeypatch.setattr(encoder, "_resize", check)
    assert torch.equal(encoder.cut(image, BOXES), expected)
    assert len(encoder.cut(image, BOXES[:0])) == 0
