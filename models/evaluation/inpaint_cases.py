"""Held-out photos with holes: the pictures that an inpainting evaluation is over.

From each photo come square crops at its native size, and each crop is given one hole of every
kind, so that kinds differ by their holes and by nothing else. What was in the hole is replaced by
grey before any method sees it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from models.evaluation.fill_errors import SMALLEST_SIDE_PX as SMALLEST_JUDGED_PX
from models.evaluation.fixed_choice import chance, evenly
from models.evaluation.methods import EvaluationError, Picture
from models.evaluation.tasks import Case
from models.training.holes import SMALLEST_SIDE_PX as SMALLEST_CANVAS_PX
from models.training.holes import hole_ratio, irregular_hole, scratches_and_dust
from models.training.pack import Photo

# Smaller crops have no room for a hole to be drawn in, or for SSIM's window.
SMALLEST_SIZE_PX = max(SMALLEST_CANVAS_PX, SMALLEST_JUDGED_PX)

# Grey instead of the truth: neither EdgeConnect's white nor a natural picture's mean.
BLANK = 127

# Irregular holes by the share of the picture that they cover, per cent (Liu et al. 2018).
RATIOS = ((10, 20), (20, 30), (30, 40), (40, 50))
ALL_IRREGULAR = "irregular, 10-50 %"
DAMAGE = "scratches and dust"

# A hole may miss the ratio it was drawn for by less than this.
RATIO_MARGIN = 0.01

DrawHole = Callable[[np.random.Generator, int, int], Picture]


def inpaint_cases(
    photos: Sequence[Photo], size: int, per_photo: int, limit: int | None = None
) -> tuple[list[Case], list[str]]:
    """`per_photo` crops of `size` px of each photo (or of `limit` of them), with all kinds of hole.

    Sorted by photo; and the names of the photos that were left out, since they are smaller than
    `size`. Raises `EvaluationError` where all of them are, or `size` is too small for holes.
    """
    if size < SMALLEST_SIZE_PX:
        raise EvaluationError(f"--size {size}: has to be at least {SMALLEST_SIZE_PX} px.")
    in_order = sorted(photos, key=lambda photo: photo.name)
    fitting = [photo for photo in in_order if _shorter_side(photo) >= size]
    if not fitting:
        largest = max(photos, key=_shorter_side)
        raise EvaluationError(
            f"--size {size} asks for more than any photo has: the largest, {_told(largest)}, "
            "is too small. Give a smaller --size."
        )
    chosen = evenly(fitting, limit)
    cases = [case for photo in chosen for case in _cases_of(photo, size, per_photo)]
    return cases, [_told(photo) for photo in in_order if _shorter_side(photo) < size]


def _shorter_side(photo: Photo) -> int:
    return min(int(side) for side in photo.pixels.shape[:2])


def _told(photo: Photo) -> str:
    height, width = photo.pixels.shape[:2]
    return f"{photo.name} ({width} x {height} px)"


def _cases_of(photo: Photo, size: int, per_photo: int) -> Iterator[Case]:
    height, width = photo.pixels.shape[:2]
    for number in range(per_photo):
        rng = chance("crop", photo.name, number, size)
        top, left = rng.integers(0, height - size + 1), rng.integers(0, width - size + 1)
        truth = np.ascontiguousarray(photo.pixels[top : top + size, left : left + size])
        for groups, draw in _kinds():
            hole = draw(chance("hole", photo.name, number, size, groups[-1]), size, size)
            yield Case(
                name=f"{photo.name}, crop {number + 1}, {groups[-1]}",
                groups=groups,
                subject=photo.subject,
                picture=np.where(hole[:, :, None] > 0, np.uint8(BLANK), truth),
                guide=hole,
                truth=truth,
                facts={
                    "hole_ratio": round(hole_ratio(hole), 4),
                    "left": int(left),
                    "top": int(top),
                },
            )


def _kinds() -> Iterator[tuple[tuple[str, ...], DrawHole]]:
    """The groups that a hole belongs to, the narrowest last, and how it is drawn."""
    for least, most in RATIOS:
        yield (ALL_IRREGULAR, f"{least}-{most} %"), _irregular(least / 100, most / 100)
    yield (DAMAGE,), scratches_and_dust


def _irregular(least: float, most: float) -> DrawHole:
    def draw(rng: np.random.Generator, height: int, width: int) -> Picture:
        return irregular_hole(
            rng, height, width, least=least + RATIO_MARGIN, most=most - RATIO_MARGIN
        )

    return draw
