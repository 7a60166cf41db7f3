"""EdgeConnect's three networks: edges first, then colours (Nazeri et al., arXiv 1901.00212).

The generators follow Johnson et al.'s transfer network: an encoder to a quarter of the size,
dilated residual blocks, a decoder; the discriminator is a 70x70 PatchGAN. Names and shapes of the
tensors are those of the published checkpoints, so that these load as they are.

All tensors are float, `[B,C,H,W]`. Heights and widths are multiples of 4 and at least 12: a
quarter of less than 12 can't be reflected by the 2 pixels that the dilated convolutions ask for.
Instance normalisation takes its statistics from the whole picture, so what lies anywhere in the
picture has a part in every pixel.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import remove_spectral_norm, spectral_norm

PUBLISHED_WIDTH = 64
PUBLISHED_BLOCKS = 8

# The last layer sums hundreds of features, so that one of Adam's steps moves its output by as much
# as a whole correction. This makes it a tenth.
CORRECTION_STEP = 0.1

SIZE_MULTIPLE = 4
SMALLEST_SIZE = 12


class ResidualBlock(nn.Module):
    """Add to `x [B,C,H,W]` what two 3x3 convolutions, the first dilated by 2, make of it.

    No activation follows the sum. Spectral norm takes the place of the convolutions' bias: the
    published edge generator has none there, the inpaint generator does.
    """

    def __init__(self, channels: int, *, spectral: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(2),
            _maybe_normed(
                nn.Conv2d(channels, channels, 3, dilation=2, bias=not spectral), spectral
            ),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            _maybe_normed(nn.Conv2d(channels, channels, 3, bias=not spectral), spectral),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv_block(x)
        return x + change


class EdgeGenerator(nn.Module):
    """Draw the edges that a hole hides.

    `x [B,3,H,W]`: grey with the hole set to 1, Canny edges with the hole set to 0, mask (1 = hole);
    all in 0..1. Gives `[B,1,H,W]`, the likelihood of an edge, for the whole picture.
    """

    def __init__(self, width: int = PUBLISHED_WIDTH, blocks: int = PUBLISHED_BLOCKS) -> None:
        super().__init__()
        self.encoder = _encoder(3, width, spectral=True)
        self.middle = _middle(width, blocks, spectral=True)
        self.decoder = _decoder(width, 1, spectral=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.middle(self.encoder(x)))
        return torch.sigmoid(y)


class InpaintGenerator(nn.Module):
    """Fill a hole with colours along given edges.

    `x [B,4,H,W]`: RGB with the hole set to 1, and the edge map; all in 0..1. No mask is given: the
    white says where the hole is. Gives RGB `[B,3,H,W]` in 0..1 for the whole picture.
    """

    def __init__(self, width: int = PUBLISHED_WIDTH, blocks: int = PUBLISHED_BLOCKS) -> None:
        super().__init__()
        self.encoder = _encoder(4, width, spectral=False)
        self.middle = _middle(width, blocks, spectral=False)
        self.decoder = _decoder(width, 3, spectral=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.middle(self.encoder(x)))
        return (torch.tanh(y) + 1) / 2


class CorrectingInpaintGenerator(nn.Module):
    """Correct the colours of a hole that was filled smoothly, along given edges.

    Not in the paper: the published generator paints a white hole from nothing, which takes millions
    of samples to learn. This one has the same layers and adds its output to the fill.
    `x [B,5,H,W]`: RGB with the hole filled, the edge map, the mask (1 = hole), which no white shows
    here; all in 0..1. Gives RGB `[B,3,H,W]`: in the hole the fill and a correction within -1..1,
    not clamped; elsewhere the picture.
    """

    def __init__(self, width: int = PUBLISHED_WIDTH, blocks: int = PUBLISHED_BLOCKS) -> None:
        super().__init__()
        self.encoder = _encoder(5, width, spectral=False)
        self.middle = _middle(width, blocks, spectral=False)
        self.decoder = _decoder(width, 3, spectral=False)
        self.step = CORRECTION_STEP

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decoder(self.middle(self.encoder(x)))
        return x[:, 0:3] + x[:, 4:5] * torch.tanh(self.step * y)


class Discriminator(nn.Module):
    """Judge overlapping 70x70 patches of `x [B,C,H,W]` in 0..1, and show how it came to it.

    Gives the score map `[B,1,H/8-2,W/8-2]` (likelihood that a patch is real; raw where `sigmoid`
    is false, for a hinge loss) and the outputs of the five convolutions, activations included,
    for feature matching. The edge discriminator sees 2 channels (grey, edges), the inpaint
    discriminator 3 (RGB). Published files hold the first convolution under two names, `conv1` and
    `features`; so does this.
    """

    def __init__(
        self, in_channels: int, width: int = PUBLISHED_WIDTH, *, sigmoid: bool = True
    ) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.conv1 = self.features = _judge(in_channels, width, stride=2)
        self.conv2 = _judge(width, 2 * width, stride=2)
        self.conv3 = _judge(2 * width, 4 * width, stride=2)
        self.conv4 = _judge(4 * width, 8 * width, stride=1)
        self.conv5 = nn.Sequential(
            spectral_norm(nn.Conv2d(8 * width, 1, 4, stride=1, padding=1, bias=False))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen: list[Tensor] = []
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            x = layer(x)
            seen.append(x)
        return (torch.sigmoid(x) if self.sigmoid else x), seen


def reach(blocks: int) -> int:
    """How far, in pixels, one generator's convolutions carry a pixel's influence.

    Half the kernel less a half, times the distance of the layer's pixels: 3 + 1.5 + 1.5*2 in the
    encoder, (2 + 1)*4 in each block, 1.5*2 + 1.5 + 3 in the decoder. Instance normalisation
    carries means and deviations further, over the whole picture.
    """
    return 15 + 12 * blocks


def fold_spectral_norm(network: nn.Module) -> None:
    """Replace each `weight_orig`, `weight_u`, `weight_v` by the plain `weight` of evaluation.

    In place. W = weight_orig / (u^T W v), with u and v as the checkpoint left them (Miyato et al.,
    arXiv 1802.05957). Networks without spectral norm stay as they are.
    """
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            remove_spectral_norm(module)


def _encoder(in_channels: int, width: int, *, spectral: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.ReflectionPad2d(3),
        _maybe_normed(nn.Conv2d(in_channels, width, 7), spectral),
        nn.InstanceNorm2d(width),
        nn.ReLU(),
        _maybe_normed(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), spectral),
        nn.InstanceNorm2d(2 * width),
        nn.ReLU(),
        _maybe_normed(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1), spectral),
        nn.InstanceNorm2d(4 * width),
        nn.ReLU(),
    )


def _middle(width: int, blocks: int, *, spectral: bool) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(4 * width, spectral=spectral) for _ in range(blocks)))


def _decoder(width: int, out_channels: int, *, spectral: bool) -> nn.Sequential:
    # The last convolution is never normed: it sets the range that the sigmoid or tanh sees.
    return nn.Sequential(
        _maybe_normed(nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1), spectral),
        nn.InstanceNorm2d(2 * width),
        nn.ReLU(),
        _maybe_normed(nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1), spectral),
        nn.InstanceNorm2d(width),
        nn.ReLU(),
        nn.ReflectionPad2d(3),
        nn.Conv2d(width, out_channels, 7),
    )


def _judge(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(in_channels, out_channels, 4, stride, padding=1, bias=False)),
        nn.LeakyReLU(0.2),
    )


def _maybe_normed(layer: nn.Module, spectral: bool) -> nn.Module:
    return spectral_norm(layer) if spectral else layer
