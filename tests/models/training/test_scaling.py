"""Pictures fit a pack: small ones stay as they are, and nothing invisible shows."""

import numpy as np

from models.training.scaling import continue_colours, fit_cutout, fit_photo


def test_short_side_of_a_photo_becomes_640() -> None:
    assert fit_photo(np.zeros((1280, 2000, 3), np.uint8)).shape == (640, 1000, 3)


def test_small_photo_is_not_enlarged() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (639, 900, 3)).astype(np.uint8)
    assert np.array_equal(fit_photo(photo), photo)


def test_cutout_is_cropped_to_what_is_visible() -> None:
    pixels = np.zeros((100, 80, 4), np.uint8)
    pixels[10:30, 20:25] = 200
    assert np.array_equal(fit_cutout(pixels), pixels[10:30, 20:25])


def test_long_side_of_a_cutout_becomes_640() -> None:
    assert fit_cutout(np.full((2000, 1000, 4), 255, np.uint8)).shape == (640, 320, 4)


def test_invisible_colours_do_not_bleed_into_a_scaled_cutout() -> None:
    pixels = np.zeros((1400, 1400, 4), np.uint8)
    pixels[..., 1] = 255  # a green that nobody sees
    pixels[200:1200, 200:1200] = (250, 10, 10, 255)
    pixels[0, 0, 3] = pixels[-1, -1, 3] = 255
    scaled = fit_cutout(pixels)
    seen = scaled[50:-50, 50:-50][scaled[50:-50, 50:-50, 3] > 8]
    assert seen[:, 1].max() <= 14


def test_colours_under_alpha_0_continue_those_beside_them() -> None:
    pixels = np.zeros((37, 53, 4), np.uint8)
    pixels[:, :20] = (200, 30, 30, 255)
    pixels[:, 40:] = (30, 30, 200, 128)
    filled = continue_colours(pixels)
    assert np.array_equal(filled[..., 3], pixels[..., 3])
    visible = pixels[..., 3] > 0
    assert np.array_equal(filled[visible], pixels[visible])
    assert np.array_equal(filled[:, 20, :3], pixels[:, 19, :3])
    assert np.array_equal(filled[:, 39, :3], pixels[:, 40, :3])
    hidden = filled[~visible].astype(int)
    assert hidden[:, 1].min() == 30
    assert np.all(np.abs(hidden[:, 0] + hidden[:, 2] - 230) <= 1)
