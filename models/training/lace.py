"""Lace: a net of threads with flowers, cords and scalloped hems, hanging in folds."""

import math

import numpy as np

from models.training.composites import Colours, Foreground, Plane, from_premultiplied
from models.training.noise import fractal


def lace(rng: np.random.Generator, height: int, width: int) -> Foreground:
    """A piece of lace over the whole canvas, or ending in a hem on it.

    Threads of one to a few pixels, openings between them where alpha is 0. The pattern is a
    function of the place, so the folds that bend it bring in no border.
    """
    along, across = _cloth(rng, height, width)
    mesh = rng.uniform(5, 13)
    thread = np.float32(rng.uniform(0.07, 0.16) * mesh)
    cover = _net(rng, along, across, mesh, thread)
    flowers = mesh * rng.integers(7, 13)
    cover = _with_flowers(rng, cover, along, across, flowers, mesh, thread)
    if rng.random() < 0.6:
        cover = _hemmed(rng, cover, along, across, flowers, thread)
    opacity = 1.0 if rng.random() < 0.6 else rng.uniform(0.6, 1.0)
    alpha = cover * np.float32(opacity)
    colours = _colours(rng, cover, along, mesh)
    return from_premultiplied(colours * alpha[..., None], alpha)


def _cloth(rng: np.random.Generator, height: int, width: int) -> tuple[Plane, Plane]:
    """Each pixel's place in the cloth's own directions, turned and folded."""
    side = min(height, width)
    y = np.arange(height, dtype=np.float32)[:, None] - height * rng.uniform(0.3, 0.7)
    x = np.arange(width, dtype=np.float32)[None] - width * rng.uniform(0.3, 0.7)
    angle = rng.uniform(0, 2 * math.pi)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    folds = side * rng.uniform(0.25, 0.7)
    depth = folds * rng.uniform(0.02, 0.09)
    along = along + depth * fractal(rng, height, width, largest_px=folds, octaves=2, falloff=0.4)
    across = across + depth * fractal(rng, height, width, largest_px=folds, octaves=2, falloff=0.4)
    return along.astype(np.float32), across.astype(np.float32)


def _net(
    rng: np.random.Generator, along: Plane, across: Plane, mesh: float, thread: np.float32
) -> Plane:
    """The ground: diamonds, squares or triangles of thread."""
    angles = (
        (math.pi / 4, -math.pi / 4),
        (0.0, math.pi / 2),
        (0.0, math.pi / 3, -math.pi / 3),
        (math.pi / 6, -math.pi / 6),
    )[rng.integers(4)]
    cover = np.zeros_like(along)
    for angle in angles:
        line = along * np.float32(math.sin(angle)) + across * np.float32(math.cos(angle))
        np.maximum(cover, _line(_from_multiple(line, mesh), thread), out=cover)
    return cover


def _with_flowers(
    rng: np.random.Generator,
    cover: Plane,
    along: Plane,
    across: Plane,
    pitch: float,
    mesh: float,
    thread: np.float32,
) -> Plane:
    """A flower in the middle of each cell of a staggered grid: petals, outlines, ring, stitches."""
    row = np.rint(across / pitch)
    u = _to_middle(along + (row % 2) * np.float32(pitch / 2), pitch)
    v = across - row * np.float32(pitch)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    petals = np.abs(np.cos(angle * (rng.integers(4, 10) / 2) + np.float32(rng.uniform(0, 6))))
    size = pitch * rng.uniform(0.3, 0.48)
    depth = rng.uniform(0.2, 0.6)
    outline = np.float32(size) * (1 - depth + depth * petals)
    inside = _inside(radius - outline)
    stitches = 0.35 + 0.65 * _line(_from_multiple(u + v, mesh / 2), thread)
    fill = stitches if rng.random() < 0.5 else np.float32(rng.uniform(0.75, 1.0))
    # Inside a flower the net gives way to stitches.
    cover = cover * (1 - inside) + inside * fill
    cord = thread * np.float32(rng.uniform(1.2, 2.2))
    heart = size * rng.uniform(0.12, 0.3)
    cover = cover * (1 - _inside(radius - heart))
    for ring in (radius - outline, radius - heart):
        cover = np.maximum(cover, _line(np.abs(ring), cord))
    return np.asarray(cover, np.float32)


def _hemmed(
    rng: np.random.Generator,
    cover: Plane,
    along: Plane,
    across: Plane,
    pitch: float,
    thread: np.float32,
) -> Plane:
    """The lace up to a scalloped hem with a cord and a row of eyelets; nothing beyond."""
    scallops = np.abs(np.sin(along * np.float32(math.pi / pitch)))
    end = across - np.float32(pitch * rng.uniform(0.15, 0.4)) * scallops
    end = end - np.float32(pitch * rng.uniform(-0.5, 1.0))
    band = np.float32(pitch * rng.uniform(0.1, 0.25))
    cloth = _inside(end)
    cover = np.maximum(cover * cloth, _inside(np.abs(end + band) - band) * cloth)
    step = band * 2
    eyelet = np.hypot(_to_middle(along, float(step)), end + band) - band * np.float32(0.55)
    cover = cover * (1 - _inside(eyelet))
    hemmed: Plane = np.maximum(cover, _line(np.abs(end), thread * np.float32(1.5)))
    return hemmed


def _colours(rng: np.random.Generator, cover: Plane, along: Plane, mesh: float) -> Colours:
    """White to black and what lies between, shaded by folds, weave and each thread's roundness."""
    height, width = cover.shape
    kind = rng.random()
    if kind < 0.55:
        base = rng.uniform(0.8, 0.98) * np.array([1.0, rng.uniform(0.93, 1), rng.uniform(0.8, 1)])
    elif kind < 0.8:
        base = rng.uniform(0.02, 0.15) * np.ones(3)
    else:
        base = rng.uniform(0.1, 0.9, 3)
    folds = fractal(rng, height, width, largest_px=min(height, width) * 0.4, octaves=2, stretch=0.3)
    twist = np.sin(along * np.float32(2 * math.pi / mesh * rng.uniform(3, 6)))
    grain = rng.standard_normal(cover.shape, dtype=np.float32)
    shade = 0.85 + 0.1 * np.tanh(folds) + 0.04 * twist + 0.04 * grain + 0.12 * (cover - 0.5)
    colours: Colours = np.clip(shade[..., None] * base, 0, 1).astype(np.float32)
    return colours


def _from_multiple(line: Plane, pitch: float) -> Plane:
    """The distance of each value to the nearest multiple of `pitch`."""
    return np.abs(_to_middle(line, pitch))


def _to_middle(line: Plane, pitch: float) -> Plane:
    """Each value less the nearest multiple of `pitch`."""
    nearest: Plane = line - np.rint(line * np.float32(1 / pitch)) * np.float32(pitch)
    return nearest


def _line(distance: Plane, half: np.float32) -> Plane:
    """How much of a pixel a line of half-width `half` covers at a distance, both in pixels."""
    covered: Plane = np.clip(half - distance + np.float32(0.5), 0, min(1, 2 * float(half)))
    return covered


def _inside(distance: Plane) -> Plane:
    """1 where a signed distance in pixels is negative, softly over one pixel."""
    covered: Plane = np.clip(np.float32(0.5) - distance, 0, 1)
    return covered
