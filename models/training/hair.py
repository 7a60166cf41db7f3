"""Hair and fur on a silhouette: tapered strands in clumps, thinner than a pixel where hair is.

Each strand is a curve of points, and each point gives the four pixels round it the area that the
strand covers there. So alpha is the sum of what was drawn, at any width, and a pixel's colour is
the mean of the strands in it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from models.training.composites import (
    Colours,
    CompositeError,
    Foreground,
    Pixels,
    Plane,
    foreground_of,
    from_premultiplied,
)
from models.training.noise import fractal

Values = npt.NDArray[np.float32]

# Points along a strand lie at most about this far apart.
STEP_PX = 0.9

# Bounds the time that a sample takes: long hair gets fewer strands.
MOST_POINTS = 100_000

# Overlapping strands hide each other in part: cover c becomes c / (1 + c^P)^(1/P).
_OVERLAP_POWER = 3

# Hair's colours, RGB: black, browns, red, blond, grey, white, the fawn of many furs.
_HAIRS = (
    (0.06, 0.05, 0.05),
    (0.2, 0.12, 0.07),
    (0.36, 0.22, 0.12),
    (0.5, 0.22, 0.08),
    (0.78, 0.6, 0.36),
    (0.5, 0.49, 0.48),
    (0.92, 0.9, 0.87),
    (0.66, 0.5, 0.32),
)


@dataclass(frozen=True)
class _Roots:
    """Where hair may grow [N,2], which way is out [N,2], both (row, column), its colour [N,3]."""

    places: Values
    outward: Values
    colours: Values


@dataclass(frozen=True)
class _Strands:
    """Points [S,T,2] (row, column), the area in px^2 that each covers [S,T], colours, light."""

    points: Values
    cover: Values
    colours: Values
    light: Values


def hair(rng: np.random.Generator, silhouette: Pixels | Plane) -> Foreground:
    """Grow hair along the contour of a silhouette, over it and out of it.

    `silhouette` is a cut-out, uint8 `[H,W,4]`, whose colours the body keeps, or its alpha, uint8 or
    float in 0..1 `[H,W]`, which gets a body of fur. Where it is opaque the result is. Hair ends at
    the canvas's border: leave room around. Raises `CompositeError` where nothing is opaque enough
    to carry hair, that is where no alpha exceeds one half.
    """
    base = np.asarray(_HAIRS[rng.integers(len(_HAIRS))], np.float32)
    if rng.random() < 0.15:
        base = (0.7 * rng.uniform(0.05, 0.95, 3) + 0.3 * rng.random()).astype(np.float32)
    body = _body(rng, silhouette, base)
    covered = rng.uniform(0.3, 0.7) if silhouette.ndim == 2 else 0.0
    roots = _roots(rng, body, covered, base)
    strands = _grow(rng, roots, min(body.alpha.shape))
    premultiplied, cover = _drawn(strands, body.alpha.shape)
    alpha = cover / (1 + cover**_OVERLAP_POWER) ** np.float32(1 / _OVERLAP_POWER)
    premultiplied *= (alpha / np.maximum(cover, 1e-6))[..., None]
    below = ((1 - alpha) * body.alpha)[..., None]
    return from_premultiplied(premultiplied + below * body.pixels, alpha + (1 - alpha) * body.alpha)


def _body(rng: np.random.Generator, silhouette: Pixels | Plane, base: Values) -> Foreground:
    if silhouette.ndim == 3:
        return foreground_of(np.asarray(silhouette, np.uint8))
    alpha = silhouette.astype(np.float32)
    if silhouette.dtype == np.uint8:
        alpha /= 255
    height, width = alpha.shape
    side = min(height, width)
    fur = fractal(rng, height, width, largest_px=side * 0.3, octaves=6, falloff=0.6, stretch=0.5)
    light = fractal(rng, height, width, largest_px=side, octaves=1)
    shade = np.exp(0.1 * fur + 0.15 * light - 0.15)[..., None]
    return Foreground(np.clip(base * shade, 0, 1).astype(np.float32), alpha)


def _roots(rng: np.random.Generator, body: Foreground, covered: float, base: Values) -> _Roots:
    """Places on the contour at alpha one half where hair grows.

    The share `covered` of them lies anywhere in the body instead, for a body that is all fur. Hair
    has the colour `base` or that of the body below it.
    """
    inside = body.alpha > 0.5
    if not inside.any():
        raise CompositeError(
            "the silhouette is nowhere more than half opaque, so no hair can grow on it: "
            "use a cut-out with a solid body."
        )
    rim = np.argwhere(_rim(inside))
    grown = _growing(rng, inside.shape)[rim[:, 0], rim[:, 1]]
    rim = rim[grown] if grown.any() else rim
    within = np.argwhere(inside)
    within = within[rng.integers(len(within), size=int(len(rim) * covered / (1 - covered)))]
    places = np.concatenate([rim, within])
    at = (places[:, 0], places[:, 1])
    colours = np.broadcast_to(base, (len(places), 3))
    if rng.random() < 0.5:
        colours = body.pixels[at]
    return _Roots(places.astype(np.float32), _outward(inside)[at], colours)


def _rim(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The body's outermost pixels, but not where the canvas cuts it, unless there are no others."""
    padded = np.pad(inside, 1)
    core = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    rim = inside & ~core
    cut = rim.copy()
    cut[1:-1, 1:-1] = False
    return rim & ~cut if (rim & ~cut).any() else rim


def _outward(inside: npt.NDArray[np.bool_]) -> Values:
    """The direction [H,W,2] in which the body thins out."""
    body = Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
    fine = body.filter(ImageFilter.GaussianBlur(max(2.0, min(inside.shape) / 60)))
    # Deep inside only a wide blur still sees the rim.
    wide = body.filter(ImageFilter.GaussianBlur(min(inside.shape) / 10))
    seen = np.asarray(fine, np.float32) + np.asarray(wide, np.float32)
    slope = np.moveaxis(np.asarray(np.gradient(seen)), 0, 2)
    return np.asarray(-slope / np.maximum(np.linalg.norm(slope, axis=2)[..., None], 1e-6))


def _growing(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Everywhere, or in patches, as a head has hair and a face has none."""
    if rng.random() < 0.5:
        return np.ones(shape, bool)
    patches = fractal(rng, *shape, largest_px=max(shape) * 0.5, octaves=1)
    return np.asarray(patches > rng.uniform(-1, 0.3))


def _grow(rng: np.random.Generator, roots: _Roots, side: int) -> _Strands:
    """Clumps of like strands, and single ones that fly away from them."""
    length = side * math.exp(rng.uniform(math.log(0.06), math.log(0.45)))
    comb = rng.normal(0, rng.uniform(0.1, 0.7), 2).astype(np.float32)
    bend, curl = rng.uniform(0.1, 1.4), rng.uniform(0, 0.2) * (rng.random() < 0.4)
    per_root = math.exp(rng.uniform(math.log(0.7), math.log(6.0)))
    # Ringlets are longer than they reach.
    steps = max(8, int(length * (1.2 + 4 * curl) / STEP_PX))
    count = int(np.clip(len(roots.places) * per_root, 60, MOST_POINTS / steps))
    clumps = max(3, int(count / rng.uniform(4, 30)))
    flying = int(clumps * rng.uniform(0.1, 0.6))

    centre = rng.integers(len(roots.places), size=clumps + flying)
    of = np.concatenate([rng.integers(clumps, size=count), np.arange(clumps, clumps + flying)])
    guides = _guides(rng, roots, centre, steps, length, comb, bend, flying)
    t = np.linspace(0, 1, steps, dtype=np.float32)

    spread = np.float32(rng.uniform(1.5, 6) * side / 320 + 0.5)
    offset = rng.normal(0, spread, (len(of), 2)).astype(np.float32)
    offset[count:] = 0
    gathered = np.float32(rng.uniform(-0.6, 0.95)) * t**1.5
    # Strands of a clump are of different lengths: each goes along its guide at its own pace.
    pace = rng.uniform(0.45, 1.0, len(of)).astype(np.float32)
    points = _along(guides[of], pace)
    points += offset[:, None] * (1 - gathered)[None, :, None]
    points += _waves(rng, len(of), t, length, curl)

    width = np.float32(math.exp(rng.uniform(math.log(0.18), math.log(0.8))))
    widths = width * rng.uniform(0.5, 1.5, len(of)).astype(np.float32)
    taper = (1 - t) ** np.float32(rng.uniform(0.3, 0.9))
    pitch = np.linalg.norm(np.diff(points, axis=1), axis=2).mean(1)
    cover = (widths * pitch)[:, None] * taper
    return _Strands(points, cover, *_coloured(rng, roots.colours[centre], of, t))


def _guides(
    rng: np.random.Generator,
    roots: _Roots,
    centre: npt.NDArray[np.int64],
    steps: int,
    length: float,
    comb: Values,
    bend: float,
    flying: int,
) -> Values:
    """The middle line [G,T,2] of each clump, from inside the body outwards."""
    number = len(centre)
    way = roots.outward[centre] + comb + rng.normal(0, 0.2, (number, 2))
    heading = np.arctan2(way[:, 0], way[:, 1])
    bends = rng.normal(rng.normal(0, bend / 2), bend / 2, number)
    bends[number - flying :] *= 2
    t = np.linspace(0, 1, steps)
    angles = heading[:, None] + bends[:, None] * t
    lengths = length * rng.uniform(0.6, 1.1, number)
    lengths[number - flying :] *= 1.2
    stride = (lengths / steps)[:, None, None]
    path = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], 2) * stride, 1)
    # Rooted inside, so that the body's own edge is under hair.
    depth = rng.uniform(0.0, 0.7, (number, 1)) ** 2 * length + 1
    start = roots.places[centre] - depth * roots.outward[centre]
    return (path + start[:, None]).astype(np.float32)


def _along(guides: Values, pace: Values) -> Values:
    """Each guide [S,T,2] up to the share `pace` [S] of its length, at as many points."""
    start = guides[:, :1]
    straight = (guides - start) * pace[:, None, None]
    # A shorter strand bends as much over its length as its guide does over its own.
    return start + straight


def _waves(rng: np.random.Generator, count: int, t: Values, length: float, curl: float) -> Values:
    """Each strand's own waviness [S,T,2] and ringlets as wide as `curl` times their pitch.

    None at the root.
    """
    phase = rng.uniform(0, 2 * math.pi, (count, 2, 1))
    turns = rng.uniform(0.3, 1.2, (count, 2, 1)) * 2 * math.pi
    turns, phase = turns.astype(np.float32), phase.astype(np.float32)
    sway = np.sin(turns * t + phase) * np.float32(length * 0.02)
    if curl:
        period = rng.uniform(8, 30)
        angle = length / period * 2 * math.pi * t + rng.uniform(0, 2 * math.pi, (count, 1))
        angle = angle.astype(np.float32)
        sway += np.stack([np.sin(angle), np.cos(angle)], 1) * np.float32(period * curl)
    return np.asarray((sway * t).swapaxes(1, 2), np.float32)


def _coloured(
    rng: np.random.Generator, base: Values, clump: npt.NDArray[np.int64], t: Values
) -> tuple[Values, Values]:
    """Colours [S,3], differing by clump and a little by strand, and the light [S,T] on them.

    `base` [G,3] are the clumps' colours to begin with, `clump` [S] says which is a strand's.
    """
    clumps = len(base)
    tones = np.exp(rng.normal(0, 0.18, (clumps, 1)) + rng.normal(0, 0.03, (clumps, 3)))[clump]
    own = np.exp(rng.normal(0, 0.12, (len(clump), 1)))
    phase = (rng.uniform(0, 2 * math.pi, (clumps, 1)) * 0.3)[clump].astype(np.float32)
    bands = np.sin(np.float32(rng.uniform(2, 7)) * t + phase)
    gloss = 1 + np.float32(rng.uniform(0, 0.35)) * bands * bands * bands
    tips = 1 + np.float32(rng.uniform(-0.25, 0.4)) * t
    return (base[clump] * tones * own).astype(np.float32), np.asarray(gloss * tips, np.float32)


def _drawn(strands: _Strands, shape: tuple[int, ...]) -> tuple[Colours, Plane]:
    """The sum of cover times colour [H,W,3] and of cover [H,W] in each pixel."""
    height, width = shape
    y, x = strands.points[..., 0].ravel(), strands.points[..., 1].ravel()
    there = np.flatnonzero((y >= 0) & (y < height - 1) & (x >= 0) & (x < width - 1))
    y, x, cover = y[there], x[there], strands.cover.ravel()[there]
    colours = strands.colours.T[:, there // strands.light.shape[1]]
    colours = np.clip(colours * strands.light.ravel()[there], 0, 1)
    row, column = y.astype(np.intp), x.astype(np.intp)
    below, right = y - row, x - column
    at = row * width + column
    packed = np.zeros((4, height * width))
    for corner, share in (
        (at, (1 - below) * (1 - right)),
        (at + 1, (1 - below) * right),
        (at + width, below * (1 - right)),
        (at + width + 1, below * right),
    ):
        part = (share * cover).astype(np.float64)
        packed[3] += np.bincount(corner, part, height * width)
        for channel in range(3):
            packed[channel] += np.bincount(corner, part * colours[channel], height * width)
    planes = packed.reshape(4, height, width).transpose(1, 2, 0).astype(np.float32)
    return planes[..., :3], planes[..., 3]
