"""Results of 16 bits: the input's samples outside the hole, smooth slopes in it."""

import io
from pathlib import Path
from typing import Any

import cv2
import mutations_png
import mutations_tiff as tiff
import numpy as np
import pytest
import samples
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import DEEP, HEIGHT, WIDTH, Fine, Folder, Pixels

from daemon.settings import OutputFormat
from daemon.worker import pictures
from daemon.worker.pictures import Picture, exif_in_tiff
from daemon.worker.pictures.depth import HALF_LEVEL, LEVEL, fill_without_steps, to_8_bits

HOLE = samples.hole()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def retouch(
    folder: Folder, picture: Picture, form: OutputFormat = "png", painted: Pixels | None = None
) -> tuple[bytes, str, tuple[str, ...]]:
    """Paint the hole in the negative, write it, and return the file, its suffix and the notes."""
    if painted is None:
        painted = 255 - picture.rgb()
    told: list[tuple[str, tuple[str, ...]]] = []
    hole = samples.hole(*picture.size)
    file = folder.written(
        lambda out: told.append(
            pictures.write_retouched(picture, painted, hole, out, form, quality=95)
        )
    )
    return file, *told[0]


def decoded(file: bytes, form: OutputFormat) -> Any:
    """Decoded by what is neither libvips nor Pillow; grey with alpha comes as RGBA from a PNG."""
    if form == "tiff":
        return tifffile.imread(io.BytesIO(file))
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    return pixels if pixels.ndim == 2 else pixels[..., order[pixels.shape[2]]]


# -- To the bit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["png", "tiff"])
@pytest.mark.parametrize("name", DEEP)
def test_samples_outside_the_mask_are_the_inputs_to_the_bit(
    folder: Folder, name: str, form: OutputFormat
) -> None:
    channels = DEEP[name][1]
    picture = folder.picture(samples.deep_sample(name))
    file, suffix, notes = retouch(folder, picture, form)
    result, expected = decoded(file, form), samples.fine_photo(channels)
    if form == "png" and channels == 2:
        result = result[..., [0, 3]]
    assert (suffix, notes) == ({"png": ".png", "tiff": ".tif"}[form], ())
    assert (result.dtype, result.shape) == (np.uint16, expected.shape)
    assert np.array_equal(result[HOLE == 0], expected[HOLE == 0])
    if channels in (2, 4):
        assert np.array_equal(result[..., -1], expected[..., -1])
    colours = result[..., :3] if channels > 2 else result[..., :1] if channels == 2 else result
    painted = (255 - picture.rgb())[..., : 1 if channels < 3 else 3].reshape(colours.shape)
    assert np.array_equal(to_8_bits(colours)[HOLE > 0], painted[HOLE > 0])


@pytest.mark.parametrize(("name", "suffix"), [("png 16 rgb", ".png"), ("tiff 16 rgb", ".tif")])
def test_same_keeps_the_format_and_the_depth(folder: Folder, name: str, suffix: str) -> None:
    file, given, _ = retouch(folder, folder.picture(samples.deep_sample(name)), "same")
    assert (given, folder.picture(file).is_deep) == (suffix, True)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_format_that_holds_no_16_bits_gets_8_and_the_note_says_so(
    folder: Folder, form: OutputFormat
) -> None:
    picture = folder.picture(samples.deep_sample("tiff 16 rgb"))
    file, _, notes = retouch(folder, picture, form)
    assert notes == (f"written in 8 bits a channel: {form.upper()} can't hold its 16",)
    result = np.asarray(samples.plain_decode(file)).astype(int)
    difference = np.abs(result - picture.rgb())[HOLE == 0]
    assert difference.max() == 0 if form == "webp" else difference.mean() < 3


def test_deep_picture_with_transparency_becomes_a_deep_png_where_jpeg_was_asked_for(
    folder: Folder,
) -> None:
    picture = folder.picture(samples.deep_sample("tiff 16 rgba"))
    file, suffix, notes = retouch(folder, picture, "jpeg")
    assert (suffix, notes) == (".png", ("written as PNG: JPEG can't hold its transparency",))
    assert folder.picture(file).is_deep


# -- In the hole -----------------------------------------------------------------------------------


def slope(pixels_a_level: float, width: int = 600, height: int = 200) -> Fine:
    """A plane that rises by a level of 8 bits in so many pixels, and a third of that downwards."""
    y, x = np.mgrid[:height, :width]
    plane: Fine = (10_000 + (x + y / 3) * LEVEL / pixels_a_level).round().astype(np.uint16)
    return plane[..., None]


def ellipse(width: int = 600, height: int = 200) -> Any:
    y, x = np.mgrid[:height, :width]
    return ((x - width / 2) / (width * 0.4)) ** 2 + ((y - height / 2) / (height * 0.4)) ** 2 < 1


@pytest.mark.parametrize("pixels_a_level", [5, 10, 40, 100])
def test_slope_in_the_hole_has_no_steps(pixels_a_level: float) -> None:
    truth, hole = slope(pixels_a_level), ellipse()
    painted = to_8_bits(truth)
    filled = truth.copy()
    fill_without_steps(filled, painted, hole)
    row = filled[100, :, 0].astype(int)
    even = LEVEL / pixels_a_level
    assert np.abs(np.diff(row)).max() <= even + 8  # painted, they are 257
    assert np.diff(row).min() >= -8
    assert np.abs(filled.astype(int) - truth)[hole].max() < HALF_LEVEL / 2
    assert len(np.unique(filled[hole])) > 20 * len(np.unique(painted[hole]))


def test_edge_in_the_hole_stays_an_edge() -> None:
    truth, hole = slope(40), ellipse()
    truth[:, 300:] += 100 * LEVEL
    filled = truth.copy()
    fill_without_steps(filled, to_8_bits(truth), hole)
    assert filled[100, 300, 0] - int(filled[100, 299, 0]) > 99 * LEVEL


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3]),
    span=st.integers(1, 256),
    share=st.floats(0, 1),
)
def test_texture_in_the_hole_is_the_networks_own_when_seen_in_8_bits(
    seed: int, size: tuple[int, int], channels: int, span: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    kept = random.integers(0, 65536, (*size, channels), dtype=np.uint16)
    painted = random.integers(0, span, (*size, channels)).astype(np.uint8)
    hole = random.random(size) < share
    filled = kept.copy()
    fill_without_steps(filled, painted, hole)
    assert np.array_equal(to_8_bits(filled)[hole], painted[hole])
    assert np.abs(filled[hole].astype(int) - painted[hole].astype(int) * LEVEL).max(initial=0) <= (
        HALF_LEVEL
    )
    assert np.array_equal(filled[~hole], kept[~hole])


def test_every_level_of_8_bits_comes_back_from_16() -> None:
    every = np.arange(256, dtype=np.uint8)
    for off in (-HALF_LEVEL, 0, HALF_LEVEL):
        wide = (every.astype(int) * LEVEL + off).clip(0, 65535).astype(np.uint16)
        assert np.array_equal(to_8_bits(wide), every)


# -- Profile, EXIF, resolution ---------------------------------------------------------------------


def with_everything(form: str) -> bytes:
    """A deep picture on its side, with profile, camera, date, place and two resolutions."""
    exif = Image.Exif()
    exif[0x010F], exif[0x8769] = "Maker", {0x9003: "2020:01:01 00:00:00", 0x829A: 0.005}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    exif[0x0112] = 6
    profile = samples.colour_profile("RGB")
    narrow = samples.encoded(samples.photo(), "PNG", exif=exif, icc_profile=profile, dpi=(300, 150))
    if form == "PNG":
        wanted = (b"iCCP", b"pHYs", b"eXIf")
        kept = [part for part in mutations_png.chunks(narrow) if part[0] in wanted]
        return samples.png_of(samples.fine_photo(), 16, 2, *kept)
    out = io.BytesIO()
    tifffile.imwrite(out, samples.fine_photo(), photometric="rgb", iccprofile=profile,
                     resolution=(300, 150), resolutionunit="INCH",
                     extratags=[(0x0112, "H", 1, 6, True)])  # fmt: skip
    exif_in_tiff.add(out, exif.tobytes(), has_resolution=True)
    return out.getvalue()


@pytest.mark.parametrize("form", ["png", "tiff", "jpeg", "webp"])
@pytest.mark.parametrize("source", ["PNG", "TIFF"])
def test_profile_exif_and_resolution_of_a_deep_picture_are_kept(
    folder: Folder, source: str, form: OutputFormat
) -> None:
    file, _, _ = retouch(folder, folder.picture(with_everything(source)), form)
    with Image.open(io.BytesIO(file)) as result:
        assert result.size == (HEIGHT, WIDTH)
        exif = result.getexif()
        assert result.info["icc_profile"] == samples.colour_profile("RGB")
        if form != "webp":
            # Upright, what was down on its side is across.
            assert result.info["dpi"] == pytest.approx((150, 300), abs=0.1)
    assert exif[0x010F] == "Maker"
    assert exif.get(0x0112, 1) == 1
    assert exif.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
    assert exif.get_ifd(0x8825)[2] == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_no_resolution_is_invented(folder: Folder, form: OutputFormat) -> None:
    picture = folder.picture(samples.deep_sample("png 16 rgb"))
    file, _, _ = retouch(folder, picture, form)
    assert "dpi" not in folder.picture(file).keepsakes
    if form == "png":
        assert b"pHYs" not in file


def test_resolution_in_dots_a_centimetre_is_told_in_inches(folder: Folder) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, samples.fine_photo(), photometric="rgb", resolution=(100, 50),
                     resolutionunit="CENTIMETER")  # fmt: skip
    file, _, _ = retouch(folder, folder.picture(out.getvalue()), "tiff")
    assert samples.plain_decode(file).info["dpi"] == pytest.approx((254, 127), abs=0.1)


def test_exif_that_would_be_many_times_its_size_is_left_out(folder: Folder) -> None:
    file = samples.deep_sample("tiff 16 rgb")
    inner = [(40_000 + at, tiff.UNDEFINED, 30_000, 8) for at in range(500)]
    at = len(file) + len(file) % 2
    file = file.ljust(at, b"\0") + tiff.directory(inner)
    picture = folder.picture(tiff.with_tags(file, (tiff.EXIF_IFD, tiff.LONG, 1, at)))
    assert len(picture.keepsakes.get("exif", b"")) < 1000


# -- Cut-outs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiff 16 rgb", "png 16 grey", "png 16 rgba"])
def test_cutout_of_a_deep_picture_holds_its_own_samples_where_it_is_opaque(
    folder: Folder, name: str
) -> None:
    picture = folder.picture(samples.deep_sample(name))
    matte = samples.bands()
    file = folder.written(
        lambda out: pictures.write_cutout(picture, 255 - picture.rgb(), matte, out)
    )
    pixels = decoded(file, "png")
    assert (pixels.dtype, pixels.shape) == (np.uint16, (HEIGHT, WIDTH, 4))
    own = picture.kept if picture.mode != "L" else np.dstack([picture.kept] * 3)
    assert np.array_equal(pixels[matte == 255][:, :3], own[matte == 255][:, :3])
    elsewhere = (255 - picture.rgb())[matte < 255]
    assert np.array_equal(to_8_bits(pixels[..., :3])[matte < 255], elsewhere)
    opacity = matte.astype(int) * 257
    if picture.mode == "RGBA":
        opacity = np.round(matte / 255 * picture.kept[..., 3]).astype(int)
    assert np.abs(pixels[..., 3] - opacity).max() <= 1
