import math

import numpy as np
import pytest

from models.evaluation.matte_errors import (
    connectivity_error,
    gradient_error,
    gradient_magnitude,
    matte_errors,
    mse,
    sad,
)

ALL = np.ones((20, 20), dtype=bool)


def ramp() -> np.ndarray:
    return np.tile(np.linspace(0, 1, 20), (20, 1))


def test_perfect_matte_has_no_error() -> None:
    truth = np.rint(ramp() * 255).astype(np.uint8)
    errors = matte_errors(truth, truth, np.full_like(truth, 128))
    assert (errors.sad, errors.mse, errors.gradient, errors.connectivity) == (0, 0, 0, 0)


def test_errors_in_known_pixels_do_not_count() -> None:
    truth = np.zeros((20, 20), np.uint8)
    trimap = np.zeros_like(truth)
    trimap[:, 10:] = 255
    trimap[5, 5] = 128
    wrong = np.full_like(truth, 255)
    wrong[5, 5] = 0
    errors = matte_errors(wrong, truth, trimap)
    assert (errors.sad, errors.mse) == (0, 0)


def test_sad_and_mse_are_those_worked_out_by_hand() -> None:
    made, true = np.full((20, 20), 0.75), np.full((20, 20), 0.25)
    unknown = np.zeros((20, 20), dtype=bool)
    unknown[:4, :5] = True
    assert sad(made, true, unknown) == pytest.approx(20 * 0.5 / 1000)
    assert mse(made, true, unknown) == pytest.approx(0.25)


def test_gradient_of_an_even_matte_is_zero_up_to_its_border() -> None:
    assert np.abs(gradient_magnitude(np.full((20, 20), 0.6))).max() < 1e-12


def test_gradient_of_a_slope_is_what_the_kernel_sums_to() -> None:
    # Convolving s * x with g'(x) g(y), each of unit norm, gives s * sum(x g') * sum(g).
    x = np.arange(-4.0, 5.0)
    bell = np.exp(-(x**2) / (2 * 1.4**2))
    slope = x * bell
    expected = (x * slope).sum() / math.sqrt((slope**2).sum())
    expected *= bell.sum() / math.sqrt((bell**2).sum()) / 19
    for alpha in (ramp(), ramp().T):
        assert gradient_magnitude(alpha)[10, 10] == pytest.approx(expected)


def test_gradient_error_is_the_squared_difference_of_lengths_summed() -> None:
    unknown = np.zeros((20, 20), dtype=bool)
    unknown[10, 8:12] = True
    one = gradient_magnitude(ramp())[10, 10]
    # Half as steep, and downwards: only the length counts.
    error = gradient_error(0.5 - ramp() / 2, ramp(), unknown)
    assert error == pytest.approx(4 * (one / 2) ** 2 / 1000)


def test_faint_matte_is_not_stretched_before_it_is_judged() -> None:
    step = np.zeros((20, 20))
    step[:, 10:] = 1.0
    assert gradient_error(step * 0.1, step, ALL) > 0.5 * gradient_error(0 * step, step, ALL)


def test_island_that_the_truth_connects_is_an_error_of_connectivity() -> None:
    # Truth: all opaque. Made: the same but a moat of 0 around one opaque pixel. Neither the moat
    # nor the island hangs together with the rest above level 0, where d = alpha for both mattes.
    truth, made = np.ones((9, 9)), np.ones((9, 9))
    made[3:6, 3:6] = 0.0
    made[4, 4] = 1.0
    unknown = np.ones((9, 9), dtype=bool)
    # In the moat the truth's degree is 1 - 1 = 0 and the other's 1 - 0 = 1; on the island both 0.
    assert connectivity_error(made, truth, unknown) == pytest.approx(8 / 1000)


def test_levels_are_steps_of_a_tenth() -> None:
    # Both connected up to 0.5; there d is 0.04 for one (below theta: degree 1), 0.36 for the other.
    made, truth = np.full((5, 5), 0.54), np.full((5, 5), 0.86)
    unknown = np.zeros((5, 5), dtype=bool)
    unknown[2, 2] = True
    assert connectivity_error(made, truth, unknown) == pytest.approx(0.36 / 1000)


def test_differences_below_theta_keep_a_matte_connected() -> None:
    made, truth = np.full((5, 5), 0.50), np.full((5, 5), 0.64)
    assert connectivity_error(made, truth, ALL[:5, :5]) == 0


def test_diagonal_neighbours_are_not_connected() -> None:
    truth = np.zeros((6, 6))
    truth[:3, :3] = truth[3, 3] = 1.0
    made = truth.copy()
    made[3, 3] = 0.5
    unknown = np.zeros((6, 6), dtype=bool)
    unknown[3, 3] = True
    # Cut off from the large square: l = 0, so the degrees are 1 - 0.5 and 1 - 1.
    assert connectivity_error(made, truth, unknown) == pytest.approx(0.5 / 1000)


def test_matte_without_a_common_region_has_an_error_and_no_exception() -> None:
    made, truth = np.zeros((5, 5)), np.ones((5, 5))
    assert connectivity_error(made, truth, ALL[:5, :5]) == pytest.approx(25 / 1000)
