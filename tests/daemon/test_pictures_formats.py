"""Every kind of picture in every output format: all as it should be, or a sentence in the log.

The pictures carry a profile, EXIF, two different resolutions and an orientation wherever their own
format holds them; what is written is decoded by what shares nothing with the daemon where there is
something.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, get_args

import cv2
import mutations_png
import numpy as np
import pytest
import samples
import tifffile
from PIL import Image
from samples import Folder

from daemon.settings import OutputFormat
from daemon.worker import pictures
from daemon.worker.pictures import exif_in_tiff
from daemon.worker.pictures.depth import to_8_bits

MAKER, DPI, ON_ITS_SIDE = "Maker", (300, 150), 6
PROFILES: Final = {"L": "GRAY", "LA": "GRAY", "P": "RGB", "RGB": "RGB", "RGBA": "RGB", "1": "GRAY"}
CHANNELS: Final = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
SUFFIXES: Final = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg", "bmp": ".bmp"}


@dataclass(frozen=True)
class Kind:
    """A kind of picture: as which format, in which of Pillow's modes, with how many bits."""

    form: str
    mode: str
    bits: int = 8

    def __str__(self) -> str:
        return f"{self.form} {self.mode} {self.bits}"

    @property
    def result_mode(self) -> str:
        return {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(self.mode, self.mode)

    @property
    def holds(self) -> set[str]:
        """What such a file can say beside its pixels."""
        return (
            {"dpi"}
            if self.form == "BMP"
            else {"dpi", "exif", "profile"} - ({"dpi"} if self.form == "WEBP" else set())
        )


KINDS: Final = (
    *(Kind("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
    *(Kind("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")),
    *(Kind("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(Kind("WEBP", mode) for mode in ("RGB", "RGBA")),
    *(Kind("BMP", mode) for mode in ("1", "L", "P", "RGB")),
    *(Kind("PNG", mode, 16) for mode in ("L", "LA", "RGB", "RGBA")),
    *(Kind("TIFF", mode, 16) for mode in ("L", "LA", "RGB", "RGBA", "CMYK")),
)


@lru_cache
def file_of(kind: Kind) -> bytes:
    """Such a picture, on its side, with all that its format holds."""
    exif = Image.Exif()
    exif[0x010F] = MAKER
    exif[samples.ORIENTATION] = ON_ITS_SIDE
    profile = samples.colour_profile(PROFILES[kind.mode]) if kind.mode in PROFILES else None
    if kind.bits == 8:
        options: dict[str, Any] = {"dpi": DPI}
        if kind.form == "WEBP":
            options["lossless"] = options["exact"] = True
        if kind.form != "BMP":
            options |= {"exif": exif, "icc_profile": profile}
        return samples.encoded(samples.in_mode(kind.mode), kind.form, **options)
    pixels = samples.fine_photo(CHANNELS[kind.mode])
    if kind.form == "PNG":
        narrow = samples.encoded(samples.photo(), "PNG", exif=exif, icc_profile=profile, dpi=DPI)
        wanted = (b"iCCP", b"pHYs", b"eXIf")
        kept = [part for part in mutations_png.chunks(narrow) if part[0] in wanted]
        return samples.png_of(pixels, 16, {"L": 0, "LA": 4, "RGB": 2, "RGBA": 6}[kind.mode], *kept)
    out = io.BytesIO()
    colour = {"L": "minisblack", "LA": "minisblack", "CMYK": "separated"}.get(kind.mode, "rgb")
    extra = ["unassalpha"] if kind.mode in ("LA", "RGBA") else None
    tifffile.imwrite(out, pixels, photometric=colour, extrasamples=extra, iccprofile=profile,
                     planarconfig="contig", resolution=DPI, resolutionunit="INCH",
                     extratags=[(samples.ORIENTATION, "H", 1, ON_ITS_SIDE, True)])  # fmt: skip
    exif_in_tiff.add(out, exif.tobytes(), has_resolution=True)
    return out.getvalue()


@lru_cache
def truth_of(kind: Kind) -> Any:
    """Its samples in the mode of the result, upright, without help of the daemon's."""
    if kind.bits == 8:
        stored = np.asarray(samples.in_mode(kind.mode).convert(kind.result_mode))
        if kind.form == "JPEG":
            with Image.open(io.BytesIO(file_of(kind))) as image:
                stored = np.asarray(image.convert(kind.result_mode))
    else:
        stored = samples.fine_photo(CHANNELS[kind.mode])
        if kind.mode == "CMYK":
            light = 65535 - stored.astype(float)
            stored = np.floor(light[..., :3] * light[..., 3:] / 65535 + 0.5).astype(np.uint16)
    # A quarter to the right, as orientation 6 says.
    return np.rot90(stored, -1) if "exif" in kind.holds else stored


def written_as(kind: Kind, form: OutputFormat) -> tuple[str, set[str]]:
    """The format that such a picture gets, and how the sentences about it begin."""
    own = {"PNG": "png", "TIFF": "tiff", "WEBP": "webp", "JPEG": "jpeg", "BMP": "bmp"}
    chosen = own[kind.form] if form == "same" else str(form)
    said: set[str] = set()
    if kind.mode == "CMYK":
        said.add("converted from CMYK")
    if chosen in ("jpeg", "bmp") and "A" in kind.mode:
        chosen = "png"
        said.add("written as PNG")
    if kind.bits == 16 and chosen in ("jpeg", "webp"):
        said.add("written in 8 bits")
    if chosen == "webp" and kind.result_mode in ("L", "LA") and "profile" in kind.holds:
        said.add("left out the grey colour profile")
    return chosen, said


def decoded(file: bytes, form: str) -> Any:
    """What others see in it."""
    if form == "tiff":
        return tifffile.imread(io.BytesIO(file))
    if form != "png":
        return np.asarray(samples.plain_decode(file))
    if file[24] == 8:
        return samples.decoded_png(file)
    pixels: Any = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    pixels = pixels if pixels.ndim == 2 else pixels[..., order[pixels.shape[2]]]
    return pixels[..., [0, 3]] if file[25] == 4 else pixels  # grey with alpha comes as RGBA


def combinations() -> Iterator[Any]:
    for kind in KINDS:
        for form in get_args(OutputFormat):
            yield pytest.param(kind, form, id=f"{kind}-{form}")


@pytest.mark.parametrize(("kind", "form"), [*combinations()])
def test_every_kind_of_picture_is_right_in_every_format(
    tmp_path: Path, kind: Kind, form: OutputFormat
) -> None:
    folder, truth = Folder(tmp_path), truth_of(kind)
    picture = folder.picture(file_of(kind))
    hole = samples.hole(*picture.size)
    told: list[Any] = []
    file = folder.written(
        lambda out: told.append(
            pictures.write_retouched(picture, 255 - picture.rgb(), hole, out, form, 95)
        )
    )
    suffix, notes = told[0]
    chosen, said = written_as(kind, form)
    assert suffix == SUFFIXES[chosen]
    sentences = sorted(picture.notes + notes)
    assert len(sentences) == len(said)
    assert all(map(str.startswith, sentences, sorted(said)))
    check_samples(decoded(file, chosen), truth, hole, chosen)
    check_keepsakes(file, kind, chosen)


def check_samples(result: Any, truth: Any, hole: samples.Pixels, chosen: str) -> None:
    if chosen in ("webp", "jpeg", "bmp"):
        truth = to_8_bits(truth)
    if chosen == "webp" and (truth.ndim == 2 or truth.shape[2] == 2):  # it holds no grey
        planes = truth if truth.ndim == 3 else truth[..., None]
        truth = np.dstack([planes[..., :1]] * 3 + [planes[..., 1:]])
    assert (result.dtype, result.shape) == (truth.dtype, truth.shape)
    off = np.abs(result.astype(int) - truth)[hole == 0]
    if chosen == "jpeg":
        assert off.mean() < 4
    else:
        assert off.max() == 0
    if truth.ndim == 3 and truth.shape[2] in (2, 4) and chosen != "jpeg":
        assert np.array_equal(result[..., -1], truth[..., -1])
    inside = np.abs(result.astype(int) - truth)[hole > 0]
    assert inside.max() > 20


def said_by(file: bytes, chosen: str) -> tuple[dict[int, Any], dict[str, Any]]:
    """The tags of a result, and its profile and resolution by Pillow's names."""
    if chosen != "tiff":
        with Image.open(io.BytesIO(file)) as image:
            return dict(image.getexif()), {str(key): value for key, value in image.info.items()}
    # Pillow opens no TIFF of 16 bits with grey and opacity.
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        page: Any = tiff.pages[0]
        tags = {tag.code: tag.value for tag in page.tags}
    dots = (
        {"dpi": tuple(tags[code][0] / tags[code][1] for code in (282, 283))} if 282 in tags else {}
    )
    return tags, {"icc_profile": tags.get(34675), **dots}


def check_keepsakes(file: bytes, kind: Kind, chosen: str) -> None:
    exif, info = said_by(file, chosen)
    assert exif.get(samples.ORIENTATION, 1) == 1
    if "exif" in kind.holds and chosen != "bmp":
        assert exif[0x010F] == MAKER
    space = PROFILES.get(kind.mode)
    is_kept = "profile" in kind.holds and space and chosen != "bmp"
    if chosen == "webp" and space == "GRAY":
        is_kept = False
    assert info.get("icc_profile") == (samples.colour_profile(str(space)) if is_kept else None)
    if "dpi" in kind.holds and chosen != "webp":
        upright = DPI if kind.form == "BMP" else DPI[::-1]
        assert info["dpi"] == pytest.approx(upright, abs=0.1)
