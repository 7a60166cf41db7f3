"""Trimaps in every mode and format: what is background, foreground and unknown."""

from pathlib import Path

import numpy as np
import pytest
import samples
from PIL import Image, ImageFilter
from samples import HEIGHT, WIDTH, Folder

from daemon.reasons import Trouble

BANDS = samples.bands()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def grey() -> Image.Image:
    return Image.fromarray(BANDS)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_trimap_of_any_mode_keeps_its_three_regions(folder: Folder, mode: str, form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    file = samples.encoded(grey().convert(mode), form, **options)
    assert np.array_equal(folder.trimap(file), BANDS)


@pytest.mark.parametrize("value", [1, 2, 100, 127, 128, 200, 254])
def test_everything_between_black_and_white_is_unknown(folder: Folder, value: int) -> None:
    drawn = np.where(BANDS == 128, value, BANDS).astype(np.uint8)
    assert np.array_equal(folder.trimap(Image.fromarray(drawn)), BANDS)


def test_anti_aliased_edges_widen_the_unknown_band_and_nothing_else(folder: Folder) -> None:
    soft = np.asarray(grey().filter(ImageFilter.GaussianBlur(1)))
    read = folder.trimap(Image.fromarray(soft))
    assert np.array_equal(read == 255, soft == 255)
    assert np.array_equal(read == 0, soft == 0)
    assert (read == 128).sum() > (BANDS == 128).sum()


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_trimap_is_read_in_its_full_depth(folder: Folder, form: str) -> None:
    wide = BANDS.astype(np.uint16) * 257
    wide[BANDS == 128] = 65534  # one step below white
    assert np.array_equal(folder.trimap(samples.encoded(Image.fromarray(wide), form)), BANDS)


@pytest.mark.parametrize("quality", [60, 75, 95])
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_trimap_keeps_its_regions_but_for_their_rims(
    folder: Folder, form: str, quality: int
) -> None:
    read = folder.trimap(samples.encoded(grey(), form, quality=quality))
    assert (read == BANDS).mean() > 0.97
    # No foreground in the background or the other way round.
    assert not ((read == 255) & (BANDS == 0)).any()
    assert not ((read == 0) & (BANDS == 255)).any()


@pytest.mark.parametrize(("value", "meant"), [(42, 0), (43, 128), (212, 128), (213, 255)])
def test_lossy_trimap_is_cut_at_42_and_213(folder: Folder, value: int, meant: int) -> None:
    flat = samples.encoded(Image.new("L", (WIDTH, HEIGHT), value), "JPEG", quality=100)
    assert (np.asarray(samples.plain_decode(flat)) == value).all()
    assert (folder.trimap(flat) == meant).all()


def test_trimap_drawn_on_the_stored_picture_is_turned_with_it(folder: Folder) -> None:
    picture = folder.picture(samples.oriented(samples.photo(), "JPEG", 6))
    assert np.array_equal(folder.trimap(grey(), picture), np.rot90(BANDS, -1))


def test_trimap_without_an_unknown_band_is_taken_and_noted(folder: Folder) -> None:
    trimap = folder.trimap_whole(Image.fromarray(samples.hole()))
    assert np.array_equal(trimap.values, samples.hole())
    assert trimap.notes == ("the trimap has no unknown band",)


def test_trimap_of_another_size_is_refused_with_both_sizes(folder: Folder) -> None:
    with pytest.raises(Trouble) as caught:
        folder.trimap(Image.fromarray(samples.bands(WIDTH + 1, HEIGHT)))
    assert caught.value.sentence == (
        f"the picture is {WIDTH} x {HEIGHT} pixels and the trimap is {WIDTH + 1} x {HEIGHT}."
    )


def test_trimap_in_floats_is_refused(folder: Folder) -> None:
    floats = Image.fromarray((BANDS / 255).astype(np.float32))
    with pytest.raises(Trouble, match="floating point"):
        folder.trimap(samples.encoded(floats, "TIFF"))
