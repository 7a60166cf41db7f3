"""How far a matte is from the true one, over the trimap's unknown pixels.

The four errors of Rhemann, Rother, Wang, Gelautz, Kohli and Rott, "A perceptually motivated online
benchmark for image matting" (CVPR 2009), as alphamatting.com and the papers since then report
them. Alpha counts as 0..1 in all of them; SAD, gradient and connectivity are sums over pixels,
divided by 1000, and so grow with the picture: compare them between pictures of one size.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.methods import Picture, needed

# Section 3 of the paper, and the values that the benchmark settled on.
GRADIENT_SIGMA_PX = 1.4
CONNECTIVITY_STEPS = 10
CONNECTIVITY_THETA = 0.15

# The benchmark cuts its Gaussian off where it falls below this.
_GAUSSIAN_EPSILON = 0.01

_PER_THOUSAND = 1000.0

Unknown = NDArray[np.bool_]


@dataclass(frozen=True)
class MatteErrors:
    """The errors of one picture, all 0 for a perfect matte, none with an upper bound but `mse`."""

    sad: float
    mse: float
    gradient: float
    connectivity: float


def matte_errors(alpha: Picture, truth: Picture, trimap: Picture) -> MatteErrors:
    """Judge one alpha; all uint8 `[H,W]`, unknown wherever the trimap is neither 0 nor 255.

    At least one pixel must be unknown.
    """
    unknown = (trimap != 0) & (trimap != 255)
    made, true = alpha / 255.0, truth / 255.0
    return MatteErrors(
        sad=sad(made, true, unknown),
        mse=mse(made, true, unknown),
        gradient=gradient_error(made, true, unknown),
        connectivity=connectivity_error(made, true, unknown),
    )


def sad(made: NDArray[np.float64], true: NDArray[np.float64], unknown: Unknown) -> float:
    """Sum of absolute differences over the unknown pixels, / 1000."""
    return float(np.abs(made - true)[unknown].sum()) / _PER_THOUSAND


def mse(made: NDArray[np.float64], true: NDArray[np.float64], unknown: Unknown) -> float:
    """Mean squared difference over the unknown pixels."""
    return float(((made - true)[unknown] ** 2).mean())


def gradient_error(made: NDArray[np.float64], true: NDArray[np.float64], unknown: Unknown) -> float:
    """Squared difference of the two gradient magnitudes, summed over the unknown pixels, / 1000.

    Gradients are the alpha's convolutions with the first derivatives of a Gaussian of 1.4 px; the
    mattes go on beyond their border as they end there. Each two-dimensional kernel has a sum of
    squares of 1, as in the benchmark's own program, which the published numbers come from. Unlike
    there, no matte is stretched to 0..1 first: a faint matte would be judged as a full one.
    """
    difference = gradient_magnitude(made) - gradient_magnitude(true)
    return float((difference[unknown] ** 2).sum()) / _PER_THOUSAND


def gradient_magnitude(alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """The length of the Gaussian-smoothed gradient at each pixel."""
    ndimage = needed("scipy.ndimage", "scipy", "The gradient error")
    bell, slope = _gaussian_and_derivative(GRADIENT_SIGMA_PX)
    parts = []
    for first, second in ((slope, bell), (bell, slope)):
        rows = ndimage.convolve1d(alpha, first, axis=0, mode="nearest")
        parts.append(ndimage.convolve1d(rows, second, axis=1, mode="nearest"))
    length: NDArray[np.float64] = np.hypot(*parts)
    return length


def connectivity_error(
    made: NDArray[np.float64], true: NDArray[np.float64], unknown: Unknown
) -> float:
    """Difference of the degrees of connectivity (p = 1), summed over the unknown pixels, / 1000.

    l is the highest of the levels 0, 0.1, ... 1 at which a pixel still belongs to the largest
    4-connected region where both mattes reach the level (once out of it, a pixel stays out); with
    d = alpha - l the degree is 1 - d where d >= theta = 0.15, else 1.
    """
    level = _highest_connected_level(made, true)
    difference = _connectedness(made, level) - _connectedness(true, level)
    return float(np.abs(difference)[unknown].sum()) / _PER_THOUSAND


def _highest_connected_level(
    made: NDArray[np.float64], true: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each pixel the highest level at which it is connected to the largest common region."""
    both = np.minimum(made, true)
    connected = np.ones(both.shape, dtype=bool)
    highest = np.zeros(both.shape)
    for step in range(1, CONNECTIVITY_STEPS + 1):
        level = step / CONNECTIVITY_STEPS
        connected &= _largest_region(both >= level)
        highest[connected] = level
    return highest


def _largest_region(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 4-connected region of true pixels; of equals the first in reading order."""
    ndimage = needed("scipy.ndimage", "scipy", "The connectivity error")
    labels, count = ndimage.label(where)
    if not count:
        return np.zeros(where.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    largest: NDArray[np.bool_] = labels == 1 + int(sizes[1:].argmax())
    return largest


def _connectedness(alpha: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    above = alpha - level
    return 1.0 - above * (above >= CONNECTIVITY_THETA)


def _gaussian_and_derivative(
    sigma: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A Gaussian and its derivative at whole pixels, each with a sum of squares of 1."""
    reach = sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * _GAUSSIAN_EPSILON))
    x = np.arange(-math.ceil(reach), math.ceil(reach) + 1, dtype=np.float64)
    bell = np.exp(-(x**2) / (2 * sigma**2))
    slope = -x * bell
    return bell / np.linalg.norm(bell), slope / np.linalg.norm(slope)
