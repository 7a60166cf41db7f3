"""Smoke, steam, cloud and fire: mattes without an edge anywhere."""

import math

import numpy as np

from models.training.composites import Colours, Foreground, Plane, settled
from models.training.noise import bent, fractal

# Fire's colours from its thin rim to its dense heart, RGB.
_FLAME = np.array(
    [[0.45, 0.05, 0.01], [0.8, 0.18, 0.02], [1.0, 0.48, 0.05], [1.0, 0.8, 0.25], [1.0, 0.98, 0.8]],
    np.float32,
)


def smoke(rng: np.random.Generator, height: int, width: int) -> Foreground:
    """A cloud of smoke, or at times of fire, that fades to nothing before the canvas ends."""
    side = min(height, width)
    largest = side * rng.uniform(0.3, 0.6)
    down, right = (_swirl(rng, height, width, largest) for _ in range(2))
    support = bent(_support(rng, height, width), down, right)
    wisps = bent(_wisps(rng, height, width, largest), down, right)
    density = _risen(support, 1 - rng.uniform(0.12, 0.45))
    density *= np.clip(0.75 + 0.35 * wisps, 0, 1.5) * _window(height, width)
    # Light is lost in smoke by the Beer-Lambert law.
    alpha = settled(1 - np.exp(-density * np.float32(math.exp(rng.uniform(-0.2, 1.8)))))
    if rng.random() < 0.2:
        return Foreground(_fire(density), alpha)
    return Foreground(_grey(rng, alpha, density), alpha)


def _risen(plane: Plane, share: float) -> Plane:
    """The plane with its lowest `share` of pixels at 0 and its highest at about 1 or less."""
    level, top = np.quantile(plane, [share, 0.99])
    # A flat plane is left so: stretched to 1, its slopes would be rims.
    height = np.float32(max(top - level, 0.4))
    risen: Plane = np.maximum(plane - np.float32(level), 0) / height
    return risen


def _swirl(rng: np.random.Generator, height: int, width: int, largest: float) -> Plane:
    reach = np.float32(largest * rng.uniform(0.1, 0.35))
    return reach * fractal(rng, height, width, largest_px=largest, octaves=4, falloff=0.45)


def _support(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Where there is smoke, the higher the more: a plume, broken up at every scale.

    The fractal outweighs the plume, or its round outline would show.
    """
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None]
    angle, lean = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.6)
    v = (y - rng.uniform(0.35, 0.65)) * math.cos(angle) + (x - 0.5) * math.sin(angle)
    u = (x - rng.uniform(0.35, 0.65)) * math.cos(angle) - (y - 0.5) * math.sin(angle)
    distance = np.hypot(u / lean, v / 0.6).astype(np.float32)
    rough = fractal(rng, height, width, largest_px=max(height, width) * 0.4, octaves=7, falloff=0.5)
    # Thinner towards the border, before all is bent: a straight fade alone would show.
    near = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    thinner = np.clip(1 - near / 0.28, 0, 1) * np.float32(1.6)
    roughness = np.float32(rng.uniform(0.3, 0.5))
    return np.asarray(roughness * rough - distance - thinner, np.float32)


def _wisps(rng: np.random.Generator, height: int, width: int, largest: float) -> Plane:
    """Billows, or the creased veils that thin smoke draws."""
    noise = fractal(
        rng, height, width, largest_px=largest, octaves=7, falloff=rng.uniform(0.45, 0.6)
    )
    if rng.random() < 0.5:
        return noise
    veils = np.abs(np.tanh(noise))
    return np.float32(1.5) - np.float32(3) * veils


def _window(height: int, width: int) -> Plane:
    """1 inside, falling smoothly to 0 at the canvas's border over an eighth of it."""

    def fade(size: int) -> Plane:
        t = (np.arange(size, dtype=np.float32) + 0.5) / size
        near = np.clip(np.minimum(t, 1 - t) * 8, 0, 1)
        smooth: Plane = near * near * (3 - 2 * near)
        return smooth * smooth

    window: Plane = np.outer(fade(height), fade(width))
    window[0] = window[-1] = window[:, 0] = window[:, -1] = 0
    return window


def _fire(density: Plane) -> Colours:
    heat = density / max(float(np.percentile(density, 99)), 1e-6)
    at = np.clip(heat, 0, 1) ** 0.7 * (len(_FLAME) - 1)
    steps = np.arange(len(_FLAME))
    return np.stack([np.interp(at, steps, _FLAME[:, c]) for c in range(3)], 2).astype(np.float32)


def _grey(rng: np.random.Generator, alpha: Plane, density: Plane) -> Colours:
    """White to black, faintly tinted, lit from one side."""
    level = rng.choice([rng.uniform(0.75, 1.0), rng.uniform(0.35, 0.75), rng.uniform(0.03, 0.3)])
    tint = rng.normal(0, 0.02, 3) if rng.random() < 0.8 else rng.normal(0, 0.12, 3)
    angle = rng.uniform(0, 2 * math.pi)
    slope = np.gradient(density)
    light = slope[0] * math.sin(angle) + slope[1] * math.cos(angle)
    light = np.tanh(light * 8) * rng.uniform(0.05, 0.25)
    billow = 0.08 * fractal(
        rng, *alpha.shape, largest_px=min(alpha.shape) * 0.2, octaves=5, falloff=0.6
    )
    shade = (level * (1 + light + billow))[..., None] + tint
    colours: Colours = np.clip(shade, 0, 1).astype(np.float32)
    return colours
