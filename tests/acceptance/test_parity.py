"""Parity with the article: the same frames give the same embeddings, ranking and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests import reference
from vsdb.media.patches import default_patch_size, default_stride, patch_boxes
from vsdb.media.video import VideoReader
from vsdb.model.encoder import Encoder
from vsdb.model.load import load_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoder, reference.ArticleModel]:
    """vsdb's encoder and OpenAI's own implementation, on the same random weights in OpenAI's format."""
    weights = reference.random_openai_state_dict()
    path = tmp_path_factory.mktemp("weights") / "RN50x4.pt"
    reference.save_as_openai_archive(weights, path)
    encoder = Encoder(load_model("RN50x4", weights=path), device="cpu")
    path.unlink()  # 700 MB
    return encoder, reference.ArticleModel(weights)


def boxes_of(image: NDArray[np.uint8], *, every: int) -> NDArray[np.int32]:
    """The whole frame and every n-th patch: the reference embeds about two patches a second."""
    height, width = image.shape[:2]
    size = default_patch_size(width, height)
    boxes = patch_boxes(width, height, patch_size=size, stride=default_stride(size))
    return np.concatenate([boxes[:1], boxes[1::every]])


def check(models: tuple[Encoder, reference.ArticleModel], images: list[NDArray[np.uint8]], *, every: int) -> None:
    encoder, article = models
    cosines = []
    for image in images:
        boxes = boxes_of(image, every=every)
        cosines += list(
            (encoder.embed_frames([image], boxes)[0].astype(np.float32) * article.embed(image, boxes)).sum(1)
        )
    assert np.mean(cosines) >= 0.999
    assert np.min(cosines) >= 0.995


def test_generated_frames(models: tuple[Encoder, reference.ArticleModel]) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (200, 321, 3), dtype=np.uint8)
    ramp = np.linspace(0, 255, 400 * 300 * 3).reshape(400, 300, 3).astype(np.uint8)
    check(models, [noise, ramp], every=9)


def test_real_clips(models: tuple[Encoder, reference.ArticleModel], shared_clips: Path) -> None:
    images = []
    for path in sorted(each for each in shared_clips.iterdir() if each.suffix in (".mp4", ".webm")):
        with VideoReader(path) as reader:
            images.append(next(iter(reader.sample(every_seconds=1))).image)
    assert len(images) == 6
    check(models, images, every=8)


def test_whole_frames_go_through_clip_s_own_preprocessing(models: tuple[Encoder, reference.ArticleModel]) -> None:
    """Bytes, not only embeddings: on a CPU the resize rounds as Pillow does."""
    encoder, _ = models
    image = np.random.default_rng(1).integers(0, 255, (217, 391, 3), dtype=np.uint8)
    whole = np.array([[0, 0, 391, 217]], dtype=np.int32)
    ours = encoder.cut(image, whole)[0].permute(1, 2, 0).numpy()
    from PIL import Image
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    pillow = CenterCrop(288)(Resize(288, interpolation=InterpolationMode.BICUBIC)(Image.fromarray(image)))
    assert np.abs(ours.astype(int) - np.asarray(pillow).astype(int)).max() <= 1


def test_embeddings_have_length_one(models: tuple[Encoder, reference.ArticleModel]) -> None:
    encoder, _ = models
    image = np.random.default_rng(2).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    embeddings = encoder.embed_frames([image], boxes_of(image, every=4))[0]
    assert embeddings.dtype == np.float16
    assert np.allclose(np.linalg.norm(embeddings.astype(np.float32), axis=1), 1, atol=2e-3)
    assert np.isclose(np.linalg.norm(encoder.embed_prompt("a dog")), 1, atol=1e-5)
    assert encoder.embed_prompt("a dog").dtype == np.float32
    assert torch.get_default_dtype() == torch.float32
