import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from models.evaluation.fill_errors import fill_errors, psnr


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(1).integers(40, 200, (32, 40, 3), dtype=np.uint8)


@pytest.fixture
def hole() -> np.ndarray:
    hole = np.zeros((32, 40), np.uint8)
    hole[8:16, 10:20] = 255
    return hole


def test_perfect_filling_has_no_error(truth: np.ndarray, hole: np.ndarray) -> None:
    errors = fill_errors(truth, truth, hole)
    assert errors.l1_hole == 0
    assert errors.psnr_hole == errors.psnr_whole == math.inf
    assert errors.ssim_hole == errors.ssim_whole == pytest.approx(1.0)


def test_even_error_in_the_hole_is_worked_out_by_hand(truth: np.ndarray, hole: np.ndarray) -> None:
    filled = truth + np.where(hole[:, :, None] > 0, np.uint8(5), np.uint8(0))
    errors = fill_errors(filled, truth, hole)
    assert errors.l1_hole == pytest.approx(5)
    assert errors.psnr_hole == pytest.approx(20 * math.log10(255 / 5))
    # The hole is 80 of 1280 pixels: a 16th of the squared error, 10 log10(16) dB more.
    assert errors.psnr_whole == pytest.approx(errors.psnr_hole + 10 * math.log10(16))


def test_brighter_and_darker_do_not_cancel(truth: np.ndarray, hole: np.ndarray) -> None:
    filled = truth.copy()
    filled[8:16, 10:15] += 10
    filled[8:16, 15:20] -= 10
    assert fill_errors(filled, truth, hole).l1_hole == pytest.approx(10)


def test_whole_picture_errors_are_scikit_images(truth: np.ndarray, hole: np.ndarray) -> None:
    noise = np.random.default_rng(2).integers(0, 255, truth.shape, dtype=np.uint8)
    filled = np.where(hole[:, :, None] > 0, noise, truth)
    errors = fill_errors(filled, truth, hole)
    assert errors.psnr_whole == pytest.approx(
        peak_signal_noise_ratio(truth, filled, data_range=255)
    )
    assert errors.ssim_whole == pytest.approx(
        structural_similarity(
            truth,
            filled,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def test_ssim_in_the_hole_sees_only_the_hole(truth: np.ndarray, hole: np.ndarray) -> None:
    filled = np.where(hole[:, :, None] > 0, np.uint8(127), truth)
    errors = fill_errors(filled, truth, hole)
    assert errors.ssim_hole < 0.5 < errors.ssim_whole
    far_away = np.zeros_like(hole)
    far_away[24:, 30:] = 255
    assert fill_errors(filled, truth, far_away).ssim_hole == pytest.approx(1.0)


def test_psnr_of_one_level_is_48_13_decibels() -> None:
    assert psnr(1.0) == pytest.approx(48.1308, abs=1e-4)
