"""Where the patches of a frame lie: a grid of square boxes, and the whole frame as patch 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsdb.errors import VideoError

MAX_SIDE = 32_767  # boxes are smallints
MAX_PATCHES = 32_767  # patch_index is a smallint


def default_patch_size(width: int, height: int) -> int:
    """Half the frame's shorter side, at least one pixel."""
    return max(1, min(width, height) // 2)


def default_stride(patch_size: int) -> int:
    """Half overlap, at least one pixel."""
    return max(1, patch_size // 2)


def patch_boxes(width: int, height: int, *, patch_size: int, stride: int) -> NDArray[np.int32]:
    """Boxes of all patches of a frame.

    There are as many as ``patchify`` would cut with this stride, spread evenly so that the outermost ones touch
    the frame's edges (patchify drops the strip that its stride does not reach).

    Args:
        width: of the frame, in pixels.
        height: of the frame, in pixels.
        patch_size: side of a patch, in pixels.
        stride: largest step between neighbouring patches, in pixels; it shrinks to reach the edges.

    Returns:
        int32, shape (P, 4), rows of x, y, width, height in pixels; row 0 is the whole frame.

    Raises:
        VideoError: the frame is smaller than a patch, or has more patches than a row can number.
    """
    if max(width, height) > MAX_SIDE:
        raise VideoError(f"a frame of {width}x{height} pixels is too large: at most {MAX_SIDE} a side can be stored")
    if patch_size > min(width, height):
        raise VideoError(
            f"a frame of {width}x{height} pixels is smaller than a patch of {patch_size}; "
            f"use --patch-size {min(width, height)} or less"
        )
    left = _positions(width, patch_size, stride)
    top = _positions(height, patch_size, stride)
    if len(left) * len(top) >= MAX_PATCHES:
        raise VideoError(
            f"{len(left) * len(top)} patches a frame, at most {MAX_PATCHES - 1} can be stored; "
            "use a larger --patch-size or --stride"
        )
    grid = [(x, y, patch_size, patch_size) for y in top for x in left]
    return np.array([(0, 0, width, height), *grid], dtype=np.int32)


def _positions(length: int, patch_size: int, stride: int) -> list[int]:
    """First pixels of the patches along one axis; a single patch stands in the middle."""
    room = length - patch_size
    count = room // stride + 1
    if count == 1:
        return [room // 2]
    return [round(i * room / (count - 1)) for i in range(count)]
