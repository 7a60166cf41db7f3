"""Composites are exact, trimaps never lie, and clear pixels' colours never show."""

from collections.abc import Callable

import numpy as np
import pytest

from models.training.composites import (
    CompositeError,
    Foreground,
    Pixels,
    Plane,
    composite,
    extended_colours,
    foreground_of,
    from_premultiplied,
    mirrored,
    placed,
    rotated,
    scaled,
    trimap_of,
)

Change = Callable[[Foreground], Foreground]


def test_two_backgrounds_show_through_by_what_alpha_leaves() -> None:
    rng = np.random.default_rng(1)
    front, one, other = rng.random((3, 40, 50, 3), dtype=np.float32)
    alpha = rng.random((40, 50), dtype=np.float32)
    shown = composite(front, alpha, one) - composite(front, alpha, other)
    np.testing.assert_allclose(shown, (1 - alpha)[..., None] * (one - other), atol=3e-7)


def test_composite_of_bytes_is_that_of_their_fractions() -> None:
    rng = np.random.default_rng(2)
    front, back = rng.integers(0, 256, (2, 8, 9, 3), dtype=np.uint8)
    alpha = rng.random((8, 9), dtype=np.float32)
    made = composite(front, alpha, back)
    expected = alpha[..., None] * (front / 255) + (1 - alpha[..., None]) * (back / 255)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_opaque_shows_the_foreground_and_clear_the_background() -> None:
    rng = np.random.default_rng(3)
    front, back = rng.random((2, 6, 6, 3), dtype=np.float32)
    ones = np.ones((6, 6), np.float32)
    np.testing.assert_array_equal(composite(front, ones, back), front)
    np.testing.assert_array_equal(composite(front, 0 * ones, back), back)


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(CompositeError, match="differ in size"):
        composite(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), photo(4, 5))


@pytest.mark.parametrize("band", [(0, 0), (0, 4), (3, 3), (2, 25)], ids=str)
def test_trimap_never_lies(band: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    for number in range(20):
        alpha = soft_disc(60 + number, 70)
        trimap = trimap_of(rng, alpha, least_px=band[0], most_px=band[1])
        assert trimap.dtype == np.uint8
        assert (trimap[(alpha > 0) & (alpha < 1)] == 128).all()
        assert (alpha[trimap == 0] == 0).all()
        assert (alpha[trimap == 255] == 1).all()
        assert set(np.unique(trimap)) <= {0, 128, 255}


def test_band_on_either_side_is_as_wide_as_asked_for() -> None:
    alpha = np.zeros((80, 80), np.float32)
    alpha[:, 40:] = 1
    for pixels in (0, 1, 2, 7):
        trimap = trimap_of(np.random.default_rng(0), alpha, least_px=pixels, most_px=pixels)
        assert (trimap[:, : 40 - pixels] == 0).all()
        assert (trimap[:, 40 - pixels : 40 + pixels] == 128).all()
        assert (trimap[:, 40 + pixels :] == 255).all()


def test_corner_of_the_band_is_round_to_a_tenth() -> None:
    alpha = np.zeros((61, 61), np.float32)
    alpha[30, 30] = 0.5
    trimap = trimap_of(np.random.default_rng(0), alpha, least_px=20, most_px=20)
    y, x = np.nonzero(trimap == 128)
    distance = np.hypot(y - 30, x - 30)
    assert 20 <= distance.max() <= 23
    assert np.count_nonzero(trimap == 128) == pytest.approx(np.pi * 400, rel=0.25)


def test_both_sides_of_the_band_are_drawn_apart() -> None:
    alpha = np.zeros((60, 60), np.float32)
    alpha[:, 30:] = 1
    rng = np.random.default_rng(5)
    widths = []
    for _ in range(60):
        trimap = trimap_of(rng, alpha, least_px=1, most_px=10)
        widths.append(((trimap[0, :30] == 128).sum(), (trimap[0, 30:] == 128).sum()))
    outside, inside = np.transpose(widths)
    assert {int(n) for n in outside} == {int(n) for n in inside} == set(range(1, 11))
    assert abs(np.corrcoef(outside, inside)[0, 1]) < 0.4


def test_impossible_band_is_refused() -> None:
    with pytest.raises(CompositeError, match="0 <= least_px <= most_px"):
        trimap_of(np.random.default_rng(0), soft_disc(20, 20), least_px=5, most_px=4)


def test_extended_colours_change_nothing_that_shows() -> None:
    rgba = cutout()
    made = extended_colours(rgba)
    np.testing.assert_array_equal(made[..., 3], rgba[..., 3])
    shows = rgba[..., 3] > 0
    np.testing.assert_array_equal(made[shows], rgba[shows])


def test_clear_pixels_get_the_colours_near_by() -> None:
    rgba = np.zeros((64, 96, 4), np.uint8)
    rgba[..., :3] = (0, 255, 0)
    rgba[24:40, 8:24] = (200, 40, 10, 255)
    rgba[24:40, 72:88] = (10, 40, 200, 255)
    made = extended_colours(rgba)[..., :3].astype(int)
    assert made[..., 1].max() <= 41
    assert abs(made[30, 2] - (200, 40, 10)).max() < 25
    assert abs(made[30, 93] - (10, 40, 200)).max() < 25
    assert abs(made[32, 48] - (105, 40, 105)).max() < 40


def test_cutout_without_a_solid_pixel_is_extended_to_black() -> None:
    rgba = photo(20, 30, 4)
    rgba[..., 3] = 0
    assert not extended_colours(rgba).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2), (33, 65)], ids=str)
def test_colours_extend_at_any_size(size: tuple[int, int]) -> None:
    rgba = photo(*size, 4)
    rgba[..., 3] = 0
    rgba[0, 0] = (90, 60, 30, 200)
    made = extended_colours(rgba)
    assert abs(made[..., :3].astype(int) - (90, 60, 30)).max() <= 1


GEOMETRY: dict[str, Change] = {
    "smaller": lambda f: scaled(f, 31, 45),
    "larger": lambda f: scaled(f, 150, 170),
    "rotated": lambda f: rotated(f, 33.0),
    "mirrored": mirrored,
    "placed": lambda f: placed(f, 100, 120, -13, 20),
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_garbage_in_clear_pixels_never_shows(name: str) -> None:
    rgba = cutout()
    clean = foreground_of(rgba)
    dirty = Foreground(np.where(clean.alpha[..., None] > 0, clean.pixels, 0.77), clean.alpha)
    one, other = GEOMETRY[name](clean), GEOMETRY[name](dirty)
    np.testing.assert_array_equal(one.alpha, other.alpha)
    back = np.zeros((*one.alpha.shape, 3), np.float32)
    np.testing.assert_allclose(
        composite(one.pixels, one.alpha, back), composite(other.pixels, other.alpha, back)
    )


@pytest.mark.parametrize("name", GEOMETRY)
def test_one_colour_stays_that_colour_up_to_the_rim(name: str) -> None:
    alpha = soft_disc(80, 90)
    colour = np.array([0.9, 0.5, 0.1], np.float32)
    made = GEOMETRY[name](Foreground(np.broadcast_to(colour, (80, 90, 3)), alpha))
    assert made.pixels.dtype == made.alpha.dtype == np.float32
    assert made.alpha.min() >= 0 and made.alpha.max() <= 1
    np.testing.assert_allclose(made.pixels, np.broadcast_to(colour, made.pixels.shape), atol=4e-3)


@pytest.mark.parametrize("name", GEOMETRY)
def test_colours_go_on_where_geometry_leaves_it_clear(name: str) -> None:
    made = GEOMETRY[name](foreground_of(cutout()))
    # The cut-out is red and bright; black or garbage would be neither.
    assert made.pixels[..., 0].min() > 0.5


def test_scaled_composite_is_the_composite_of_the_scaled() -> None:
    rgba = cutout()
    whole = foreground_of(rgba)
    back = np.full((*whole.alpha.shape, 3), 0.25, np.float32)
    shown = Foreground(composite(whole.pixels, whole.alpha, back), np.ones_like(whole.alpha))
    small = scaled(whole, 40, 45)
    expected = scaled(shown, 40, 45).pixels
    made = composite(small.pixels, small.alpha, np.full((40, 45, 3), 0.25, np.float32))
    np.testing.assert_allclose(made, expected, atol=3e-3)


def test_rotation_keeps_all_of_the_foreground() -> None:
    alpha = np.ones((40, 70), np.float32)
    made = rotated(Foreground(np.ones((40, 70, 3), np.float32), alpha), 30)
    assert made.alpha.sum() == pytest.approx(alpha.sum(), rel=0.01)
    assert made.alpha[0].max() < 1 and made.alpha[:, 0].max() < 1


def test_quarter_turn_is_exact() -> None:
    foreground = foreground_of(cutout())
    turned = rotated(foreground, 90)
    inside = turned.alpha[1:-1, 1:-1]
    np.testing.assert_allclose(inside, np.rot90(foreground.alpha), atol=2e-3)


def test_mirroring_twice_changes_nothing() -> None:
    foreground = foreground_of(cutout())
    twice = mirrored(mirrored(foreground))
    np.testing.assert_array_equal(twice.pixels, foreground.pixels)
    np.testing.assert_array_equal(twice.alpha, foreground.alpha)


def test_placing_cuts_and_pads_with_clear() -> None:
    foreground = foreground_of(cutout())
    made = placed(foreground, 30, 200, -20, 60)
    np.testing.assert_array_equal(made.alpha[:, 60:150], foreground.alpha[20:50])
    assert not made.alpha[:, :60].any() and not made.alpha[:, 150:].any()


def test_premultiplied_colours_come_back() -> None:
    rng = np.random.default_rng(6)
    pixels = rng.random((20, 20, 3), dtype=np.float32)
    alpha = rng.uniform(0.05, 0.95, (20, 20)).astype(np.float32)
    made = from_premultiplied(pixels * alpha[..., None], alpha)
    np.testing.assert_allclose(made.pixels, pixels, atol=1e-5)
    np.testing.assert_array_equal(made.alpha, alpha)


def photo(height: int, width: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(9).integers(0, 256, (height, width, channels), dtype=np.uint8)


def soft_disc(height: int, width: int) -> Plane:
    """A disc with a rim of some pixels, clear all around."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(y - height / 2, x - width / 2)
    return np.asarray(np.clip((min(height, width) * 0.35 - radius) / 6 + 0.5, 0, 1), np.float32)


def cutout() -> Pixels:
    """A reddish soft disc; green garbage where it is clear."""
    rgba = photo(80, 90, 4)
    alpha = np.rint(soft_disc(80, 90) * 255)
    rgba[..., 0] = np.where(alpha > 0, 180 + rgba[..., 0] // 4, 0)
    rgba[..., 3] = alpha
    return rgba
