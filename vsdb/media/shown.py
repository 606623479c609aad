"""From decoded frames to pictures as players show them: whole, upright, of square pixels, in sRGB."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.media.opencv import cv2

HD_HEIGHT = 720  # from here on pictures that do not say their matrix are taken for BT.709, as players do
UNSPECIFIED, BT2020 = 2, 9  # of colour spaces and primaries; ITU-T H.273
MOST_SQUEEZED = 8  # a pixel that is more than so much wider than high, or the reverse, is a damaged header's
WHITE_NITS, PEAK_NITS = 203, 1000  # HDR's reference white (ITU-R BT.2408), and the brightness that is kept apart
KNEE = 0.5  # of SDR white; brighter HDR is compressed
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)


class Screen:
    """Shows the frames of one video, all at the size of the first: what changes size later is fitted in."""

    def __init__(self, pixel_aspect: Fraction | None) -> None:
        """
        Args:
            pixel_aspect: width by height of a pixel; None where that is unknown.
        """
        aspect = pixel_aspect or Fraction(1)
        self._aspect = aspect if Fraction(1, MOST_SQUEEZED) <= aspect <= MOST_SQUEEZED else Fraction(1)
        self._reformatter = VideoReformatter()
        self._shape: tuple[int, ...] | None = None

    def show(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The picture of a frame; RGB in [0, 255], shape (H, W, 3).

        Raises:
            VideoError: its pixel format or colours cannot be converted.
        """
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        try:
            image = self._rgb(_deinterlaced(frame) if frame.interlaced_frame and frame.height > 3 else frame)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"its {frame.format.name} pictures cannot be converted: {error}") from None
        if matrix is not None:
            image = upright(image, np.frombuffer(matrix, np.int32))
        self._shape = self._shape or image.shape
        return np.ascontiguousarray(image if image.shape == self._shape else _fitted(image, self._shape))

    def _rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        is_hdr = frame.color_primaries == BT2020 or frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
        colours = frame.colorspace
        if colours == UNSPECIFIED:
            colours = Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601
        width = max(1, round(frame.width * self._aspect))
        array: Any = self._reformatter.reformat(
            frame,
            width=width,
            format="rgb48le" if is_hdr else "rgb24",
            src_colorspace=colours,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        ).to_ndarray()
        return _tone_mapped(array, frame.color_trc) if is_hdr else array


def _deinterlaced(frame: VideoFrame) -> VideoFrame:
    """The first of a frame's two fields, the other lines filled in from it.

    FFmpeg's estdif looks at no other frame, as bwdif and yadif do: the picture is the same after a seek, and among key
    frames alone.
    """
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("estdif", "mode=frame"), graph.add("buffersink")).configure()
    graph.push(frame)
    graph.push(None)
    shown: Any = graph.pull()
    shown.colorspace, shown.color_range = frame.colorspace, frame.color_range
    shown.color_trc, shown.color_primaries = frame.color_trc, frame.color_primaries
    return shown  # type: ignore[no-any-return]


def upright(image: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turn and mirror a picture as a display matrix says, to the next quarter turn.

    Args:
        image: shape (H, W, 3).
        matrix: shape (9,), of which the first and second row hold where the x and the y axis go; FFmpeg's
            ``libavutil/display.h``.
    """
    a, b, _, c, d = matrix[:5].tolist()
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _fitted(image: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture as large as the shape takes it, in its own proportions, in the middle of black."""
    scale = min(shape[0] / image.shape[0], shape[1] / image.shape[1])
    height, width = (max(1, min(most, round(side * scale))) for side, most in zip(image.shape, shape[:2], strict=False))
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas = np.zeros(shape, np.uint8)
    canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def _tone_mapped(image: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """BT.2020 colours, HDR or not, in sRGB; brighter than the knee is compressed by its brightest channel."""
    light = cv2.transform(_to_light(transfer)[image >> 4], TO_BT709).clip(0)
    if transfer in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67):
        brightest = light.max(axis=2)
        over = np.maximum(brightest - KNEE, 0)
        room, peak = 1 - KNEE, PEAK_NITS / WHITE_NITS - KNEE
        # Straight up to the knee, then bent so that the peak becomes 1 (Reinhard's extended curve).
        bent = over * (1 + over * room / peak**2) / (1 + over / room)
        light *= (np.minimum(brightest, KNEE + bent) / np.maximum(brightest, 1e-6))[..., None]
    return _from_light()[(light.clip(0, 1) * 65_535 + 0.5).astype(np.uint16)]


@cache
def _to_light(transfer: int) -> NDArray[np.float32]:
    """Light of each of 4096 levels, as a share of SDR white; ITU-R BT.2100, for the rest BT.1886."""
    level = np.arange(4096) / 4095
    if transfer == ColorTrc.SMPTE2084:
        root = level ** (1 / 78.84375)
        nits = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        return (nits / WHITE_NITS).astype(np.float32)
    if transfer == ColorTrc.ARIB_STD_B67:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12)
        return (PEAK_NITS / WHITE_NITS * scene**1.2).astype(np.float32)
    return (level**2.4).astype(np.float32)


@cache
def _from_light() -> NDArray[np.uint8]:
    """Level of each of 65,536 shares of SDR white, by BT.1886's curve as players do."""
    return np.round(255 * (np.arange(65_536) / 65_535) ** (1 / 2.4)).astype(np.uint8)
