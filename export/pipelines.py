"""Pixels in, pixels out: a network with all that stands before and after it, scriptable.

Every module here takes uint8 tensors and gives uint8 tensors, at any height, width and batch, on
the device where its weights are. The formulas are those of the public test scripts, listed in
docs/networks.md. A picture whose size the network can't take is extended at its right and bottom
edge by repeating the last column and row, and the result is cropped back.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import edgeconnect, matting
from models.canny import Canny, luma
from models.prefill import SmoothFill, WhiteFill
from models.sides import Sides

# The Gaussian of EdgeConnect's edge maps, in pixels.
CANNY_SIGMA = 2.0


class InPrecision(nn.Module):
    """Run a network in float32, float16 or bfloat16, with float32 outside."""

    like: Tensor

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype=dtype)
        # A tensor says its dtype to TorchScript, and moves between devices with the weights.
        self.register_buffer("like", torch.zeros((), dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x.to(self.like.dtype))
        return y.to(torch.float32)


class EdgeMap(nn.Module):
    """Stage 1: the edges of a picture, those in the hole drawn by the edge generator.

    `image` uint8 `[B,3,H,W]` RGB; `mask` uint8 `[B,1,H,W]`, 0 keep, anything else hole. Gives uint8
    `[B,1,H,W]`: the Canny edges, 0 or 255, and in the hole the likelihood of an edge times 255.
    """

    def __init__(self, edge_network: nn.Module, *, smooth: bool = False) -> None:
        super().__init__()
        self.canny = Canny(CANNY_SIGMA)
        self.fill = SmoothFill() if smooth else WhiteFill()
        self.smooth = smooth
        self.edge_network = edge_network
        self.multiple = edgeconnect.SIZE_MULTIPLE
        self.least = edgeconnect.SMALLEST_SIZE

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hole = mask != 0
        grey = _grey(image)
        canny = self.canny(grey, ~hole).to(torch.float32)
        pad = _padding(image, self.multiple, self.least)
        filled_grey = self.fill(grey.to(torch.float32), hole)
        edges = self.edge_network(_edge_input(filled_grey, canny, hole, pad))
        return _merge(_crop(edges, image), hole, canny.to(torch.uint8) * 255, self.smooth)


class InpaintAlongCanny(nn.Module):
    """Stage 2: a hole filled by the inpaint generator alone, with no edges in the hole.

    `image` and `mask` as for `EdgeMap`. Gives uint8 `[B,3,H,W]` RGB; pixels outside the hole are
    those of `image`.
    """

    def __init__(self, inpaint_network: nn.Module, *, smooth: bool = False) -> None:
        super().__init__()
        self.canny = Canny(CANNY_SIGMA)
        self.fill = SmoothFill() if smooth else WhiteFill()
        self.smooth = smooth
        self.inpaint_network = inpaint_network
        self.multiple = edgeconnect.SIZE_MULTIPLE
        self.least = edgeconnect.SMALLEST_SIZE

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hole = mask != 0
        canny = self.canny(_grey(image), ~hole).to(torch.float32)
        pad = _padding(image, self.multiple, self.least)
        edges = F.pad(canny, pad, mode="replicate")
        filled = self.fill(_rgb(image), hole)
        made = self.inpaint_network(_inpaint_input(filled, edges, hole, pad, self.smooth))
        return _merge(_crop(made, image), hole, image, self.smooth)


class InpaintAlongDrawnEdges(nn.Module):
    """Stage 3: a hole filled along the edges that the edge generator draws.

    `image` and `mask` as for `EdgeMap`. Gives uint8 `[B,3,H,W]` RGB; pixels outside the hole are
    those of `image`. As in the public test script the inpaint generator sees the edge generator's
    own output for the whole picture, not merged with the Canny edges.
    """

    def __init__(
        self, edge_network: nn.Module, inpaint_network: nn.Module, *, smooth: bool = False
    ) -> None:
        super().__init__()
        self.canny = Canny(CANNY_SIGMA)
        self.fill = SmoothFill() if smooth else WhiteFill()
        self.smooth = smooth
        self.edge_network = edge_network
        self.inpaint_network = inpaint_network
        self.multiple = edgeconnect.SIZE_MULTIPLE
        self.least = edgeconnect.SMALLEST_SIZE

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hole = mask != 0
        grey = _grey(image)
        canny = self.canny(grey, ~hole).to(torch.float32)
        pad = _padding(image, self.multiple, self.least)
        filled_grey = self.fill(grey.to(torch.float32), hole)
        edges = self.edge_network(_edge_input(filled_grey, canny, hole, pad))
        filled = self.fill(_rgb(image), hole)
        made = self.inpaint_network(_inpaint_input(filled, edges, hole, pad, self.smooth))
        return _merge(_crop(made, image), hole, image, self.smooth)


class Matte(nn.Module):
    """Deep Image Matting: how much of each pixel belongs to the foreground.

    `image` uint8 `[B,3,H,W]` RGB; `trimap` uint8 `[B,1,H,W]`: 0 background, 255 foreground, any
    other value unknown, and taken as 128. Gives uint8 `[B,1,H,W]`, truncated from alpha times
    255; exactly 0 and 255 where the trimap knows. A network that corrects a first alpha is given
    `sides`. `least` is the smallest height and width that the network takes, and `multiple` what
    both must be multiples of.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        multiple: int = 1,
        least: int = matting.SMALLEST_SIZE,
        sides: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.least = least
        self.sides = Sides() if sides else None
        self.register_buffer("mean", torch.tensor(matting.IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(matting.IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        unknown = (trimap != 0) & (trimap != 255)
        hint = trimap.masked_fill(unknown, 128).to(torch.float32) / 255
        seen = [(_rgb(image) - self.mean) / self.std, hint]
        if self.sides is not None:
            seen.append(self.sides(_rgb(image), hint))
        pad = _padding(image, self.multiple, self.least)
        x = F.pad(torch.cat(seen, dim=1), pad, mode="replicate")
        return _merge(_crop(self.network(x), image), unknown, trimap, self.sides is not None)


def _grey(image: Tensor) -> Tensor:
    """Luma of uint8 RGB, float64 `[B,1,H,W]` in 0..1."""
    return luma(image.to(torch.float64)) / 255


def _rgb(image: Tensor) -> Tensor:
    """float32 in 0..1."""
    return image.to(torch.float32) / 255


def _edge_input(filled_grey: Tensor, canny: Tensor, hole: Tensor, pad: list[int]) -> Tensor:
    """`[B,3,H',W']`: grey with the hole filled; Canny edges, none in the hole; the hole."""
    x = torch.cat([filled_grey, canny.masked_fill(hole, 0.0), hole.to(torch.float32)], dim=1)
    return F.pad(x, pad, mode="replicate")


def _inpaint_input(
    filled: Tensor, edges: Tensor, hole: Tensor, pad: list[int], shows_hole: bool
) -> Tensor:
    """`[B,4,H',W']`: RGB with the hole filled; edges, which have the padded size already.

    `[B,5,H',W']` where a network needs to be shown the hole, which white shows by itself.
    """
    x = [F.pad(filled, pad, mode="replicate"), edges]
    if shows_hole:
        x.append(F.pad(hole.to(torch.float32), pad, mode="replicate"))
    return torch.cat(x, dim=1)


def _padding(image: Tensor, multiple: int, least: int) -> list[int]:
    """What F.pad must add at the right and the bottom for a size that the network takes."""
    height, width = image.size(2), image.size(3)
    more_height = max((height + multiple - 1) // multiple * multiple, least) - height
    more_width = max((width + multiple - 1) // multiple * multiple, least) - width
    return [0, more_width, 0, more_height]


def _crop(x: Tensor, image: Tensor) -> Tensor:
    return x[:, :, : image.size(2), : image.size(3)]


def _merge(made: Tensor, where: Tensor, known: Tensor, rounds: bool) -> Tensor:
    """In `where`, `made` (float, clamped to 0..1) times 255; elsewhere the bytes of `known`.

    The published scripts truncate; a network of our own `rounds`.
    """
    levels = made.clamp(0.0, 1.0) * 255
    if rounds:
        levels = levels + 0.5
    return torch.where(where, levels.to(torch.uint8), known)
