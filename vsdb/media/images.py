"""Picture files: reading and decoding."""

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
