"""Checkpoints with random weights, in the published layouts: for tests and for demonstrations.

These networks have learned nothing. They are for showing that a file goes all the way, and their
pictures look like noise.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import normalize

from models.checkpoints import (
    EDGE_DISCRIMINATOR_FILE,
    EDGE_GENERATOR_FILE,
    INPAINT_DISCRIMINATOR_FILE,
    INPAINT_GENERATOR_FILE,
)
from models.edgeconnect import Discriminator, EdgeGenerator, InpaintGenerator
from models.matting import DeepImageMatting
from models.matting_normed import NormedMatting
from models.matting_skips import SkipMatting

_POWER_ITERATIONS = 10


def write_edgeconnect(folder: Path, width: int = 8, blocks: int = 2, seed: int = 0) -> None:
    """Write EdgeConnect's four checkpoint files into `folder`, untrained, at iteration 0.

    Published networks have width 64 and 8 blocks. The same seed gives the same weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, generator in (
            (EDGE_GENERATOR_FILE, EdgeGenerator(width, blocks)),
            (INPAINT_GENERATOR_FILE, InpaintGenerator(width, blocks)),
        ):
            state = _varied(generator).state_dict()
            torch.save({"iteration": 0, "generator": state}, folder / name)
        for name, judge in (
            (EDGE_DISCRIMINATOR_FILE, Discriminator(2, width)),
            (INPAINT_DISCRIMINATOR_FILE, Discriminator(3, width)),
        ):
            torch.save({"discriminator": _varied(judge).state_dict()}, folder / name)


def write_matting(
    file: Path,
    width: int = 8,
    seed: int = 0,
    *,
    layout: Callable[..., nn.Module] = DeepImageMatting,
) -> None:
    """Write a checkpoint of the matting network to `file`, untrained: a plain state_dict.

    `layout` makes the network from `width`: `DeepImageMatting`, `NormedMatting` or `SkipMatting`,
    whose file holds what its training keeps beside the state. The published networks have width
    64. The same seed gives the same weights.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _varied(layout(width=width))
        # Unpooling leaves three zeros of four, level after level: make up for what that loses.
        last, gain = _last_layer(network)
        network.get_parameter(f"{last}.weight").data.mul_(gain)
        state = network.state_dict()
        if isinstance(network, SkipMatting):
            torch.save({"epoch": 0, "state_dict": state, "best_sad": math.inf}, file)
        else:
            torch.save(state, file)


def _last_layer(network: nn.Module) -> tuple[str, float]:
    """The layer that gives the logits, and a gain at which alpha is seen to vary."""
    if isinstance(network, SkipMatting):
        return "deconv1", 1.0 if network.skips else 30.0
    if isinstance(network, NormedMatting):
        return "up1.conv.cbr_unit.1", 4.0
    return "_final_conv", 10.0


def _varied(network: nn.Module) -> nn.Module:
    """Random weights of a size that lets a picture through to the output, in place.

    He's initialisation keeps the signal's strength from layer to layer; torch's own default loses
    it, and an untrained output would be one flat grey. Batch norm's statistics are varied too, as
    training leaves them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(getattr(module, "weight_orig", module.weight))
            if hasattr(module, "weight_orig"):
                _settle_spectral_norm(module)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            if module.running_mean is not None and module.running_var is not None:
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network


def _settle_spectral_norm(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Bring u and v close to the weight's first singular vectors, as many steps of training do."""
    weight = layer.get_parameter("weight_orig").detach()
    transposed = isinstance(layer, nn.ConvTranspose2d)
    matrix = (weight.transpose(0, 1) if transposed else weight).flatten(1)
    u, v = layer.get_buffer("weight_u"), layer.get_buffer("weight_v")
    for _ in range(_POWER_ITERATIONS):
        v.copy_(normalize(matrix.t() @ u, dim=0))
        u.copy_(normalize(matrix @ v, dim=0))
