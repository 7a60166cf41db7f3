"""The losses of both papers, each a plain function of tensors.

EdgeConnect's (arXiv 1901.00212, section 3): adversarial, feature matching, reconstruction, style
and content. Deep Image Matting's (arXiv 1703.03872, section 4.1): alpha prediction and composition.

One deviation: the paper takes style and content from VGG19's features. No package is known to ship
those weights, so here they come from the discriminator's own layers, which learn on the same
pictures.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# sqrt(d^2 + eps^2) in Deep Image Matting's equations 1 and 2; its eps.
ALPHA_EPSILON = 1e-6


def judged(score: Tensor, real: bool) -> Tensor:
    """How far a discriminator's raw score map is from calling everything `real` (or not).

    Binary cross entropy: with `real` true on a generator's picture it is the non-saturating loss
    (Goodfellow et al., arXiv 1406.2661). `score` of any shape, before a sigmoid.
    """
    return F.binary_cross_entropy_with_logits(score, torch.full_like(score, float(real)))


def feature_matching(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Sum over a discriminator's layers of the mean absolute difference; equation 3.

    The real picture's features are the aim and get no gradient.
    """
    parts = [F.l1_loss(m, r.detach()) for m, r in zip(made, real, strict=True)]
    return torch.stack(parts).sum()


def in_hole(made: Tensor, true: Tensor, hole: Tensor) -> Tensor:
    """Mean absolute difference over all pixels by the hole's share: its mean inside the hole.

    `made`, `true` `[B,C,H,W]`; `hole [B,1,H,W]`, 1 in the hole. What lies outside it counts too, as
    in the paper: it costs nothing to copy and keeps the seam in order.
    """
    return (made - true).abs().mean() / hole.mean().clamp(min=1e-3)


def squares_in_hole(made: Tensor, true: Tensor, hole: Tensor) -> Tensor:
    """Mean squared difference by the hole's share; not in the paper.

    The absolute difference is least at the median, and the median of what is left of a smooth fill
    is nothing: a small budget learns just that. The square is least at the mean, and a few large
    errors, at the edges, lead the way.
    """
    return (made - true).square().mean() / hole.mean().clamp(min=1e-3)


def decibels_in_hole(made: Tensor, true: Tensor, hole: Tensor) -> Tensor:
    """The negative PSNR inside the hole, dB, mean over the pictures; not in the paper.

    A square looks at the pictures that are hopeless anyway. This counts each picture by how much
    better or worse it gets, so that what was smooth stays smooth. Errors below a level of 255 count
    as one level.
    """
    error = ((made - true).square() * hole).sum(dim=[1, 2, 3])
    count = made.size(1) * hole.sum(dim=[1, 2, 3])
    mean = error / count.clamp(min=1.0)
    return 10 * torch.log10(mean + (1 / 255) ** 2).mean()


def gram(features: Tensor) -> Tensor:
    """Which of `features [B,C,H,W]` go together: `[B,C,C]`, divided by C*H*W."""
    batch, channels, height, width = features.shape
    flat = features.reshape(batch, channels, height * width)
    return flat @ flat.transpose(1, 2) / (channels * height * width)


def style(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the layers' Gram matrices, summed; equation 7."""
    parts = [F.l1_loss(gram(m), gram(r).detach()) for m, r in zip(made, real, strict=True)]
    return torch.stack(parts).sum()


def true_edges(drawn: Tensor, edges: Tensor, hole: Tensor) -> Tensor:
    """Cross entropy of drawn edges in the hole; not in the paper.

    Edges are few, so they weigh as much as everything else together, by the batch's own count. A
    small budget ends long before adversarial training alone draws an edge. `drawn [B,1,H,W]` in
    0..1, `edges` 0 or 1, `hole` 1 in the hole.
    """
    wanted, background = edges * hole, (1 - edges) * hole
    weight = wanted / wanted.sum().clamp(min=1.0) + background / background.sum().clamp(min=1.0)
    # Half precision has no logarithm of what rounds to 0.
    with torch.autocast(drawn.device.type, enabled=False):
        entropy = F.binary_cross_entropy(
            drawn.float().clamp(1e-6, 1 - 1e-6), edges.float(), reduction="none"
        )
    return (entropy * weight).sum() / 2


def alpha_prediction(made: Tensor, true: Tensor, unknown: Tensor) -> Tensor:
    """sqrt(d^2 + eps^2), averaged over the unknown region; equation 1.

    `made`, `true` alpha `[B,1,H,W]` in 0..1; `unknown [B,1,H,W]`, 1 where the trimap is not sure.
    """
    distance = torch.sqrt((made - true).square() + ALPHA_EPSILON**2)
    return (distance * unknown).sum() / unknown.sum().clamp(min=1.0)


def squared_alpha(made: Tensor, true: Tensor, unknown: Tensor) -> Tensor:
    """Mean squared difference over the unknown region; not in the paper.

    The absolute difference is content with a sure mistake here and there; its square is not.
    """
    return ((made - true).square() * unknown).sum() / unknown.sum().clamp(min=1.0)


def composition(
    made: Tensor, image: Tensor, foreground: Tensor, background: Tensor, unknown: Tensor
) -> Tensor:
    """How far the picture composed with the made alpha is from the true one; equation 2.

    `image`, `foreground`, `background` `[B,3,H,W]` in 0..1; the rest as in `alpha_prediction`.
    """
    composed = made * foreground + (1 - made) * background
    distance = torch.sqrt((composed - image).square() + ALPHA_EPSILON**2)
    return (distance * unknown).sum() / (3 * unknown.sum().clamp(min=1.0))


def gradients(made: Tensor, true: Tensor, unknown: Tensor) -> Tensor:
    """Mean absolute difference of the steps to the right and down, over the unknown region.

    Not in the paper, which trains long enough without. It is what the Gradient metric punishes: an
    edge that is in place but smeared.
    """
    total = made.new_zeros(())
    for dimension in (2, 3):
        step = (made - true).diff(dim=dimension).abs()
        both = unknown.narrow(dimension, 1, unknown.size(dimension) - 1)
        total = total + (step * both).sum() / both.sum().clamp(min=1.0)
    return total
