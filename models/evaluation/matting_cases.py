"""Held-out cut-outs on held-out photos: the pictures that a matting evaluation is over.

Real cut-outs, whose alpha was made by hand, and procedural ones, whose alpha is exact, on square
parts of photos of the same split. All pictures have one size, so that their sums compare.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.evaluation.fixed_choice import chance, evenly
from models.evaluation.methods import EvaluationError, Picture
from models.evaluation.peers import to_bytes
from models.evaluation.tasks import Case
from models.training.composites import (
    Foreground,
    composite,
    foreground_of,
    placed,
    scaled,
    trimap_of,
)
from models.training.mattes import hair, lace, smoke
from models.training.pack import Cutout, Photo

# Smaller pictures have no room for the large kernel's windows.
SMALLEST_SIZE_PX = 64

# The unknown band's width to either side of where alpha is neither 0 nor 1, drawn for each picture
# and each side between these. Where nothing certain would be left of foreground or background, as
# with foliage, the most is the next of the narrower ones.
LEAST_BAND_PX = 2
MOST_BAND_PX = 20
NARROWER_PX = (MOST_BAND_PX, 10, 5, 2, 1)

# A cut-out's longer side, as a share of the picture's side; and how far it may be enlarged.
EXTENT = (0.5, 0.9)
# The same for a body that hair grows on, and out of.
BODY_EXTENT = (0.4, 0.65)
MOST_ENLARGED = 2.0

# A photo is scaled so that its shorter side is this many times the picture's at most.
MOST_CROPPED = 1.5

REAL = {"soft": "real, soft", "hard": "real, hard-edged"}
PROCEDURAL = "procedural"

# Attempts at a procedural matte that leaves some foreground and some background certain: thin smoke
# and thin lace leave none, and most of either is thin.
ATTEMPTS = 30


def matting_cases(
    photos: Sequence[Photo],
    cutouts: Sequence[Cutout],
    *,
    size: int,
    per_cutout: int,
    procedural: int,
    limit: int | None = None,
) -> tuple[list[Case], list[str]]:
    """Each cut-out (or `limit` of them) on `per_cutout` photos, and `procedural` of each kind.

    Pictures of `size` x `size` px, sorted by kind and name; and the names of those that were left
    out, since their trimap has no certain foreground, no certain background or nothing unknown.
    Raises `EvaluationError` where `size` is too small or there is nothing to put on a photo.
    """
    if size < SMALLEST_SIZE_PX:
        raise EvaluationError(f"--size {size}: has to be at least {SMALLEST_SIZE_PX} px.")
    chosen = evenly(sorted(cutouts, key=lambda cutout: cutout.name), limit)
    if not chosen:
        raise EvaluationError("this split of the pack has no cut-outs. Name another split.")
    chosen.sort(key=lambda cutout: tuple(REAL).index(cutout.kind))
    numbered = product(chosen, range(per_cutout))
    made = [_real(cutout, photos, size, number) for cutout, number in numbered]
    made += _procedural(photos, chosen, size, procedural)
    cases = [case for case in made if _is_a_task(case.guide)]
    return cases, [case.name for case in made if not _is_a_task(case.guide)]


def _real(cutout: Cutout, photos: Sequence[Photo], size: int, number: int) -> Case:
    rng = chance("matting", cutout.name, number, size)
    foreground = _place(rng, cutout.pixels, size, EXTENT)
    name = f"{cutout.name}, photo {number + 1}"
    return _case(rng, name, (REAL[cutout.kind],), cutout.subject, foreground, photos, size)


def _procedural(
    photos: Sequence[Photo], cutouts: Sequence[Cutout], size: int, count: int
) -> Iterator[Case]:
    """`count` cases of hair, of lace and of smoke; hair grows on the cut-outs' silhouettes."""
    silhouettes = [cutout for cutout in cutouts if cutout.kind == "hard"] or list(cutouts)
    for kind in ("hair", "lace", "smoke"):
        for number in range(count):
            owner = silhouettes[number * len(silhouettes) // count]
            subject = owner.subject if kind == "hair" else f"{kind} {number + 1}"
            for attempt in range(ATTEMPTS):
                rng = chance("procedural", kind, number, attempt, size)
                foreground = _grow(rng, kind, owner, size)
                groups = (PROCEDURAL, kind)
                case = _case(rng, f"{kind} {number + 1}", groups, subject, foreground, photos, size)
                if _is_a_task(case.guide):
                    break
            yield case


def _grow(rng: np.random.Generator, kind: str, owner: Cutout, size: int) -> Foreground:
    if kind == "hair":
        body = _place(rng, owner.pixels, size, BODY_EXTENT)
        return hair(rng, np.dstack([to_bytes(body.pixels), to_bytes(body.alpha)]))
    return lace(rng, size, size) if kind == "lace" else smoke(rng, size, size)


def _case(
    rng: np.random.Generator,
    name: str,
    groups: tuple[str, ...],
    subject: str,
    foreground: Foreground,
    photos: Sequence[Photo],
    size: int,
) -> Case:
    photo = photos[int(rng.integers(len(photos)))]
    background = _square(rng, photo.pixels, size)
    # The picture is made with the very alpha, in eight bits, that the methods are held against.
    truth = to_bytes(foreground.alpha)
    alpha = (truth / np.float32(255)).astype(np.float32)
    trimap, most = _trimap(rng, alpha)
    return Case(
        name=name,
        groups=groups,
        subject=subject,
        picture=to_bytes(composite(foreground.pixels, alpha, background)),
        guide=trimap,
        truth=truth,
        facts={"photo": photo.name, "most_band_px": most},
    )


def _trimap(rng: np.random.Generator, alpha: NDArray[np.float32]) -> tuple[Picture, int]:
    """A trimap with something known on both sides, the band narrowed for it where it must be."""
    for most in NARROWER_PX:
        trimap = trimap_of(rng, alpha, least_px=min(LEAST_BAND_PX, most), most_px=most)
        if _is_a_task(trimap):
            break
    return trimap, most


def _place(
    rng: np.random.Generator, cutout: Picture, size: int, extent: tuple[float, float]
) -> Foreground:
    """A cut-out, scaled, somewhere in a picture of `size`, whole."""
    height, width = cutout.shape[:2]
    scale = min(rng.uniform(*extent) * size / max(height, width), MOST_ENLARGED)
    small_height, small_width = max(1, round(height * scale)), max(1, round(width * scale))
    top = int(rng.integers(0, size - small_height + 1))
    left = int(rng.integers(0, size - small_width + 1))
    small = scaled(foreground_of(cutout), small_height, small_width)
    return placed(small, size, size, top, left)


def _square(rng: np.random.Generator, photo: Picture, size: int) -> Picture:
    """A square part of a photo, scaled to `size`."""
    height, width = photo.shape[:2]
    side = max(min(height, width) / rng.uniform(1.0, MOST_CROPPED), 1.0)
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    box = (left, top, left + side, top + side)
    square = Image.fromarray(photo).resize((size, size), Image.Resampling.LANCZOS, box=box)
    return np.asarray(square)


def _is_a_task(trimap: Picture) -> bool:
    """Whether something is certain on both sides, and something unknown."""
    return {0, 128, 255} <= set(np.unique(trimap).tolist())
