"""Continue both sides' colours under a trimap's unknown band, and read first alphas off them.

Where the colours F and B of foreground and background are known, I = alpha F + (1 - alpha) B gives
alpha by projection: (I - B).(F - B) / |F - B|^2 (Chuang et al. 2001). Here F and B are
guessed by filling each side smoothly. That is wrong where a side is not smooth, so it is the guess
from which alpha is carried along colour lines (`models/colour_lines.py`). A network corrects the
result.
"""

import torch
from torch import Tensor, nn

from models.colour_lines import ColourLines
from models.prefill import SmoothFill

# The colours go through a network and need no thin plate; each step costs as much as a convolution.
STEPS = 2

# Keeps the first alpha near 1/2 where both sides have nearly one colour: (3 of 255)^2 a channel.
COLOUR_NOISE = 3 * (3 / 255) ** 2


class Sides(nn.Module):
    """Guess both sides' colours everywhere, and alpha in two ways.

    `image [B,3,H,W]` float32 in 0..1; `trimap [B,1,H,W]` float32: 0 background, 1 foreground,
    anything between unknown. Gives `[B,8,H,W]` float32 in 0..1: alpha along colour lines, alpha by
    projection, foreground RGB, background RGB. Both alphas are the trimap where that is sure; a
    side of which nothing is known is grey.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fill = SmoothFill(STEPS)
        self.noise = COLOUR_NOISE
        self.lines = ColourLines()

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        foreground = self.fill(image, trimap < 1)
        background = self.fill(image, trimap > 0)
        across = foreground - background
        along = ((image - background) * across).sum(dim=1, keepdim=True)
        square = (across * across).sum(dim=1, keepdim=True)
        alpha = ((along + self.noise / 2) / (square + self.noise)).clamp(0.0, 1.0)
        unknown = (trimap > 0) & (trimap < 1)
        alpha = torch.where(unknown, alpha, trimap)
        lines = self.lines(image, trimap, alpha)
        return torch.cat([lines, alpha, foreground, background], dim=1)
