"""How an encoder copes with a device whose memory is too small; what it computes is held against CLIP elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vsdb.media.patches import patch_boxes
from vsdb.model.encoder import Encoder, fast_dtype
from vsdb.model.load import load_model

BOXES = patch_boxes(320, 180, patch_size=45, stride=20)


@pytest.fixture
def image() -> Any:
    return np.random.default_rng(1).integers(0, 256, (180, 320, 3), np.uint8)


def no_cuda_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")


def no_handle() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def no_cpu_memory() -> None:
    torch.empty(1 << 50)


def encoder_with_room_for(num_patches: int, fail: Callable[[], None] = no_cuda_memory) -> Encoder:
    """An encoder whose network runs out of memory, as torch says it, beyond so many patches at once."""
    encoder = Encoder(load_model("tiny"), device="cpu")

    def check(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > num_patches:
            fail()

    encoder._visual.register_forward_pre_hook(check)
    return encoder


@pytest.mark.parametrize("fail", [no_cuda_memory, no_handle, no_cpu_memory])
def test_a_batch_that_does_not_fit_is_halved_and_the_size_remembered(image: Any, fail: Callable[[], None]) -> None:
    roomy, tight = Encoder(load_model("tiny"), device="cpu"), encoder_with_room_for(10, fail)
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


def test_another_error_is_none_of_memory(image: Any) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    tight = encoder_with_room_for(10, fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        tight.embed_frames([image], BOXES)
    assert tight.batch_size == 64


@pytest.mark.parametrize(("major", "dtype"), [(7, torch.float16), (8, torch.bfloat16)])
def test_a_card_that_only_emulates_bf16_gets_fp16(
    monkeypatch: pytest.MonkeyPatch, major: int, dtype: torch.dtype
) -> None:
    """What torch asks of a card of that generation; both can make a bf16 tensor."""
    monkeypatch.setattr("torch.version.hip", None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: SimpleNamespace(major=major))
    monkeypatch.setattr("torch.cuda._check_bf16_tensor_supported", lambda _: True)
    assert fast_dtype(torch.device("cuda")) == dtype


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
