"""Holes of the asked-for ratio, as people paint them and as scanners scratch them."""

from collections.abc import Callable

import numpy as np
import pytest

from models.training.holes import Hole, HoleError, hole_ratio, irregular_hole, scratches_and_dust

Draw = Callable[..., Hole]

SIZES = [(64, 64), (128, 128), (97, 256)]


@pytest.mark.parametrize("ratio", [0.02, 0.1, 0.25, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_hole_of_a_ratio_is_within_one_percentage_point(
    ratio: float, size: tuple[int, int]
) -> None:
    for seed in range(12):
        hole = irregular_hole(np.random.default_rng(seed), *size, least=ratio, most=ratio)
        assert hole.shape == size
        assert abs(hole_ratio(hole) - ratio) <= 0.01


def test_ratios_fill_their_range_evenly() -> None:
    rng = np.random.default_rng(1)
    ratios = [hole_ratio(irregular_hole(rng, 64, 64, least=0.1, most=0.4)) for _ in range(400)]
    counts = np.histogram(ratios, 3, (0.1, 0.4))[0]
    assert counts.min() > 100


@pytest.mark.parametrize("draw", [irregular_hole, scratches_and_dust])
def test_hole_is_of_0_and_255_alone(draw: Draw) -> None:
    hole = draw(np.random.default_rng(2), 80, 96)
    assert hole.dtype == np.uint8
    assert hole.shape == (80, 96)
    assert hole.flags.writeable
    assert np.unique(hole).tolist() == [0, 255]


@pytest.mark.parametrize("draw", [irregular_hole, scratches_and_dust])
def test_same_seed_draws_the_same_hole_and_another_seed_another(draw: Draw) -> None:
    first, again, other = (draw(np.random.default_rng(seed), 96, 96) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_holes_lie_all_over_the_picture() -> None:
    rng = np.random.default_rng(5)
    mean = np.mean([irregular_hole(rng, 64, 64) > 0 for _ in range(300)], axis=0)
    assert mean.min() > 0.04
    assert mean.max() < 0.5


def test_scratches_and_dust_cover_half_a_percent_to_six_percent() -> None:
    rng = np.random.default_rng(6)
    ratios = [hole_ratio(scratches_and_dust(rng, 128, 160)) for _ in range(120)]
    assert min(ratios) >= 0.005
    assert max(ratios) <= 0.06
    assert np.ptp(ratios) > 0.03


def test_scratches_and_dust_are_thin() -> None:
    rng = np.random.default_rng(7)
    thick = []
    for _ in range(60):
        damage = scratches_and_dust(rng, 128, 128) > 0
        # What is left when every mark loses four pixels all around: crossings and heaps at most.
        windows = np.lib.stride_tricks.sliding_window_view(damage, (9, 9))
        thick.append(windows.all((2, 3)).sum() / damage.sum())
    assert np.mean(thick) < 0.01


def test_smallest_canvas_holds_every_kind_of_hole() -> None:
    rng = np.random.default_rng(8)
    for _ in range(50):
        assert 0.09 <= hole_ratio(irregular_hole(rng, 16, 16)) <= 0.41
        assert 0.005 <= hole_ratio(scratches_and_dust(rng, 16, 16)) <= 0.06


def test_ratio_counts_what_is_missing() -> None:
    hole = np.zeros((4, 5), np.uint8)
    hole[1, :3] = 255
    assert hole_ratio(hole) == pytest.approx(3 / 20)


@pytest.mark.parametrize(("least", "most"), [(0.0, 0.4), (0.5, 0.4), (0.1, 1.0)])
def test_impossible_ratios_are_refused_with_what_to_use(least: float, most: float) -> None:
    with pytest.raises(HoleError, match="use 0 < least <= most"):
        irregular_hole(np.random.default_rng(0), 64, 64, least=least, most=most)


@pytest.mark.parametrize("draw", [irregular_hole, scratches_and_dust])
def test_too_small_a_canvas_is_refused_with_the_least_size(draw: Draw) -> None:
    with pytest.raises(HoleError, match="at least 16 px"):
        draw(np.random.default_rng(0), 15, 64)
