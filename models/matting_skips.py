"""Deep Image Matting (Xu et al., arXiv 1703.03872) on a plain VGG16, with skips and refinement.

The tensors' names and shapes are those of the layout published by huochaitiantang: an encoder of 14
convolutions and 5 poolings without batch norm, a decoder that unpools with the encoder's indices
and adds the encoder's features of the same size, and the paper's small refinement stage.

Three generations of files share the names. The oldest have a 1x1 kernel in `conv6_1`; the later
ones 3x3; the newest, of the same shapes, were trained with the skips. The published refined file is
of the oldest.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PUBLISHED_WIDTH = 64

# Five poolings halve the picture, rounding down, and the smallest must keep a pixel.
SMALLEST_SIZE = 32

# The public code takes no other size. Here others run too: what is unpooled gets the size that was
# pooled.
SIZE_MULTIPLE = 32

# How far, in pixels, a pixel's influence is carried, at the most: half of each kernel less a half,
# times the distance of the layer's pixels. 2 + 4 + 12 + 24 + 48 in the encoder's convolutions, 15.5
# in its poolings, 32 in conv6_1, 15.5 in the unpoolings, 32 + 16 + 8 + 4 + 2 in the decoder's
# convolutions, 2 at the end.
REACH = 217

# Four more convolutions of 3x3.
REFINED_REACH = REACH + 4


class SkipMatting(nn.Module):
    """Predict how much of each pixel belongs to the foreground.

    `x [B,in_channels,H,W]`: RGB in 0..1 less ImageNet's mean, over its deviation, and trimap/255.
    Any height and width of at least 32. Gives alpha `[B,1,H,W]` in 0..1; to force the trimap's
    known regions is left to the caller.

    Without `skips` nothing of the encoder is added in the decoder; the tensors are the same.
    With `refine`, four more convolutions see the first three channels of `x` and the alpha so far,
    in 0..1, and what they give is added to that alpha's logits. The published file of this kind
    is of stage 2, trained without the skips.
    """

    refine: Final[bool]

    def __init__(
        self,
        *,
        width: int = PUBLISHED_WIDTH,
        in_channels: int = 4,
        skips: bool = True,
        refine: bool = False,
        bottom_kernel: int = 3,
    ) -> None:
        super().__init__()
        self.skips = skips
        self.refine = refine
        one, two, four, eight = width, 2 * width, 4 * width, 8 * width
        self.conv1_1 = _conv(in_channels, one, 3)
        self.conv1_2 = _conv(one, one, 3)
        self.conv2_1 = _conv(one, two, 3)
        self.conv2_2 = _conv(two, two, 3)
        self.conv3_1 = _conv(two, four, 3)
        self.conv3_2 = _conv(four, four, 3)
        self.conv3_3 = _conv(four, four, 3)
        self.conv4_1 = _conv(four, eight, 3)
        self.conv4_2 = _conv(eight, eight, 3)
        self.conv4_3 = _conv(eight, eight, 3)
        self.conv5_1 = _conv(eight, eight, 3)
        self.conv5_2 = _conv(eight, eight, 3)
        self.conv5_3 = _conv(eight, eight, 3)
        self.conv6_1 = _conv(eight, eight, bottom_kernel)
        self.deconv6_1 = _conv(eight, eight, 1)
        self.deconv5_1 = _conv(eight, eight, 5)
        self.deconv4_1 = _conv(eight, four, 5)
        self.deconv3_1 = _conv(four, two, 5)
        self.deconv2_1 = _conv(two, one, 5)
        self.deconv1_1 = _conv(one, one, 5)
        self.deconv1 = _conv(one, 1, 5)
        if refine:
            self.refine_conv1 = _conv(4, one, 3)
            self.refine_conv2 = _conv(one, one, 3)
            self.refine_conv3 = _conv(one, one, 3)
            self.refine_pred = _conv(one, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(x))

    def logits(self, x: Tensor) -> Tensor:
        """Alpha before the sigmoid, `[B,1,H,W]`, for `x` as above."""
        bottom, encoded, indices = self._encode(x)
        logits = self._decode(bottom, encoded, indices)
        if self.refine:
            logits = logits + self._refinement(x, torch.sigmoid(logits))
        return logits

    def _encode(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The features at a 32nd of the size; those before each pooling; the poolings' indices."""
        x12 = F.relu(self.conv1_2(F.relu(self.conv1_1(x))))
        x, indices1 = F.max_pool2d(x12, 2, return_indices=True)
        x22 = F.relu(self.conv2_2(F.relu(self.conv2_1(x))))
        x, indices2 = F.max_pool2d(x22, 2, return_indices=True)
        x33 = F.relu(self.conv3_3(F.relu(self.conv3_2(F.relu(self.conv3_1(x))))))
        x, indices3 = F.max_pool2d(x33, 2, return_indices=True)
        x43 = F.relu(self.conv4_3(F.relu(self.conv4_2(F.relu(self.conv4_1(x))))))
        x, indices4 = F.max_pool2d(x43, 2, return_indices=True)
        x53 = F.relu(self.conv5_3(F.relu(self.conv5_2(F.relu(self.conv5_1(x))))))
        x, indices5 = F.max_pool2d(x53, 2, return_indices=True)
        bottom = F.relu(self.deconv6_1(F.relu(self.conv6_1(x))))
        encoded = [x12, x22, x33, x43, x53]
        return bottom, encoded, [indices1, indices2, indices3, indices4, indices5]

    def _decode(self, x: Tensor, encoded: list[Tensor], indices: list[Tensor]) -> Tensor:
        """The logits of alpha, `[B,1,H,W]`."""
        x = F.relu(self.deconv5_1(self._unpool(x, indices[4], encoded[4])))
        x = F.relu(self.deconv4_1(self._unpool(x, indices[3], encoded[3])))
        x = F.relu(self.deconv3_1(self._unpool(x, indices[2], encoded[2])))
        x = F.relu(self.deconv2_1(self._unpool(x, indices[1], encoded[1])))
        x = F.relu(self.deconv1_1(self._unpool(x, indices[0], encoded[0])))
        logits: Tensor = self.deconv1(x)
        return logits

    def _unpool(self, x: Tensor, indices: Tensor, encoded: Tensor) -> Tensor:
        # The operator itself, since F.max_unpool2d with an output size can't be exported.
        x = torch.ops.aten.max_unpool2d(x, indices, [encoded.size(2), encoded.size(3)])
        return x + encoded if self.skips else x

    def _refinement(self, x: Tensor, alpha: Tensor) -> Tensor:
        """What is to be added to the logits."""
        y = F.relu(self.refine_conv1(torch.cat([x[:, :3], alpha], dim=1)))
        y = F.relu(self.refine_conv2(y))
        y = F.relu(self.refine_conv3(y))
        logits: Tensor = self.refine_pred(y)
        return logits


def _conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
