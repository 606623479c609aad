"""Thumbnails: their size, colours and shape, whatever the frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vsdb.media.thumbnails import thumbnail, thumbnail_size


@pytest.mark.parametrize(
    ("frame", "small"),
    [
        ((1280, 720), (320, 180)),
        ((720, 1280), (320, 569)),
        ((320, 180), (320, 180)),
        ((64, 48), (64, 48)),  # never enlarged
        ((1, 1), (1, 1)),
        ((32_767, 10), (320, 1)),
        ((10, 32_767), (1, 640)),
        ((1000, 4000), (160, 640)),
    ],
)
def test_a_frame_is_made_to_fit_in_its_proportions(frame: tuple[int, int], small: tuple[int, int]) -> None:
    assert thumbnail_size(*frame) == small


def test_the_picture_keeps_its_colours_and_its_place() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[:240, :320, 0] = 255  # red, top left
    image[240:, 320:, 2] = 255  # blue, bottom right
    jpeg = thumbnail(image)
    assert jpeg[:3] == b"\xff\xd8\xff"
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    assert decoded.shape == (240, 320, 3)
    assert np.abs(decoded[60, 80].astype(int) - [255, 0, 0]).max() < 12
    assert np.abs(decoded[180, 240].astype(int) - [0, 0, 255]).max() < 12
    assert decoded[180, 80].max() < 12


def test_the_smallest_frame_has_one() -> None:
    assert thumbnail(np.zeros((1, 1, 3), np.uint8))[:3] == b"\xff\xd8\xff"
