"""What the picture tower reads: the very numbers of open_clip's own transform."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from vsdb.model import encoder
from vsdb.model.encoder import Encoder
from vsdb.model.load import LoadedModel, load_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SIDE = 128
SHAPES = [(391, 217), (217, 391), (300, 300), (60, 90), (90, 60), (128, 128)]
"""Width and height: both ways, larger and smaller than the model's side."""
LEVELS_OFF = {"shortest": (1.01, 0.02), "longest": (1.01, 0.02), "squash": (5, 0.3)}
"""At most and in the mean, on noise. A squashed picture is narrowed and lowered in the one order by torch and in the
other by Pillow, and each rounds in between; the mildest of mistakes, a bilinear resize for a bicubic one, is 9 levels
in the mean."""
MEAN_AND_STD = ((0.1, 0.45, 0.7), (0.21, 0.33, 0.52))
"""Apart from each other and from channel to channel, unlike any model's: none can stand for another."""


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny")


def prepared_as(model: LoadedModel, **settings: Any) -> LoadedModel:
    """The model with other settings of its preprocessing, and a module of its own, which an encoder may fold."""
    return replace(model, info=replace(model.info, **settings), module=copy.deepcopy(model.module))


def levels_off(ours: torch.Tensor, theirs: torch.Tensor, std: Sequence[float]) -> torch.Tensor:
    """Difference of two normalised pictures, in levels of 255."""
    return (ours - theirs).abs() * 255 * torch.tensor(std).view(3, 1, 1)


def read_by_the_tower(
    model: LoadedModel, images: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> list[torch.Tensor]:
    """Embed whole pictures and give what reached the picture tower."""
    monkeypatch.setattr(encoder, "fast_dtype", lambda _: torch.float32)  # rounding would hide a level or two
    embedding = Encoder(model, device="cpu")
    read: list[torch.Tensor] = []

    def note(_: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        read.append(inputs[0].clone())

    with embedding._visual.register_forward_pre_hook(note):
        for image in images:
            embedding.embed_image(image)
    return read


def as_open_clip_prepares(model: LoadedModel, image: NDArray[np.uint8]) -> torch.Tensor:
    info = model.info
    settings = PreprocessCfg(
        size=info.image_size,
        mean=info.image_mean,
        std=info.image_std,
        interpolation=info.interpolation,
        resize_mode=info.resize_mode,
    )
    prepared: torch.Tensor = image_transform_v2(settings, is_train=False)(Image.fromarray(image))
    return prepared


@pytest.mark.parametrize("mean_and_std", [None, MEAN_AND_STD])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_the_tower_reads_what_open_clip_s_transform_makes(
    tiny: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    resize_mode: str,
    interpolation: str,
    mean_and_std: tuple[tuple[float, float, float], tuple[float, float, float]] | None,
) -> None:
    mean, std = mean_and_std or (tiny.info.image_mean, tiny.info.image_std)
    model = prepared_as(tiny, resize_mode=resize_mode, interpolation=interpolation, image_mean=mean, image_std=std)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in SHAPES]
    for image, ours in zip(images, read_by_the_tower(model, images, monkeypatch), strict=True):
        assert ours.shape == (1, 3, SIDE, SIDE)
        off = levels_off(ours, as_open_clip_prepares(model, image), std)
        at_most, in_the_mean = LEVELS_OFF[resize_mode]
        assert off.max() <= at_most, image.shape
        assert off.mean() <= in_the_mean, image.shape


@pytest.mark.parametrize(("width", "height"), [(1200, 130), (130, 1200)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_pictures_longer_than_a_crop_shows_are_read_from_their_middle(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch, resize_mode: str, width: int, height: int
) -> None:
    """Their ends are cut off before the resize, which shifts it by half a pixel: on a ramp, a level."""
    model = prepared_as(tiny, resize_mode=resize_mode)
    down, right = np.mgrid[0 : 255 : 1j * height, 0 : 255 : 1j * width]
    image = np.stack([down, right, 255 - right], axis=2).astype(np.uint8)
    (ours,) = read_by_the_tower(model, [image], monkeypatch)
    assert levels_off(ours, as_open_clip_prepares(model, image), model.info.image_std).max() <= 2.01
