"""The door in: a file's bytes become a picture, or a `Trouble`."""

from typing import Any

import numpy as np
from PIL import Image

from daemon.reasons import Trouble
from daemon.worker.pictures import eight_bits, keepsakes, sixteen_bits
from daemon.worker.pictures.colours import to_kept
from daemon.worker.pictures.damage import damage_is_trouble
from daemon.worker.pictures.eight_bits import Decoded
from daemon.worker.pictures.gates import whole_kind_of
from daemon.worker.pictures.picture import Picture

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked before any pixel is decoded


def read_picture(data: bytes, max_pixels: int) -> Picture:
    """Decode a picture whole. Raises `Trouble`, of kind `FILE` or `WAIT` (perhaps incomplete)."""
    kind = whole_kind_of(data, "picture")
    with damage_is_trouble("picture", kind):
        if sixteen_bits.is_deep(data, kind):
            return sixteen_bits.read_checked(data, kind, max_pixels)
        decoded = eight_bits.decode_checked(data, kind, "picture", max_pixels)
        if decoded.depth:
            raise Trouble("deep_colour", mode=decoded.depth)
        return _picture(decoded, data)


def decode(data: bytes, role: str, max_pixels: int) -> Decoded:
    """Load a mask or a trimap, upright. Raises `Trouble`."""
    kind = whole_kind_of(data, role)
    with damage_is_trouble(role, kind):
        return eight_bits.decode_checked(data, kind, role, max_pixels)


def _picture(decoded: Decoded, data: bytes) -> Picture:
    image, read = decoded.image, decoded.read
    kept, profile, notes = to_kept(image)
    is_tiff = read.format == "TIFF"  # many of its tags are about the file, not the photo
    exif = keepsakes.exif_of_tiff(data) if is_tiff else keepsakes.exif_of(image)
    found: dict[str, Any] = {
        "icc_profile": profile,
        "exif": exif,
        "dpi": keepsakes.upright_resolution(keepsakes.resolution_of(image), decoded.orientation),
    }
    bands = len(kept.getbands())
    shape = (kept.height, kept.width) if bands == 1 else (kept.height, kept.width, bands)
    return Picture(
        eight_bits.in_strips(kept, shape, np.uint8, np.asarray),
        decoded.stored_size,
        decoded.orientation,
        read.format,
        read,
        {name: value for name, value in found.items() if value},
        notes,
    )
