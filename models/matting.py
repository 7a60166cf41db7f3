"""Deep Image Matting, first stage (Xu et al., arXiv 1703.03872), on a VGG16 with batch norm.

An encoder of 13 convolutions and 4 poolings, and a small decoder that unpools with the encoder's
indices. The tensors' names and shapes are those of the layout published by Shirhe-Lyh
(`_head_conv`, `_feature_extractor`, `_decode_layers`, `_final_conv`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PUBLISHED_WIDTH = 64

# Four poolings halve the picture, rounding down, and the smallest must keep a pixel.
SMALLEST_SIZE = 16

# ImageNet's mean and deviation of RGB in 0..1, on which VGG16 was trained. Every layout's input.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# How far, in pixels, a pixel's influence is carried, at the most: half of each kernel less a half,
# times the distance of the layer's pixels. 2 in the head, 2 + 4 + 12 + 24 + 48 in the encoder's
# convolutions and 7.5 in its poolings, 32 + 16 + 8 + 4 + 2 in the decoder's convolutions and 7.5 in
# its unpoolings, 2 at the end.
REACH = 171

# Channels in multiples of the width; a pooling stands between the groups.
_ENCODER = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
_DECODER = (8, 4, 2, 1, 1)


class DeepImageMatting(nn.Module):
    """Predict how much of each pixel belongs to the foreground.

    `x [B,4,H,W]`: RGB in 0..1 less ImageNet's mean, over its deviation, and trimap/255. Any height
    and width of at least 16. Gives alpha `[B,1,H,W]` in 0..1; to force the trimap's known regions
    is left to the caller.
    """

    def __init__(self, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        self._head_conv = nn.Conv2d(4, 3, 5, padding=2)
        self._feature_extractor = PoolingEncoder(width)
        layers: list[nn.Module] = []
        channels = _ENCODER[-1][-1] * width
        for multiple in _DECODER:
            if layers:
                layers.append(nn.Identity())  # keeps the unpooling's number; see forward
            layers += _conv_norm_relu(channels, multiple * width, kernel=5)
            channels = multiple * width
        self._decode_layers = nn.ModuleList(layers)
        self._final_conv = nn.Conv2d(channels, 1, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        x, indices, heights, widths = self._feature_extractor(self._head_conv(x))
        for number, layer in enumerate(self._decode_layers):
            if number % 4 == 3:
                # Each value goes back to where the pooling of this level found its maximum. The
                # operator itself, since F.max_unpool2d with an output size can't be exported.
                size = [heights.pop(), widths.pop()]
                x = torch.ops.aten.max_unpool2d(x, indices.pop(), size)
            else:
                x = layer(x)
        y: Tensor = self._final_conv(x)
        return torch.sigmoid(y)


class PoolingEncoder(nn.Module):
    """Shrink a picture by 16, and remember where each maximum came from.

    `x [B,3,H,W]` -> features `[B,8*width,H//16,W//16]` and, for each pooling, outermost first, its
    indices and the height and width that it was given. The layers are numbered 0 to 42 as in
    torchvision's `vgg16_bn().features`, whose weights fit at width 64.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._poolings: list[int] = []
        channels = 3
        for group in _ENCODER:
            if layers:
                self._poolings.append(len(layers))
                layers.append(nn.Identity())  # keeps the pooling's number; see forward
            for multiple in group:
                layers += _conv_norm_relu(channels, multiple * width, kernel=3)
                channels = multiple * width
        self.features = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[int], list[int]]:
        indices: list[Tensor] = []
        heights: list[int] = []
        widths: list[int] = []
        for number, layer in enumerate(self.features):
            if number in self._poolings:
                heights.append(x.size(2))
                widths.append(x.size(3))
                x, where = F.max_pool2d(x, 2, return_indices=True)
                indices.append(where)
            else:
                x = layer(x)
        return x, indices, heights, widths


def _conv_norm_relu(in_channels: int, out_channels: int, *, kernel: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]
