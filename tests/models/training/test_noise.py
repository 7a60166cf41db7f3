"""Fractal noise: its spread, its repeatability, and pictures bent by planes."""

import numpy as np
import pytest

from models.training.noise import bent, fractal


@pytest.mark.parametrize(("largest", "octaves"), [(8, 1), (40, 1), (40, 4), (20, 6)])
def test_noise_has_mean_0_and_deviation_1(largest: float, octaves: int) -> None:
    rng = np.random.default_rng(1)
    planes = [fractal(rng, 96, 128, largest_px=largest, octaves=octaves) for _ in range(30)]
    assert np.std(planes) == pytest.approx(1, abs=0.12)
    assert abs(np.mean(planes)) < 0.12
    assert planes[0].dtype == np.float32


def test_more_octaves_make_it_rougher() -> None:
    def roughness(octaves: int) -> float:
        plane = fractal(np.random.default_rng(2), 128, 128, largest_px=64, octaves=octaves)
        return float(np.abs(np.diff(plane)).mean())

    assert roughness(1) < roughness(3) < roughness(5)


def test_same_seed_makes_the_same_noise() -> None:
    one, again = (
        fractal(np.random.default_rng(3), 40, 50, largest_px=20, octaves=3) for _ in range(2)
    )
    np.testing.assert_array_equal(one, again)


def test_bending_by_whole_pixels_moves_the_picture() -> None:
    plane = np.random.default_rng(4).random((20, 30), dtype=np.float32)
    moved = bent(plane, np.full((20, 30), 2, np.float32), np.full((20, 30), -3, np.float32))
    np.testing.assert_allclose(moved[:17, 3:], plane[2:19, :27], atol=1e-6)


def test_bending_by_parts_of_a_pixel_is_linear_and_borders_repeat() -> None:
    plane = np.tile(np.arange(30, dtype=np.float32), (20, 1))
    none = np.zeros((20, 30), np.float32)
    np.testing.assert_allclose(bent(plane, none, none + 0.25)[:, :28], plane[:, :28] + 0.25)
    assert bent(plane, none, none + 100).min() > 28.9
