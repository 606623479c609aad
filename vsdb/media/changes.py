"""Which patches of a frame show something else than when they were last embedded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vsdb.media.opencv import cv2

BLOCKS = 64  # a side of a patch: embeddings follow fine changes far more than wide ones, which 16 would average away
MAX_CHANGE = 6  # levels of 255; the largest at which answers stayed the same (docs/performance.md)
LONGEST_REST = 30  # frames; then a patch is embedded in any case, so that fainter changes do not stay unseen


class ChangeWatch:
    """Watches the frames of one video and tells which patches have changed since each was last embedded.

    A patch is seen as 64 x 64 blocks of mean colour; it has changed when any block differs, in any colour, by more
    than 6 levels from what was embedded. The bound does not rise where a place is restless: noise of sensor and
    codec moves an embedding as other fine changes do, and moments with it. A noisy video is therefore embedded
    whole; what saves is a picture that stands still.
    """

    def __init__(self, boxes: NDArray[np.int32]) -> None:
        """
        Args:
            boxes: patches of a frame, shape (P, 4): x, y, width, height in pixels; the first is the whole frame.
        """
        self._boxes = boxes.tolist()
        self._embedded: list[NDArray[np.uint8] | None] = [None] * len(boxes)
        self._rest = np.zeros(len(boxes), np.int32)

    def fresh(self, image: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Look at the next frame, RGB of shape (H, W, 3); indices of the patches that must be embedded now."""
        self._rest += 1
        fresh = [index for index in range(len(self._boxes)) if self._has_changed(index, image)]
        self._rest[fresh] = 0
        return np.array(fresh, np.intp)

    def _has_changed(self, index: int, image: NDArray[np.uint8]) -> bool:
        """Whether a patch must be embedded; if so, what it shows now is what later frames are compared with."""
        x, y, width, height = self._boxes[index]
        now = cv2.resize(image[y : y + height, x : x + width], (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
        before = self._embedded[index]
        still = before is not None and cv2.norm(now, before, cv2.NORM_INF) <= MAX_CHANGE
        if still and self._rest[index] < LONGEST_REST:
            return False
        self._embedded[index] = now.astype(np.uint8, copy=False)
        return True
