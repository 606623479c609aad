"""Which patches of a frame show something else than when they were last embedded."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BLOCKS = 16  # a side of a patch: an object of a sixteenth of it is about the least that a model sees
NOISE_FACTOR = 5.0  # how far above the usual change of its place a block must change; 256 blocks vary by chance
LEAST_CHANGE = 3.0  # levels of 255: less is what encoders do to still pictures
MOST_CHANGE = 10.0  # more counts as new however restless the place is
MAX_EXPOSURE_STEP = 10.0  # levels between two frames; more is a cut or a lamp, not a camera that adjusts itself
LONGEST_REST = 30  # frames; then a patch is embedded in any case, so that slow changes cannot add up
LEARNING = 1.1  # least factor by which the usual change of a block follows each frame: a median that runs along


class ChangeWatch:
    """Watches the frames of one video and tells which patches have changed since each was last embedded.

    A patch is seen as 16 x 16 blocks of mean colour, so that sensor noise averages out. A block has changed when it
    differs by more than a multiple of what it usually differs by from frame to frame, between fixed bounds: its own
    running median (water and leaves are allowed more than a wall), or that of the patch's blocks if that is more.
    A change of exposure, which is the median change of the whole frame, is taken out first.
    """

    def __init__(self, boxes: NDArray[np.int32]) -> None:
        """
        Args:
            boxes: patches of a frame, shape (P, 4): x, y, width, height in pixels; the first is the whole frame.
        """
        self._boxes = boxes.tolist()
        shape = (len(boxes), BLOCKS, BLOCKS, 3)
        self._previous: NDArray[np.float32] | None = None
        self._embedded = np.zeros(shape, np.float32)
        self._usual = np.full(shape[:3], LEAST_CHANGE / NOISE_FACTOR, np.float32)
        self._num_steps = 0
        self._exposure = np.zeros(3, np.float32)
        self._embedded_exposure = np.zeros((len(boxes), 3), np.float32)
        self._rest = np.full(len(boxes), LONGEST_REST)

    def fresh(self, image: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Look at the next frame, RGB of shape (H, W, 3); indices of the patches that must be embedded now."""
        now = self._blocks(image)
        if self._previous is not None:
            self._learn(now - self._previous)
        shift = self._exposure - self._embedded_exposure
        change = np.abs(now - self._embedded - shift[:, None, None]).max(axis=3)
        usual = np.maximum(self._usual, np.median(self._usual, axis=(1, 2), keepdims=True))
        limit = np.clip(NOISE_FACTOR * usual, LEAST_CHANGE, MOST_CHANGE)
        fresh = np.flatnonzero((change > limit).any(axis=(1, 2)) | (self._rest >= LONGEST_REST - 1))
        self._rest += 1
        self._rest[fresh] = 0
        self._embedded[fresh] = now[fresh]
        self._embedded_exposure[fresh] = self._exposure
        self._previous = now
        return fresh

    def _blocks(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Mean colours, shape (P, BLOCKS, BLOCKS, 3)."""
        patches = [image[y : y + height, x : x + width] for x, y, width, height in self._boxes]
        small = [cv2.resize(patch, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA) for patch in patches]
        return np.stack(small).astype(np.float32)

    def _learn(self, step: NDArray[np.float32]) -> None:
        """Follow exposure and the usual change of each block, given the change since the frame before."""
        exposure = np.median(step[0], axis=(0, 1))
        if np.abs(exposure).max() > MAX_EXPOSURE_STEP:
            exposure = np.zeros(3, np.float32)
        self._exposure = self._exposure + exposure
        change = np.abs(step - exposure).max(axis=3)
        self._num_steps += 1
        factor = np.float32(max(LEARNING, 2 ** (1 / self._num_steps)))
        self._usual *= np.where(change > self._usual, factor, 1 / factor)
        np.clip(self._usual, LEAST_CHANGE / NOISE_FACTOR, MOST_CHANGE / NOISE_FACTOR, out=self._usual)
