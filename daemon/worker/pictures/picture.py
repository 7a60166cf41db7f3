"""A picture as it is between decoder and encoder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from daemon.worker.pictures.depth import to_8_bits
from daemon.worker.protocol import Input

Pixels = NDArray[np.uint8]
Samples = NDArray[np.uint8] | NDArray[np.uint16]

# By number of channels.
_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright.

    `kept` is what the result keeps outside the hole: uint8 or uint16, `[H,W]` grey or `[H,W,C]`
    with 2 channels for grey and alpha, 3 for RGB, 4 for RGBA, from 0 to all that the type holds.
    `keepsakes` are the profile, EXIF and resolution that go into the result.
    """

    kept: Samples
    stored_size: tuple[int, int]
    orientation: int
    format: str
    read: Input
    keepsakes: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.kept.shape[1], self.kept.shape[0]

    @property
    def mode(self) -> str:
        """L, LA, RGB or RGBA."""
        return mode_of(self.kept)

    @property
    def is_deep(self) -> bool:
        """True for 16 bits a channel."""
        return self.kept.dtype == np.uint16

    def seen(self, rows: slice) -> Pixels:
        """Some rows of it, `[h,W]` where it is grey, else `[h,W,3]`; as `rgb` but for that."""
        part = to_8_bits(colours_of(self.kept[rows]))
        return part[..., 0] if part.shape[2] == 1 else part

    @property
    def opacity(self) -> Callable[[slice], Pixels] | None:
        """What gives some rows of its transparency, `[h,W]` of 8 bits; None where it has none."""
        own = alpha_of(self.kept)
        return None if own is None else lambda rows: to_8_bits(own[rows])

    def rgb(self) -> Pixels:
        """`[H,W,3]`, transparency left out; 16 bits are rounded to 8. Not to be written to."""
        seen = to_8_bits(colours_of(self.kept))
        return np.repeat(seen, 3, axis=2) if seen.shape[2] == 1 else np.ascontiguousarray(seen)


def mode_of(samples: Samples) -> str:
    """L, LA, RGB or RGBA."""
    return _MODES[1 if samples.ndim == 2 else samples.shape[2]]


def colours_of(samples: Samples) -> Samples:
    """What of them is colour, `[H,W,1]` or `[H,W,3]`: a view, through which they can be changed."""
    planes = samples[..., None] if samples.ndim == 2 else samples
    return planes[..., : 1 if planes.shape[2] < 3 else 3]


def alpha_of(samples: Samples) -> Samples | None:
    """Their transparency, `[H,W]`, a view; None where they have none."""
    return samples[..., -1] if mode_of(samples) in ("LA", "RGBA") else None
