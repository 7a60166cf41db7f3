"""How far a filled hole is from what was there: L1, PSNR and SSIM.

Both over the hole's own pixels, where methods differ, and over the whole composed picture, as the
field reports it; the second is flattered by every pixel that was never missing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.methods import Picture, needed

WHITE = 255.0

# Wang, Bovik, Sheikh and Simoncelli 2004 (IEEE TIP 13(4)), section III.B: an 11 x 11 window with
# Gaussian weights of 1.5 px; K1 = 0.01 and K2 = 0.03 are scikit-image's defaults too.
SSIM_SIGMA_PX = 1.5

# Smaller pictures have no room for SSIM's window.
SMALLEST_SIDE_PX = 11


@dataclass(frozen=True)
class FillErrors:
    """The errors of one picture. L1 in grey levels of 255, PSNR in dB, SSIM -1..1.

    `_hole`: over the hole's pixels and their three channels. `_whole`: over the composed picture.
    PSNR is infinite where nothing differs.
    """

    l1_hole: float
    psnr_hole: float
    ssim_hole: float
    psnr_whole: float
    ssim_whole: float


def fill_errors(filled: Picture, truth: Picture, hole: Picture) -> FillErrors:
    """Judge one filled picture; `filled` and `truth` uint8 `[H,W,3]`, `hole [H,W]` not empty."""
    inside = hole > 0
    difference = filled.astype(np.float64) - truth.astype(np.float64)
    whole, every_pixel = structural_similarity(filled, truth)
    return FillErrors(
        l1_hole=float(np.abs(difference[inside]).mean()),
        psnr_hole=psnr(float((difference[inside] ** 2).mean())),
        ssim_hole=float(every_pixel[inside].mean()),
        psnr_whole=psnr(float((difference**2).mean())),
        ssim_whole=whole,
    )


def psnr(mean_square: float) -> float:
    """10 log10(255^2 / MSE), in dB; infinite for no error."""
    return 10 * math.log10(WHITE**2 / mean_square) if mean_square else math.inf


def structural_similarity(a: Picture, b: Picture) -> tuple[float, NDArray[np.float64]]:
    """SSIM of two pictures `[H,W,3]`: its mean, and its value at every pixel `[H,W]`.

    scikit-image's, with the paper's Gaussian weights, population covariances, on each channel
    alone, then averaged. The mean leaves out a border of 5 px, where the window hangs over; the
    values at every pixel have the picture mirrored there.
    """
    metrics = needed("skimage.metrics", "scikit-image", "SSIM")
    mean, every_value = metrics.structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=SSIM_SIGMA_PX,
        use_sample_covariance=False,
        data_range=WHITE,
        channel_axis=-1,
        full=True,
    )
    return float(mean), every_value.mean(axis=-1)
