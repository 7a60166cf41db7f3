"""Lace has threads and openings, edges of a pixel, and colours of its own."""

import numpy as np
import pytest

from models.training.lace import lace

SEEDS = range(16)


@pytest.mark.parametrize("seed", SEEDS)
def test_lace_has_threads_and_openings(seed: int) -> None:
    made = lace(np.random.default_rng(seed), 140, 160)
    assert made.alpha.shape == (140, 160)
    assert (made.alpha > 0.5).mean() > 0.04
    assert (made.alpha == 0).mean() > 0.04


def test_openings_are_many() -> None:
    # A line across the lace meets thread after thread.
    crossings = []
    for seed in SEEDS:
        alpha = lace(np.random.default_rng(seed), 160, 160).alpha
        dense = alpha > 0.3 * alpha.max()
        crossings.append(np.abs(np.diff(dense.astype(int), axis=1)).sum(1).max())
    assert np.median(crossings) > 16


def test_rims_of_threads_are_partly_covered() -> None:
    for seed in SEEDS:
        alpha = lace(np.random.default_rng(seed), 140, 160).alpha
        assert ((alpha > 0.02) & (alpha < 0.98)).mean() > 0.02


def test_some_lace_is_opaque_and_some_is_not() -> None:
    densest = [lace(np.random.default_rng(seed), 120, 120).alpha.max() for seed in SEEDS]
    assert max(densest) == 1
    assert min(densest) < 0.97


def test_some_lace_ends_in_a_hem_and_some_fills_the_canvas() -> None:
    def clear(seed: int) -> bool:
        alpha = lace(np.random.default_rng(seed), 160, 160).alpha
        tiles = alpha.reshape(4, 40, 4, 40)
        return bool((tiles.max((1, 3)) == 0).any())

    ended = [clear(seed) for seed in range(30)]
    assert 3 < sum(ended) < 27


def test_same_seed_makes_the_same_lace_and_another_seed_other() -> None:
    one, again, other = (lace(np.random.default_rng(seed), 90, 70) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.alpha, again.alpha)
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert (one.alpha != other.alpha).any()


def test_lace_is_light_at_times_and_dark_at_others() -> None:
    shades = []
    for seed in range(30):
        made = lace(np.random.default_rng(seed), 80, 80)
        assert made.pixels.dtype == made.alpha.dtype == np.float32
        assert made.pixels.min() >= 0 and made.pixels.max() <= 1
        shades.append(made.pixels[made.alpha > 0.5].mean())
    assert min(shades) < 0.15 and max(shades) > 0.7
