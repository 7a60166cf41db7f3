"""Fill holes before a network sees them: with white, as published, or smoothly.

The smooth fill is there so that a network need only add what is not smooth. It is nearly the
biharmonic one: of all surfaces that meet the known pixels, the one whose Laplacian, squared and
summed, is least (a bent thin plate). It is found from coarse to fine. Each level averages 2x2 known
pixels of the one below; the coarsest fill is enlarged and then bent into shape by some steps of
conjugate gradients (Hestenes and Stiefel 1952), level by level. A few steps suffice, since what is
left to do on a level is only what its coarser one can't show.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Steps on each level. More of them come nearer to the thin plate and further from photos: a plate
# bends on where a photo goes on as it was.
STEPS = 12

# The coarsest level is at most this many pixels wide and high.
COARSEST = 4


class WhiteFill(nn.Module):
    """Fill the hole of each picture with 1, as the published networks were trained to see it.

    Tensors as for `SmoothFill`.
    """

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        return x.masked_fill(hole, 1.0)


class SmoothFill(nn.Module):
    """Fill the hole of each picture smoothly; known pixels stay as they are, to the bit.

    `x [B,C,H,W]` float32 in 0..1, any value in the hole; `hole [B,1,H,W]` bool. Gives `[B,C,H,W]`,
    within 0..1. A picture that is all hole becomes grey 0.5. Any size. Works on the device of `x`.
    """

    def __init__(self, steps: int = STEPS) -> None:
        super().__init__()
        self.steps = steps
        self.coarsest = COARSEST

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        known = (~hole).to(x.dtype)
        pictures = [x * known]
        knowns = [known]
        while max(pictures[-1].size(2), pictures[-1].size(3)) > self.coarsest:
            smaller, weight = _halve(pictures[-1], knowns[-1])
            pictures.append(smaller)
            knowns.append(weight)
        fill = self._start(pictures[-1], knowns[-1])
        for level in range(len(pictures) - 1, -1, -1):
            picture, is_known = pictures[level], knowns[level]
            size = [picture.size(2), picture.size(3)]
            if level < len(pictures) - 1:
                fill = F.interpolate(fill, size=size, mode="bilinear", align_corners=False)
            fill = picture + (1 - is_known) * fill
            fill = _bend(fill, 1 - is_known, self.steps)
        # A thin plate may overshoot what it is fixed to.
        return torch.where(hole, fill.clamp(0.0, 1.0), x)

    def _start(self, picture: Tensor, known: Tensor) -> Tensor:
        """The mean of what is known, everywhere."""
        count = known.sum(dim=[2, 3], keepdim=True)
        mean = picture.sum(dim=[2, 3], keepdim=True) / count.clamp(min=1.0)
        return torch.where(count > 0, mean, torch.full_like(mean, 0.5)).expand_as(picture)


def _halve(picture: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the known pixels of each 2x2 square, and 1 where there was any, else 0."""
    total = F.avg_pool2d(picture, 2, ceil_mode=True, count_include_pad=False)
    weight = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    return total / weight.clamp(min=1e-6), (weight > 0).to(picture.dtype)


def _bend(fill: Tensor, free: Tensor, steps: int) -> Tensor:
    """Lower the sum of squared Laplacians by conjugate gradients, moving only where `free` is 1.

    The system is A = P L L P with L the Laplacian and P the restriction to the hole: symmetric and
    positive, whatever the hole.
    """
    residual = -free * _laplacian(_laplacian(fill))
    direction = residual
    power = _dot(residual, residual)
    for _ in range(steps):
        image = free * _laplacian(_laplacian(direction))
        # Where nothing is left to do the step is 0, not 0/0.
        step = power / _dot(direction, image).clamp(min=1e-20)
        fill = fill + step * direction
        residual = residual - step * image
        next_power = _dot(residual, residual)
        direction = residual + (next_power / power.clamp(min=1e-20)) * direction
        power = next_power
    return fill


def _laplacian(x: Tensor) -> Tensor:
    """Sum of the differences to the four neighbours; the border has no neighbour beyond it."""
    down = x[:, :, 1:] - x[:, :, :-1]
    right = x[:, :, :, 1:] - x[:, :, :, :-1]
    total = F.pad(down, [0, 0, 0, 1])
    total[:, :, 1:] -= down
    total[:, :, :, :-1] += right
    total[:, :, :, 1:] -= right
    return total


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Per picture and channel: `[B,C,1,1]`."""
    return (a * b).sum(dim=[2, 3], keepdim=True)
