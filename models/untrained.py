"""Checkpoints with random weights, in the published layouts: for tests and for demonstrations.

These networks have learned nothing. They are for showing that a file goes all the way, and their
pictures look like noise.
"""

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


def write_matting(file: Path, width: int = 8, seed: int = 0) -> None:
    """Write a checkpoint of the matting network to `file`, untrained: a plain state_dict.

    The published network has width 64. The same seed gives the same weights.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _varied(DeepImageMatting(width))
        # Unpooling leaves three zeros of four, four times over: make up for what that loses.
        network.get_parameter("_final_conv.weight").data.mul_(10)
        torch.save(network.state_dict(), file)


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
