"""The door out: a result becomes a file.

PNG is libvips' work, which takes less than half of Pillow's time for as many bytes, and so is TIFF
of 16 bits. The rest is Pillow's, and so is PNG of 8 bits where memory is short.
"""

import struct
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.reasons import Trouble
from daemon.settings import OutputFormat
from daemon.worker.pictures import exif_in_tiff, png_chunks, vips
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

# libvips' own encoder of PNG at this level: see docs/pictures.md for what others take.
PNG_COMPRESSION: Final = 3

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


def write_retouched(
    picture: Picture, filled: Pixels, mask: Pixels, out: BinaryIO, form: OutputFormat, quality: int
) -> tuple[str, tuple[str, ...]]:
    """Write the picture with its holes filled; the rest is the picture's own samples, to the bit.

    `out` is an empty file that can be read back. Returns the suffix that belongs to the format, and
    notes. A grey picture stays grey, and transparency stays as it was. A picture of 16 bits has 16
    in PNG and TIFF, also in its holes, and is rounded to 8 for formats that hold no more.
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
    _save(_filled(kept, filled, mask > 0), out, chosen, keepsakes, quality)
    return _SUFFIX[chosen], tuple(notes)


def write_plane(plane: Pixels, out: BinaryIO) -> None:
    """Write an alpha matte or a trimap as 8-bit grey PNG; 0 is background, 255 foreground."""
    _save(plane, out, "png", {}, 0)


def write_cutout(picture: Picture, foreground: Pixels, alpha: Pixels, out: BinaryIO) -> None:
    """Write the cut-out as RGBA PNG with straight (not premultiplied) estimated colours.

    What was transparent in the picture stays so. A picture of 16 bits gives a cut-out of 16: where
    the matte is opaque with the picture's own samples, elsewhere with the estimated ones.
    """
    own = alpha_of(picture.kept)
    white = 65535 if picture.is_deep else 255
    opacity = alpha.astype(np.uint32) * (white // 255)
    if own is not None:
        opacity = (alpha.astype(np.uint32) * own + 127) // 255
    colours: Samples = foreground
    if picture.is_deep:
        colours = _deep_foreground(picture, foreground, alpha)
    samples = np.dstack([colours, opacity.astype(colours.dtype)])
    is_grey = picture.mode.startswith("L")
    keepsakes = _without_profile(picture.keepsakes) if is_grey else picture.keepsakes
    _save(samples, out, "png", keepsakes, 0)


def _filled(kept: Samples, filled: Pixels, hole: Any) -> Samples:
    """A copy of `kept` with its hole filled: `[H,W,3]` painted, grey if the picture is grey."""
    result = kept.copy()
    colours: Any = colours_of(result)
    if colours.shape[2] == 1:
        filled = np.asarray(Image.fromarray(filled).convert("L"))[..., None]
    if colours.dtype == np.uint16:
        fill_without_steps(colours, filled, hole)
    else:
        np.copyto(colours, filled, where=hole[..., None])
    return result


def _deep_foreground(picture: Picture, foreground: Pixels, alpha: Pixels) -> Samples:
    """Colours of a cut-out in 16 bits, `[H,W,3]`."""
    height, width = alpha.shape
    colours: NDArray[np.uint16] = np.empty((height, width, 3), np.uint16)
    colours[:] = colours_of(picture.kept)
    np.copyto(colours, foreground.astype(np.uint16) * LEVEL, where=(alpha == 0)[..., None])
    fill_without_steps(colours, foreground, (alpha > 0) & (alpha < 255))
    return colours


def _without_profile(keepsakes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keepsakes.items() if key != "icc_profile"}


def _save(
    samples: Samples, out: BinaryIO, form: str, keepsakes: dict[str, Any], quality: int
) -> None:
    if form == "png" and (samples.dtype == np.uint16 or vips.has_room_for(samples.nbytes)):
        file = vips.encoded_png(samples, PNG_COMPRESSION)
        out.writelines(png_chunks.with_keepsakes(file, keepsakes))
    elif form == "tiff" and samples.dtype == np.uint16:
        out.write(vips.encoded_tiff(samples, keepsakes.get("icc_profile"), keepsakes.get("dpi")))
    else:
        _save_by_pillow(samples, out, form, keepsakes, quality)
    if form == "tiff":
        exif_in_tiff.add(out, keepsakes.get("exif"), has_resolution="dpi" in keepsakes)


def _save_by_pillow(
    samples: Samples, out: BinaryIO, form: str, keepsakes: dict[str, Any], quality: int
) -> None:
    options: dict[str, dict[str, Any]] = {
        "png": {"compress_level": PNG_COMPRESSION},
        "tiff": {"compression": "tiff_adobe_deflate"},
        # exact: the colours of transparent pixels too
        "webp": {"lossless": True, "quality": 50, "exact": True},
        "jpeg": {"quality": quality, "subsampling": 0},
        "bmp": {},
    }
    kept = {key: value for key, value in keepsakes.items() if form != "bmp" or key == "dpi"}
    if form == "tiff":
        kept.pop("exif", None)  # Pillow can't write it into a compressed TIFF
    try:
        Image.fromarray(samples).save(out, form.upper(), **options[form], **kept)
    except OSError as error:
        if error.errno:
            raise  # the disk's fault, not the picture's
        raise Trouble("cannot_encode", form=form.upper(), detail=in_short(error)) from None
    except (ValueError, struct.error) as error:
        raise Trouble("cannot_encode", form=form.upper(), detail=in_short(error)) from None
