"""The grid of patches: as many as patchify cuts, and none of the frame left out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsdb.errors import VideoError
from vsdb.media.patches import default_patch_size, default_stride, patch_boxes


def grid(width: int, height: int) -> list[list[int]]:
    size = default_patch_size(width, height)
    boxes: list[list[int]] = patch_boxes(width, height, patch_size=size, stride=default_stride(size)).tolist()
    return boxes


def test_720p_has_the_article_s_grid_and_the_whole_frame() -> None:
    boxes = grid(1280, 720)
    assert boxes[0] == [0, 0, 1280, 720]
    assert len(boxes) == 1 + 6 * 3
    assert {(width, height) for _, _, width, height in boxes[1:]} == {(360, 360)}
    assert sorted({x for x, *_ in boxes[1:]}) == [0, 184, 368, 552, 736, 920]
    assert sorted({y for _, y, *_ in boxes[1:]}) == [0, 180, 360]


def test_boxes_go_row_by_row() -> None:
    assert grid(1280, 720)[1:4] == [[0, 0, 360, 360], [184, 0, 360, 360], [368, 0, 360, 360]]
    assert grid(1280, 720)[7] == [0, 180, 360, 360]
    corners = [(y, x) for x, y, _, _ in grid(1280, 720)[1:]]
    assert corners == sorted(corners)


def test_a_single_patch_stands_in_the_middle() -> None:
    assert patch_boxes(100, 61, patch_size=60, stride=41).tolist() == [[0, 0, 100, 61], [20, 0, 60, 60]]


@given(st.integers(4, 4000), st.integers(4, 4000))
def test_count_is_patchify_s_and_every_edge_is_reached(width: int, height: int) -> None:
    boxes = grid(width, height)[1:]
    size = default_patch_size(width, height)
    stride = default_stride(size)
    assert len(boxes) == ((width - size) // stride + 1) * ((height - size) // stride + 1)
    assert min(x for x, *_ in boxes) == 0 == min(y for _, y, *_ in boxes)
    assert max(x + w for x, _, w, _ in boxes) == width
    assert max(y + h for _, y, _, h in boxes) == height


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_boxes_stay_inside_and_steps_shrink_only(width: int, height: int, size: int, stride: int) -> None:
    try:
        boxes = patch_boxes(width, height, patch_size=size, stride=stride).tolist()
    except VideoError:
        assert size > min(width, height) or width * height > 32_000
        return
    for x, y, w, h in boxes:
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    lefts = sorted({x for x, *_ in boxes[1:]})
    assert all(b - a >= stride - 1 for a, b in pairwise(lefts))


def test_a_frame_smaller_than_a_patch_says_what_fits() -> None:
    with pytest.raises(VideoError, match="100x80 pixels is smaller than a patch of 90; use --patch-size 80 or less"):
        patch_boxes(100, 80, patch_size=90, stride=45)


def test_as_many_patches_as_can_be_numbered_are_cut_and_one_more_is_refused() -> None:
    boxes = patch_boxes(254, 129, patch_size=1, stride=1)  # 254 x 129 and the whole frame: numbers 0 to 32,766
    assert len(boxes) == 32_767
    with pytest.raises(VideoError, match="32767 patches a frame, at most 32766 can be stored"):
        patch_boxes(217, 151, patch_size=1, stride=1)


def test_the_longest_side_is_cut_and_a_longer_one_is_refused() -> None:
    assert patch_boxes(32_767, 10, patch_size=10, stride=10).max() == 32_767
    for width, height in ((32_768, 10), (10, 32_768)):
        with pytest.raises(VideoError, match="at most 32767 a side"):
            patch_boxes(width, height, patch_size=10, stride=10)


def test_a_patch_as_large_as_the_frame_is_cut() -> None:
    assert patch_boxes(90, 80, patch_size=80, stride=40).tolist() == [[0, 0, 90, 80], [5, 0, 80, 80]]
