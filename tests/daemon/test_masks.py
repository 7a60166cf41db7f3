"""Masks in every mode and format that people draw them in: which pixels are the hole."""

from pathlib import Path

import numpy as np
import pytest
import samples
from PIL import Image, ImageFilter
from samples import HEIGHT, WIDTH, Folder

from daemon.reasons import Trouble

HOLE = samples.hole()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def grey() -> Image.Image:
    return Image.fromarray(HOLE)


def coloured(colour: tuple[int, int, int]) -> Image.Image:
    return Image.fromarray((HOLE[..., None] > 0) * np.array(colour, np.uint8))


def drawn_on_transparency(colour: tuple[int, int, int]) -> Image.Image:
    """As a brush on a new layer leaves it: everything white, and only the hole opaque."""
    layer = Image.new("RGBA", (WIDTH, HEIGHT), (*colour, 0))
    layer.putalpha(grey())
    return layer


def palette(colour: tuple[int, int, int]) -> Image.Image:
    """Index 0 black, index 1 the object's colour, as labelling tools write it."""
    image = Image.fromarray((HOLE > 0).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, *colour])
    return image


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize(
    "mask",
    [
        grey(),
        grey().convert("1"),
        grey().convert("RGB"),
        grey().convert("RGBA"),
        coloured((255, 0, 0)),
        coloured((0, 0, 1)),
        drawn_on_transparency((255, 255, 255)),
        drawn_on_transparency((128, 0, 0)),
        palette((255, 255, 255)),
        palette((128, 0, 0)),
        palette((1, 0, 0)),
    ],
    ids=[
        *("grey", "1 bit", "rgb", "rgba", "red", "nearly black", "layer", "dark layer"),
        *("palette", "dark palette", "nearly black palette"),
    ],
)
def test_every_value_above_zero_is_hole_in_a_lossless_mask(
    folder: Folder, mask: Image.Image, form: str
) -> None:
    if form == "BMP" and mask.mode == "RGBA":
        mask = coloured((255, 0, 0))  # Pillow writes no BMP with alpha
    if form == "BMP" and mask.mode == "P" and mask.getpalette() == [0, 0, 0, 255, 255, 255]:
        mask = palette((255, 255, 254))  # see the next test
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    read = folder.mask(samples.encoded(mask, form, **options))
    assert np.array_equal(read, HOLE)


def test_mask_in_cmyk_is_read(folder: Folder) -> None:
    file = samples.encoded(coloured((255, 255, 255)).convert("CMYK"), "TIFF")
    assert np.array_equal(folder.mask(file), HOLE)


def test_bmp_that_pillow_would_misread_is_refused(folder: Folder) -> None:
    # 8 bits a pixel, a palette of two: Pillow takes it for 1 bit a pixel.
    file = samples.encoded(palette((255, 255, 255)), "BMP")
    with pytest.raises(Trouble, match="BMP with a palette of few greys") as caught:
        folder.mask(file)
    assert caught.value.reason.key == "colour_space"


def test_mask_in_grey_with_alpha_counts_what_is_opaque(folder: Folder) -> None:
    white = Image.new("L", (WIDTH, HEIGHT), 255)
    white.putalpha(grey())
    assert np.array_equal(folder.mask(white), HOLE)


def test_mask_with_a_transparent_background_entry_in_its_palette(folder: Folder) -> None:
    image = palette((200, 0, 0))
    image.putpalette([255, 255, 255, 200, 0, 0])
    assert np.array_equal(folder.mask(samples.encoded(image, "PNG", transparency=0)), HOLE)


def test_faintest_trace_of_a_soft_brush_is_hole(folder: Folder) -> None:
    # 1/255 of opacity, over a dark colour: rounded down it would be nothing.
    layer = Image.new("RGBA", (WIDTH, HEIGHT), (100, 0, 0, 0))
    layer.putalpha(Image.fromarray(HOLE // 255))
    assert np.array_equal(folder.mask(layer), HOLE)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("value", [1, 255, 65535])
def test_16_bit_grey_mask_is_read_in_its_full_depth(folder: Folder, form: str, value: int) -> None:
    wide = np.where(HOLE > 0, value, 0).astype(np.uint16)
    assert np.array_equal(folder.mask(samples.encoded(Image.fromarray(wide), form)), HOLE)


def test_16_bit_colour_mask_is_read(folder: Folder) -> None:
    wide = np.dstack([HOLE.astype(np.uint16) * 257] * 3)
    assert np.array_equal(folder.mask(samples.png_of(wide, 16, 2)), HOLE)


@pytest.mark.parametrize("planar", [False, True])
def test_16_bit_colour_tiff_is_read_or_refused_but_never_misread(
    folder: Folder, planar: bool
) -> None:
    if not planar:
        assert folder.mask(samples.deep("TIFF", colour=True)).any()
        return
    with pytest.raises(Trouble, match="separate planes of 16 bits"):
        folder.mask(samples.deep("TIFF", colour=True, planarconfig="separate"))


def test_32_bit_integer_mask_is_read(folder: Folder) -> None:
    file = samples.encoded(Image.fromarray(HOLE.astype(np.int32)), "TIFF")
    assert np.array_equal(folder.mask(file), HOLE)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.fromarray((HOLE / 255).astype(np.float32)), "floating"),
        (samples.in_mode("LAB"), "Lab"),
    ],
    ids=["float", "lab"],
)
def test_mask_in_a_colour_space_that_is_not_read_is_refused(
    folder: Folder, image: Image.Image, words: str
) -> None:
    with pytest.raises(Trouble, match=words) as caught:
        folder.mask(samples.encoded(image, "TIFF"))
    assert caught.value.reason.key == "colour_space"
    assert "the mask" in caught.value.sentence


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_noise_of_a_lossy_mask_is_no_hole(folder: Folder, form: str, quality: int) -> None:
    file = samples.encoded(grey(), form, quality=quality)
    stored = np.asarray(samples.plain_decode(file).convert("L"))
    noisy = int((stored > 0).sum())
    read = folder.mask(file)
    share = (read > 0).sum() / (HOLE > 0).sum()
    assert noisy > (HOLE > 0).sum()
    assert 0.97 < share < 1.03
    assert np.array_equal(read > 0, stored > 127)


def test_jpeg_inside_a_tiff_is_lossy_too(folder: Folder) -> None:
    file = samples.encoded(grey(), "TIFF", compression="jpeg")
    stored = np.asarray(samples.plain_decode(file))
    assert (stored > 0).sum() != (HOLE > 0).sum()
    assert np.array_equal(folder.mask(file) > 0, stored > 127)


def test_soft_edge_of_a_lossless_mask_is_hole(folder: Folder) -> None:
    soft = grey().filter(ImageFilter.GaussianBlur(2))
    assert np.array_equal(folder.mask(soft) > 0, np.asarray(soft) > 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_is_turned_by_its_own_orientation(folder: Folder, orientation: int) -> None:
    picture = folder.picture(samples.oriented(samples.photo(), "JPEG", orientation))
    mask = folder.mask(samples.oriented(grey(), "PNG", orientation), picture)
    upright = folder.picture(samples.oriented(grey(), "PNG", orientation)).kept
    assert np.array_equal(mask, np.asarray(upright))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_mask_drawn_on_the_stored_picture_is_turned_with_it(
    folder: Folder, orientation: int, form: str
) -> None:
    picture = folder.picture(samples.oriented(samples.photo(), form, orientation))
    turned = folder.picture(samples.oriented(grey(), "PNG", orientation)).kept
    assert np.array_equal(folder.mask(grey(), picture), np.asarray(turned))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_drawn_on_the_upright_picture_is_taken_as_it_is(
    folder: Folder, orientation: int
) -> None:
    picture = folder.picture(samples.oriented(samples.photo(), "JPEG", orientation))
    drawn = Image.fromarray(samples.hole(*picture.size))
    assert np.array_equal(folder.mask(drawn, picture), np.asarray(drawn))


def test_mask_of_another_size_is_refused_with_both_sizes(folder: Folder) -> None:
    with pytest.raises(Trouble) as caught:
        folder.mask(Image.fromarray(samples.hole(48, 30)))
    assert caught.value.reason.key == "size_mismatch"
    assert (
        caught.value.sentence
        == f"the picture is {WIDTH} x {HEIGHT} pixels and the mask is 48 x 30."
    )


def test_mask_on_its_side_is_refused_where_the_picture_lies_straight(folder: Folder) -> None:
    with pytest.raises(Trouble, match=f"the mask is {HEIGHT} x {WIDTH}"):
        folder.mask(Image.fromarray(samples.hole(HEIGHT, WIDTH)))


def test_mask_that_covers_everything_is_refused(folder: Folder) -> None:
    with pytest.raises(Trouble) as caught:
        folder.mask(Image.new("L", (WIDTH, HEIGHT), 255))
    assert caught.value.reason.key == "mask_covers_everything"


def test_mask_that_marks_nothing_is_taken_and_noted(folder: Folder) -> None:
    mask = folder.mask_whole(Image.new("L", (WIDTH, HEIGHT), 0))
    assert not mask.values.any()
    assert mask.notes == ("the mask marks nothing, so the picture is unchanged",)


def test_mask_that_is_cut_off_is_incomplete_and_named(folder: Folder) -> None:
    with pytest.raises(Trouble, match="the mask looks cut off") as caught:
        folder.mask(samples.encoded(grey(), "PNG")[:-20])
    assert caught.value.reason.key == "incomplete"


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("WEBP", {"lossless": True}),
        ("WEBP", {"lossless": True, "method": 0, "quality": 0}),
        ("WEBP", {"quality": 100}),
        ("WEBP", {"quality": 75, "method": 0}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"compression": "group4"}),
        ("TIFF", {}),
        ("JPEG", {"optimize": True}),
        ("BMP", {}),
        ("PNG", {"compress_level": 0}),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA"])
def test_large_flat_black_is_not_taken_for_a_file_that_is_yet_to_be_filled_in(
    folder: Folder, form: str, options: dict[str, object], mode: str
) -> None:
    if (options.get("compression") == "group4") != (mode == "1"):
        mode = "1" if options.get("compression") == "group4" else "L"
    if mode == "RGBA" and (form in ("JPEG", "BMP") or options.get("compression") == "jpeg"):
        mode = "RGB"
    drawn = Image.new(mode, (700, 500))
    # Noise above, black below: the encoders' worst case, and it ends in thousands of zeros.
    noise = np.random.default_rng(0).integers(0, 256, (45, 700, 3), dtype=np.uint8)
    drawn.paste(Image.fromarray(noise).convert(mode))
    drawn.paste(Image.new(mode, (5, 5), "white"), (3, 3))
    picture = folder.picture(Image.new("RGB", (700, 500)))
    mask = folder.mask(samples.encoded(drawn, form, **options), picture)
    assert mask[5, 5] == 255
    assert not mask[50:].any()
