"""Holes as people and scanners make them: painted strokes and blocks, scratches, fibres and dust.

Every hole is uint8 `[H,W]`, 0 where the picture is kept and 255 where it is missing, and the same
generator state gives the same hole. Strokes are walks of a round brush, the idea of the free-form
masks in Yu et al. 2019 (arXiv 1806.03589); the walks, blocks and scratches here are this project's.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Hole = npt.NDArray[np.uint8]
# Puts one mark of a size between 0 and 1 on the canvas.
Mark = Callable[[np.random.Generator, ImageDraw.ImageDraw, float], None]

# An irregular hole misses its ratio by at most this, or by one pixel where a pixel is more.
RATIO_TOLERANCE = 0.008

# The share of the picture that scratches and dust cover.
LEAST_DAMAGE = 0.005
MOST_DAMAGE = 0.06

# Above this share the last free pixels are hunted for; no picture of use has such a hole.
MOST_HOLE = 0.95

# Smaller canvases have no room for a mark of the permitted ratio.
SMALLEST_SIDE_PX = 16

SCRATCH_WIDTH_PX = (1, 4)
SPECK_PX = (1, 8)


class HoleError(ValueError):
    """A hole that can't be drawn was asked for. The text says what is wrong and what to do."""


def irregular_hole(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    least: float = 0.10,
    most: float = 0.40,
) -> Hole:
    """Draw a hole whose ratio is uniform in `least`..`most`, met to within one percentage point.

    Brush strokes, scrubbed patches, rotated blocks and ellipses, of one kind or mixed; uint8
    `[H,W]`, 0 keep and 255 hole. Raises `HoleError` for a canvas below `SMALLEST_SIDE_PX` or
    ratios outside 0 < least <= most <= `MOST_HOLE`.
    """
    if not 0 < least <= most <= MOST_HOLE:
        raise HoleError(
            f"hole ratios of {least} to {most} can't be drawn: "
            f"use 0 < least <= most <= {MOST_HOLE}."
        )
    target = rng.uniform(least, most)
    palette = _PALETTES[rng.integers(len(_PALETTES))]
    # Few large marks or many small ones.
    size = math.exp(rng.uniform(math.log(0.35), 0.0))
    return _cover(rng, (height, width), target, RATIO_TOLERANCE, palette, size)


def scratches_and_dust(rng: np.random.Generator, height: int, width: int) -> Hole:
    """Draw the damage that film and print scans show: long scratches, curled fibres, dust.

    uint8 `[H,W]`, 0 keep and 255 hole; the ratio lies in `LEAST_DAMAGE`..`MOST_DAMAGE`, small
    ones more often. Widths are in pixels, whatever the picture's size. Raises `HoleError` for a
    canvas below `SMALLEST_SIDE_PX`.
    """
    tolerance = max(0.002, 1 / (height * width))
    low, high = math.log(LEAST_DAMAGE + tolerance), math.log(MOST_DAMAGE - tolerance)
    target = math.exp(rng.uniform(low, high))
    weights = rng.dirichlet([1.0, 1.0, 1.0])
    marks: tuple[Mark, ...] = (_scratch, _fibre, _dust)
    palette = [mark for mark, weight in zip(marks, weights, strict=True) if weight > 0.15]
    # Dust comes in any ratio, so it ends what long marks can't.
    return _cover(rng, (height, width), target, tolerance, (*palette, _dust), 1.0)


def hole_ratio(mask: Hole) -> float:
    """The share of the picture that is hole, 0..1: everything above 0 counts."""
    return float(np.count_nonzero(mask)) / mask.size


def _cover(
    rng: np.random.Generator,
    shape: tuple[int, int],
    target: float,
    tolerance: float,
    palette: tuple[Mark, ...],
    size: float,
) -> Hole:
    """Put marks on a canvas until their share is `target`, taking back what is too much."""
    if min(shape) < SMALLEST_SIDE_PX:
        raise HoleError(
            f"a hole of {shape[0]} x {shape[1]} px can't be drawn: "
            f"use at least {SMALLEST_SIDE_PX} px a side."
        )
    pixels = shape[0] * shape[1]
    slack = max(tolerance, 1 / pixels)
    canvas, covered = Image.new("L", (shape[1], shape[0])), 0.0
    while covered < target - slack:
        tried = canvas.copy()
        palette[rng.integers(len(palette))](rng, ImageDraw.Draw(tried), size)
        share = tried.histogram()[255] / pixels
        if share > target + slack:
            size *= 0.6
        else:
            canvas, covered = tried, share
    return np.array(canvas)


def _stroke(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: float) -> None:
    """A walk of a thick brush that turns a little at every step and now and then sharply."""
    side = min(draw.im.size)
    brush = side * rng.uniform(0.05, 0.2) * size
    steps = int(rng.integers(3, 14))
    turns = rng.normal(0, 0.5, steps) + rng.choice([0.0, 0.0, 2.4, -2.4], steps)
    lengths = side * rng.uniform(0.04, 0.22, steps) * math.sqrt(size)
    points = _walk(_anywhere(rng, draw), rng.uniform(0, 2 * math.pi), turns, lengths)
    _round_line(draw, points, brush)


def _scrub(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: float) -> None:
    """A brush rubbed to and fro over an oval, as a person paints over a thing to be rid of it."""
    side = min(draw.im.size)
    along, across = side * rng.uniform(0.12, 0.4, 2) * size
    rows = int(rng.integers(4, 9))
    brush = 2 * across / rows * rng.uniform(0.9, 2.4)
    v = np.linspace(-1, 1, rows) + rng.normal(0, 0.08, rows)
    u = np.sqrt(np.clip(1 - v * v, 0.05, 1)) * rng.uniform(0.7, 1.1, rows)
    u[::2] *= -1
    oval = np.stack([u * along, v * across], 1)
    _round_line(draw, oval @ _rotation(rng) + _anywhere(rng, draw), brush)


def _block(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: float) -> None:
    """A rectangle, upright as often as rotated."""
    half = min(draw.im.size) * rng.uniform(0.05, 0.25, 2) * size
    corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    if rng.random() < 0.5:
        corners = corners @ _rotation(rng)
    draw.polygon((corners + _anywhere(rng, draw)).ravel().tolist(), fill=255)


def _blob(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: float) -> None:
    """An ellipse with a wavy rim."""
    half = min(draw.im.size) * rng.uniform(0.05, 0.25, 2) * size
    _wavy_ellipse(rng, draw, half, _anywhere(rng, draw), rng.uniform(0, 0.25))


def _scratch(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: float) -> None:
    """A thin line over much of the picture, straight or slightly bent, at times broken."""
    diagonal = math.hypot(*draw.im.size)
    length = diagonal * rng.uniform(0.3, 1.1) * size
    count = 24
    # Transport scratches run along the film, so upright ones lead.
    heading = math.pi / 2 + (rng.normal(0, 0.05) if rng.random() < 0.5 else rng.uniform(-1.6, 1.6))
    turns = np.full(count, rng.normal(0, 0.015)) + rng.normal(0, 0.008, count)
    middle = np.asarray(_anywhere(rng, draw))
    points = _walk(middle, heading, turns, np.full(count, length / count))
    points += middle - points[count // 2]
    thickness = int(rng.integers(SCRATCH_WIDTH_PX[0], SCRATCH_WIDTH_PX[1] + 1))
    lifted = rng.random(count) < (0.25 if rng.random() < 0.3 else 0.0)
    for piece in np.split(points, np.flatnonzero(lifted) + 1):
        if len(piece) > 1:
            draw.line(piece.ravel().tolist(), fill=255, width=thickness)


def _fibre(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: float) -> None:
    """A hair or a thread of lint: thin, and curled by a bend that itself wanders."""
    count = 40
    length = rng.uniform(20, 140) * size
    bend = rng.normal(0, 0.06) + np.cumsum(rng.normal(0, 0.035, count))
    points = _walk(
        _anywhere(rng, draw), rng.uniform(0, 2 * math.pi), bend, np.full(count, length / count)
    )
    draw.line(points.ravel().tolist(), fill=255, width=int(rng.integers(1, 3)), joint="curve")


def _dust(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: float) -> None:
    """A cluster of specks, most of them tiny."""
    count = 1 + int(rng.geometric(0.12) * size)
    spread = min(draw.im.size) * rng.uniform(0.02, 0.3) * size
    centres = _anywhere(rng, draw) + rng.normal(0, spread, (count, 2))
    least, most = SPECK_PX
    across = least + (most - least) * rng.random(count) ** 4 * size
    for centre, diameter in zip(centres, across, strict=True):
        if diameter < 2:
            draw.point(centre.tolist(), fill=255)
        else:
            # The pixels on the rim count too: a polygon of radius r is 2r + 1 across.
            half = (diameter - 1) / 2 * rng.uniform(0.6, 1.0, 2)
            _wavy_ellipse(rng, draw, half, centre, 0.0)


def _walk(
    start: npt.ArrayLike,
    heading: float,
    turns: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The points `[N+1,2]` of N steps, each turned from the one before by an angle in radians."""
    angles = heading + np.cumsum(turns)
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None]
    points: npt.NDArray[np.float64] = np.cumsum(steps, 0)
    return np.concatenate([np.zeros((1, 2)), points]) + np.asarray(start, np.float64)


def _anywhere(rng: np.random.Generator, draw: ImageDraw.ImageDraw) -> npt.NDArray[np.float64]:
    size: tuple[int, int] = draw.im.size
    return rng.uniform(0, 1, 2) * np.asarray(size, np.float64)


def _rotation(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    angle = rng.uniform(0, 2 * math.pi)
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _round_line(
    draw: ImageDraw.ImageDraw, points: npt.NDArray[np.float64], thickness: float
) -> None:
    """A line through the points with round joints and ends, at least one pixel thick."""
    draw.line(points.ravel().tolist(), fill=255, width=max(1, round(thickness)))
    radius = thickness / 2
    if radius >= 1:
        for x, y in points.tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def _wavy_ellipse(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    half: npt.NDArray[np.float64],
    centre: npt.NDArray[np.float64],
    waviness: float,
) -> None:
    """A rotated ellipse of half axes `half`; `waviness` is the rim's swing, a share of them."""
    angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
    waves = np.sin(angles[:, None] * np.array([2, 3, 5]) + rng.uniform(0, 2 * math.pi, 3))
    radius = 1 + waviness * waves.mean(1)
    rim = np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None] * half
    draw.polygon((rim @ _rotation(rng) + centre).ravel().tolist(), fill=255)


# What one hole is made of; strokes lead, as in what users paint.
_PALETTES: tuple[tuple[Mark, ...], ...] = (
    (_stroke,),
    (_stroke,),
    (_stroke, _scrub),
    (_scrub,),
    (_block, _blob),
    (_stroke, _scrub, _block, _blob),
)
