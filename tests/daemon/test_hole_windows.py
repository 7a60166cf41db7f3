"""Windows over the holes of photos: everything covered once, in few windows, at the right scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.worker.holes import Pixels, Plan, plan_windows, window_side

SIDE = 64


def empty(height: int, width: int) -> Pixels:
    return np.zeros((height, width), np.uint8)


def coverage(mask: Pixels, plan: Plan) -> Pixels:
    """How many windows fill each hole pixel."""
    times = np.zeros(mask.shape, np.uint8)
    for window in plan.windows:
        times[window.box] += (plan.part_of(window) & (mask[window.box] > 0)).astype(np.uint8)
    return times


def assert_each_hole_pixel_is_filled_once(mask: Pixels, plan: Plan) -> None:
    assert np.array_equal(coverage(mask, plan), (mask > 0).astype(np.uint8))
    for window in plan.windows:
        assert 0 <= window.top <= window.top + window.height <= mask.shape[0]
        assert 0 <= window.left <= window.left + window.width <= mask.shape[1]


def dust(count: int, height: int, width: int) -> Pixels:
    mask = empty(height, width)
    random = np.random.default_rng(count)
    mask[random.integers(0, height, count), random.integers(0, width, count)] = 255
    return mask


@st.composite
def masks(draw: st.DrawFn) -> Pixels:
    """Rectangles, lines and noise, in pictures of any shape."""
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    mask = empty(height, width)
    for _ in range(draw(st.integers(0, 6))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
        mask[top : top + tall, left : left + wide] = draw(st.sampled_from([255, 255, 1, 0]))
    if draw(st.booleans()):
        steps = np.arange(min(height, width))
        mask[steps, steps] = 255
    share = draw(st.sampled_from([0, 0, 0.001, 0.3, 0.99]))
    noise = np.random.default_rng(draw(st.integers(0, 9))).random(mask.shape) < share
    mask[noise] = 255
    return mask


# -- What is covered -------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(mask=masks(), side=st.sampled_from([8, 33, SIDE, 256]))
def test_every_hole_pixel_is_filled_by_exactly_one_window(mask: Pixels, side: int) -> None:
    plan = plan_windows(mask, side)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    for window in plan.windows:
        assert max(window.worked_size) <= 1.5 * side
        assert 0 < window.scale <= 1


@settings(max_examples=60, deadline=None)
@given(mask=masks())
def test_windows_of_one_wave_do_not_overlap_and_keep_the_order(mask: Pixels) -> None:
    plan = plan_windows(mask, SIDE)
    waves = plan.waves()
    seen = np.full(mask.shape, -1)
    numbers: list[int] = []
    for at, wave in enumerate(waves):
        for window in wave:
            assert (seen[window.box] < at).all()
            seen[window.box] = at
            numbers.append(window.number)
    assert sorted(numbers) == list(range(len(plan.windows)))


@pytest.mark.parametrize("size", [(1, 1), (96, 96), (20, 96)], ids=str)
def test_picture_of_up_to_one_and_a_half_sides_is_one_window(size: tuple[int, int]) -> None:
    mask = empty(*size)
    mask[0, 0] = 255
    (window,) = plan_windows(mask, SIDE).windows
    assert (window.top, window.left, window.height, window.width, window.scale) == (0, 0, *size, 1)
    assert len(plan_windows(empty(size[0], 97), SIDE).windows) == 0


def test_no_hole_needs_no_window() -> None:
    for size in ((10, 10), (1000, 1000)):
        assert plan_windows(empty(*size), SIDE).windows == ()


def test_hole_that_is_the_whole_picture_is_one_window() -> None:
    mask = np.full((300, 700), 255, np.uint8)
    plan = plan_windows(mask, SIDE)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    (window,) = plan.windows
    assert window.worked_size == (27, 64)


# -- How many, and at which scale ------------------------------------------------------------------


def test_small_hole_lies_in_the_middle_of_a_window_at_full_resolution() -> None:
    mask = empty(500, 500)
    mask[200:230, 300:330] = 255
    (window,) = plan_windows(mask, SIDE).windows
    assert window.worked_size == (SIDE, SIDE)
    assert window.scale == 1
    assert abs(window.top + SIDE / 2 - 215) <= 2
    assert abs(window.left + SIDE / 2 - 315) <= 2


@pytest.mark.parametrize("hole", [60, 100, 300])
def test_larger_hole_is_one_window_scaled_so_that_it_takes_half_of_the_side(hole: int) -> None:
    mask = empty(1000, 1200)
    mask[300 : 300 + hole, 400 : 400 + hole] = 255
    (window,) = plan_windows(mask, SIDE).windows
    assert window.worked_size == (SIDE, SIDE)
    assert 0.4 <= hole * window.scale / SIDE <= 0.5
    assert_each_hole_pixel_is_filled_once(mask, plan_windows(mask, SIDE))


def test_hole_at_the_border_gets_its_context_from_within() -> None:
    mask = empty(500, 500)
    mask[:16, :16] = 255
    (window,) = plan_windows(mask, SIDE).windows
    assert (window.top, window.left, window.height, window.width) == (0, 0, SIDE, SIDE)


def test_scratch_over_the_whole_photo_is_worked_at_full_resolution() -> None:
    mask = empty(1500, 2000)
    steps = np.arange(1500)
    for shift in range(3):
        mask[steps, steps + shift] = 255
    plan = plan_windows(mask, SIDE)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    assert {window.scale for window in plan.windows} == {1.0}
    assert 1500 / SIDE <= len(plan.windows) <= 2.5 * 1500 / SIDE


def test_frame_around_the_photo_is_worked_along_itself() -> None:
    mask = np.full((1500, 2000), 255, np.uint8)
    mask[8:-8, 8:-8] = 0
    plan = plan_windows(mask, SIDE)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    assert {window.scale for window in plan.windows} == {1.0}
    assert len(plan.windows) <= 2.5 * 7000 / SIDE


def test_thick_bar_is_scaled_by_its_thickness_and_not_by_its_length() -> None:
    mask = empty(1500, 2000)
    mask[500:600, 100:1900] = 255
    plan = plan_windows(mask, SIDE)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    assert all(0.28 <= window.scale <= 0.33 for window in plan.windows)
    assert 1800 / (SIDE / 0.28 / 2) <= len(plan.windows) <= 1 + 1800 / (SIDE / 0.33 / 2)


def test_scratch_that_ends_in_a_large_hole_keeps_its_resolution() -> None:
    mask = empty(1000, 3000)
    mask[300:700, 300:700] = 255
    mask[500:503, 700:2900] = 255
    plan = plan_windows(mask, SIDE)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    first, *others = plan.windows
    assert first.scale < 0.2
    assert {window.scale for window in others} == {1.0}
    far = np.full(mask.shape, 1.0)
    for window in plan.windows:
        far[window.box][plan.part_of(window)] = window.scale
    assert (far[500:503, 1200:2900] == 1).all()


def test_near_holes_share_a_window_and_far_ones_do_not() -> None:
    mask = empty(1000, 1000)
    mask[500, 500] = mask[510, 520] = mask[490, 510] = 255
    assert len(plan_windows(mask, SIDE).windows) == 1
    mask[100, 100] = 255
    assert len(plan_windows(mask, SIDE).windows) == 2


def test_dust_costs_windows_by_the_area_it_lies_in_and_not_by_its_specks() -> None:
    counts = [len(plan_windows(dust(n, 1500, 2000), SIDE).windows) for n in (10, 1000, 100_000)]
    most = (1500 / (0.75 * SIDE)) * (2000 / (0.75 * SIDE))
    assert counts[0] <= 10
    assert counts[1] <= 1000
    assert counts[2] <= 1.5 * most


def test_windows_grow_no_faster_than_the_holes() -> None:
    def windows(count: int) -> int:
        mask = empty(2000, 10 * count)
        for i in range(count):
            mask[(37 * i) % 1990, 10 * i] = 255
        plan = plan_windows(mask, SIDE)
        assert_each_hole_pixel_is_filled_once(mask, plan)
        return len(plan.windows)

    few, many = windows(200), windows(1600)
    assert many <= 8 * 1.25 * few


# -- Odd shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(3000, 40), (40, 3000), (3000, 1), (1, 3000)], ids=str)
def test_narrow_strips_are_cut_across(size: tuple[int, int]) -> None:
    mask = empty(*size)
    mask.reshape(-1)[mask.size // 3 : mask.size // 3 + 30] = 255
    plan = plan_windows(mask, SIDE)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    for window in plan.windows:
        assert max(window.height, window.width) == SIDE
        assert min(window.height, window.width) == min(size)
        assert window.scale == 1


def test_panorama_is_planned_in_little_memory() -> None:
    mask = empty(2000, 20_000)
    mask[500:900, 3000:3500] = 255
    mask[:, 15_000:15_004] = 255
    plan = plan_windows(mask, 256)
    assert_each_hole_pixel_is_filled_once(mask, plan)
    assert plan.owners.nbytes <= mask.nbytes / 10
    assert min(window.scale for window in plan.windows) == plan.windows[0].scale
    assert len(plan.windows) < 20


def test_no_side_falls_below_what_the_network_takes() -> None:
    mask = np.full((40, 3000), 255, np.uint8)
    mask[:, 2990:] = 0
    (window,) = plan_windows(mask, SIDE, smallest=12).windows
    assert min(window.worked_size) == 12


# -- Memory ----------------------------------------------------------------------------------------


def test_windows_shrink_to_half_where_memory_is_short() -> None:
    assert window_side(256, 1, 10_000_000) == 256
    assert window_side(256, 1, 256 * 256) == 170
    assert window_side(256, 1, 100) == 128
    assert window_side(256, 200, 100) == 200
