"""What counts as a change of a patch: things that come and go, not noise, exposure or what a place always does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsdb.changes import LONGEST_REST, ChangeWatch
from vsdb.patches import patch_boxes

BOXES = patch_boxes(320, 180, patch_size=90, stride=45)
Image = NDArray[np.uint8]


@pytest.fixture
def scene() -> NDArray[np.float64]:
    """A still picture with edges; levels of 255."""
    rng = np.random.default_rng(0)
    return np.kron(rng.uniform(40, 200, (18, 32, 3)), np.ones((10, 10, 1)))


def look(watch: ChangeWatch, scene: NDArray[np.float64], *, noise: float = 0.0, seed: int = 0) -> list[int]:
    noisy = scene + np.random.default_rng(seed).normal(0, noise, scene.shape)
    return watch.fresh(noisy.round().clip(0, 255).astype(np.uint8)).tolist()


def test_all_patches_are_fresh_at_first_and_none_when_nothing_changes(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    assert look(watch, scene) == list(range(len(BOXES)))
    assert [look(watch, scene) for _ in range(5)] == [[]] * 5


def test_what_comes_freshens_the_patches_that_show_it_and_no_others(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    with_thing = scene.copy()
    with_thing[20:40, 20:40] = 0
    seen = look(watch, with_thing)
    overlap = [i for i, (x, y, w, h) in enumerate(BOXES.tolist()) if x < 40 and x + w > 20 and y < 40 and y + h > 20]
    assert seen == overlap
    assert 0 < len(seen) < len(BOXES)
    assert look(watch, with_thing) == []
    assert look(watch, scene) == overlap  # it has gone


def test_sensor_noise_is_no_change(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    fresh = [look(watch, scene, noise=8, seed=seed) for seed in range(25)]
    assert sum(map(len, fresh[10:])) <= 0.02 * 15 * len(BOXES)


def test_a_thing_is_seen_in_noise(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    for seed in range(10):
        look(watch, scene, noise=8, seed=seed)
    with_thing = scene.copy()
    with_thing[60:80, 100:120] += 40
    overlap = {i for i, (x, y, w, h) in enumerate(BOXES.tolist()) if x < 120 and x + w > 100 and y < 80 and y + h > 60}
    assert overlap <= set(look(watch, with_thing, noise=8, seed=10))


def test_a_camera_that_adjusts_its_exposure_changes_nothing(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    brighter = [look(watch, scene + 4 * step) for step in range(1, 8)]
    assert sum(map(len, brighter)) == 0


def test_a_lamp_that_goes_on_changes_everything(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    assert look(watch, scene + 40) == list(range(len(BOXES)))


def test_a_place_that_is_never_still_is_allowed_more_than_a_wall(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    counts = []
    for number in range(40):
        restless = scene.copy()
        restless[100:180, 200:320] += 3 * (-1) ** number
        counts.append(len(look(watch, restless)))
    assert sum(counts[1:4]) > 0
    assert sum(counts[20:29]) == 0


def test_a_slow_change_is_embedded_in_the_end_and_a_still_patch_as_well(scene: NDArray[np.float64]) -> None:
    watch = ChangeWatch(BOXES)
    look(watch, scene)
    still = [look(watch, scene) for _ in range(2 * LONGEST_REST)]
    assert [number for number, fresh in enumerate(still, 1) if fresh] == [LONGEST_REST, 2 * LONGEST_REST]
    drifting = scene.copy()
    seen = 0
    for _ in range(20):
        drifting[:45, :45] += 1
        seen += len(look(watch, drifting))
    assert seen > 0
