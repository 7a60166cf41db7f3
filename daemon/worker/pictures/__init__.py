"""The only decoder of pictures, and their only encoder.

Trusts: nothing in a file. Promises: what comes out is complete and upright, in the depth that the
file has, and knows what it must keep; what can't be kept is refused in words, never bent silently.

`reading` is the one door in and `writing` the one out. Behind them `eight_bits` has Pillow, and
`sixteen_bits` has libvips; nothing else in the daemon decodes or encodes.
"""

from daemon.worker.pictures.colours import colours, in_srgb
from daemon.worker.pictures.damage import damage_is_trouble
from daemon.worker.pictures.eight_bits import Decoded, in_strips, turned
from daemon.worker.pictures.picture import Picture, Pixels, Samples, alpha_of, colours_of
from daemon.worker.pictures.reading import decode, read_picture
from daemon.worker.pictures.writing import (
    write_cutout,
    write_plane,
    write_preview,
    write_retouched,
)

__all__ = [
    "Decoded",
    "Picture",
    "Pixels",
    "Samples",
    "alpha_of",
    "colours",
    "colours_of",
    "damage_is_trouble",
    "decode",
    "in_srgb",
    "in_strips",
    "read_picture",
    "turned",
    "write_cutout",
    "write_plane",
    "write_preview",
    "write_retouched",
]
