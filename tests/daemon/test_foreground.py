"""The foreground's colours: near the truth, no background in them, no seam, and little memory."""

import subprocess
import sys

import numpy as np
import pytest
from driver import REPOSITORY, Pixels, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml

from daemon.worker import foreground
from daemon.worker.foreground import estimate_foreground

Values = NDArray[np.float64]


def whole(picture: Pixels, alpha: Pixels) -> Values:
    """PyMatting's estimate of the whole picture at its full size, in 0..255."""
    estimated: Values = estimate_foreground_ml(picture / 255.0, alpha / 255.0) * 255.0
    return estimated


def thing(side: int) -> Values:
    """Colours that differ from place to place, `[side,side,3]`."""
    down, across = np.mgrid[:side, :side] / side
    return np.stack([60 + 150 * down, 200 - 120 * across, 90 + 60 * np.sin(9 * down)], axis=-1)


def wall(side: int) -> Values:
    """A background of other colours, with a pattern."""
    down, across = np.mgrid[:side, :side]
    stripes = 40.0 * ((down // 9 + across // 13) % 2)
    return np.stack([20 + stripes, 30 + stripes, 220 - stripes], axis=-1)


def strands(side: int) -> Pixels:
    """A disc with a soft rim, and lines out of it that are thinner than two pixels."""
    down, across = np.mgrid[:side, :side] - side / 2
    distance = np.hypot(down, across)
    body = np.clip((0.28 * side - distance) / (0.03 * side) + 0.5, 0, 1)
    turns = 40 * np.arctan2(down, across)
    lines = np.clip(2 * np.cos(turns) - 1.2, 0, 1) * (distance < 0.4 * side)
    alpha: Pixels = np.rint(np.maximum(body, lines) * 255).astype(np.uint8)
    return alpha


def composite(side: int) -> tuple[Pixels, Pixels]:
    alpha = strands(side)
    share = alpha[..., None] / 255
    return np.rint(share * thing(side) + (1 - share) * wall(side)).astype(np.uint8), alpha


def shown(one: Values | Pixels, other: Values | Pixels, alpha: Pixels) -> Values:
    """How far colours are apart where alpha is in between, as far as they show, in levels."""
    between = (alpha > 0) & (alpha < 255)
    apart = np.abs(one.astype(float) - other)[between]
    difference: Values = apart * (alpha[between] / 255)[:, None]
    return difference


@pytest.fixture
def scaled_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 300 x 300 pixels are too large to be estimated whole: 3 times."""
    monkeypatch.setattr(foreground, "MOST_ESTIMATED", 100 * 100)


# -- Colours ---------------------------------------------------------------------------------------


def test_small_picture_is_pymattings() -> None:
    picture, alpha = composite(150)
    made = estimate_foreground(picture, alpha)
    expected = np.where((alpha == 255)[..., None], picture, whole(picture, alpha))
    assert np.abs(made - expected).max() <= 0.51


@pytest.mark.usefixtures("scaled_down")
def test_large_picture_is_as_near_to_the_truth_as_pymatting_is() -> None:
    picture, alpha = composite(300)
    made = estimate_foreground(picture, alpha)
    error = shown(made, thing(300), alpha).mean()
    assert error <= 1.05 * shown(whole(picture, alpha), thing(300), alpha).mean()
    assert error < shown(picture, thing(300), alpha).mean() / 4


@pytest.mark.usefixtures("scaled_down")
def test_large_picture_is_within_two_levels_of_what_it_is_whole() -> None:
    picture, alpha = composite(300)
    assert shown(estimate_foreground(picture, alpha), whole(picture, alpha), alpha).mean() <= 2


@pytest.mark.usefixtures("scaled_down")
def test_opaque_pixels_are_the_photos_own() -> None:
    picture, alpha = composite(300)
    before = picture.copy()
    made = estimate_foreground(picture, alpha)
    assert np.array_equal(made[alpha == 255], picture[alpha == 255])
    assert np.array_equal(picture, before)
    everything = np.full_like(alpha, 255)
    assert np.array_equal(estimate_foreground(picture, everything), picture)


@pytest.mark.usefixtures("scaled_down")
def test_nothing_of_the_background_is_left_where_the_matte_is_clear() -> None:
    alpha = strands(300)
    share = alpha[..., None] / 255
    green = np.array([30.0, 180.0, 60.0])
    noise = photo(1, 300, 300)
    picture = np.rint(share * green + (1 - share) * noise).astype(np.uint8)
    clear = estimate_foreground(picture, alpha)[alpha == 0].astype(float)
    # The corners of the picture are 100 pixels from anything of the thing.
    assert np.abs(clear - green).mean() < 6
    assert np.abs(noise[alpha == 0] - green).mean() > 50
    assert np.abs(np.corrcoef(clear[:, 0], noise[alpha == 0][:, 0])[0, 1]) < 0.1


# -- Seams -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("scaled_down")
def test_parts_in_which_it_is_worked_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, alpha = composite(300)
    made = []
    for side in (1000, 64, 37):
        monkeypatch.setattr(foreground, "_SQUARE", side)
        made.append(estimate_foreground(picture, alpha).astype(int)[alpha > 0])
    assert np.abs(made[0] - made[1]).max() <= 1
    assert np.abs(made[0] - made[2]).max() <= 1


@settings(max_examples=40, deadline=None)
@given(size=st.tuples(st.integers(1, 70), st.integers(1, 70)), most=st.sampled_from([4, 90, 1000]))
def test_pictures_of_any_size_are_estimated(size: tuple[int, int], most: int) -> None:
    picture = photo(1, *size[::-1])
    alpha = photo(2, *size[::-1])[..., 0].copy()
    alpha[: size[0] // 3] = 255
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreground, "MOST_ESTIMATED", most)
        made = estimate_foreground(picture, alpha)
    assert made.shape == picture.shape
    assert made.dtype == np.uint8
    assert np.array_equal(made[alpha == 255], picture[alpha == 255])


# -- Memory ----------------------------------------------------------------------------------------

_MEASURED = """
import threading
import numpy as np
import psutil
from daemon.worker.foreground import compile_it, estimate_foreground

compile_it()
picture = np.full((3000, 4000, 3), 90, np.uint8)
alpha = np.full((3000, 4000), 255, np.uint8)
alpha[:, 2000:] = 0
alpha[:, 1900:2100] = 128
resident = lambda: psutil.Process().memory_info().rss
before = most = resident()
done = threading.Event()
def watch():
    global most
    while not done.wait(0.001):
        most = max(most, resident())
watching = threading.Thread(target=watch)
watching.start()
estimate_foreground(picture, alpha)
done.set()
watching.join()
print(most - before)
"""


def test_photo_of_12_megapixels_takes_less_than_150_mb() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    # 36 of them are the result.
    assert 36e6 < int(done.stdout) < 150e6
