"""Small files that are built to cost much, and files that are two things at once."""

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import mutations_bmp as bmp
import mutations_jpeg as jpeg
import mutations_png as png
import mutations_tiff as tiff
import mutations_webp as webp
import numpy as np
import pytest
import samples
import tifffile
from gauntlet import Gauntlet, Outcome
from mutations import ROLES
from mutations_any import DOCUMENTS, zeros
from PIL import Image
from samples import Folder

from daemon.reasons import Trouble
from daemon.worker.pictures import damage_is_trouble

GIB = 1 << 30
A_HUNDRED_THOUSAND = 100_000


@pytest.fixture(scope="module")
def gauntlet() -> Iterator[Gauntlet]:
    with Gauntlet() as running:
        yield running


def refused(gauntlet: Gauntlet, data: bytes, reason: str) -> str:
    """The words in which a file is refused, whatever it is read as, at little cost."""
    outcomes = [gauntlet.run_bytes("a bomb", data, role) for role in ROLES]
    for outcome in outcomes:
        assert outcome.finding() is None, outcome.finding()
        assert outcome.verdict == reason, outcome
        assert (outcome.seconds, outcome.more_mb) < (1.0, 100.0), outcome
    return outcomes[0].detail


def accepted(gauntlet: Gauntlet, data: bytes) -> Outcome:
    """What it cost to read a file that is a picture for all its oddity."""
    outcome = gauntlet.run_bytes("an odd picture", data)
    assert outcome.finding() is None, outcome.finding()
    assert outcome.verdict == "accepted", outcome
    return outcome


# -- PNG -------------------------------------------------------------------------------------------


def test_png_of_60000_by_60000_in_half_a_megabyte_is_refused_by_its_size(
    gauntlet: Gauntlet,
) -> None:
    rows = zeros(60_000 * (1 + 60_000 // 8))
    file = png.joined([png.header(60_000, 60_000, 1, 0), (b"IDAT", rows), (b"IEND", b"")])
    assert len(file) < 500_000
    assert "60000 x 60000" in refused(gauntlet, file, "too_many_pixels")


def test_png_with_a_gigabyte_behind_its_pixels_costs_as_much_as_its_pixels(
    gauntlet: Gauntlet,
) -> None:
    parts = png.chunks(samples.sample("png rgb"))
    assert accepted(gauntlet, png.with_stream(parts, zeros(GIB))).more_mb < 50


@pytest.mark.parametrize(
    ("name", "before"), [(b"iCCP", b"a\0\0"), (b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")]
)
def test_png_with_a_gigabyte_in_its_metadata_is_refused(
    gauntlet: Gauntlet, name: bytes, before: bytes
) -> None:
    file = png.with_chunks(samples.sample("png rgb"), (name, before + zeros(GIB)))
    assert "too large" in refused(gauntlet, file, "incomplete")


def test_png_with_a_thousand_texts_of_a_megabyte_is_refused(gauntlet: Gauntlet) -> None:
    text = zeros(1_000_000)
    texts = [(b"zTXt", b"%d\0\0" % number + text) for number in range(1000)]
    file = png.with_chunks(samples.sample("png rgb"), *texts)
    assert "Too much memory" in refused(gauntlet, file, "incomplete")


def test_png_that_claims_two_thousand_million_frames_is_refused(gauntlet: Gauntlet) -> None:
    count = (b"acTL", struct.pack(">II", 0x7FFFFFFF, 0))
    control = (b"fcTL", struct.pack(">IIIIIHHBB", 0, 97, 61, 0, 0, 1, 1, 0, 0))
    file = png.with_chunks(samples.sample("png rgb"), count, control)
    assert "2147483647 pages or frames" in refused(gauntlet, file, "several_pages")


# -- JPEG ------------------------------------------------------------------------------------------


def test_jpeg_of_65500_by_65500_in_six_kilobytes_is_refused_by_its_size(
    gauntlet: Gauntlet,
) -> None:
    file = jpeg.scan_bomb(samples.sample("jpeg"), 65_500, 65_500, 1)
    assert len(file) < 6_000
    assert "65500 x 65500" in refused(gauntlet, file, "too_many_pixels")


def test_jpeg_that_goes_over_its_picture_forty_thousand_times_is_refused(
    gauntlet: Gauntlet,
) -> None:
    file = jpeg.scan_bomb(samples.sample("jpeg"), 2000, 2000, 40_000)
    assert "40000 scans" in refused(gauntlet, file, "out_of_proportion")


def test_jpeg_with_as_many_scans_as_any_encoder_writes_is_read(gauntlet: Gauntlet) -> None:
    accepted(gauntlet, jpeg.scan_bomb(samples.sample("jpeg"), 200, 200, 500))


@pytest.mark.parametrize("follows", [b"", b"\0"], ids=["a marker", "no marker"])
def test_jpeg_full_of_fill_bytes_is_read_in_proportion_to_its_length(
    gauntlet: Gauntlet, follows: bytes
) -> None:
    file = samples.sample("jpeg")
    assert accepted(gauntlet, file[:2] + b"\xff" * 900_000 + follows + file[2:]).seconds < 3


def test_jpeg_with_60000_metadata_segments_is_read(gauntlet: Gauntlet) -> None:
    segment: jpeg.Segment = (jpeg.EXIF, b"Exif\0\0" + bytes(4), b"")
    accepted(gauntlet, jpeg.with_segments(samples.sample("jpeg"), *[segment] * 60_000))


# -- TIFF ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loops", [False, True], ids=["ends", "loops"])
def test_tiff_of_a_hundred_thousand_pages_is_refused_at_once(
    gauntlet: Gauntlet, loops: bool
) -> None:
    file = tiff.chain(samples.sample("tiff"), A_HUNDRED_THOUSAND, loops)
    assert "100001 pages" in refused(gauntlet, file, "several_pages")


def test_tiff_that_is_its_own_next_page_has_one_page(gauntlet: Gauntlet) -> None:
    file = samples.sample("tiff")
    at, tags, _ = tiff.entries(file)
    loop = tiff.moved(file, tags, following=len(file) + len(file) % 2)
    assert loop[4:8] != file[4:8] and at == 8
    accepted(gauntlet, loop)


def test_tiff_strip_that_inflates_to_a_gigabyte_costs_as_much_as_its_pixels(
    gauntlet: Gauntlet,
) -> None:
    assert accepted(gauntlet, tiff.strip_bomb(samples.sample("tiff"), GIB)).more_mb < 50


def test_tiff_of_60000_by_60000_in_80_kilobytes_is_refused_by_its_size(
    gauntlet: Gauntlet,
) -> None:
    wide, long = (tiff.WIDTH, tiff.LONG, 1, 60_000), (tiff.LENGTH, tiff.LONG, 1, 60_000)
    file = tiff.strip_bomb(samples.sample("tiff"), 1 << 26, wide, long)
    assert "60000 x 60000" in refused(gauntlet, file, "too_many_pixels")


@pytest.mark.parametrize("twice", [False, True], ids=["once", "hidden behind a second tag"])
def test_tiff_with_a_tile_far_larger_than_its_picture_is_refused(
    gauntlet: Gauntlet, twice: bool
) -> None:
    file = samples.sample("tiff")
    tiles = [
        (tiff.COMPRESSION, tiff.SHORT, 1, 5),
        (tiff.TILE_WIDTH, tiff.LONG, 1, 16_000),
        (tiff.TILE_LENGTH, tiff.LONG, 1, 16_000),
        (tiff.TILE_OFFSETS, tiff.LONG, 1, 100),
        (tiff.TILE_BYTES, tiff.LONG, 1, 1000),
    ]
    _, tags, _ = tiff.entries(tiff.with_tags(file, *tiles))
    if twice:
        tags += [(tiff.TILE_WIDTH, tiff.LONG, 1, 16), (tiff.TILE_LENGTH, tiff.LONG, 1, 16)]
    assert "16000 x 16000" in refused(gauntlet, tiff.moved(file, tags), "out_of_proportion")


def test_tiff_with_a_tile_somewhat_larger_than_its_picture_is_read(gauntlet: Gauntlet) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, np.asarray(samples.photo()), photometric="rgb", tile=(512, 512))
    accepted(gauntlet, out.getvalue())


def test_tiff_with_megabytes_for_a_resolution_is_read_without_one(tmp_path: Path) -> None:
    file = samples.sample("tiff") + b"x" * 3_000_000
    resolution = (282, tiff.UNDEFINED, 2_900_000, len(samples.sample("tiff")))
    unit = (296, tiff.SHORT, 1, 2)
    picture = Folder(tmp_path).picture(tiff.with_tags(file, resolution, unit))
    assert "dpi" not in picture.keepsakes
    assert picture.kept.tobytes() == samples.photo().tobytes()


def test_what_a_decoder_says_of_damage_is_cut_short() -> None:
    with pytest.raises(Trouble) as caught, damage_is_trouble("picture", "TIFF"):
        raise ValueError("x" * 3_000_000)
    assert len(caught.value.sentence) < 300


# -- WebP ------------------------------------------------------------------------------------------


def one_pixel() -> list[webp.Chunk]:
    return webp.of_the_picture(samples.encoded(Image.new("RGB", (1, 1)), "WEBP", lossless=True))


def test_webp_of_a_hundred_thousand_frames_is_refused_at_once(gauntlet: Gauntlet) -> None:
    start = [webp.canvas(97, 61, webp.ANIMATION), (b"ANIM", bytes(6))]
    file = webp.joined([*start, *[webp.frame(one_pixel(), 1, 1)] * A_HUNDRED_THOUSAND])
    assert "100000 pages or frames" in refused(gauntlet, file, "several_pages")


@pytest.mark.parametrize("side", [16_384, 65_535])
def test_webp_of_a_huge_canvas_in_90_bytes_is_refused_by_its_size(
    gauntlet: Gauntlet, side: int
) -> None:
    start = [webp.canvas(side, side, webp.ANIMATION), (b"ANIM", bytes(6))]
    file = webp.joined([*start, webp.frame(one_pixel(), 1, 1)])
    assert len(file) < 100
    assert f"{side} x {side}" in refused(gauntlet, file, "too_many_pixels")


@pytest.mark.parametrize("name", ["webp", "webp lossless"])
def test_webp_whose_codec_claims_16383_by_16383_is_refused_by_its_size(
    gauntlet: Gauntlet, name: str
) -> None:
    ((codec, content),) = webp.chunks(samples.sample(name))
    size = b"\xff\x3f\xff\x3f" if codec == b"VP8 " else b"\xfe\xbf\xff\x0f"
    at = 6 if codec == b"VP8 " else 1
    file = webp.joined([(codec, content[:at] + size + content[at + 4 :])])
    assert "16383 x 16383" in refused(gauntlet, file, "too_many_pixels")


def test_webp_of_a_million_empty_chunks_takes_a_few_times_its_length(gauntlet: Gauntlet) -> None:
    pixels = webp.of_the_picture(samples.sample("webp"))
    file = webp.joined([webp.canvas(97, 61), *pixels, *[(b"XXXX", b"")] * 1_000_000])
    assert accepted(gauntlet, file).more_mb < 6 * len(file) / (1 << 20)


# -- BMP -------------------------------------------------------------------------------------------


def test_bmp_of_run_lengths_that_go_nowhere_is_read_in_proportion_to_its_length(
    gauntlet: Gauntlet,
) -> None:
    assert accepted(gauntlet, bmp.run_bomb(2000, 2000, 150_000)).seconds < 3


@pytest.mark.parametrize("height", [0x7FFFFFFF, -0x7FFFFFFF])
def test_bmp_of_two_thousand_million_rows_is_refused_by_its_size(
    gauntlet: Gauntlet, height: int
) -> None:
    refused(gauntlet, bmp.bitmap(1, height, 24, 0, bytes(100)), "too_many_pixels")


# -- What is no picture, and what is two things ----------------------------------------------------


def test_endless_gif_is_refused_before_it_is_opened(gauntlet: Gauntlet) -> None:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    loops = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
    start = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + loops
    file = start + frame * A_HUNDRED_THOUSAND + b";"
    with Image.open(io.BytesIO(start + frame * 2 + b";")) as gif:
        assert getattr(gif, "n_frames", 1) == 2  # it is one, but for its name
    assert "a GIF" in refused(gauntlet, file, "not_a_picture")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document[:8].decode())
def test_document_is_refused_for_what_it_is(gauntlet: Gauntlet, document: bytes) -> None:
    refused(gauntlet, document, "not_a_picture")


@pytest.mark.parametrize("start", [b"", struct.pack("<IIIIIIIH", 0xC6D3D0C5, 32, 99, *[0] * 5)])
def test_postscript_never_reaches_ghostscript(tmp_path: Path, start: bytes) -> None:
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\n: > {tmp_path}/was_run\n")
    ghostscript.chmod(0o755)
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with Gauntlet({"PATH": f"{tmp_path}:/usr/bin:/bin"}) as gauntlet:
        refused(gauntlet, start.ljust(32, b"\0") * bool(start) + script, "not_a_picture")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["jpeg", "png rgb", "tiff", "webp", "bmp"])
def test_picture_that_is_an_archive_too_is_the_picture_it_shows(tmp_path: Path, name: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("../../evil.sh", DOCUMENTS[0])
    file = samples.sample(name)
    both = file + archive.getvalue()
    assert zipfile.is_zipfile(io.BytesIO(both))
    folder = Folder(tmp_path)
    assert folder.picture(both).kept.tobytes() == folder.picture(file).kept.tobytes()
