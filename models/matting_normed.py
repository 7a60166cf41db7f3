"""Deep Image Matting, first stage (Xu et al., arXiv 1703.03872), normed to the last layer.

The tensors' names and shapes are those of the layout published by foamliu: a VGG16 encoder with
batch norm and five poolings, and a decoder of five convolutions with batch norm and without ReLU,
each after an unpooling with the encoder's indices. Nothing stands between encoder and decoder.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PUBLISHED_WIDTH = 64

# Five poolings halve the picture, rounding down, and the smallest must keep a pixel.
SMALLEST_SIZE = 32

# How far, in pixels, a pixel's influence is carried, at the most: half of each kernel less a half,
# times the distance of the layer's pixels. 2 + 4 + 12 + 24 + 48 in the encoder's convolutions, 15.5
# in its poolings, 15.5 in the unpoolings, 32 + 16 + 8 + 4 + 2 in the decoder's convolutions.
REACH = 183


class NormedMatting(nn.Module):
    """Predict how much of each pixel belongs to the foreground.

    `x [B,in_channels,H,W]`: RGB in 0..1 less ImageNet's mean, over its deviation, and trimap/255.
    Any height and width of at least 32. Gives alpha `[B,1,H,W]` in 0..1; to force the trimap's
    known regions is left to the caller.
    """

    def __init__(self, *, width: int = PUBLISHED_WIDTH, in_channels: int = 4) -> None:
        super().__init__()
        one, two, four, eight = width, 2 * width, 4 * width, 8 * width
        self.down1 = _Down(in_channels, one, convolutions=2)
        self.down2 = _Down(one, two, convolutions=2)
        self.down3 = _Down(two, four, convolutions=3)
        self.down4 = _Down(four, eight, convolutions=3)
        self.down5 = _Down(eight, eight, convolutions=3)
        self.up5 = _Up(eight, eight)
        self.up4 = _Up(eight, four)
        self.up3 = _Up(four, two)
        self.up2 = _Up(two, one)
        self.up1 = _Up(one, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, indices1, size1 = self.down1(x)
        x, indices2, size2 = self.down2(x)
        x, indices3, size3 = self.down3(x)
        x, indices4, size4 = self.down4(x)
        x, indices5, size5 = self.down5(x)
        x = self.up5(x, indices5, size5)
        x = self.up4(x, indices4, size4)
        x = self.up3(x, indices3, size3)
        x = self.up2(x, indices2, size2)
        x = self.up1(x, indices1, size1)
        return torch.sigmoid(x)


class _Down(nn.Module):
    """Two or three convolutions and a pooling: its result, its indices, the size it was given."""

    def __init__(self, in_channels: int, out_channels: int, *, convolutions: int) -> None:
        super().__init__()
        self.conv1 = _Unit(in_channels, out_channels, kernel=3, relu=True)
        self.conv2 = _Unit(out_channels, out_channels, kernel=3, relu=True)
        self.conv3: nn.Module | None = None
        if convolutions == 3:
            self.conv3 = _Unit(out_channels, out_channels, kernel=3, relu=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        x = self.conv2(self.conv1(x))
        if self.conv3 is not None:
            x = self.conv3(x)
        size = [x.size(2), x.size(3)]
        x, indices = F.max_pool2d(x, 2, return_indices=True)
        return x, indices, size


class _Up(nn.Module):
    """An unpooling to a size, and a convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _Unit(in_channels, out_channels, kernel=5, relu=False)

    def forward(self, x: Tensor, indices: Tensor, size: list[int]) -> Tensor:
        # The operator itself, since F.max_unpool2d with an output size can't be exported.
        x = torch.ops.aten.max_unpool2d(x, indices, size)
        y: Tensor = self.conv(x)
        return y


class _Unit(nn.Module):
    """Convolution, batch norm and perhaps ReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, relu: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2),
            nn.BatchNorm2d(out_channels),
        ]
        if relu:
            layers.append(nn.ReLU())
        self.cbr_unit = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cbr_unit(x)
        return y
