"""Canny's edge detector as scikit-image defines it, as a scriptable torch module for any device.

EdgeConnect's networks were trained on the edges of `skimage.feature.canny`, so its choices are
followed to the bit where float64 arithmetic allows: the order of each sum is scipy's, because on
symmetric edges two neighbours tie and one rounding decides which of them stays.

The steps (Canny 1986, as `skimage.feature.canny` 0.26 has them at its default thresholds):

1. Gaussian of the picture with unknown pixels set to 0, divided by the Gaussian of the known
   pixels' indicator plus the machine epsilon: an average over what is known. Outside is 0 in both.
2. Sobel derivatives with unit weights 1-2-1, borders repeated; their norm is the magnitude.
3. A pixel stays if its 3x3 neighbourhood is known and inside the picture, its magnitude is at
   least 0.1, and no magnitude one step along the gradient, either way, is larger; a step that
   ends between two of the eight neighbours interpolates between them.
4. Of the 8-connected groups of what stays, those with a pixel of at least 0.2 are edges.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# scikit-image hands its low threshold over as a float32, which is a little more than 0.1.
LOW_THRESHOLD = 0.10000000149011612
HIGH_THRESHOLD = 0.2

# scipy cuts the Gaussian off at this many standard deviations.
TRUNCATE = 4.0


def luma(rgb: Tensor) -> Tensor:
    """Grey as scikit-image weighs it: `[B,3,H,W]` -> `[B,1,H,W]`, range and dtype as `rgb`'s."""
    return 0.2125 * rgb[:, 0:1] + 0.7154 * rgb[:, 1:2] + 0.0721 * rgb[:, 2:3]


class Canny(nn.Module):
    """Find the edges of grey pictures, each of a batch as if alone.

    `grey [B,1,H,W]`, float in 0..1; `known [B,1,H,W]` bool, false where the picture is unknown.
    Gives bool `[B,1,H,W]`. Works in float64 on the device of `grey`, at any size. `sigma` is the
    Gaussian's standard deviation in pixels.
    """

    def __init__(self, sigma: float = 2.0) -> None:
        super().__init__()
        self.weights = _gaussian(sigma)
        # TorchScript sees attributes, not a module's globals.
        self.low = LOW_THRESHOLD
        self.high = HIGH_THRESHOLD
        self.epsilon = sys.float_info.epsilon

    def forward(self, grey: Tensor, known: Tensor) -> Tensor:
        known_f = known.to(torch.float64)
        smooth = self._blur(grey.to(torch.float64) * known_f)
        smooth = smooth / (self._blur(known_f) + self.epsilon)
        vertical, horizontal = _sobel(smooth, 2), _sobel(smooth, 3)
        magnitude = torch.sqrt(vertical * vertical + horizontal * horizontal)

        # From here on only the few pixels that may be edges count: flat indices into the batch.
        # None lies on a border, so an index plus or minus a row or a column is a neighbour.
        row = magnitude.size(3)
        may_be = _interior(known) & (magnitude >= self.low)
        at = torch.nonzero(may_be.flatten())[:, 0]
        at = _thin(at, vertical.flatten(), horizontal.flatten(), magnitude.flatten(), row)
        at = _hysteresis(at, magnitude.flatten() >= self.high, row)
        edges = torch.zeros(magnitude.numel(), dtype=torch.bool, device=grey.device)
        edges[at] = True
        return edges.view(magnitude.shape)

    def _blur(self, x: Tensor) -> Tensor:
        """Gaussian down the columns, then along the rows; zeros outside."""
        for dim in [2, 3]:
            radius = len(self.weights) - 1
            size = x.size(dim)
            padding = [0, 0, radius, radius] if dim == 2 else [radius, radius, 0, 0]
            padded = F.pad(x, padding)
            total = x * self.weights[0]
            # From the outermost pair to the innermost, as scipy sums; slices and not a
            # convolution, whose order of summation is the device's and the batch's affair.
            for step in range(radius, 0, -1):
                before = padded.narrow(dim, radius - step, size)
                after = padded.narrow(dim, radius + step, size)
                total = total + (before + after) * self.weights[step]
            x = total
        return x


def reach(sigma: float) -> int:
    """How far, in pixels, a pixel has a say in whether another may be an edge.

    The Gaussian, one for the derivative, one for the comparison. Hysteresis goes along an edge as
    far as the edge goes.
    """
    return _radius(sigma) + 2


def _radius(sigma: float) -> int:
    return int(TRUNCATE * sigma + 0.5)


def _gaussian(sigma: float) -> list[float]:
    """Weights from the centre outwards, of a Gaussian that sums to 1 over both sides."""
    radius = _radius(sigma)
    steps = np.arange(-radius, radius + 1)
    # numpy, as in scipy: its exponential and its order of summation decide the last bit.
    bell = np.exp(-0.5 / (sigma * sigma) * steps**2)
    weights: list[float] = (bell / bell.sum())[radius:].tolist()
    return weights


def _sobel(x: Tensor, dim: int) -> Tensor:
    """Derivative along `dim` (2 or 3), smoothed 1-2-1 along the other; borders repeated."""
    other = 5 - dim
    padded = F.pad(x, [1, 1, 1, 1], mode="replicate")
    size = x.size(dim)
    slope = padded.narrow(dim, 2, size) - padded.narrow(dim, 0, size)
    size = x.size(other)
    sides = slope.narrow(other, 0, size) + slope.narrow(other, 2, size)
    return slope.narrow(other, 1, size) * 2.0 + sides


def _interior(known: Tensor) -> Tensor:
    """True where a pixel and its eight neighbours are known and inside the picture."""
    unknown = F.pad((~known).to(torch.float32), [1, 1, 1, 1], value=1.0)
    return F.max_pool2d(unknown, 3, stride=1) == 0


def _thin(at: Tensor, vertical: Tensor, horizontal: Tensor, magnitude: Tensor, row: int) -> Tensor:
    """Keep those of the flat indices `at` that are no less than both steps along the gradient."""
    v, h, here = vertical[at], horizontal[at], magnitude[at]
    steep = v.abs() > h.abs()
    part = torch.where(steep, h.abs(), v.abs()) / torch.where(steep, v.abs(), h.abs())
    # One step along the gradient lies between a straight neighbour and a diagonal one. Going
    # right or, where steep, towards the row at which the diagonal lies on the right:
    down = (v >= 0) == (h >= 0)
    to_row = torch.where(down, row, -row)
    straight = torch.where(steep, to_row, 1)
    diagonal = to_row + 1
    ahead = magnitude[at + diagonal] * part + magnitude[at + straight] * (1.0 - part)
    behind = magnitude[at - diagonal] * part + magnitude[at - straight] * (1.0 - part)
    return at[(ahead <= here) & (behind <= here)]


def _hysteresis(at: Tensor, strong: Tensor, row: int) -> Tensor:
    """Keep those of the flat indices `at` whose 8-connected group holds one that is `strong`.

    Groups are found by linking each pixel to the least of its group, with pointer jumping (FastSV,
    Zhang, Azad and Hu 2020): an edge of any length takes a few rounds, not one round a pixel.
    """
    count = at.numel()
    number = torch.full([strong.numel()], -1, dtype=torch.int64, device=at.device)
    number[at] = torch.arange(count, device=at.device)
    ones: list[Tensor] = []
    others: list[Tensor] = []
    for step in [1, row - 1, row, row + 1]:
        neighbour = number[at + step]
        linked = torch.nonzero(neighbour >= 0)[:, 0]
        ones += [linked, neighbour[linked]]
        others += [neighbour[linked], linked]
    one, other = torch.cat(ones), torch.cat(others)

    parent = torch.arange(count, device=at.device)
    grand = parent
    changed = True
    while changed:
        least = grand[other]
        linked_to = parent.scatter_reduce(0, parent[one], least, "amin")
        linked_to = linked_to.scatter_reduce(0, one, least, "amin")
        parent = torch.minimum(linked_to, grand)
        was = grand
        grand = parent[parent]
        changed = not torch.equal(grand, was)

    good = torch.zeros(count, dtype=torch.bool, device=at.device)
    good[grand[strong[at]]] = True
    return at[good[grand]]
