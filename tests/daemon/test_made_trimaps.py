"""Trimaps made from masks: the band is where it should be, to the pixel."""

from pathlib import Path

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from samples import Folder

from daemon.reasons import Trouble
from daemon.worker import companions, trimaps
from daemon.worker.companions import LOSSY_TRIMAP_BACKGROUND, Subject
from daemon.worker.protocol import Input
from daemon.worker.trimaps import Trimap, band_in_pixels, draw_trimap, trimap_from

Region = NDArray[np.bool_]
READ = Input(sha256="0" * 64, bytes=1, width=2, height=3, mode="L", format="PNG")
PAGE = Path(__file__).parents[2] / "docs" / "pictures.md"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def drawn(marked: Region, band: int, soft: Region | None = None) -> Trimap:
    return draw_trimap(marked, np.zeros_like(marked) if soft is None else soft, band)


def empty(height: int = 60, width: int = 80) -> Region:
    return np.zeros((height, width), np.bool_)


def disc(radius: int, height: int = 50, width: int = 60) -> Region:
    y, x = np.mgrid[:height, :width]
    inside: Region = np.hypot(y - height // 2, x - width // 2) <= radius
    return inside


def distance_to(region: Region) -> NDArray[np.float64]:
    """From every pixel to the nearest of the region, by trying all."""
    y, x = np.mgrid[: region.shape[0], : region.shape[1]]
    at_y, at_x = np.nonzero(region)
    least: NDArray[np.float64] = np.hypot(y[..., None] - at_y, x[..., None] - at_x).min(axis=2)
    return least


def by_definition(marked: Region, band: int) -> NDArray[np.uint8]:
    values = np.full(marked.shape, 128, np.uint8)
    values[marked & (distance_to(~marked) > band)] = 255
    values[~marked & (distance_to(marked) > band)] = 0
    return values


# The band.


@pytest.mark.parametrize("band", [1, 2, 3, 6])
def test_around_a_disc_the_band_is_what_the_distances_say(band: int) -> None:
    made = drawn(disc(12), band)
    assert (made.inside, made.outside) == (band, band)
    assert np.array_equal(made.values, by_definition(disc(12), band))


def test_along_a_straight_edge_the_band_is_as_many_pixels_as_asked_on_either_side() -> None:
    marked = empty()
    marked[:, 40:] = True
    row = drawn(marked, 5).values[30]
    assert np.array_equal(np.flatnonzero(row == 128), np.arange(35, 45))
    assert (row[:35] == 0).all()
    assert (row[45:] == 255).all()


def test_around_a_square_the_band_is_round_outside_and_square_inside() -> None:
    marked = empty()
    marked[20:40, 30:50] = True
    values = drawn(marked, 5).values
    assert (values[25:35, 35:45] == 255).all()
    assert (values == 255).sum() == 100
    corner = values[15:20, 25:30] == 128  # what the disc around the square's corner covers
    dy, dx = np.mgrid[5:0:-1, 5:0:-1]
    assert np.array_equal(corner, dy**2 + dx**2 <= 25)


def test_the_border_of_the_picture_is_no_edge() -> None:
    marked = empty()
    marked[30:, 40:] = True
    values = drawn(marked, 6).values
    assert (values[36:, 46:] == 255).all()
    assert values[-1, -1] == 255
    assert values[0, 0] == values[-1, 0] == values[0, -1] == 0


@settings(deadline=None)
@given(
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.003, 0.05, 0.5, 0.95]),
    st.tuples(st.integers(2, 24), st.integers(2, 24)),
)
def test_any_mask_gets_the_band_that_the_distances_say(
    band: int, seed: int, share: float, shape: tuple[int, int]
) -> None:
    random = np.random.default_rng(seed)
    marked = random.random(shape) < share
    marked[0, 0], marked[-1, -1] = True, False
    soft = random.random(shape) < 0.1
    soft[0, 0] = soft[-1, -1] = False
    made = drawn(marked, band, soft)
    for known, side, width in ((255, marked, made.inside), (0, ~marked, made.outside)):
        distances = np.where(side & ~soft, distance_to(~side), 0)
        assert np.array_equal(made.values == known, distances > width)
        too_wide = next(each for each in range(1, 40) if not (distances > each).any())
        assert width == (band if band < too_wide else too_wide // 2)


@pytest.mark.parametrize("band", [3, 30, 255])
def test_the_seams_between_blocks_are_not_seen(monkeypatch: pytest.MonkeyPatch, band: int) -> None:
    marked = np.random.default_rng(0).random((300, 400)) > 0.9999
    marked[:, :7] = True
    whole = drawn(marked, band)
    monkeypatch.setattr(trimaps, "_BLOCK_ROWS", 37)
    monkeypatch.setattr(trimaps, "_BLOCK_COLUMNS", 101)
    assert np.array_equal(drawn(marked, band).values, whole.values)


@pytest.mark.parametrize("band", [254, 255, 300])
def test_a_band_wider_than_a_byte_counts_is_as_wide_as_it_should_be(band: int) -> None:
    marked = np.zeros((3, 1000), np.bool_)
    marked[:, 500:] = True
    assert np.flatnonzero(drawn(marked, band).values[1] == 128).tolist() == [
        *range(500 - band, 500 + band)
    ]


# Where the band leaves nothing known.


def test_a_thin_line_keeps_its_foreground_and_its_band_outside() -> None:
    marked = empty()
    marked[30, 5:75] = True
    made = drawn(marked, 6)
    assert (made.inside, made.outside) == (0, 6)
    assert np.array_equal(made.values == 255, marked)
    assert made.values[24, 40] == made.values[36, 40] == 128
    assert made.values[23, 40] == made.values[37, 40] == 0


def test_a_mask_of_one_pixel_keeps_it() -> None:
    marked = empty()
    marked[30, 40] = True
    made = drawn(marked, 6)
    assert (made.values == 255).sum() == 1
    assert np.array_equal(made.values != 0, disc_at(30, 40, 6))


def disc_at(y: int, x: int, radius: int) -> Region:
    rows, columns = np.mgrid[:60, :80]
    inside: Region = np.hypot(rows - y, columns - x) <= radius
    return inside


def test_a_band_wider_than_the_subject_is_narrowed_to_half_of_what_leaves_nothing() -> None:
    marked = empty()
    marked[20:39, 10:70] = True  # 19 rows: the middle one is 10 from the outside
    made = drawn(marked, 15)
    assert (made.inside, made.outside) == (5, 15)
    assert np.flatnonzero((made.values == 255).any(axis=1)).tolist() == [*range(25, 34)]


def test_a_band_that_covers_the_background_is_narrowed_outside_alone() -> None:
    made = drawn(~disc(8), 12)
    assert made.inside == 12
    assert 0 < made.outside < 12
    assert (made.values == 0).any()


def test_a_thin_part_of_a_thick_subject_is_unknown_all_over() -> None:
    marked = disc(20)
    marked[25, :] = True
    made = drawn(marked, 5)
    assert made.inside == 5
    assert made.values[25, 0] == 128


# Percent.


@pytest.mark.parametrize(
    ("shape", "percent", "pixels"),
    [
        ((3000, 4000), 2, 60),
        ((4000, 3000), 2, 60),
        ((64, 96), 2, 1),
        ((10, 10), 2, 1),
        ((1, 1), 25, 1),
        ((3000, 4000), 0.5, 15),
        ((100, 100), 25, 25),
    ],
)
def test_the_band_is_a_share_of_the_shorter_side_and_at_least_a_pixel(
    shape: tuple[int, int], percent: float, pixels: int
) -> None:
    assert band_in_pixels(shape, percent) == pixels


# What a mask says.


def test_a_mask_of_black_and_white_has_nothing_soft(folder: Folder) -> None:
    read = folder.subject(Image.fromarray(samples.hole()))
    assert np.array_equal(read.marked, samples.hole() > 0)
    assert not read.soft.any()


@pytest.mark.parametrize("value", [1, 100, 254])
def test_a_dark_label_counts_in_full(folder: Folder, value: int) -> None:
    label = np.where(samples.hole() > 0, value, 0).astype(np.uint8)
    read = folder.subject(Image.fromarray(label))
    assert np.array_equal(read.marked, samples.hole() > 0)
    assert not read.soft.any()


def test_the_edge_runs_where_it_does_for_retouching(folder: Folder) -> None:
    grey = Image.fromarray(samples.hole()).filter(ImageFilter.GaussianBlur(2))
    for form in ("PNG", "JPEG"):
        file = samples.encoded(grey, form)
        assert np.array_equal(folder.subject(file).marked, folder.mask(file) > 0)


def test_soft_edges_of_a_lossless_mask_are_unknown_however_far_they_reach(folder: Folder) -> None:
    ramp = samples.opacity()  # from black at the left to white at the right
    made = trimap_from(folder.subject(ramp), 2)
    values = np.asarray(ramp)
    assert (made.values[values == 255] == 255).all()
    assert (made.values[(values > 0) & (values < 255)] == 128).all()
    assert "what is grey in the mask is unknown as well" in made.notes


def test_soft_pixels_outside_the_edge_of_a_lossy_mask_are_unknown(folder: Folder) -> None:
    ramp = np.asarray(samples.opacity())
    read = folder.subject(samples.encoded(Image.fromarray(ramp), "JPEG", quality=100))
    assert not (read.soft & read.marked)[ramp > 230].any()
    assert (read.soft & ~read.marked)[(ramp > 60) & (ramp < 110)].all()
    assert not read.soft[ramp < LOSSY_TRIMAP_BACKGROUND - 10].any()


@pytest.mark.parametrize("quality", [60, 95])
def test_noise_of_a_lossy_mask_reaches_no_farther_than_the_band(
    folder: Folder, quality: int
) -> None:
    file = samples.encoded(Image.fromarray(samples.hole()), "JPEG", quality=quality)
    lossy = trimap_from(folder.subject(file), 5).values
    exact = trimap_from(folder.subject(Image.fromarray(samples.hole())), 5).values
    assert (lossy == exact).mean() > 0.97


@pytest.mark.parametrize(("value", "shade"), [(0, "white"), (255, "black"), (1, "black")])
def test_a_mask_without_black_or_without_white_is_refused(
    folder: Folder, value: int, shade: str
) -> None:
    with pytest.raises(Trouble, match=f"the mask is nowhere {shade}") as caught:
        folder.subject(Image.new("L", (samples.WIDTH, samples.HEIGHT), value))
    assert caught.value.reason.key == "mask_without_edge"


def test_a_lossy_mask_that_is_white_on_grey_is_nowhere_black(folder: Folder) -> None:
    grey = np.where(samples.hole() > 0, 255, 100).astype(np.uint8)
    with pytest.raises(Trouble, match="nowhere black"):
        folder.subject(samples.encoded(Image.fromarray(grey), "JPEG", quality=100))


def test_a_mask_drawn_on_the_stored_picture_is_turned_with_it(folder: Folder) -> None:
    picture = folder.picture(samples.oriented(samples.photo(), "JPEG", 6))
    read = folder.subject(Image.fromarray(samples.hole()), picture)
    assert np.array_equal(read.marked, np.rot90(samples.hole() > 0, -1))


# What is said.


def notes_of(marked: Region, percent: float) -> tuple[str, ...]:
    return trimap_from(Subject(marked, np.zeros_like(marked), READ), percent).notes


def test_the_notes_say_how_wide_the_band_is() -> None:
    assert notes_of(disc(20), 4.5) == (
        "the trimap was made from the mask, with an unknown band of 2 pixels on either side of "
        "its edge (4.5 % of the picture's shorter side)",
    )


def test_the_notes_say_where_the_band_was_narrowed() -> None:
    line, block = empty(), np.ones((60, 80), np.bool_)
    line[30, 5:75] = True
    block[20:27, 20:27] = False
    assert notes_of(line, 10)[1:] == (
        "inside the edge the band is 0 pixels, to leave some foreground known",
    )
    assert notes_of(block, 10)[1:] == (
        "outside the edge the band is 2 pixels, to leave some background known",
    )


def test_a_trimap_that_came_out_without_a_band_is_noted() -> None:
    chequered = np.indices((60, 80)).sum(axis=0) % 2 == 0
    assert notes_of(chequered, 2)[-1] == "the trimap has no unknown band"


def test_the_page_says_what_the_code_does() -> None:
    text = " ".join(PAGE.read_text("utf-8").split())
    assert "60 pixels in a photo of 4000 x 3000" in text
    assert f"above {companions.LOSSY_MASK_THRESHOLD} in a lossy one" in text
    low, high = companions.LOSSY_TRIMAP_BACKGROUND, companions.LOSSY_TRIMAP_FOREGROUND
    assert f"above {low} and below {high}/255 of the brightest" in text
