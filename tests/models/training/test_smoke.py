"""Smoke is soft everywhere, has no shape of its own and ends before its canvas does."""

import numpy as np
import pytest

from models.training.smoke import smoke

SEEDS = range(16)


@pytest.mark.parametrize("seed", SEEDS)
def test_smoke_ends_before_the_canvas_does(seed: int) -> None:
    alpha = smoke(np.random.default_rng(seed), 120, 150).alpha
    rim = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    assert not rim.any()
    # Nor does it stop short of it as if cut: what lies next to the border is thin.
    assert max(alpha[1].max(), alpha[-2].max(), alpha[:, 1].max(), alpha[:, -2].max()) < 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_smoke_is_soft(seed: int) -> None:
    alpha = smoke(np.random.default_rng(seed), 160, 160).alpha
    there = alpha > 0
    assert 0.05 < there.mean() < 0.6
    assert (alpha[there] < 1).mean() > 0.7


def test_smoke_has_no_step_in_it() -> None:
    steps = []
    for seed in SEEDS:
        alpha = smoke(np.random.default_rng(seed), 240, 240).alpha
        steps.append(np.percentile(np.abs(np.diff(alpha, axis=0))[alpha[1:] > 0], 90))
    assert max(steps) < 0.12
    assert np.median(steps) < 0.07


def test_support_is_ragged() -> None:
    # Counted in pixels' sides, a disc's rim is 8 / sqrt(pi) = 4.5 times the root of its area.
    rims = []
    for seed in SEEDS:
        there = smoke(np.random.default_rng(seed), 200, 200).alpha > 0.02
        rim = np.abs(np.diff(there.astype(int), axis=0)).sum()
        rim += np.abs(np.diff(there.astype(int), axis=1)).sum()
        rims.append(rim / np.sqrt(there.sum()))
    assert np.median(rims) > 6.5


def test_same_seed_makes_the_same_smoke_and_another_seed_other() -> None:
    one, again, other = (smoke(np.random.default_rng(seed), 90, 70) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.alpha, again.alpha)
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert (one.alpha != other.alpha).any()


def test_smoke_is_white_grey_black_and_at_times_fire() -> None:
    shades, reds = [], []
    for seed in range(40):
        made = smoke(np.random.default_rng(seed), 80, 80)
        assert made.pixels.dtype == made.alpha.dtype == np.float32
        assert made.pixels.min() >= 0 and made.pixels.max() <= 1
        colour = made.pixels[made.alpha > 0.05].mean(0)
        shades.append(colour.mean())
        reds.append(colour[0] - colour[2])
    assert min(shades) < 0.25 and max(shades) > 0.75
    assert 2 <= np.sum(np.array(reds) > 0.35) <= 16
