"""Picture files: reading, decoding, encoding; a look at the header comes before any memory is taken."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsdb.errors import VideoError
from vsdb.media.files import check_readable
from vsdb.media.opencv import cv2

MAX_BYTES = 256_000_000
"""So much memory may decoding one picture take."""
BYTES_PER_PIXEL = {"JPEG": 3, "PNG": 4, "WEBP": 4, "BMP": 4, "GIF": 8, "TIFF": 16, "AVIF": 18}
"""What OpenCV's decoders were seen to need, or may need of the worst file of a kind."""
PROGRESSIVE_JPEG_BYTES = 6  # its coefficients are held all at once
MAX_PIXELS = 200_000_000  # in any case; OpenCV is told the same
ENOUGH_PIXELS = 1024  # of the shorter side: no model looks at more than a third of it
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
_NO_PICTURE = f"not a picture that can be decoded; {', '.join(BYTES_PER_PIXEL)} are"


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What a picture file says of itself."""

    width: int
    height: int
    kind: str
    is_progressive: bool

    @property
    def reduction(self) -> int:
        """By how much the picture can be made smaller, and still be larger than any model looks at: 1, 2, 4 or 8."""
        shorter = min(self.width, self.height)
        return next(factor for factor in (8, 4, 2, 1) if factor == 1 or shorter // factor >= ENOUGH_PIXELS)

    @property
    def decoded_bytes(self) -> int:
        """The memory that decoding takes; only a plain JPEG is made smaller row by row, the others in the end."""
        pixels = self.width * self.height
        if self.kind != "JPEG":
            return pixels * BYTES_PER_PIXEL[self.kind]
        if self.is_progressive:
            return pixels * PROGRESSIVE_JPEG_BYTES
        return pixels * BYTES_PER_PIXEL["JPEG"] // self.reduction**2


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a picture file; as :func:`decode_image`.

    Raises:
        VideoError: the file is missing or unreadable; likewise.
    """
    try:
        check_readable(path)
        with path.open("rb") as file:
            flags = _decoding(file)
        return _picture(lambda: cv2.imread(str(path), flags))
    except VideoError as error:
        raise VideoError(f"{path}: {error}") from None


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture file's bytes; RGB in [0, 255], shape (H, W, 3), upright (EXIF rotation applied).

    A picture whose sides are far longer than a model looks at is decoded at a half, a quarter or an eighth of its size.

    Raises:
        VideoError: not a picture that can be decoded, or one of more pixels than are taken.
    """
    flags = _decoding(BytesIO(data))
    return _picture(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), flags))


def _decoding(file: Any) -> int:
    """How OpenCV is to decode an open file; VideoError where it should not even begin."""
    header = _header(file)
    if header is None:
        raise VideoError(_NO_PICTURE)
    if header.decoded_bytes > MAX_BYTES or header.width * header.height > MAX_PIXELS:
        raise VideoError(
            f"a {header.kind} of {header.width}x{header.height} pixels would take {header.decoded_bytes / 1e6:,.0f} MB "
            f"of memory, and {MAX_BYTES / 1e6:.0f} MB are allowed; send a smaller one"
        )
    return _REDUCED.get(header.reduction, cv2.IMREAD_COLOR)


def _header(file: Any) -> _Header | None:
    """Size and kind of a picture; nothing is decoded. None where it is none."""
    Image.init()
    prefix = file.read(16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata
        for kind in BYTES_PER_PIXEL:
            make, accept = Image.OPEN[kind]  # as Image.open does, less its own bound of pixels
            if accept and accept(prefix) is True:
                file.seek(0)
                with suppress(Exception), make(file, "") as image:  # whatever it stumbles over is no picture for us
                    is_progressive = "progressive" in image.info
                    return _Header(width=image.width, height=image.height, kind=kind, is_progressive=is_progressive)
    return None


def _picture(decode: Callable[[], Any]) -> NDArray[np.uint8]:
    """What OpenCV decodes, as RGB; VideoError where it says in any of its ways that it cannot."""
    try:
        image = decode()
    except cv2.error:
        image = None
    if image is None:
        raise VideoError(_NO_PICTURE)
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


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
