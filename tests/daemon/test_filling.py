"""Holes filled window by window: nothing else changes, nothing leaks, no seam at the rim."""

import numpy as np
import pytest
from driver import Pixels, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from daemon.worker.filling import fill_holes
from daemon.worker.membrane import stretched, without_step

SIDE = 32


def inverted(pictures: Pixels, masks: Pixels) -> Pixels:
    """A network that puts the negative of what is in a hole there."""
    return np.where(masks[..., None] > 0, 255 - pictures, pictures)


def grey(pictures: Pixels, masks: Pixels) -> Pixels:
    """A network that knows one colour."""
    return np.where(masks[..., None] > 0, np.uint8(200), pictures)


def mean_of_known(pictures: Pixels, masks: Pixels) -> Pixels:
    """A network that looks at all that is known, and at nothing else."""
    made = pictures.copy()
    for picture, mask in zip(made, masks, strict=True):
        known = picture[mask == 0]
        picture[mask > 0] = known.mean(axis=0) if len(known) else 128
    return made


def gradient(height: int, width: int) -> Pixels:
    """A picture that rises by less than one level from pixel to pixel, in its own way by colour."""
    down, across = np.mgrid[:height, :width]
    planes = [20 + 200 * down / height, 220 - 180 * across / width, 60 + 60 * across / width]
    picture: Pixels = np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
    return picture


def disc(height: int, width: int, radius: int) -> Pixels:
    down, across = np.ogrid[:height, :width]
    inside = (down - height // 2) ** 2 + (across - width // 2) ** 2 <= radius**2
    return np.where(inside, np.uint8(255), np.uint8(0))


def rim_step(picture: Pixels, mask: Pixels) -> float:
    """The mean absolute step, in levels, between neighbours on the two sides of the rim."""
    steps = []
    for axis in (0, 1):
        across = np.abs(np.diff(picture.astype(float), axis=axis))
        steps.append(across[np.diff((mask > 0).astype(np.int8), axis=axis) != 0])
    return float(np.concatenate(steps).mean())


@st.composite
def masks(draw: st.DrawFn) -> Pixels:
    height, width = draw(st.integers(1, 150)), draw(st.integers(1, 150))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 5))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
        mask[top : top + tall, left : left + wide] = draw(st.sampled_from([255, 1, 0]))
    mask[np.random.default_rng(draw(st.integers(0, 9))).random(mask.shape) < 0.01] = 255
    return mask


# -- What changes ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(mask=masks(), batch=st.sampled_from([1, 5]))
def test_nothing_changes_outside_and_all_is_filled_inside(mask: Pixels, batch: int) -> None:
    picture = photo(1, *mask.shape[::-1]) // 2
    before = picture.copy(), mask.copy()
    filled = fill_holes(picture, mask, grey, SIDE, batch=batch).picture
    assert np.array_equal(filled[mask == 0], picture[mask == 0])
    assert np.array_equal(picture, before[0])
    assert np.array_equal(mask, before[1])
    whole = fill_holes(np.full_like(picture, 200), mask, grey, SIDE, batch=batch).picture
    assert (whole == 200).all()


@settings(max_examples=40, deadline=None)
@given(mask=masks(), seed=st.integers(0, 9))
def test_nothing_of_what_was_in_a_hole_gets_out(mask: Pixels, seed: int) -> None:
    picture = photo(1, *mask.shape[::-1])
    other = np.where(mask[..., None] > 0, photo(seed + 2, *mask.shape[::-1]), picture)
    one, two = (fill_holes(p, mask, mean_of_known, SIDE).picture for p in (picture, other))
    assert np.array_equal(one, two)


def test_small_picture_is_what_the_network_makes_of_it_whole() -> None:
    picture, mask = photo(1, 48, 40), disc(40, 48, 18)
    filled = fill_holes(picture, mask, mean_of_known, SIDE)
    assert np.array_equal(filled.picture, mean_of_known(picture[None], mask[None])[0])
    assert filled.notes == ()


def test_windows_at_full_resolution_are_as_the_network_fills_them() -> None:
    picture, mask = photo(1, 700, 500), np.zeros((500, 700), np.uint8)
    steps = np.arange(500)
    mask[steps, steps + 40] = mask[250, :] = 255
    filled = fill_holes(picture, mask, inverted, SIDE)
    assert np.array_equal(filled.picture, inverted(picture, mask))
    assert filled.notes[0].endswith("windows at full resolution")


def test_picture_without_a_hole_is_not_worked() -> None:
    def fail(pictures: Pixels, masks: Pixels) -> Pixels:
        raise AssertionError

    picture = photo(1, 300, 200)
    filled = fill_holes(picture, np.zeros((200, 300), np.uint8), fail, SIDE)
    assert np.array_equal(filled.picture, picture)
    assert filled.notes == ()


def test_picture_that_is_all_hole_is_filled() -> None:
    mask = np.full((200, 300), 255, np.uint8)
    assert (fill_holes(photo(1, 300, 200), mask, grey, SIDE).picture == 200).all()


@pytest.mark.parametrize("size", [(1, 900), (900, 1), (7, 900)], ids=str)
def test_narrow_strips_are_filled(size: tuple[int, int]) -> None:
    picture, mask = np.full((*size, 3), 90, np.uint8), np.zeros(size, np.uint8)
    mask.reshape(-1)[mask.size // 3 : mask.size // 2] = 255
    assert (fill_holes(picture, mask, mean_of_known, SIDE).picture == 90).all()


def test_hole_along_all_borders_is_filled_from_within() -> None:
    picture = np.full((300, 400, 3), 90, np.uint8)
    mask = np.full((300, 400), 255, np.uint8)
    mask[25:-25, 25:-25] = 0
    picture[mask > 0] = 7
    assert (fill_holes(picture, mask, mean_of_known, SIDE).picture == 90).all()


def test_known_lines_between_large_holes_are_not_lost() -> None:
    # Scaled down, each line is thinner than a pixel, and yet all that is known.
    mask = np.full((400, 400), 255, np.uint8)
    mask[::100] = mask[:, ::100] = 0
    picture = np.where(mask[..., None] > 0, np.uint8(3), np.full((400, 400, 3), 90, np.uint8))
    filled = fill_holes(picture, mask, mean_of_known, SIDE).picture
    assert np.abs(filled.astype(int) - 90).max() <= 1


# -- Seams -----------------------------------------------------------------------------------------


def test_scaled_fill_of_the_wrong_brightness_meets_a_gradient_at_the_rim() -> None:
    picture, mask = gradient(500, 600), disc(500, 600, 120)
    filled = fill_holes(picture, mask, grey, SIDE)
    assert filled.windows[0].scale < 0.1
    # Less than within the picture itself and one level, where the network was off by up to 180.
    assert rim_step(filled.picture, mask) <= rim_step(picture, mask) + 0.5
    assert np.abs(filled.picture.astype(int) - picture).max() <= 4


def test_scaled_fill_takes_grain_and_lines_in_from_the_rim() -> None:
    picture, mask = gradient(500, 600), disc(500, 600, 120)
    grain = np.random.default_rng(0).normal(0, 6, picture.shape)
    picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    picture[:, 295:305] = 20
    filled = fill_holes(picture, mask, grey, SIDE).picture
    # As much as between neighbours in the photo's own grain, but for what is rounded.
    assert rim_step(filled, mask) < rim_step(picture, mask)
    top = int(np.flatnonzero(mask[:, 300])[0])
    assert abs(int(filled[top, 300, 1]) - int(picture[top - 1, 300, 1])) < 20
    # The line fades out: far from the rim nothing is left of it.
    deep = filled[top + 40, 280:320, 1].astype(int)
    assert deep.max() - deep.min() < 12


def test_scaled_fill_on_one_colour_can_not_be_seen() -> None:
    picture, mask = np.full((500, 600, 3), 77, np.uint8), disc(500, 600, 120)
    assert (fill_holes(picture, mask, grey, SIDE).picture == 77).all()


def test_pieces_of_one_hole_meet_each_other() -> None:
    picture, mask = np.full((500, 900, 3), 77, np.uint8), np.zeros((500, 900), np.uint8)
    mask[200:260, 50:850] = 255
    filled = fill_holes(picture, mask, mean_of_known, SIDE)
    assert len(filled.windows) > 3
    assert (filled.picture == 77).all()


# -- Order and batches -----------------------------------------------------------------------------


def test_windows_that_need_nothing_from_each_other_are_filled_at_once() -> None:
    sizes: list[int] = []

    def counting(pictures: Pixels, masks: Pixels) -> Pixels:
        sizes.append(len(pictures))
        return inverted(pictures, masks)

    picture, mask = photo(1, 700, 500), np.zeros((500, 700), np.uint8)
    mask[50:500:100, 50:700:100] = 255
    one = fill_holes(picture, mask, counting, SIDE, batch=1)
    assert sizes == [1] * 35
    sizes.clear()
    many = fill_holes(picture, mask, counting, SIDE, batch=16)
    assert sizes == [16, 16, 3]
    assert np.array_equal(one.picture, many.picture)


def test_later_windows_see_what_earlier_ones_filled() -> None:
    left: list[int] = []

    def watching(pictures: Pixels, masks: Pixels) -> Pixels:
        left.append(int((masks > 0).sum()))
        return grey(pictures, masks)

    mask = np.zeros((100, 400), np.uint8)
    mask[50:52, 100:300] = 255
    filled = fill_holes(photo(1, 400, 100), mask, watching, SIDE, batch=16)
    assert len(filled.windows) == len(left) > 5
    raw = [int((mask[window.box] > 0).sum()) for window in filled.windows]
    assert left[0] == raw[0]
    assert all(seen < all_ for seen, all_ in zip(left[1:], raw[1:], strict=True))


# -- What is told ----------------------------------------------------------------------------------


def test_notes_tell_windows_and_scales() -> None:
    picture, mask = photo(1, 900, 600), np.zeros((600, 900), np.uint8)

    def notes() -> tuple[str, ...]:
        return fill_holes(picture, mask, grey, SIDE).notes

    mask[100:164, 100:164] = 255
    assert notes() == ("filled in 1 window, scaled to 0.24 of its size",)
    mask[400, 800] = 255
    assert notes() == ("filled in 2 windows, one of them scaled to 0.24 of its size",)
    mask[400:464, 100:164] = 255
    assert notes() == ("filled in 3 windows, 2 of them scaled to 0.24 of their size",)
    mask[300:428, 500:628] = 255
    assert notes() == ("filled in 4 windows, 3 of them scaled, the most to 0.12 of its size",)


# -- The membrane ----------------------------------------------------------------------------------


def test_membrane_continues_a_plane_and_keeps_what_is_given() -> None:
    down, across = np.mgrid[:40, :50]
    plane = (2.0 * down - 3.0 * across).astype(np.float32)[..., None]
    inside = disc(40, 50, 15) > 0
    given: NDArray[np.float32] = np.where(inside[..., None], np.float32(99), plane)
    made = stretched(given, inside)
    assert np.array_equal(made[~inside], plane[~inside])
    assert np.abs(made - plane).max() < 0.05


def test_membrane_ends_level_at_the_border_and_is_nothing_where_nothing_holds_it() -> None:
    given = np.zeros((20, 30, 1), np.float32)
    given[:, 0] = 5
    inside = np.ones((20, 30), bool)
    inside[:, 0] = False
    assert np.abs(stretched(given, inside) - 5).max() < 0.05
    assert (stretched(given, np.ones((20, 30), bool)) == 0).all()
    assert np.array_equal(stretched(given, np.zeros((20, 30), bool)), given)


def test_step_at_the_rim_is_taken_away_and_less_of_it_farther_inside() -> None:
    picture, hole = np.full((60, 80, 3), 100, np.uint8), disc(60, 80, 25) > 0
    picture[hole] = 60
    shift = np.zeros(picture.shape, np.float32)
    shift[hole] = without_step(picture, hole, np.zeros_like(hole), 8)
    row = shift[30, 40:, 1]
    inside = hole[30, 40:]
    rim = int(np.flatnonzero(inside)[-1])
    assert 30 < row[rim] <= 40
    assert (np.diff(row[rim - 8 : rim + 1]) >= 0).all()
    assert (row[: rim - 9] == 0).all()
    assert (shift[~hole] == 0).all()


def test_what_is_yet_to_be_filled_holds_no_membrane() -> None:
    picture, filled = np.full((40, 60, 1), 50, np.uint8), np.zeros((40, 60), bool)
    rest = filled.copy()
    filled[10:30, 10:30] = rest[10:30, 30:50] = True
    picture[filled] = 50  # meets what is known, but not what is left
    picture[rest] = 255
    assert (without_step(picture, filled, rest, 8) == 0).all()


def test_fill_with_nothing_known_around_it_is_left_as_it_is() -> None:
    everything = np.ones((20, 30), bool)
    shift = without_step(np.full((20, 30, 3), 9, np.uint8), everything, ~everything, 4)
    assert shift.shape == (600, 3)
    assert (shift == 0).all()
