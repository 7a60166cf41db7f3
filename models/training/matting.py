"""Deep Image Matting's training: alpha against the true alpha, in the unknown region.

Xu et al., arXiv 1703.03872, section 4. The encoder starts from scratch: no package is known to ship
VGG16's weights.
"""

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from models.matting import IMAGENET_MEAN, IMAGENET_STD
from models.matting_corrected import CorrectingMatting
from models.matting_skips import SkipMatting
from models.sides import Sides
from models.training import losses
from models.training.loop import Batch, Update
from models.training.settings import MattingSettings

MATTING = "matting"


class MattingTraining:
    """Learn alpha from composites; with `prefill`, learn to correct a first alpha."""

    averaged: tuple[str, ...] = (MATTING,)

    def __init__(self, settings: MattingSettings) -> None:
        self.settings = settings
        self.network: nn.Module = (
            CorrectingMatting(settings.width)
            if settings.prefill
            else SkipMatting(width=settings.width)
        )
        start(self.network)
        self.sides = Sides() if settings.prefill else None
        self.networks: dict[str, nn.Module] = {MATTING: self.network}
        self.optimizers: dict[str, Optimizer] = {
            MATTING: Adam(self.network.parameters(), settings.learning_rate, settings.betas)
        }

    def step(self, batch: Batch, update: Update) -> dict[str, Tensor]:
        seen, true = self._seen(batch), batch["alpha"].float()
        unknown = _unknown(batch)
        with update.precision():
            made = self.network(seen).float()
        s = self.settings
        parts = {"alpha": s.alpha * losses.alpha_prediction(made, true, unknown)}
        if s.squares:
            parts["squares"] = s.squares * losses.squared_alpha(made, true, unknown)
        if s.composition:
            image, front, back = (_rgb(batch[k]) for k in ("image", "foreground", "background"))
            parts["composition"] = s.composition * losses.composition(
                made, image, front, back, unknown
            )
        if s.gradients:
            parts["gradients"] = s.gradients * losses.gradients(made, true, unknown)
        update(torch.stack(list(parts.values())).sum(), self.optimizers[MATTING])
        return {name: part.detach() for name, part in parts.items()}

    def measure(self, networks: dict[str, nn.Module], batch: Batch) -> dict[str, Tensor]:
        """Mean absolute and mean squared error in the unknown region; the first alpha's beside."""
        seen, true, unknown = self._seen(batch), batch["alpha"].float(), _unknown(batch)
        made = networks[MATTING](seen).float()
        count = unknown.sum().clamp(min=1)
        scores = {
            "mae": ((made - true).abs() * unknown).sum() / count,
            "mse": ((made - true).square() * unknown).sum() / count,
            "step": losses.gradients(made, true, unknown),
        }
        if self.sides:
            first = seen[:, 4:5]
            scores["mae_first"] = ((first - true).abs() * unknown).sum() / count
            scores["mse_first"] = ((first - true).square() * unknown).sum() / count
        return scores

    def pictures(self, networks: dict[str, nn.Module], batch: Batch) -> Tensor:
        seen, unknown = self._seen(batch), _unknown(batch)
        trimap = batch["trimap"].float() / 255
        made = torch.where(unknown > 0, networks[MATTING](seen).float(), trimap)
        first = seen[:, 4:5] if self.sides else trimap
        greys = [trimap, first, made, batch["alpha"].float()]
        return torch.cat([_rgb(batch["image"]), *(g.expand(-1, 3, -1, -1) for g in greys)], 3)

    def _seen(self, batch: Batch) -> Tensor:
        """The network's input: `[B,4,H,W]`, with prefill `[B,11,H,W]`."""
        image, trimap = _rgb(batch["image"]), batch["trimap"].float() / 255
        mean = image.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
        std = image.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
        parts = [(image - mean) / std, trimap]
        if self.sides:
            with torch.no_grad():
                parts.append(self.sides(image, trimap))
        return torch.cat(parts, 1)


def start(network: nn.Module) -> None:
    """Random weights that keep the size of activations through ReLUs (He et al., 1502.01852).

    A plain VGG without normalisation does not learn from smaller ones. The last layer begins small,
    so that the first alpha is about one half, or about the alpha that is corrected.
    """
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    for convolution in convolutions:
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
    with torch.no_grad():
        convolutions[-1].weight.mul_(0.01)


def _rgb(image: Tensor) -> Tensor:
    return image.float() / 255


def _unknown(batch: Batch) -> Tensor:
    trimap = batch["trimap"]
    return ((trimap != 0) & (trimap != 255)).float()
