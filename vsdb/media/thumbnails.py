"""Small pictures of the sampled frames, to be stored beside their embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsdb.media.images import encode_jpeg
from vsdb.media.opencv import cv2

MAX_WIDTH = 320
MAX_HEIGHT = 640
JPEG_QUALITY = 75


def thumbnail(image: NDArray[np.uint8]) -> bytes:
    """Make a small JPEG of a frame.

    Args:
        image: RGB in [0, 255], shape (H, W, 3).

    Returns:
        A JPEG in the frame's proportions, at most 320 pixels wide and 640 high; a smaller frame keeps its size.

    Raises:
        VideoError: it cannot be encoded.
    """
    width, height = thumbnail_size(image.shape[1], image.shape[0])
    small: Any = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return encode_jpeg(small, quality=JPEG_QUALITY)


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """Width and height, in pixels, of the thumbnail of a frame of that size; at least one pixel each."""
    scale = min(1.0, MAX_WIDTH / width, MAX_HEIGHT / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
