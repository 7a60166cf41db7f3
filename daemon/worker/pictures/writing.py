"""The door out: a result becomes a file.

PNG and TIFF are libvips' work, which takes less than half of Pillow's time for as many bytes. The
rest is Pillow's, and so are PNG and TIFF of 8 bits where memory is short.
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.reasons import Trouble
from daemon.settings import OutputFormat
from daemon.worker.pictures import exif_in_tiff, vips
from daemon.worker.pictures.damage import in_short
from daemon.worker.pictures.depth import LEVEL, fill_without_steps, to_8_bits
from daemon.worker.pictures.picture import (
    Picture,
    Pixels,
    Samples,
    alpha_of,
    colours_of,
    mode_of,
)

# zlib's level for PNG unless it is told: see docs/pictures.md for what others take.
PNG_COMPRESSION: Final = 3

# JPEG's quality for previews: more makes them larger and nobody sees it.
PREVIEW_QUALITY: Final = 70

_SUFFIX: Final = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg", "bmp": ".bmp"}
_SAME: Final = {
    "PNG": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "BMP": "bmp",
}
_HOLDS_16_BITS: Final = ("png", "tiff")
_HOLDS_NO_ALPHA: Final = ("jpeg", "bmp")
_BLOCK_ROWS: Final = 256


@dataclass(frozen=True)
class _Options:
    """What an encoder may choose: JPEG's quality, 1 to 100, and whether its colours are as fine as
    its greys (0) or half as fine (2); zlib's level for PNG, 0 to 9."""

    quality: int = 0
    subsampling: int = 0
    png_compression: int = PNG_COMPRESSION


def write_retouched(
    picture: Picture,
    filled: Pixels,
    mask: Pixels,
    out: BinaryIO,
    form: OutputFormat,
    quality: int,
    png_compression: int = PNG_COMPRESSION,
) -> tuple[str, tuple[str, ...]]:
    """Write the picture with its holes filled; the rest is the picture's own samples, to the bit.

    `out` is an empty file that can be read back. Returns the suffix that belongs to the format, and
    notes. A grey picture stays grey, and transparency stays as it was. A picture of 16 bits has 16
    in PNG and TIFF, also in its holes, and is rounded to 8 for formats that hold no more. While
    this runs the picture's own samples are in use; when it returns they are as they were.
    """
    kept, keepsakes = picture.kept, picture.keepsakes
    chosen = _SAME[picture.format] if form == "same" else form
    notes: list[str] = []
    if chosen in _HOLDS_NO_ALPHA and alpha_of(kept) is not None:
        notes.append(f"written as PNG: {chosen.upper()} can't hold its transparency")
        chosen = "png"
    if picture.is_deep and chosen not in _HOLDS_16_BITS:
        notes.append(f"written in 8 bits a channel: {chosen.upper()} can't hold its 16")
        kept = to_8_bits(kept)
    if chosen == "webp" and mode_of(kept).startswith("L") and "icc_profile" in keepsakes:
        keepsakes = _without_profile(keepsakes)
        notes.append("left out the grey colour profile: WebP holds all pictures as RGB")
    options = _Options(quality, png_compression=png_compression)
    with _filled(kept, filled, mask > 0) as samples:
        _save(samples, out, chosen, keepsakes, options)
    return _SUFFIX[chosen], tuple(notes)


def write_plane(plane: Pixels, out: BinaryIO, png_compression: int = PNG_COMPRESSION) -> None:
    """Write an alpha matte or a trimap as 8-bit grey PNG; 0 is background, 255 foreground."""
    _save(plane, out, "png", {}, _Options(png_compression=png_compression))


def write_preview(strip: Pixels, out: BinaryIO) -> None:
    """Write `[H,W,3]` of sRGB as a small JPEG that holds the pixels and nothing else."""
    _save(strip, out, "jpeg", {}, _Options(quality=PREVIEW_QUALITY, subsampling=2))


def write_cutout(
    picture: Picture,
    foreground: Pixels,
    alpha: Pixels,
    out: BinaryIO,
    png_compression: int = PNG_COMPRESSION,
) -> None:
    """Write the cut-out as RGBA PNG with straight (not premultiplied) estimated colours.

    What was transparent in the picture stays so. A picture of 16 bits gives a cut-out of 16: where
    the matte is opaque with the picture's own samples, elsewhere with the estimated ones.
    """
    own = alpha_of(picture.kept)
    samples = np.empty((*alpha.shape, 4), picture.kept.dtype)
    for top in range(0, len(alpha), _BLOCK_ROWS):
        rows = slice(top, top + _BLOCK_ROWS)
        opaque = LEVEL if picture.is_deep else 1
        opacity = alpha[rows].astype(np.uint32) * opaque
        if own is not None:
            opacity = (alpha[rows].astype(np.uint32) * own[rows] + 127) // 255
        samples[rows, :, 3] = opacity
    if picture.is_deep:
        _deep_foreground(samples[..., :3], picture, foreground, alpha)
    else:
        samples[..., :3] = foreground
    is_grey = picture.mode.startswith("L")
    keepsakes = _without_profile(picture.keepsakes) if is_grey else picture.keepsakes
    _save(samples, out, "png", keepsakes, _Options(png_compression=png_compression))


@contextlib.contextmanager
def _filled(kept: Samples, filled: Pixels, hole: Any) -> Iterator[Samples]:
    """`kept` with its hole filled, in place: a copy of a large picture takes too much memory.

    `filled` is `[H,W,3]` painted, grey if the picture is grey. On leaving all is as it was.
    """
    colours: Any = colours_of(kept)
    before = colours[hole]
    try:
        if colours.shape[2] == 1:
            filled = np.asarray(Image.fromarray(filled).convert("L"))[..., None]
        if colours.dtype == np.uint16:
            fill_without_steps(colours, filled, hole)
        else:
            np.copyto(colours, filled, where=hole[..., None])
        yield kept
    finally:
        colours[hole] = before


def _deep_foreground(
    colours: NDArray[Any], picture: Picture, foreground: Pixels, alpha: Pixels
) -> None:
    """Put a cut-out's colours in 16 bits into `[H,W,3]`."""
    colours[:] = colours_of(picture.kept)
    for top in range(0, len(alpha), _BLOCK_ROWS):
        rows = slice(top, top + _BLOCK_ROWS)
        clear = (alpha[rows] == 0)[..., None]
        np.copyto(colours[rows], foreground[rows].astype(np.uint16) * LEVEL, where=clear)
    fill_without_steps(colours, foreground, (alpha > 0) & (alpha < 255))


def _without_profile(keepsakes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keepsakes.items() if key != "icc_profile"}


def _save(
    samples: Samples, out: BinaryIO, form: str, keepsakes: dict[str, Any], options: _Options
) -> None:
    is_vips = form in ("png", "tiff")
    if is_vips and (samples.dtype == np.uint16 or vips.has_room_for(samples.nbytes)):
        if form == "png":
            vips.write_png(samples, out, keepsakes, options.png_compression)
        else:
            vips.write_tiff(samples, out, keepsakes.get("icc_profile"), keepsakes.get("dpi"))
    else:
        _save_by_pillow(samples, out, form, keepsakes, options)
    if form == "tiff":
        exif_in_tiff.add(out, keepsakes.get("exif"), has_resolution="dpi" in keepsakes)


def _save_by_pillow(
    samples: Samples, out: BinaryIO, form: str, keepsakes: dict[str, Any], options: _Options
) -> None:
    of_form: dict[str, dict[str, Any]] = {
        "png": {"compress_level": options.png_compression},
        "tiff": {"compression": "tiff_adobe_deflate"},
        # exact: the colours of transparent pixels too
        "webp": {"lossless": True, "quality": 50, "exact": True},
        "jpeg": {"quality": options.quality, "subsampling": options.subsampling},
        "bmp": {},
    }
    kept = {key: value for key, value in keepsakes.items() if form != "bmp" or key == "dpi"}
    if form == "tiff":
        kept.pop("exif", None)  # Pillow can't write it into a compressed TIFF
    try:
        Image.fromarray(samples).save(out, form.upper(), **of_form[form], **kept)
    except OSError as error:
        if error.errno:
            raise  # the disk's fault, not the picture's
        raise Trouble("cannot_encode", form=form.upper(), detail=in_short(error)) from None
    except (ValueError, struct.error) as error:
        raise Trouble("cannot_encode", form=form.upper(), detail=in_short(error)) from None
