"""Mattes found in windows: known regions exact, no seam, both sides seen, few windows."""

import numpy as np
import pytest
from driver import Pixels, photo
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.worker.bands import UNKNOWN, cut_out

BEST = 32


def brightness(picture: Pixels, trimap: Pixels) -> Pixels:
    """A network whose alpha is the picture's red, in the known regions too."""
    return picture[..., 0]


def ramp(height: int, width: int) -> Pixels:
    """A picture that gets brighter from left to right."""
    row = np.rint(np.linspace(0, 255, width)).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def halves(height: int, width: int, band: int, at: int | None = None) -> Pixels:
    """Background on the left, foreground on the right, and a band between."""
    middle = width // 2 if at is None else at
    trimap = np.zeros((height, width), np.uint8)
    trimap[:, middle:] = 255
    trimap[:, max(0, middle - band // 2) : middle + band // 2] = UNKNOWN
    return trimap


@st.composite
def trimaps(draw: st.DrawFn) -> Pixels:
    height, width = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    trimap = np.full((height, width), draw(st.sampled_from([0, 128, 255])), np.uint8)
    for _ in range(draw(st.integers(0, 6))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
        trimap[top : top + tall, left : left + wide] = draw(st.sampled_from([0, 128, 255]))
    return trimap


# -- What comes out --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(trimap=trimaps(), halo=st.sampled_from([0, 5, 40]), most=st.sampled_from([1, 1500, 10**6]))
def test_known_is_exact_and_unknown_is_the_networks(trimap: Pixels, halo: int, most: int) -> None:
    picture = np.full((*trimap.shape, 3), 77, np.uint8)
    before = trimap.copy()
    alpha = cut_out(picture, trimap, brightness, BEST, halo, most).alpha
    assert np.array_equal(alpha, np.where(trimap == UNKNOWN, 77, trimap))
    assert np.array_equal(trimap, before)


@settings(max_examples=60, deadline=None)
@given(trimap=trimaps(), most=st.sampled_from([900, 1500, 10**6]))
def test_what_is_found_pixel_by_pixel_is_the_same_in_windows(trimap: Pixels, most: int) -> None:
    picture = photo(1, *trimap.shape[::-1])

    def full_size(part: Pixels, bands: Pixels) -> Pixels:
        # Where a window is widened the network sees less detail, so that is left out here.
        return brightness(part, bands)

    matte = cut_out(picture, trimap, full_size, BEST, 0, max(most, BEST * BEST))
    if not matte.widened:
        assert np.array_equal(
            matte.alpha, np.where(trimap == UNKNOWN, brightness(picture, trimap), trimap)
        )


def test_small_picture_is_worked_whole() -> None:
    seen: list[tuple[int, ...]] = []

    def watching(part: Pixels, bands: Pixels) -> Pixels:
        seen.append(bands.shape)
        return brightness(part, bands)

    matte = cut_out(photo(1, 48, 40), halves(40, 48, 6), watching, BEST, 5, 10**6)
    assert seen == [(40, 48)]
    assert matte.notes == ()


def test_trimap_without_a_band_is_not_worked() -> None:
    def fail(part: Pixels, bands: Pixels) -> Pixels:
        raise AssertionError

    trimap = halves(200, 200, 0)
    matte = cut_out(photo(1, 200, 200), trimap, fail, BEST, 5, 10**6)
    assert np.array_equal(matte.alpha, trimap)
    assert matte.notes == ()


# -- Windows ---------------------------------------------------------------------------------------


def test_windows_without_anything_unknown_are_skipped() -> None:
    seen: list[Pixels] = []

    def watching(part: Pixels, bands: Pixels) -> Pixels:
        seen.append(bands)
        return brightness(part, bands)

    trimap = np.zeros((1000, 1000), np.uint8)
    trimap[50:60, 50:60] = trimap[940:950, 940:950] = UNKNOWN
    trimap[40:50, 50:60] = trimap[930:940, 940:950] = 255
    matte = cut_out(photo(1, 1000, 1000), trimap, watching, BEST, 5, 64 * 64)
    assert 2 <= len(matte.windows) == len(seen) <= 8
    assert all((bands == UNKNOWN).any() for bands in seen)


def test_no_window_is_larger_than_memory_allows() -> None:
    trimap = halves(150, 300, 80)
    for most in (BEST * BEST, 100 * 100, 300 * 300):
        seen: list[int] = []

        def watching(part: Pixels, bands: Pixels, seen: list[int] = seen) -> Pixels:
            seen.append(bands.size)
            return brightness(part, bands)

        cut_out(ramp(150, 300), trimap, watching, BEST, 10, most)
        assert max(seen) <= most


def test_little_is_worked_that_is_known() -> None:
    seen: list[int] = []

    def watching(part: Pixels, bands: Pixels) -> Pixels:
        seen.append(bands.size)
        return brightness(part, bands)

    down, across = np.ogrid[:800, :1000]
    distance = np.hypot(down - 400, across - 500)
    trimap = np.where(distance < 290, 255, np.where(distance > 310, 0, UNKNOWN)).astype(np.uint8)
    cut_out(ramp(800, 1000), trimap, watching, BEST, 10, 10**6)
    # The box around it is 10 times what is unknown, and a straight band's windows 36 / 20 times.
    assert sum(seen) <= 4 * (trimap == UNKNOWN).sum()


def test_band_alone_costs_and_not_the_photo() -> None:
    small = cut_out(ramp(400, 400), halves(400, 400, 20), brightness, BEST, 8, 64 * 64)
    large = cut_out(ramp(400, 4000), halves(400, 4000, 20), brightness, BEST, 8, 64 * 64)
    assert len(large.windows) <= len(small.windows) + 1


def test_window_that_lacks_a_side_is_widened_until_it_has_it() -> None:
    seen: list[Pixels] = []

    def watching(part: Pixels, bands: Pixels) -> Pixels:
        seen.append(bands)
        return np.full(bands.shape, 90, np.uint8)

    trimap = halves(500, 500, 300)
    matte = cut_out(ramp(500, 500), trimap, watching, BEST, 5, 64 * 64)
    assert matte.widened > 0
    assert "scaled down" in matte.notes[1]
    assert all((bands == 0).any() and (bands == 255).any() for bands in seen)
    assert all(bands.size <= 64 * 64 for bands in seen)
    assert (matte.alpha[trimap == UNKNOWN] == 90).all()


def test_picture_with_one_known_side_alone_is_worked() -> None:
    trimap = np.full((300, 300), UNKNOWN, np.uint8)
    trimap[:100] = 255
    alpha = cut_out(ramp(300, 300), trimap, brightness, BEST, 5, 64 * 64).alpha
    assert (alpha[:100] == 255).all()
    trimap[:] = UNKNOWN
    alpha = cut_out(ramp(300, 300), trimap, brightness, BEST, 5, 64 * 64).alpha
    assert np.array_equal(alpha, ramp(300, 300)[..., 0])


# -- Seams -----------------------------------------------------------------------------------------


def test_windows_that_disagree_fade_into_each_other() -> None:
    answers = iter(np.tile([40, 220], 500).tolist())

    def moody(part: Pixels, bands: Pixels) -> Pixels:
        return np.full(bands.shape, next(answers), np.uint8)

    trimap = np.full((64, 400), UNKNOWN, np.uint8)
    matte = cut_out(ramp(64, 400), trimap, moody, BEST, 0, 64 * 64)
    assert len(matte.windows) > 4
    assert matte.alpha.min() < 60
    assert matte.alpha.max() > 200
    # 180 levels apart, over a quarter of 64 pixels: 18 levels a pixel at the steepest.
    assert np.abs(np.diff(matte.alpha.astype(int), axis=1)).max() <= 19


def test_windows_that_disagree_leave_no_edge_where_many_meet() -> None:
    answers = iter(np.tile([40, 220, 40], 500).tolist())

    def moody(part: Pixels, bands: Pixels) -> Pixels:
        return np.full(bands.shape, next(answers), np.uint8)

    matte = cut_out(ramp(300, 300), np.full((300, 300), UNKNOWN, np.uint8), moody, BEST, 0, 64 * 64)
    assert len(matte.windows) > 16
    assert np.ptp(matte.alpha) == 180
    # At a corner, where four meet, weights are small, and shares twice as steep as along a side.
    for axis in (0, 1):
        assert np.abs(np.diff(matte.alpha.astype(int), axis=axis)).max() <= 2 * 19


def test_window_that_has_what_it_needs_near_by_is_not_scaled_down() -> None:
    seen: list[tuple[int, ...]] = []

    def watching(part: Pixels, bands: Pixels) -> Pixels:
        seen.append(bands.shape)
        assert (bands == 0).any()
        assert (bands == 255).any()
        return brightness(part, bands)

    trimap = np.full((200, 200), UNKNOWN, np.uint8)
    trimap[:80], trimap[120:] = 255, 0
    trimap[80:100, :100] = trimap[100:120, 100:] = UNKNOWN
    matte = cut_out(photo(1, 200, 200), trimap, watching, BEST, 0, 100 * 100)
    assert matte.widened == 0
    assert np.array_equal(matte.alpha[80:120], photo(1, 200, 200)[80:120, :, 0])


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (40, 3000), (3000, 40)], ids=str)
def test_narrow_strips_are_cut_out(size: tuple[int, int]) -> None:
    trimap = np.full(size, UNKNOWN, np.uint8)
    picture = np.full((*size, 3), 77, np.uint8)
    assert (cut_out(picture, trimap, brightness, BEST, 8, 2000).alpha == 77).all()


def test_panorama_is_cut_out_in_the_memory_of_its_band() -> None:
    shapes: list[int] = []

    def watching(part: Pixels, bands: Pixels) -> Pixels:
        shapes.append(bands.size)
        return np.full(bands.shape, 90, np.uint8)

    trimap = halves(2000, 20_000, 100)
    picture = np.zeros((2000, 20_000, 3), np.uint8)
    matte = cut_out(picture, trimap, watching, 320, 200, 700 * 700)
    assert max(shapes) <= 700 * 700
    assert len(shapes) <= 6
    assert (matte.alpha[trimap == UNKNOWN] == 90).all()


def test_notes_tell_the_windows() -> None:
    notes = cut_out(ramp(400, 400), halves(400, 400, 20), brightness, BEST, 8, 64 * 64).notes
    assert notes == ("cut out in 8 windows of at most 36 x 66 pixels",)
