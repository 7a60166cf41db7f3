"""Pictures of more than 8 bits a channel: what is known of them before libvips decodes them.

16 bits in PNG, and in TIFF as grey, RGB or CMYK, are decoded; other depths have no meaning that
could be told from the file, such as floats without a range.
"""

import hashlib
import io
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from PIL import Image

from daemon.reasons import Trouble
from daemon.worker import excess, signatures
from daemon.worker.directories import numbers
from daemon.worker.pictures import gates, keepsakes, png_chunks, vips
from daemon.worker.pictures.colours import BY_PROFILE, WITHOUT_PROFILE, fitting, profile_space
from daemon.worker.pictures.parts import tiff_with_only
from daemon.worker.pictures.picture import Picture, mode_of
from daemon.worker.protocol import Input

# Tags of TIFF 6.0.
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_PREDICTOR, _TILES, _TILE_OFFSETS, _TILE_BYTES = 317, 322, 324, 325
_INK_SET, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 332, 338, 339
# All that libtiff needs, a tile's length too.
_OF_PIXELS: Final = (
    *(_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIP_OFFSETS, _SAMPLES),
    *(_ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR, *range(_TILES, _TILE_BYTES + 1)),
    *(_INK_SET, _EXTRA_SAMPLES, _SAMPLE_FORMAT),
)

# None, LZW, deflate by both its numbers, PackBits, Zstandard.
_COMPRESSIONS: Final = (1, 5, 8, 32946, 32773, 50000)
# Channels of colour by photometric interpretation: grey from white or from black, RGB, CMYK.
_COLOURS: Final = {0: 1, 1: 1, 2: 3, 5: 4}
_CMYK: Final = 5
_LAB: Final = (8, 9, 10)
_ALPHA: Final = (1, 2)
_WHITE: Final = 65535
_BLOCK_ROWS: Final = 256

# The eight orientations of EXIF, of arrays.
_TURN: Final[dict[int, Callable[[Any], Any]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}


def is_deep(data: bytes, kind: str) -> bool:
    """Whether a file has more than 8 bits a channel. Raises `struct.error`."""
    if kind == "PNG":
        return signatures.png_bits(data) == 16
    return kind == "TIFF" and max(numbers(io.BytesIO(data), _BITS), default=1) > 8


def read_checked(data: bytes, kind: str, max_pixels: int) -> Picture:
    """Decode a deep picture. Raises `Trouble`, and what Pillow raises of damaged metadata."""
    read = _read_png if kind == "PNG" else _read_tiff
    return read(data, max_pixels)


def _read_png(data: bytes, max_pixels: int) -> Picture:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        gates.refuse_size(image.size, "picture", max_pixels)
        gates.refuse_pages(getattr(image, "n_frames", 1), "picture")
        exif = png_chunks.exif_in(data)
        if exif:
            image.info["exif"] = exif  # Pillow would decode all pixels to look behind them
        image.info.setdefault("exif", b"")
        orientation = keepsakes.orientation_of(image)
        width, height = image.size
        bands = signatures.png_channels(data) + ("transparency" in image.info)
        kept = {"exif": keepsakes.exif_of(image), "dpi": keepsakes.resolution_of(image)}
        profile = image.info.get("icc_profile")
    shape = (height, width, bands)
    stored = vips.decoded(png_chunks.with_pixels_only(data), "PNG", shape)
    return _picture(data, "PNG", stored, orientation, kept, profile, ())


def _read_tiff(data: bytes, max_pixels: int) -> Picture:
    gates.refuse_claims(data, "picture")
    shape, photometric = _layout_of_tiff(data)
    height, width = shape[:2]
    gates.refuse_size((width, height), "picture", max_pixels)
    gates.refuse_excess(data, "TIFF", (width, height), "picture")
    gates.refuse_pages(excess.tiff_pages(data), "picture")
    if _number(data, _COMPRESSION, 1) != 1:
        gates.refuse_unwritten(data, "picture")
    _refuse_cut_off(data)
    stored = vips.decoded(tiff_with_only(data, _OF_PIXELS), "TIFF", shape)
    tags = keepsakes.tags_of(data)
    profile = keepsakes.profile_of_tiff(tags)
    notes: tuple[str, ...] = ()
    if photometric == _CMYK:
        stored, note = _cmyk_to_srgb(stored, profile)
        profile, notes = None, (note,)
    elif shape[2] > _COLOURS[photometric] and not _has_alpha(data):
        stored, notes = stored[..., :-1], ("left out a channel that is neither colour nor opacity",)
    kept = {"exif": keepsakes.exif_of_tiff(data), "dpi": keepsakes.resolution_of_tiff(tags)}
    return _picture(data, "TIFF", stored, keepsakes.orientation_of_tiff(tags), kept, profile, notes)


def _picture(
    data: bytes,
    kind: str,
    stored: Any,
    orientation: int,
    kept: dict[str, Any],
    profile: bytes | None,
    notes: tuple[str, ...],
) -> Picture:
    height, width = stored.shape[:2]
    upright = np.ascontiguousarray(_TURN[orientation](stored))
    upright = upright[..., 0] if upright.shape[2] == 1 else upright
    mode = mode_of(upright)
    profile, misfit = fitting(profile, is_grey=mode.startswith("L"))
    read = Input(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=upright.shape[1],
        height=upright.shape[0],
        mode=f"{mode}, 16 bits",
        format=kind,
    )
    dots = keepsakes.upright_resolution(kept["dpi"], orientation)
    found = {"icc_profile": profile, **kept, "dpi": dots}
    kept = {name: value for name, value in found.items() if value}
    return Picture(upright, (width, height), orientation, kind, read, kept, (*notes, *misfit))


def _layout_of_tiff(data: bytes) -> tuple[tuple[int, int, int], int]:
    """Height, width and channels, and the photometric interpretation. Raises `Trouble`."""
    file = io.BytesIO(data)
    bits = numbers(file, _BITS)
    formats = set(numbers(file, _SAMPLE_FORMAT)) or {1}
    samples, photometric = _number(data, _SAMPLES, 1), _number(data, _PHOTOMETRIC, 1)
    compression = _number(data, _COMPRESSION, 1)
    name = f"a TIFF of {max(bits)} bits a channel"
    if photometric in _LAB:
        raise Trouble("colour_space", role="picture", mode="Lab")
    if set(bits) != {16} or formats != {1}:
        kind = {1: "", 2: ", signed", 3: ", floating point"}.get(max(formats), ", complex")
        raise Trouble("deep_colour", mode=name + kind)
    if photometric not in _COLOURS or samples not in (
        _COLOURS[photometric],
        _COLOURS[photometric] + (photometric != _CMYK),
    ):
        raise Trouble("deep_colour", mode=f"{name} in {samples} channels of kind {photometric}")
    if compression not in _COMPRESSIONS:
        raise Trouble("deep_colour", mode=f"{name}, compressed by method {compression}")
    if _number(data, _PLANAR, 1) == 2 and numbers(file, _TILES):
        raise Trouble("deep_colour", mode=f"{name} in tiles of separate planes")
    height, width = _number(data, _LENGTH, 0), _number(data, _WIDTH, 0)
    if not height or not width:
        raise Trouble("incomplete", role="picture", detail="its TIFF header tells no size")
    return (height, width, samples), photometric


def _refuse_cut_off(data: bytes) -> None:
    """What lies beyond the file's end would be looked for in the directory that is put there."""
    file, all_of_them = io.BytesIO(data), len(data)
    places = numbers(file, _STRIP_OFFSETS, all_of_them), numbers(file, _STRIP_BYTES, all_of_them)
    if numbers(file, _TILES):
        places = (
            numbers(file, _TILE_OFFSETS, all_of_them),
            numbers(file, _TILE_BYTES, all_of_them),
        )
    if not places[0] or len(places[0]) != len(places[1]):
        raise Trouble("incomplete", role="picture", detail="its TIFF header names no pixels")
    if max(map(sum, zip(*places, strict=True))) > len(data):
        raise Trouble("incomplete", role="picture", detail="its end is missing")


def _number(data: bytes, tag: int, otherwise: int) -> int:
    return next(iter(numbers(io.BytesIO(data), tag)), otherwise)


def _has_alpha(data: bytes) -> bool:
    return _number(data, _EXTRA_SAMPLES, 0) in _ALPHA


def _cmyk_to_srgb(inks: Any, profile: bytes | None) -> tuple[Any, str]:
    if profile and profile_space(profile) == "CMYK":
        converted = vips.cmyk_to_srgb(inks, profile)
        if converted is not None:
            return converted, BY_PROFILE
    colours = np.empty((*inks.shape[:2], 3), np.uint16)
    for top in range(0, len(inks), _BLOCK_ROWS):
        paper = _WHITE - inks[top : top + _BLOCK_ROWS].astype(np.uint32)
        colours[top : top + _BLOCK_ROWS] = (paper[..., :3] * paper[..., 3:] + _WHITE // 2) // _WHITE
    return colours, WITHOUT_PROFILE
