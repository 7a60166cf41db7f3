"""Holes that are drawn as transparency: which pixels, what is under them, what becomes of alpha."""

import io
from pathlib import Path

import numpy as np
import pytest
import samples
import tifffile
from PIL import Image
from samples import Folder

from daemon.reasons import Trouble
from daemon.worker import pictures
from daemon.worker.companions import Companion
from daemon.worker.pictures import Picture
from daemon.worker.transparency import read_hole

HOLE = samples.hole() > 0
# A row without any hole.
OUTSIDE = int(np.flatnonzero(~HOLE.any(axis=1))[0])
MOST = 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def photo(under: int | None = None) -> samples.Pixels:
    """A random photo `[H,W,3]`, with this in its hole."""
    pixels = np.random.default_rng(1).integers(0, 256, (*HOLE.shape, 3), dtype=np.uint8)
    if under is not None:
        pixels[HOLE] = under
    return pixels


def alpha(around: int = 255) -> samples.Pixels:
    """Opacity that is 0 in the hole, and `around` in a row outside it."""
    values = np.where(HOLE, 0, 255).astype(np.uint8)
    values[OUTSIDE] = around
    return values


def read(file: bytes) -> tuple[Picture, Companion]:
    return read_hole(pictures.read_picture(file, MOST))


def rgba(under: int | None = None, around: int = 255) -> Image.Image:
    return Image.fromarray(np.dstack([photo(under), alpha(around)]))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_hole_is_what_is_wholly_transparent_and_the_rest_is_as_it_was(
    form: str, mode: str
) -> None:
    image = rgba().convert(mode)
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    picture, mask = read(samples.encoded(image, form, **options))
    assert np.array_equal(mask.values, np.where(HOLE, 255, 0))
    kept = np.asarray(image if form != "WEBP" else image.convert("RGBA"))[..., :-1]
    kept = kept[..., 0] if kept.shape[2] == 1 else kept
    assert picture.kept.shape == kept.shape  # nothing is transparent any more
    assert np.array_equal(picture.kept[~HOLE], kept[~HOLE])
    assert not picture.kept[HOLE].any()


def test_a_palette_with_a_transparent_colour_is_read() -> None:
    image = Image.fromarray(np.where(HOLE, 0, 1).astype(np.uint8)).convert("P")
    image.putpalette([9, 9, 9, 200, 100, 50])
    picture, mask = read(samples.encoded(image, "PNG", transparency=0))
    assert np.array_equal(mask.values > 0, HOLE)
    assert (picture.kept[~HOLE] == (200, 100, 50)).all()


@pytest.mark.parametrize("around", [1, 128, 254])
def test_what_is_transparent_in_part_is_no_hole_and_stays_as_it_was(around: int) -> None:
    picture, mask = read(samples.encoded(rgba(around=around), "PNG"))
    assert np.array_equal(mask.values > 0, HOLE)
    wanted = np.asarray(rgba(around=around)).copy()
    wanted[HOLE] = (0, 0, 0, 255)
    assert np.array_equal(picture.kept, wanted)
    assert "what was transparent in part is as it was: only alpha 0 is a hole" in mask.notes


def test_what_lies_under_transparency_changes_nothing() -> None:
    files = [samples.encoded(rgba(under), "PNG") for under in (None, 0, 255)]
    kept = [read(file)[0].kept for file in files]
    assert np.array_equal(kept[0], kept[1])
    assert np.array_equal(kept[0], kept[2])


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_stay_sixteen(folder: Folder, channels: int) -> None:
    rng = np.random.default_rng(2)
    colours = rng.integers(0, 65536, (*HOLE.shape, channels), dtype=np.uint16)
    opacity = np.where(HOLE, 0, 65535).astype(np.uint16)
    file = io.BytesIO()
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(
        file, np.dstack([colours, opacity]), photometric=photometric, extrasamples=["unassalpha"]
    )
    picture, mask = read(file.getvalue())
    assert np.array_equal(mask.values > 0, HOLE)
    assert picture.is_deep
    kept = picture.kept if channels == 3 else picture.kept[..., None]
    assert np.array_equal(kept[~HOLE], colours[~HOLE])
    assert not kept[HOLE].any()
    written = folder.written(
        lambda out: pictures.write_retouched(
            picture, np.full((*HOLE.shape, 3), 7, np.uint8), mask.values, out, "png", 95
        )
    )
    again = pictures.read_picture(written, MOST)
    assert again.is_deep
    assert pictures.alpha_of(again.kept) is None


def test_an_alpha_of_one_in_sixteen_bits_is_no_hole() -> None:
    opacity = np.where(HOLE, 0, 65535).astype(np.uint16)
    opacity[OUTSIDE, 0] = 1  # rounded to 8 bits it would be one
    file = io.BytesIO()
    colours = np.full((*HOLE.shape, 3), 999, np.uint16)
    tifffile.imwrite(
        file, np.dstack([colours, opacity]), photometric="rgb", extrasamples=["unassalpha"]
    )
    picture, mask = read(file.getvalue())
    assert np.array_equal(mask.values > 0, HOLE)
    assert picture.kept[OUTSIDE, 0].tolist() == [999, 999, 999, 1]


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(photo()),
        Image.fromarray(photo()).convert("L"),
        Image.fromarray(np.dstack([photo(), np.full(HOLE.shape, 255, np.uint8)])),
        Image.fromarray(np.dstack([photo(), np.full(HOLE.shape, 1, np.uint8)])),
    ],
    ids=["rgb", "grey", "opaque", "nearly transparent"],
)
def test_a_picture_in_which_nothing_is_wholly_transparent_is_refused(image: Image.Image) -> None:
    with pytest.raises(Trouble) as met:
        read(samples.encoded(image, "PNG"))
    assert met.value.reason.key == "nothing_transparent"


def test_a_picture_of_which_nothing_is_left_is_refused() -> None:
    clear = Image.fromarray(np.dstack([photo(), np.zeros(HOLE.shape, np.uint8)]))
    with pytest.raises(Trouble) as met:
        read(samples.encoded(clear, "PNG"))
    assert met.value.reason.key == "all_transparent"


def test_a_picture_that_is_turned_upright_is_turned_with_its_hole() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture, mask = read(samples.encoded(rgba(), "PNG", exif=exif.tobytes()))
    assert np.array_equal(mask.values > 0, np.rot90(HOLE, -1))
    assert np.array_equal(
        picture.kept[mask.values == 0], np.rot90(photo(), -1)[np.rot90(~HOLE, -1)]
    )
