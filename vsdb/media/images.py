"""Picture files: reading, decoding, encoding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.media.files import check_readable
from vsdb.media.opencv import cv2


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture file; as :func:`decode_image`.

    Raises:
        VideoError: the file is missing or unreadable; likewise.
    """
    try:
        check_readable(path)
        return _picture(lambda: cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from None


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture file's bytes; RGB in [0, 255], shape (H, W, 3), upright (EXIF rotation applied).

    Raises:
        VideoError: not a picture that can be decoded, or one of more pixels than are taken.
    """
    return _picture(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


def _picture(decode: Callable[[], Any]) -> NDArray[np.uint8]:
    """What OpenCV decodes; VideoError where it says in any of its ways that it cannot."""
    try:
        image = decode()
    except cv2.error:
        image = None
    if image is None:
        raise VideoError("not a picture that can be decoded; JPEG, PNG and WebP are, up to 200 million pixels")
    return image  # type: ignore[no-any-return]


def encode_jpeg(image: NDArray[np.uint8], *, quality: int) -> bytes:
    """Encode a picture, RGB in [0, 255] of shape (H, W, 3), as JPEG of quality 0 to 100.

    Raises:
        VideoError: it has more pixels a side than JPEG takes (65,535).
    """
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]  # a tenth smaller
    encoded, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
    if not encoded:
        raise VideoError(f"a picture of {image.shape[1]}x{image.shape[0]} pixels cannot be written as JPEG")
    data: Any = jpeg.tobytes()
    return data  # type: ignore[no-any-return]
