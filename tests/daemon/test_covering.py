"""Windows over what matters of a picture: all of it covered, little else, each as it has to be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.worker.covering import Box, Region, Rules, Window, cover

RULES = Rules(least=32, margin=8, most_pixels=64 * 64)


def pixels(windows: list[Window]) -> int:
    return sum(area(window.box) for window in windows)


def area(box: Box) -> int:
    height, width = (side.stop - side.start for side in box)
    return int(height * width)


def ring(height: int, width: int, radius: int, band: int) -> Region:
    """A band along a circle in the middle."""
    down, across = np.ogrid[:height, :width]
    distance = np.hypot(down - height / 2, across - width / 2)
    inside: Region = np.abs(distance - radius) < band / 2
    return inside


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Rectangles, a line aslant and specks, in pictures of any shape."""
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    region = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(0, 5))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
        region[top : top + tall, left : left + wide] = draw(st.booleans())
    if draw(st.booleans()):
        steps = np.arange(min(height, width))
        region[steps, steps] = True
    share = draw(st.sampled_from([0, 0.001, 0.3, 1]))
    region |= np.random.default_rng(draw(st.integers(0, 9))).random(region.shape) < share
    return region


@settings(max_examples=60, deadline=None)
@given(
    region=regions(),
    rules=st.builds(
        Rules,
        least=st.sampled_from([16, 32, 50]),
        margin=st.just(0),
        most_pixels=st.integers(50 * 50, 20_000),
    ),
)
def test_region_lies_in_cores_each_pixel_in_one(region: Region, rules: Rules) -> None:
    times = np.zeros(region.shape, int)
    for window in cover(region, rules):
        times[window.core] += 1
        assert region[window.core].any()
    assert times.max(initial=0) <= 1
    assert (times[region] == 1).all()


@settings(max_examples=60, deadline=None)
@given(
    region=regions(),
    least=st.sampled_from([16, 32, 50]),
    share=st.sampled_from([0, 1 / 8, 3 / 8]),
    most=st.integers(50 * 50, 20_000),
)
def test_windows_have_their_least_side_their_margin_and_no_more_than_memory_allows(
    region: Region, least: int, share: float, most: int
) -> None:
    margin = int(least * share)
    for window in cover(region, Rules(least, margin, most)):
        assert area(window.box) <= most
        for core, side, size in zip(window.core, window.box, region.shape, strict=True):
            assert 0 <= side.start <= max(0, core.start - margin)
            assert min(size, core.stop + margin) <= side.stop <= size
            assert side.stop - side.start >= min(least, size)


def test_nothing_needs_no_window() -> None:
    assert cover(np.zeros((90, 70), bool), RULES) == []


def test_band_alone_costs_and_not_the_picture() -> None:
    small = cover(ring(500, 500, 200, 12), RULES)
    large = cover(ring(1000, 1500, 200, 12), RULES)
    assert pixels(large) <= 1.2 * pixels(small)


def test_band_twice_as_long_costs_twice_as_much() -> None:
    once = pixels(cover(ring(1700, 1700, 400, 12), RULES))
    twice = pixels(cover(ring(1700, 1700, 800, 12), RULES))
    assert 1.7 * once <= twice <= 2.3 * once


@pytest.mark.parametrize("most", [64 * 64, 256 * 256, 10**7])
def test_memory_makes_no_windows_larger_than_the_band_needs(most: int) -> None:
    region = ring(1000, 1000, 400, 24)
    windows = cover(region, Rules(32, 8, most))
    # Straight, a window of this width would be (24 + 2 x 8) / 24 = 1.7 times what it is for.
    assert pixels(windows) <= 4 * region.sum()


def test_wide_region_is_not_cut_across_where_memory_allows() -> None:
    region = np.zeros((900, 900), bool)
    region[400:500, 100:800] = True
    windows = cover(region, Rules(32, 8, 200 * 200))
    assert 1 < len(windows) < 8
    assert all(window.core[0].start <= 400 and window.core[0].stop >= 500 for window in windows)


def test_far_apart_specks_get_windows_of_the_least_size() -> None:
    region = np.zeros((1000, 1000), bool)
    region[50:56, 50:56] = region[940:946, 940:946] = region[50:56, 940:946] = True
    windows = cover(region, RULES)
    assert len(windows) == 3
    assert all(area(window.box) == 32 * 32 for window in windows)


@pytest.mark.parametrize("size", [(3, 60_000), (60_000, 3)], ids=str)
def test_very_long_strip_is_covered(size: tuple[int, int]) -> None:
    region = np.ones(size, bool)
    windows = cover(region, RULES)
    assert all(area(window.box) <= RULES.most_pixels for window in windows)
    assert sum(area(window.core) for window in windows) == region.size
