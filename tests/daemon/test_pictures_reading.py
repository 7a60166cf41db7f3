"""Pictures as people have them, read: what is kept, what is refused, and in which words."""

import io
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from samples import FORMATS_AND_MODES, HEIGHT, WIDTH, Folder

from daemon.reasons import Kind, Trouble
from daemon.worker import pictures, signatures

KEPT_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}
TURNABLE: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
}
# Nothing in the others tells what is missing but the number of bytes.
WITH_STRUCTURE = [
    name
    for name, (form, _, options) in FORMATS_AND_MODES.items()
    if form != "BMP" and (form != "TIFF" or "compression" in options)
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def refused(folder: Folder, file: bytes, max_pixels: int = samples.MAX_PIXELS) -> Trouble:
    with pytest.raises(Trouble) as caught:
        folder.picture(file, max_pixels)
    return caught.value


# -- Formats and modes -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS_AND_MODES)
def test_picture_of_any_format_and_mode_keeps_its_pixels(folder: Folder, name: str) -> None:
    form, mode, options = FORMATS_AND_MODES[name]
    picture = folder.picture(samples.sample(name))
    expected = samples.plain_decode(samples.sample(name))
    wanted = "RGBA" if "transparency" in options else KEPT_MODES.get(mode, "RGB")
    if expected.mode == "RGB" and wanted == "RGBA" and "transparency" not in options:
        wanted = "RGB"  # Pillow's BMP writer keeps no alpha
    assert (picture.mode, picture.size) == (wanted, (WIDTH, HEIGHT))
    assert picture.kept.tobytes() == expected.convert(wanted).tobytes()
    assert picture.rgb().shape == (HEIGHT, WIDTH, 3)
    assert picture.format == form


def test_grey_picture_is_seen_by_the_network_as_rgb(folder: Folder) -> None:
    rgb = folder.picture(samples.in_mode("L")).rgb()
    assert np.array_equal(rgb, np.dstack([np.asarray(samples.in_mode("L"))] * 3))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_grey_is_transparent_at_every_depth(folder: Folder, bits: int) -> None:
    levels = np.arange(2**bits, dtype=np.uint8).reshape(1, -1).repeat(4, axis=0)
    key = 2**bits - 1
    file = samples.png_of(levels, bits, 0, (b"tRNS", struct.pack(">H", key)))
    picture = folder.picture(file)
    assert picture.mode == "LA"
    grey, alpha = picture.kept[..., 0], picture.kept[..., 1]
    assert np.array_equal(grey, levels.astype(int) * 255 // key)
    assert np.array_equal(alpha, np.where(levels == key, 0, 255))


def test_16_colour_bits_a_pixel_in_a_bmp_are_fewer_than_8_a_channel(folder: Folder) -> None:
    row = struct.pack("<4H", 0xFFFF, 0xF800, 0x07E0, 0x001F)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    head = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 16, 3, 2 * len(row), 2835, 2835, 0, 0)
    start = 14 + len(head) + len(masks)
    file = b"BM" + struct.pack("<IHHI", start + 2 * len(row), 0, 0, start) + head + masks + row * 2
    picture = folder.picture(file)
    assert picture.rgb()[0].tolist() == [[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_bigtiff_is_read(folder: Folder) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, np.asarray(samples.photo()), photometric="rgb", bigtiff=True)
    assert np.array_equal(folder.picture(out.getvalue()).rgb(), np.asarray(samples.photo()))


def test_first_view_of_a_phones_two_view_jpeg_is_the_picture(folder: Folder) -> None:
    second = ImageOps.mirror(samples.photo())
    file = samples.encoded(samples.photo(), "MPO", save_all=True, append_images=[second])
    picture = folder.picture(file)
    assert picture.read.format == "MPO"
    first = samples.encoded(samples.photo(), "JPEG")
    assert np.array_equal(picture.rgb(), np.asarray(samples.plain_decode(first)))


def test_jpeg_with_a_film_behind_it_is_read(folder: Folder) -> None:
    file = samples.sample("jpeg") + b"\0\0\0\x18ftypmp42" + bytes(200_000)
    assert folder.picture(file).size == (WIDTH, HEIGHT)


def test_what_was_read_is_told_with_the_hash_of_its_bytes(folder: Folder) -> None:
    read = folder.picture(samples.sample("png palette")).read
    assert (read.format, read.mode, read.width, read.height) == ("PNG", "P", WIDTH, HEIGHT)
    assert read.bytes == len(samples.sample("png palette"))
    assert len(read.sha256) == 64


# -- Orientation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", TURNABLE)
def test_orientation_is_applied_once(folder: Folder, form: str, orientation: int) -> None:
    file = samples.oriented(samples.photo(), form, orientation, **TURNABLE[form])
    picture = folder.picture(file)
    plain = samples.encoded(samples.photo(), form, **TURNABLE[form])
    stored = np.asarray(samples.plain_decode(plain))
    assert np.array_equal(picture.rgb(), upright(stored, orientation))
    assert picture.stored_size == (WIDTH, HEIGHT)
    assert picture.size == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    assert (picture.read.width, picture.read.height) == picture.size


@pytest.mark.parametrize("form", TURNABLE)
def test_orientation_does_not_go_into_the_result(folder: Folder, form: str) -> None:
    picture = folder.picture(samples.oriented(samples.photo(), form, 6, **TURNABLE[form]))
    exif = Image.Exif()
    exif.load(picture.keepsakes.get("exif", b""))
    assert samples.ORIENTATION not in exif


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_does_not_exist_is_none(folder: Folder, orientation: int) -> None:
    picture = folder.picture(samples.oriented(samples.photo(), "PNG", orientation))
    assert np.array_equal(picture.rgb(), np.asarray(samples.photo()))


def upright(stored: samples.Pixels, orientation: int) -> samples.Pixels:
    """What EXIF 2.32 says of each orientation, by where row 0 and column 0 of the picture lie."""
    return {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]


# -- Colour ----------------------------------------------------------------------------------------


def test_cmyk_without_a_profile_is_converted_and_says_so(folder: Folder) -> None:
    picture = folder.picture(samples.sample("tiff cmyk"))
    assert picture.notes == ("converted from CMYK to RGB without a colour profile",)
    expected = samples.in_mode("CMYK").convert("RGB")
    assert np.array_equal(picture.rgb(), np.asarray(expected))


def test_cmyk_with_a_broken_profile_is_converted_without_it(folder: Folder) -> None:
    # It claims to be for CMYK and holds what an RGB profile holds, so no transform can be built.
    profile = samples.colour_profile("CMYK")
    file = samples.encoded(samples.in_mode("CMYK"), "TIFF", icc_profile=profile)
    picture = folder.picture(file)
    assert picture.notes == ("converted from CMYK to RGB without a colour profile",)
    assert "icc_profile" not in picture.keepsakes


def test_cmyk_is_converted_by_its_profile(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    # No free CMYK profile is at hand: the transform is replaced, the way to it is real.
    from PIL import ImageCms

    seen = []

    def transform(image: Image.Image, *_: object, outputMode: str) -> Image.Image:  # noqa: N803
        seen.append((image.mode, outputMode))
        return Image.new(outputMode, image.size, (1, 2, 3))

    monkeypatch.setattr(ImageCms, "profileToProfile", transform)
    profile = samples.colour_profile("CMYK")
    file = samples.encoded(samples.in_mode("CMYK"), "JPEG", icc_profile=profile)
    picture = folder.picture(file)
    assert seen == [("CMYK", "RGB")]
    assert (picture.rgb() == (1, 2, 3)).all()
    assert picture.notes == ("converted from CMYK to sRGB by its colour profile",)
    assert "icc_profile" not in picture.keepsakes


def test_colour_profile_is_kept(folder: Folder) -> None:
    profile = samples.colour_profile("RGB")
    for form in ("JPEG", "PNG", "TIFF", "WEBP"):
        file = samples.encoded(samples.photo(), form, icc_profile=profile)
        assert folder.picture(file).keepsakes["icc_profile"] == profile


def test_colour_profile_of_another_space_is_left_out_and_said(folder: Folder) -> None:
    file = samples.encoded(samples.photo(), "PNG", icc_profile=samples.colour_profile("GRAY"))
    picture = folder.picture(file)
    assert "icc_profile" not in picture.keepsakes
    assert picture.notes == ("left out a colour profile that is not for RGB",)


def test_profile_that_is_none_is_left_out(folder: Folder) -> None:
    file = samples.encoded(samples.photo(), "JPEG", icc_profile=b"no profile at all" * 20)
    assert "icc_profile" not in folder.picture(file).keepsakes


def test_lab_is_refused_by_name(folder: Folder) -> None:
    trouble = refused(folder, samples.encoded(samples.in_mode("LAB"), "TIFF"))
    assert trouble.reason.key == "colour_space"
    assert "Lab" in trouble.sentence


# -- Refused ---------------------------------------------------------------------------------------


def animation(form: str) -> bytes:
    others = [ImageOps.mirror(samples.photo()), ImageOps.flip(samples.photo())]
    return samples.encoded(samples.photo(), form, save_all=True, append_images=others)


@pytest.mark.parametrize("form", ["TIFF", "WEBP", "PNG"])
def test_several_pages_or_frames_are_refused_with_their_number(folder: Folder, form: str) -> None:
    trouble = refused(folder, animation(form))
    assert trouble.reason.key == "several_pages"
    assert "3 pages or frames" in trouble.sentence


def test_more_pixels_than_allowed_are_refused_with_both_numbers(folder: Folder) -> None:
    trouble = refused(folder, samples.sample("jpeg"), max_pixels=WIDTH * HEIGHT - 1)
    assert trouble.reason.key == "too_many_pixels"
    assert f"{WIDTH} x {HEIGHT}" in trouble.sentence
    assert str(WIDTH * HEIGHT - 1) in trouble.sentence
    assert folder.picture(samples.sample("jpeg"), max_pixels=WIDTH * HEIGHT)


def test_a_bomb_is_refused_before_it_is_decoded(folder: Folder) -> None:
    file = samples.png_of(np.zeros((1, 1), np.uint8), 8, 0)
    header = struct.pack(">II", 100_000, 100_000)
    bomb = file[:16] + header + file[24:]
    check = struct.pack(">I", zlib.crc32(bomb[12:29]))
    trouble = refused(folder, bomb[:29] + check + bomb[33:])
    assert trouble.reason.key == "too_many_pixels"


def zip_file() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "a")
    return out.getvalue()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (samples.encoded(samples.photo(), "GIF"), "a GIF"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "a PDF document"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "a HEIC or AVIF picture, or a film"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "a HEIC or AVIF picture, or a film"),
        (zip_file(), "a ZIP archive or office document"),
        (b"8BPS\0\x01" + bytes(20), "a Photoshop document"),
        (b'<?xml version="1.0"?><svg/>', "an XML or SVG file"),
        (b"\n <!DOCTYPE html><html><body>404", "a web page"),
        (b"Dear diary,\r\ntoday I took no photo.\n", "text"),
        ("Größe\n".encode(), "text"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "a sound or a film"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (bytes(range(1, 200)), "something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_picture_is_named(folder: Folder, file: bytes, words: str) -> None:
    trouble = refused(folder, file)
    assert trouble.reason.key == "not_a_picture"
    assert trouble.sentence.endswith(f"it looks like {words}.")


# -- Not all there ---------------------------------------------------------------------------------


def test_empty_file_is_incomplete(folder: Folder) -> None:
    trouble = refused(folder, b"")
    assert trouble.reason.key == "incomplete"
    assert "it is empty" in trouble.sentence


@pytest.mark.parametrize("size", [1, 15, 16, 5_000])
def test_file_of_zeros_is_incomplete(folder: Folder, size: int) -> None:
    assert refused(folder, bytes(size)).reason.key == "incomplete"


def cuts(size: int) -> list[int]:
    """Lengths to cut a file to: near both ends, and all over."""
    spread = {round(size * part / 23) for part in range(23)}
    near = {1, 2, 3, 4, 7, 8, 9, 12, 16, 20, 26, 33, 40, 54, 64, 100}
    return sorted(cut for cut in spread | near | {size - back for back in near} if 0 <= cut < size)


@pytest.mark.parametrize("name", FORMATS_AND_MODES)
def test_truncated_picture_is_incomplete_or_lacks_no_pixel(folder: Folder, name: str) -> None:
    file = samples.sample(name)
    whole = folder.picture(file)
    for cut in cuts(len(file)):
        try:
            picture = folder.picture(file[:cut])
        except Trouble as trouble:
            assert trouble.reason.key == "incomplete", f"{cut} of {len(file)}: {trouble}"
        else:  # what was cut off were padding, or a phone's second view
            assert picture.kept.tobytes() == whole.kept.tobytes(), f"{cut} of {len(file)}"


@pytest.mark.parametrize("name", WITH_STRUCTURE)
def test_picture_made_at_its_final_size_and_not_yet_filled_in_is_incomplete(
    folder: Folder, name: str
) -> None:
    file = samples.sample(name)
    whole = folder.picture(file)
    lengths = cuts(len(file))
    if FORMATS_AND_MODES[name][0] in ("TIFF", "WEBP"):
        # These have no mark at their end: known by whole blocks, and not where the last byte that
        # was written is a zero, nor where all that is missing are a TIFF's last tags.
        blocks = range(0, len(file) * 9 // 10, signatures.BLOCK_BYTES)
        lengths = [at for at in blocks if file[at - 1]]
        lengths = [at for at in lengths if len(file) - at >= signatures.ZERO_TAIL_BYTES]
        assert lengths
    for cut in lengths:
        try:
            picture = folder.picture(file[:cut] + bytes(len(file) - cut))
        except Trouble as trouble:
            assert trouble.reason.key == "incomplete", f"{cut} of {len(file)}: {trouble}"
        else:
            assert picture.kept.tobytes() == whole.kept.tobytes(), f"{cut} of {len(file)}"


@pytest.mark.parametrize("size", [(640, 480), (1500, 1000)], ids=str)
def test_larger_jpeg_not_yet_filled_in_is_incomplete(folder: Folder, size: tuple[int, int]) -> None:
    # Pillow alone takes some of these for whole: the sampling decides.
    for options in ({"quality": 97, "subsampling": 0}, {"quality": 80}):
        file = samples.encoded(samples.photo(*size), "JPEG", **options)
        for cut in cuts(len(file))[::6]:
            with pytest.raises(Trouble, match="cut off"):
                folder.picture(file[:cut] + bytes(len(file) - cut), 10**7)


def test_png_without_its_end_is_incomplete_though_every_pixel_is_there(folder: Folder) -> None:
    assert refused(folder, samples.sample("png rgb")[:-12]).reason.key == "incomplete"


# -- Damaged ---------------------------------------------------------------------------------------


def damaged(file: bytes, flips: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(file)
    for at, value in flips:
        changed[at % len(changed)] = value
    return bytes(changed[: len(changed) - cut % len(changed)])


def read_damaged(folder: Folder, file: bytes) -> None:
    """Read it as each of the three roles; anything but a `Trouble` fails the test."""
    whole = folder.picture(samples.photo())
    for role in ("picture", "mask", "trimap"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                if role == "picture":
                    folder.picture(file)
                else:
                    getattr(folder, role)(file, whole)
        except Trouble as trouble:
            assert trouble.reason.kind in (Kind.FILE, Kind.WAIT, Kind.RETRY)
            assert "?" not in trouble.sentence or "not changed" in trouble.sentence


FLIPS = st.lists(
    st.tuples(st.one_of(st.integers(0, 300), st.integers(0, 100_000)), st.integers(0, 255)),
    max_size=8,
)


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(FORMATS_AND_MODES)),
    flips=FLIPS,
    cut=st.one_of(st.just(0), st.integers(0, 10_000)),
)
def test_damaged_file_is_never_more_than_a_trouble(
    tmp_path: Path, name: str, flips: list[tuple[int, int]], cut: int
) -> None:
    read_damaged(Folder(tmp_path), damaged(samples.sample(name), flips, cut))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(
    max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(sorted(FORMATS_AND_MODES)), flips=FLIPS, cut=st.integers(0, 10_000))
def test_damaged_file_is_never_more_than_a_trouble_however_often(
    tmp_path: Path, name: str, flips: list[tuple[int, int]], cut: int
) -> None:
    read_damaged(Folder(tmp_path), damaged(samples.sample(name), flips, cut))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.sampled_from(
        [
            b"",
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"II*\0",
            b"MM\0*",
            b"RIFF\x20\0\0\0WEBP",
            b"BM",
        ]
    ),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_never_more_than_a_trouble(tmp_path: Path, start: bytes, rest: bytes) -> None:
    read_damaged(Folder(tmp_path), start + rest)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint32"])
def test_tiff_of_a_depth_that_pillow_does_not_know_is_refused_not_waited_for(
    dtype: str,
) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((40, 50, 3), dtype), photometric="rgb")
    with pytest.raises(Trouble) as met:
        pictures.read_picture(file.getvalue(), 10**6)
    assert met.value.reason.key == "deep_colour"
