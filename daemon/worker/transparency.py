"""Holes that are drawn as transparency: what is wholly transparent in a picture is its hole.

What is transparent in part is none. An eraser with a soft brush leaves it around a hole, and so
does glass that is meant to be so: it stays as it is, colour and opacity, like all that is outside a
mask. Of colours under what is wholly transparent nothing is believed: editors leave there what was
before, or black, or white.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from daemon.reasons import Trouble
from daemon.worker.companions import Companion
from daemon.worker.pictures import Picture, Samples, alpha_of, colours_of


def read_hole(picture: Picture) -> tuple[Picture, Companion]:
    """The picture, opaque and black in its hole, and its mask: the hole is where alpha was 0.

    Where nothing is transparent any more the picture has no alpha. The picture that is given is
    used up. Raises `Trouble` where nothing is wholly transparent, or everything.
    """
    alpha = alpha_of(picture.kept)
    hole = None if alpha is None else alpha == 0
    if alpha is None or hole is None or not hole.any():
        raise Trouble("nothing_transparent")
    if hole.all():
        raise Trouble("all_transparent")
    opaque = np.iinfo(alpha.dtype).max
    colours_of(picture.kept)[hole] = 0
    alpha[hole] = opaque
    notes = ["the hole is what was wholly transparent; it is opaque now"]
    kept: Samples = picture.kept
    if alpha.min() == opaque:
        colours: Any = colours_of(kept)
        kept = np.ascontiguousarray(colours[..., 0] if colours.shape[2] == 1 else colours)
    else:
        notes.append("what was transparent in part is as it was: only alpha 0 is a hole")
    mask = hole.view(np.uint8)
    mask *= 255
    return replace(picture, kept=kept), Companion(mask, picture.read, tuple(notes))
