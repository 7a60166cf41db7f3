"""Results: outside the mask the picture's own pixels to the bit, and what else is kept of it."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import FORMATS_AND_MODES, HEIGHT, WIDTH, Folder

from daemon.reasons import Trouble
from daemon.settings import OutputFormat
from daemon.worker import pictures
from daemon.worker.pictures import Picture

HOLE = samples.hole()
EXACT: list[OutputFormat] = ["png", "tiff", "webp"]
TAKEN = "2024:02:29 12:34:56"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def retouch(
    folder: Folder,
    picture: Picture,
    form: OutputFormat = "png",
    mask: samples.Pixels | None = None,
) -> tuple[bytes, str, tuple[str, ...]]:
    """Paint the hole in the negative, write it, and return the file, its suffix and the notes."""
    if mask is None:
        mask = samples.hole(*picture.size)
    told: list[tuple[str, tuple[str, ...]]] = []
    file = folder.written(
        lambda out: told.append(
            pictures.write_retouched(picture, 255 - picture.rgb(), mask, out, form, 95)
        )
    )
    return file, *told[0]


def decoded(file: bytes, form: OutputFormat) -> samples.Pixels:
    """Decoded by something that is not Pillow, where there is something else."""
    if form == "png":
        return samples.decoded_png(file)
    if form == "tiff":
        pixels: samples.Pixels = tifffile.imread(io.BytesIO(file))
        return pixels
    return np.asarray(samples.plain_decode(file))


# -- To the bit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", EXACT)
@pytest.mark.parametrize("name", FORMATS_AND_MODES)
def test_pixels_outside_the_mask_are_the_inputs(
    folder: Folder, name: str, form: OutputFormat
) -> None:
    picture = folder.picture(samples.sample(name))
    file, _, _ = retouch(folder, picture, form)
    result = decoded(file, form)
    mode = picture.mode
    if form == "webp":  # holds no grey
        mode = {"L": "RGB", "LA": "RGBA"}.get(mode, mode)
    stored = samples.plain_decode(samples.sample(name))
    expected = np.asarray(stored.convert(picture.mode).convert(mode))
    if form == "webp" and mode == "RGBA" and result.shape[-1] == 3:
        assert (expected[..., 3] == 255).all()  # fully opaque: WebP leaves its alpha out
        expected = expected[..., :3]
    assert result.shape == expected.shape
    assert np.array_equal(result[HOLE == 0], expected[HOLE == 0])
    assert not np.array_equal(result[HOLE > 0], expected[HOLE > 0])


@pytest.mark.parametrize("form", EXACT)
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_stays_as_it_was_inside_the_mask_too(
    folder: Folder, mode: str, form: OutputFormat
) -> None:
    file, _, _ = retouch(folder, folder.picture(samples.in_mode(mode)), form)
    assert np.array_equal(decoded(file, form)[..., -1], np.asarray(samples.opacity()))


def test_colours_under_full_transparency_are_kept_in_webp(folder: Folder) -> None:
    image = samples.photo().copy()
    image.putalpha(0)
    file, _, _ = retouch(folder, folder.picture(image), "webp")
    result = np.asarray(samples.plain_decode(file))
    assert np.array_equal(result[HOLE == 0], np.asarray(image)[HOLE == 0])


def test_hole_holds_what_the_network_painted(folder: Folder) -> None:
    file, _, _ = retouch(folder, folder.picture(samples.photo()))
    expected = 255 - np.asarray(samples.photo())
    assert np.array_equal(samples.decoded_png(file)[HOLE > 0], expected[HOLE > 0])


@pytest.mark.parametrize("name", ["png 1 bit", "png grey", "jpeg grey", "bmp grey"])
@pytest.mark.parametrize("form", ["png", "tiff", "jpeg"])
def test_grey_picture_stays_grey(folder: Folder, name: str, form: OutputFormat) -> None:
    file, _, _ = retouch(folder, folder.picture(samples.sample(name)), form)
    assert samples.plain_decode(file).mode == "L"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"]),
    form=st.sampled_from(EXACT),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    seed=st.integers(0, 2**32 - 1),
    share=st.floats(0, 1),
)
def test_any_picture_outside_any_mask_is_bit_identical(
    tmp_path: Path, mode: str, form: OutputFormat, size: tuple[int, int], seed: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    width, height = size
    noise = Image.fromarray(random.integers(0, 256, (height, width, 4), dtype=np.uint8))
    image = noise.convert("RGB").convert("P") if mode == "P" else noise.convert(mode)
    mask = np.where(random.random((height, width)) < share, 255, 0).astype(np.uint8)
    picture = Folder(tmp_path).picture(image)
    file, _, _ = retouch(Folder(tmp_path), picture, form, mask)
    back = np.asarray(samples.plain_decode(file).convert(picture.mode))
    assert np.array_equal(back[mask == 0], picture.kept[mask == 0])


# -- Orientation, profile, EXIF, resolution --------------------------------------------------------


def with_everything(form: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[samples.ORIENTATION] = 6
    if form != "TIFF":  # Pillow writes no tags inside tags there
        exif[0x8769] = {0x9003: TAKEN}
    return samples.encoded(
        samples.photo(),
        form,
        exif=exif,
        icc_profile=samples.colour_profile("RGB"),
        dpi=(300, 300),
        **options,
    )


@pytest.mark.parametrize("form", ["png", "tiff", "webp", "jpeg"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_in_the_results_pixels_and_no_longer_in_its_exif(
    folder: Folder, source: str, form: OutputFormat
) -> None:
    file, _, _ = retouch(folder, folder.picture(with_everything(source)), form)
    with Image.open(io.BytesIO(file)) as result:
        assert result.size == (HEIGHT, WIDTH)
        assert result.getexif().get(samples.ORIENTATION, 1) == 1


@pytest.mark.parametrize("form", ["png", "tiff", "webp", "jpeg"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_profile_is_kept(folder: Folder, source: str, form: OutputFormat) -> None:
    file, _, _ = retouch(folder, folder.picture(with_everything(source)), form)
    assert samples.plain_decode(file).info["icc_profile"] == samples.colour_profile("RGB")


@pytest.mark.parametrize("form", ["png", "tiff", "webp", "jpeg"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
def test_exif_is_kept(folder: Folder, source: str, form: OutputFormat) -> None:
    file, _, _ = retouch(folder, folder.picture(with_everything(source)), form)
    with Image.open(io.BytesIO(file)) as result:
        exif = result.getexif()
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == TAKEN


def test_layout_tags_of_a_tiff_and_xmp_are_not_kept(folder: Folder) -> None:
    file, _, _ = retouch(folder, folder.picture(with_everything("TIFF")))
    with Image.open(io.BytesIO(file)) as result:
        assert dict(result.getexif()) == {0x010F: "Maker"}
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>old</x:xmpmeta>"
    source = samples.encoded(samples.photo(), "JPEG", xmp=xmp)
    for form in ("png", "jpeg", "webp", "tiff"):
        file, _, _ = retouch(folder, folder.picture(source), form)
        assert b"xmpmeta" not in file


@pytest.mark.parametrize("form", ["png", "tiff", "webp", "jpeg"])
@pytest.mark.parametrize("source", ["CMYK", "RGB"])
def test_profile_that_no_longer_fits_does_not_come_back(
    folder: Folder, source: str, form: OutputFormat
) -> None:
    space = "GRAY" if source == "RGB" else "CMYK"
    file = samples.encoded(
        samples.in_mode(source), "TIFF", icc_profile=samples.colour_profile(space)
    )
    file, _, _ = retouch(folder, folder.picture(file), form)
    assert "icc_profile" not in samples.plain_decode(file).info


def test_small_preview_inside_exif_does_not_show_the_old_picture(folder: Folder) -> None:
    preview = samples.encoded(samples.photo(40, 30), "JPEG")
    body = b"MM\0*\0\0\0\x08" + b"\0\0" + b"\0\0\0\x0e"  # an empty first folder, the next at 14
    entries = [(0x0201, 44), (0x0202, len(preview))]
    body += b"\0\x02" + b"".join(
        tag.to_bytes(2, "big") + b"\0\x04\0\0\0\x01" + value.to_bytes(4, "big")
        for tag, value in entries
    )
    body += b"\0\0\0\0"
    assert len(body) == 44
    exif = b"Exif\0\0" + body + preview
    source = samples.encoded(samples.photo(), "JPEG", exif=exif)
    assert preview in source
    for form in ("png", "jpeg", "webp"):
        file, _, _ = retouch(folder, folder.picture(source), form)
        assert preview[100:200] not in file


@pytest.mark.parametrize("form", ["png", "tiff", "jpeg"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_is_kept(folder: Folder, source: str, form: OutputFormat) -> None:
    file, _, _ = retouch(
        folder, folder.picture(samples.encoded(samples.photo(), source, dpi=(300, 300))), form
    )
    assert samples.plain_decode(file).info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_grey_profile_stays_with_a_grey_result_and_is_left_out_of_webp(folder: Folder) -> None:
    profile = samples.colour_profile("GRAY")
    picture = folder.picture(samples.encoded(samples.in_mode("L"), "PNG", icc_profile=profile))
    file, _, notes = retouch(folder, picture, "png")
    assert (samples.plain_decode(file).info["icc_profile"], notes) == (profile, ())
    file, _, notes = retouch(folder, picture, "webp")
    assert "icc_profile" not in samples.plain_decode(file).info
    assert notes == ("left out the grey colour profile: WebP holds all pictures as RGB",)


# -- Formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "suffix", "written"),
    [
        ("png", ".png", "PNG"),
        ("tiff", ".tif", "TIFF"),
        ("webp", ".webp", "WEBP"),
        ("jpeg", ".jpg", "JPEG"),
    ],
)
def test_suffix_belongs_to_the_format(
    folder: Folder, form: OutputFormat, suffix: str, written: str
) -> None:
    file, given_suffix, notes = retouch(folder, folder.picture(samples.photo()), form)
    with Image.open(io.BytesIO(file)) as result:
        assert (result.format, given_suffix, notes) == (written, suffix, ())


@pytest.mark.parametrize(
    ("source", "suffix", "written"),
    [
        ("jpeg", ".jpg", "JPEG"),
        ("mpo", ".jpg", "JPEG"),
        ("png rgb", ".png", "PNG"),
        ("tiff", ".tif", "TIFF"),
        ("webp", ".webp", "WEBP"),
        ("bmp", ".bmp", "BMP"),
    ],
)
def test_same_writes_the_pictures_own_format(
    folder: Folder, source: str, suffix: str, written: str
) -> None:
    file, given_suffix, _ = retouch(folder, folder.picture(samples.sample(source)), "same")
    with Image.open(io.BytesIO(file)) as result:
        assert (result.format, given_suffix) == (written, suffix)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_picture_with_transparency_becomes_png_where_jpeg_was_asked_for(
    folder: Folder, mode: str
) -> None:
    file, suffix, notes = retouch(folder, folder.picture(samples.in_mode(mode)), "jpeg")
    assert (suffix, samples.plain_decode(file).mode) == (".png", mode)
    assert notes == ("written as PNG: JPEG can't hold its transparency",)


def test_bmp_with_transparency_becomes_png_where_the_same_was_asked_for(folder: Folder) -> None:
    picture = replace(folder.picture(samples.in_mode("RGBA")), format="BMP")
    _, suffix, notes = retouch(folder, picture, "same")
    assert (suffix, notes) == (".png", ("written as PNG: BMP can't hold its transparency",))


def test_bmp_result_is_exact(folder: Folder) -> None:
    file, _, _ = retouch(folder, folder.picture(samples.sample("bmp")), "same")
    result = np.asarray(samples.plain_decode(file))
    assert np.array_equal(result[HOLE == 0], np.asarray(samples.photo())[HOLE == 0])


def test_jpeg_result_is_close_outside_the_mask(folder: Folder) -> None:
    file, _, _ = retouch(folder, folder.picture(samples.photo()), "jpeg")
    result = np.asarray(samples.plain_decode(file)).astype(int)
    far = HOLE.copy()
    for _ in range(8):  # a block away from the hole
        far |= np.roll(far, 1, 0) | np.roll(far, -1, 0) | np.roll(far, 1, 1) | np.roll(far, -1, 1)
    difference = np.abs(result - np.asarray(samples.photo()))[far == 0]
    assert 0 < difference.mean() < 3


def test_picture_too_wide_for_webp_is_refused_in_words(folder: Folder) -> None:
    picture = folder.picture(Image.new("RGB", (16_384, 4)))
    with pytest.raises(Trouble) as caught:
        retouch(folder, picture, "webp")
    assert caught.value.reason.key == "cannot_encode"
    assert "16383" in caught.value.sentence
    assert "output_format" in caught.value.advice


@pytest.mark.filterwarnings("ignore")
def test_picture_too_wide_for_jpeg_is_refused_in_words(folder: Folder) -> None:
    with pytest.raises(Trouble, match="can't be written as JPEG") as caught:
        retouch(folder, folder.picture(Image.new("RGB", (65_501, 4))), "jpeg")
    assert caught.value.reason.key == "cannot_encode"


def test_full_disk_is_the_worlds_fault_and_no_trouble_of_the_picture(folder: Folder) -> None:
    picture = folder.picture(samples.photo())
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("w+b") as full:
        pictures.write_retouched(picture, picture.rgb(), HOLE, full, "png", 95)


# -- Cut-outs --------------------------------------------------------------------------------------


def test_alpha_is_written_as_it_is(folder: Folder) -> None:
    file = folder.written(lambda out: pictures.write_plane(samples.bands(), out))
    assert np.array_equal(samples.decoded_png(file), samples.bands())


def cut_out(folder: Folder, picture: Picture, alpha: samples.Pixels | None = None) -> bytes:
    matte = samples.bands() if alpha is None else alpha
    return folder.written(lambda out: pictures.write_cutout(picture, picture.rgb(), matte, out))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_cutout_is_rgba_with_the_matte_as_alpha(folder: Folder, mode: str) -> None:
    picture = folder.picture(samples.in_mode(mode))
    pixels = samples.decoded_png(cut_out(folder, picture))
    assert np.array_equal(pixels[..., 3], samples.bands())
    assert np.array_equal(pixels[..., :3], picture.rgb())


def test_what_was_transparent_in_the_picture_is_so_in_the_cutout(folder: Folder) -> None:
    alpha = samples.decoded_png(cut_out(folder, folder.picture(samples.in_mode("RGBA"))))[..., 3]
    expected = samples.bands() / 255 * np.asarray(samples.opacity())
    assert np.array_equal(alpha, np.floor(expected + 0.5))


def test_cutout_keeps_profile_exif_and_resolution(folder: Folder) -> None:
    picture = folder.picture(with_everything("JPEG"))
    file = cut_out(folder, picture, samples.bands(*picture.size))
    with Image.open(io.BytesIO(file)) as result:
        assert result.info["icc_profile"] == samples.colour_profile("RGB")
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert result.getexif()[0x010F] == "Maker"


def test_cutout_of_a_grey_picture_leaves_out_its_grey_profile(folder: Folder) -> None:
    profile = samples.colour_profile("GRAY")
    file = samples.encoded(samples.in_mode("L"), "PNG", icc_profile=profile, dpi=(300, 300))
    info = samples.plain_decode(cut_out(folder, folder.picture(file))).info
    assert "icc_profile" not in info
    assert info["dpi"] == pytest.approx((300, 300), abs=0.1)
