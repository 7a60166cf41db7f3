"""Deep Image Matting that corrects a first alpha, for small budgets of training and of time.

The network is `SkipMatting` with more to look at: beside picture and trimap the colours of both
sides, continued under the unknown band, and the alpha that these give by projection
(`models/sides.py`). What it gives is added to that alpha's logits, so that it begins where the
projection ends.
"""

import torch
from torch import Tensor, nn

from models.matting_skips import SkipMatting

# Normalised RGB and trimap, as in the paper; the seven of Sides.
IN_CHANNELS = 12

# A first alpha of 0 or 1 is a guess: its logits stay within -3..3.
FIRST_ALPHA_MARGIN = 0.02


class CorrectingMatting(nn.Module):
    """Predict how much of each pixel belongs to the foreground.

    `x [B,11,H,W]`: RGB in 0..1 less ImageNet's mean, over its deviation; trimap/255; first alpha,
    foreground RGB and background RGB, in 0..1. Any height and width of at least 32. Gives alpha
    `[B,1,H,W]` in 0..1; to force the trimap's known regions is left to the caller.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = SkipMatting(width=width, in_channels=IN_CHANNELS)
        self.margin = FIRST_ALPHA_MARGIN

    def forward(self, x: Tensor) -> Tensor:
        first = torch.logit(x[:, 4:5].clamp(self.margin, 1 - self.margin))
        return torch.sigmoid(self.network.logits(x) + first)
