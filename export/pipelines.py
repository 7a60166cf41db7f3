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
from models.canny import Canny

# The Gaussian of EdgeConnect's edge maps, in pixels.
CANNY_SIGMA = 2.0

# ImageNet's mean and deviation of RGB in 0..1, on which VGG16 was trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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

    def __init__(self, edge_network: nn.Module) -> None:
        super().__init__()
        self.canny = Canny(CANNY_SIGMA)
        self.edge_network = edge_network
        self.multiple = edgeconnect.SIZE_MULTIPLE
        self.least = edgeconnect.SMALLEST_SIZE

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hole = mask != 0
        grey = _grey(image)
        canny = self.canny(grey, ~hole).to(torch.float32)
        pad = _padding(image, self.multiple, self.least)
        edges = self.edge_network(_edge_input(grey, canny, hole, pad))
        return _merge(_crop(edges, image), hole, canny.to(torch.uint8) * 255)


class InpaintAlongCanny(nn.Module):
    """Stage 2: a hole filled by the inpaint generator alone, with no edges in the hole.

    `image` and `mask` as for `EdgeMap`. Gives uint8 `[B,3,H,W]` RGB; pixels outside the hole are
    those of `image`.
    """

    def __init__(self, inpaint_network: nn.Module) -> None:
        super().__init__()
        self.canny = Canny(CANNY_SIGMA)
        self.inpaint_network = inpaint_network
        self.multiple = edgeconnect.SIZE_MULTIPLE
        self.least = edgeconnect.SMALLEST_SIZE

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hole = mask != 0
        canny = self.canny(_grey(image), ~hole).to(torch.float32)
        pad = _padding(image, self.multiple, self.least)
        edges = F.pad(canny, pad, mode="replicate")
        filled = self.inpaint_network(_inpaint_input(image, edges, hole, pad))
        return _merge(_crop(filled, image), hole, image)


class InpaintAlongDrawnEdges(nn.Module):
    """Stage 3: a hole filled along the edges that the edge generator draws.

    `image` and `mask` as for `EdgeMap`. Gives uint8 `[B,3,H,W]` RGB; pixels outside the hole are
    those of `image`. As in the public test script the inpaint generator sees the edge generator's
    own output for the whole picture, not merged with the Canny edges.
    """

    def __init__(self, edge_network: nn.Module, inpaint_network: nn.Module) -> None:
        super().__init__()
        self.canny = Canny(CANNY_SIGMA)
        self.edge_network = edge_network
        self.inpaint_network = inpaint_network
        self.multiple = edgeconnect.SIZE_MULTIPLE
        self.least = edgeconnect.SMALLEST_SIZE

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        hole = mask != 0
        grey = _grey(image)
        canny = self.canny(grey, ~hole).to(torch.float32)
        pad = _padding(image, self.multiple, self.least)
        edges = self.edge_network(_edge_input(grey, canny, hole, pad))
        filled = self.inpaint_network(_inpaint_input(image, edges, hole, pad))
        return _merge(_crop(filled, image), hole, image)


class Matte(nn.Module):
    """Deep Image Matting: how much of each pixel belongs to the foreground.

    `image` uint8 `[B,3,H,W]` RGB; `trimap` uint8 `[B,1,H,W]`: 0 background, 255 foreground, any
    other value unknown, and taken as 128. Gives uint8 `[B,1,H,W]`, truncated from alpha times
    255; exactly 0 and 255 where the trimap knows.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.least = matting.SMALLEST_SIZE
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        unknown = (trimap != 0) & (trimap != 255)
        normal = (image.to(torch.float32) / 255 - self.mean) / self.std
        hint = trimap.masked_fill(unknown, 128).to(torch.float32) / 255
        pad = _padding(image, 1, self.least)
        x = F.pad(torch.cat([normal, hint], dim=1), pad, mode="replicate")
        return _merge(_crop(self.network(x), image), unknown, trimap)


def _grey(image: Tensor) -> Tensor:
    """Luma as scikit-image weighs it: float64 `[B,1,H,W]` in 0..1."""
    x = image.to(torch.float64)
    return (0.2125 * x[:, 0:1] + 0.7154 * x[:, 1:2] + 0.0721 * x[:, 2:3]) / 255


def _edge_input(grey: Tensor, canny: Tensor, hole: Tensor, pad: list[int]) -> Tensor:
    """`[B,3,H',W']`: grey, white in the hole; Canny edges, none in the hole; the hole."""
    white = grey.to(torch.float32).masked_fill(hole, 1.0)
    x = torch.cat([white, canny.masked_fill(hole, 0.0), hole.to(torch.float32)], dim=1)
    return F.pad(x, pad, mode="replicate")


def _inpaint_input(image: Tensor, edges: Tensor, hole: Tensor, pad: list[int]) -> Tensor:
    """`[B,4,H',W']`: RGB, white in the hole; edges, which have the padded size already."""
    white = (image.to(torch.float32) / 255).masked_fill(hole, 1.0)
    return torch.cat([F.pad(white, pad, mode="replicate"), edges], dim=1)


def _padding(image: Tensor, multiple: int, least: int) -> list[int]:
    """What F.pad must add at the right and the bottom for a size that the network takes."""
    height, width = image.size(2), image.size(3)
    more_height = max((height + multiple - 1) // multiple * multiple, least) - height
    more_width = max((width + multiple - 1) // multiple * multiple, least) - width
    return [0, more_width, 0, more_height]


def _crop(x: Tensor, image: Tensor) -> Tensor:
    return x[:, :, : image.size(2), : image.size(3)]


def _merge(made: Tensor, where: Tensor, known: Tensor) -> Tensor:
    """In `where`, `made` (float in 0..1) times 255, truncated; elsewhere the bytes of `known`."""
    return torch.where(where, (made * 255).to(torch.uint8), known)
