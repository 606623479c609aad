"""What counts as a change of a patch: anything of more than a few levels, however small or restless; less does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsdb.media.changes import LONGEST_REST, MAX_CHANGE, ChangeWatch
from vsdb.media.patches import patch_boxes

BOXES = patch_boxes(320, 180, patch_size=90, stride=45)
ALL = list(range(len(BOXES)))
Scene = NDArray[np.float64]


@pytest.fixture
def scene() -> Scene:
    """A still picture with edges; levels of 255."""
    rng = np.random.default_rng(0)
    return np.asarray(np.kron(rng.uniform(40, 200, (18, 32, 3)), np.ones((10, 10, 1))), np.float64)


def look(watch: ChangeWatch, scene: Scene, *, noise: float = 0.0, seed: int = 0) -> list[int]:
    noisy = scene + np.random.default_rng(seed).normal(0, noise, scene.shape)
    fresh: list[int] = watch.fresh(noisy.round().clip(0, 255).astype(np.uint8)).tolist()
    return fresh


def patches_over(left: int, top: int, right: int, bottom: int) -> list[int]:
    """Patches that share pixels with this rectangle."""
    boxes = BOXES.tolist()
    return [i for i, (x, y, w, h) in enumerate(boxes) if x < right and x + w > left and y < bottom and y + h > top]


def test_all_patches_are_fresh_at_first_and_none_when_nothing_changes(scene: Scene) -> None:
    watch = ChangeWatch(BOXES)
    assert look(watch, scene) == ALL
    assert [look(watch, scene) for _ in range(5)] == [[]] * 5


def test_what_comes_freshens_the_patches_that_show_it_and_no_others(scene: Scene) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    with_thing = scene.copy()
    with_thing[20:40, 20:40] = 0
    overlap = patches_over(20, 20, 40, 40)
    assert look(watch, with_thing) == overlap
    assert 0 < len(overlap) < len(BOXES)
    assert look(watch, with_thing) == []
    assert look(watch, scene) == overlap  # it has gone


@pytest.mark.parametrize("colour", [0, 1, 2])
def test_a_thing_of_a_hundredth_of_a_patch_is_seen_in_any_colour(scene: Scene, colour: int) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    scene[60:69, 100:109, colour] += 3 * MAX_CHANGE
    assert look(watch, scene) == patches_over(100, 60, 109, 69)


@pytest.mark.parametrize(("step", "fresh"), [(MAX_CHANGE, []), (MAX_CHANGE + 1, ALL)])
def test_the_bound_is_the_last_change_that_does_not_count(scene: Scene, step: int, fresh: list[int]) -> None:
    watch = ChangeWatch(BOXES)
    grey = np.full_like(scene, 100)
    look(watch, grey)
    assert look(watch, grey + step) == fresh


def test_faint_noise_is_no_change(scene: Scene) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene, noise=0.5)
    assert [look(watch, scene, noise=0.5, seed=seed) for seed in range(1, 10)] == [[]] * 9


def test_a_place_that_is_never_still_is_embedded_each_time(scene: Scene) -> None:
    watch = ChangeWatch(BOXES)
    restless = patches_over(200, 100, 320, 180)
    for number in range(LONGEST_REST - 1):
        moved = scene.copy()
        moved[100:180, 200:320] += 4 * (-1) ** number
        assert look(watch, moved) == (restless if number else ALL)


def test_a_slow_change_counts_from_what_was_embedded(scene: Scene) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    seen = [bool(look(watch, scene + step)) for step in range(1, 2 * MAX_CHANGE + 3)]
    assert [step for step, fresh in enumerate(seen, 1) if fresh] == [MAX_CHANGE + 1, 2 * MAX_CHANGE + 2]


def test_a_still_patch_is_embedded_after_its_longest_rest(scene: Scene) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    still = [look(watch, scene) for _ in range(2 * LONGEST_REST)]
    assert [number for number, fresh in enumerate(still, 1) if fresh] == [LONGEST_REST, 2 * LONGEST_REST]


def test_a_patch_smaller_than_its_blocks_is_watched_too() -> None:
    watch = ChangeWatch(patch_boxes(32, 24, patch_size=12, stride=6))
    black = np.zeros((24, 32, 3), np.uint8)
    assert len(watch.fresh(black)) > 1
    assert watch.fresh(black).tolist() == []
    black[12, 16] = 255
    assert 0 in watch.fresh(black)
