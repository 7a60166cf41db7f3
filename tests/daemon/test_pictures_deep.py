"""Pictures of 16 bits a channel, read: to the bit, or refused where they mean nothing sure."""

import io
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutations_png as png
import mutations_tiff as tiff
import numpy as np
import pytest
import samples
import tifffile
from gauntlet import REPOSITORY, Gauntlet
from mutations import ink_profile
from mutations_any import zeros
from samples import DEEP, HEIGHT, WIDTH, Folder

from daemon.reasons import Trouble
from daemon.worker import pictures, signatures

PLAIN: dict[str, Any] = {"metadata": None, "software": False}
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
# Nothing in the others tells what is missing but the number of bytes.
WITH_STRUCTURE = [
    name
    for name, (form, _, options) in DEEP.items()
    if form == "PNG" or "lzw" in options or "compression" in options
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(scope="module")
def gauntlet() -> Iterator[Gauntlet]:
    with Gauntlet() as running:
        yield running


def tiff_of(pixels: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def refused(folder: Folder, file: bytes) -> Trouble:
    with pytest.raises(Trouble) as caught:
        folder.picture(file)
    return caught.value


# -- To the bit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEEP)
def test_every_sample_of_16_bits_is_kept_to_the_bit(folder: Folder, name: str) -> None:
    form, channels, _ = DEEP[name]
    picture = folder.picture(samples.deep_sample(name))
    assert picture.is_deep
    assert (picture.mode, picture.size) == (MODES[channels], (WIDTH, HEIGHT))
    assert np.array_equal(picture.kept, samples.fine_photo(channels))
    assert (picture.read.format, picture.read.mode) == (form, f"{MODES[channels]}, 16 bits")


@pytest.mark.parametrize("channels", [1, 3])
def test_network_is_shown_the_nearest_of_8_bits(folder: Folder, channels: int) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels = every if channels == 1 else np.dstack([every, every.T, every[::-1]])
    rgb = folder.picture(samples.png_of(pixels, 16, channels - 1)).rgb()
    expected = np.round(pixels / 257).astype(np.uint8)
    expected = np.dstack([expected] * 3) if channels == 1 else expected
    assert np.array_equal(rgb, expected)


@pytest.mark.parametrize("colour_type", [0, 2])
def test_transparent_colour_of_a_deep_png_is_transparent(folder: Folder, colour_type: int) -> None:
    pixels = samples.fine_photo(1 if colour_type == 0 else 3)
    key = pixels[7, 11]
    file = samples.png_of(
        pixels, 16, colour_type, (b"tRNS", np.atleast_1d(key).astype(">u2").tobytes())
    )
    picture = folder.picture(file)
    assert picture.mode == ("LA" if colour_type == 0 else "RGBA")
    is_key = pixels == key if colour_type == 0 else (pixels == key).all(axis=2)
    assert np.array_equal(picture.kept[..., -1], np.where(is_key, 0, 65535))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_orientation_of_a_deep_picture_is_applied_once(
    folder: Folder, form: str, orientation: int
) -> None:
    if form == "TIFF":
        tag = (274, "H", 1, orientation, True)
        file = tiff_of(samples.fine_photo(), photometric="rgb", extratags=[tag], **PLAIN)
    else:
        exif = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHHI", 274, 3, 1, orientation, 0, 0)
        file = samples.png_of(samples.fine_photo(), 16, 2, (b"eXIf", exif))
    picture = folder.picture(file)
    # Orientations of 8 bits are tested against the standard; these must be turned as those are.
    narrow = samples.oriented(samples.photo(), "PNG", orientation)
    seen = folder.picture(narrow).kept.astype(int)
    assert picture.kept.shape == seen.shape
    assert np.abs(picture.kept.astype(int) - seen * 257).max() <= 128
    assert picture.stored_size == (WIDTH, HEIGHT)
    assert "exif" not in picture.keepsakes


def test_premultiplied_colours_of_a_deep_tiff_become_straight(folder: Folder) -> None:
    pixels = samples.fine_photo(4)
    share = pixels[..., 3:] / 65535
    stored = np.dstack([(pixels[..., :3] * share).round(), pixels[..., 3]]).astype(np.uint16)
    file = tiff_of(stored, photometric="rgb", extrasamples=["assocalpha"])
    kept = folder.picture(file).kept.astype(int)
    assert np.array_equal(kept[..., 3], pixels[..., 3])
    is_solid = pixels[..., 3] > 32768
    assert np.abs(kept - pixels)[is_solid].max() <= 2


def test_channel_that_is_neither_colour_nor_opacity_is_left_out_and_said(folder: Folder) -> None:
    file = tiff_of(samples.fine_photo(4), photometric="rgb", extrasamples=["unspecified"])
    picture = folder.picture(file)
    assert np.array_equal(picture.kept, samples.fine_photo())
    assert picture.notes == ("left out a channel that is neither colour nor opacity",)


@pytest.mark.parametrize("form", ["TIFF", "PNG", "interlaced"])
def test_deep_picture_of_more_than_100_megabytes_needs_no_file(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    # libvips would put it in one, and a confined worker can make none.
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    wide = np.zeros((3000, 6000, 3), np.uint16)
    wide[::50, ::50] = 40_000
    options: dict[str, Any] = {"compression": "zlib", "rowsperstrip": 64}
    if form == "TIFF":
        file = tiff_of(wide, photometric="rgb", **options)
    else:
        file = samples.png_of(wide, 16, 2, interlaced=form == "interlaced")
    assert np.array_equal(pictures.read_picture(file, 10**8).kept, wide)
    out = io.BytesIO()
    picture = pictures.read_picture(file, 10**8)
    nothing = np.zeros(wide.shape[:2], np.uint8)
    pictures.write_retouched(picture, picture.rgb(), nothing, out, "same", 95)
    assert np.array_equal(pictures.read_picture(out.getvalue(), 10**8).kept, wide)


# -- CMYK ------------------------------------------------------------------------------------------


def test_cmyk_of_16_bits_without_a_profile_is_converted_and_says_so(folder: Folder) -> None:
    inks = samples.fine_photo(4)
    picture = folder.picture(tiff_of(inks, photometric="separated"))
    assert picture.notes == ("converted from CMYK to RGB without a colour profile",)
    cyan, black = (65535 - inks[..., at].astype(np.int64) for at in (0, 3))
    assert picture.kept.dtype == np.uint16
    assert np.abs(picture.kept[..., 0] - cyan * black / 65535).max() <= 0.5


def test_cmyk_of_16_bits_is_converted_by_its_profile_as_8_bits_are(folder: Folder) -> None:
    wide = np.asarray(samples.in_mode("CMYK")).astype(np.uint16) * 257
    file = tiff_of(wide, photometric="separated", iccprofile=ink_profile())
    picture = folder.picture(file)
    assert picture.notes == ("converted from CMYK to sRGB by its colour profile",)
    narrow = samples.encoded(samples.in_mode("CMYK"), "TIFF", icc_profile=ink_profile())
    seen = folder.picture(narrow).kept.astype(int)
    assert np.abs(picture.rgb() - seen).max() <= 2
    assert "icc_profile" not in picture.keepsakes


# -- Refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "reason", "words"),
    [
        (samples.deep("TIFF", colour=True, dtype="float32"), "deep_colour", "floating point"),
        (samples.deep("TIFF", colour=False, dtype="float64"), "deep_colour", "floating point"),
        (samples.deep("TIFF", colour=False, dtype="uint32"), "deep_colour", "32 bits"),
        (samples.deep("TIFF", colour=True, dtype="int16"), "deep_colour", "signed"),
        (tiff_of(samples.fine_photo(), photometric="cielab"), "colour_space", "Lab"),
        (
            tiff_of(np.dstack([samples.fine_photo()] * 2), photometric="rgb"),
            "deep_colour",
            "6 channels",
        ),
        (
            tiff_of(
                np.moveaxis(samples.fine_photo(), -1, 0),
                photometric="rgb",
                planarconfig="separate",
                tile=(16, 16),
            ),
            "deep_colour",
            "tiles of separate planes",
        ),
        (
            tiff.with_tags(samples.deep_sample("tiff 16 rgb"), (259, 3, 1, 7)),
            "deep_colour",
            "compressed by method 7",
        ),
    ],
    ids=["float", "double", "32", "signed", "lab", "6 channels", "tiled planes", "jpeg inside"],
)
def test_what_has_no_sure_meaning_is_refused_by_name(
    folder: Folder, file: bytes, reason: str, words: str
) -> None:
    trouble = refused(folder, file)
    assert trouble.reason.key == reason
    assert words in trouble.sentence


def test_deep_tiff_of_several_pages_is_refused_with_their_number(folder: Folder) -> None:
    pages = np.stack([samples.fine_photo()] * 3)
    trouble = refused(folder, tiff_of(pages, photometric="rgb"))
    assert trouble.reason.key == "several_pages"
    assert "3 pages" in trouble.sentence


def test_tags_that_libtiff_would_stumble_over_do_not_matter(folder: Folder) -> None:
    file = samples.deep_sample("tiff 16 rgb")
    _, tags, _ = tiff.entries(file)
    odd = [(65001, 2, 3000, 8), (34377, 7, 12, 8), (305, 1, 4, 0x20202020)]
    picture = folder.picture(tiff.moved(file, [*odd, *reversed(tags)]))
    assert np.array_equal(picture.kept, samples.fine_photo())


# -- Not all there ---------------------------------------------------------------------------------


def cuts(size: int) -> list[int]:
    """Lengths to cut a file to: near both ends, and all over."""
    spread = {round(size * part / 23) for part in range(23)}
    near = {1, 8, 9, 16, 33, 54, 100, 300}
    return sorted(cut for cut in spread | near | {size - back for back in near} if 0 <= cut < size)


@pytest.mark.parametrize("name", DEEP)
def test_truncated_deep_picture_is_incomplete_or_lacks_no_pixel(folder: Folder, name: str) -> None:
    file = samples.deep_sample(name)
    for cut in cuts(len(file)):
        try:
            picture = folder.picture(file[:cut])
        except Trouble as trouble:
            assert trouble.reason.key == "incomplete", f"{cut} of {len(file)}: {trouble}"
        else:
            whole = samples.fine_photo(DEEP[name][1])
            assert np.array_equal(picture.kept, whole), f"{cut} of {len(file)}"


@pytest.mark.parametrize("name", WITH_STRUCTURE)
def test_deep_picture_made_at_its_final_size_and_not_yet_filled_in_is_incomplete(
    folder: Folder, name: str
) -> None:
    file = samples.deep_sample(name)
    lengths = cuts(len(file))
    if DEEP[name][0] == "TIFF":
        blocks = range(0, len(file) * 9 // 10, signatures.BLOCK_BYTES)
        lengths = [at for at in blocks if file[at - 1]]
    assert lengths
    for cut in lengths:
        try:
            picture = folder.picture(file[:cut] + bytes(len(file) - cut))
        except Trouble as trouble:
            assert trouble.reason.key == "incomplete", f"{cut} of {len(file)}: {trouble}"
        else:
            whole = samples.fine_photo(DEEP[name][1])
            assert np.array_equal(picture.kept, whole), f"{cut} of {len(file)}"


# -- Bombs -----------------------------------------------------------------------------------------


def check_bomb(gauntlet: Gauntlet, file: bytes, reason: str, words: str) -> None:
    outcome = gauntlet.run_bytes("a deep bomb", file)
    assert outcome.finding() is None, outcome.finding()
    assert outcome.verdict == reason, outcome
    assert words in outcome.detail
    assert (outcome.seconds, outcome.more_mb) < (1.0, 100.0), outcome


def test_deep_bombs_are_refused_before_they_take_memory(gauntlet: Gauntlet) -> None:
    rows = zeros(1 << 26)
    header = png.header(60_000, 60_000, 16, 2)
    file = png.joined([header, (b"IDAT", rows), (b"IEND", b"")])
    check_bomb(gauntlet, file, "too_many_pixels", "60000 x 60000")
    plain = samples.deep_sample("tiff 16 rgb")
    sides = [(tag, tiff.LONG, 1, 60_000) for tag in (tiff.WIDTH, tiff.LENGTH)]
    check_bomb(gauntlet, tiff.with_tags(plain, *sides), "too_many_pixels", "60000 x 60000")
    tiled = samples.deep_sample("tiff 16 tiles")
    sides = [(tag, tiff.LONG, 1, 16_000) for tag in (tiff.TILE_WIDTH, tiff.TILE_LENGTH)]
    check_bomb(gauntlet, tiff.with_tags(tiled, *sides), "out_of_proportion", "16000 x 16000")
    check_bomb(gauntlet, tiff.chain(plain, 100_000, True), "several_pages", "100001 pages")


@pytest.mark.parametrize("name", ["tiff 16 rgb", "tiff 16 grey"])
@pytest.mark.parametrize(("size", "verdict"), [(1 << 18, "accepted"), (1 << 30, "incomplete")])
def test_deep_strip_that_inflates_to_a_gigabyte_costs_as_much_as_its_pixels(
    gauntlet: Gauntlet, name: str, size: int, verdict: str
) -> None:
    bomb = tiff.strip_bomb(samples.deep_sample(name), size)
    outcome = gauntlet.run_bytes("a deep strip bomb", bomb)
    assert outcome.finding() is None, outcome.finding()
    assert outcome.verdict == verdict
    assert outcome.more_mb < 50


@pytest.mark.parametrize("name", ["tiff", "tiff 16 rgb"])
def test_tiff_whose_tags_each_claim_all_of_the_file_is_refused(
    gauntlet: Gauntlet, name: str
) -> None:
    # Pillow 12 takes 6 GB and most of a minute for it.
    file = samples.sample(name) if name == "tiff" else samples.deep_sample(name)
    _, tags, _ = tiff.entries(file)
    greedy = [(40_000 + at, tiff.UNDEFINED, 390_000, 8) for at in range(15_000)]
    bomb = tiff.moved(file.ljust(400_000, b"\0"), [*tags, *greedy])
    check_bomb(gauntlet, bomb, "out_of_proportion", "tags of")


SHORT_OF_MEMORY = """
import io, resource, sys
import numpy as np
import samples
from daemon.reasons import Trouble
from daemon.worker import limits, pictures
narrow = pictures.read_picture(samples.sample("png rgb"), 10**6)
deep = samples.deep_sample("tiff 16 rgb")
held = [line for line in open("/proc/self/status") if line.startswith("VmData")][0].split()[1]
limits.limit_memory(int(held) * 1024 + MORE_BYTES)
out = io.BytesIO()
pictures.write_retouched(narrow, narrow.rgb(), samples.hole(), out, "png", 95)
assert (pictures.read_picture(out.getvalue(), 10**6).kept == narrow.kept).all()
try:
    pictures.read_picture(deep, 10**6)
    print("read")
except Trouble as trouble:
    print(trouble.reason.key)
"""


@pytest.mark.parametrize(
    ("more_bytes", "said"), [(30 << 20, "out_of_memory"), (600 << 20, "read")], ids=["30 MB", "600"]
)
def test_where_memory_is_short_libvips_is_not_asked(more_bytes: int, said: str) -> None:
    # It crashes where a thread can't be had. Pictures of 8 bits are written without it then.
    path = f"{REPOSITORY}:{REPOSITORY / 'tests' / 'daemon'}"
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY.replace("MORE_BYTES", str(more_bytes))],
        env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
