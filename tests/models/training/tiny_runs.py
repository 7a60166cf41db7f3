"""Runs small enough for a test: two pictures, networks of a few channels, crops of 32 pixels."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.training.crops import InpaintSamples
from models.training.edgeconnect import EdgeTraining, InpaintTraining
from models.training.loop import Run, Training
from models.training.parallel import Group
from models.training.settings import EdgeConnectSettings

ALONE = Group(torch.device("cpu"))


def photos() -> list[np.ndarray]:
    """Two pictures with soft slopes and hard edges, uint8 `[48,64,3]`."""
    rng = np.random.default_rng(5)
    made = []
    for _ in range(2):
        slope = np.linspace(0, 160, 64)[None, :, None] + np.linspace(0, 60, 48)[:, None, None]
        picture = np.broadcast_to(slope, (48, 64, 3)).copy()
        for _ in range(4):
            top, left = rng.integers(0, 36), rng.integers(0, 48)
            picture[top : top + 12, left : left + 16] = rng.integers(0, 255, 3)
        made.append(picture.astype(np.uint8))
    return made


def settings(**changes: Any) -> EdgeConnectSettings:
    tiny: dict[str, Any] = {
        "steps": 10,
        "batch": 2,
        "size": 32,
        "width": 4,
        "blocks": 1,
        "judge_width": 4,
        "fill": "smooth",
        "learning_rate": 2e-3,
        "warmup_steps": 2,
        "average": 0.9,
        "log_every": 1,
        "measure_every": 5,
        "measure_pictures": 2,
        "loaders": 0,
        "edges": 1.0,
    }
    return EdgeConnectSettings(**(tiny | changes))


def inpaint_run(folder: Path, stage: str = "inpaint", **changes: Any) -> Run:
    chosen = settings(**changes)
    torch.manual_seed(chosen.seed)
    training: Training
    if stage == "edge":
        training = EdgeTraining(chosen)
    elif stage == "inpaint":
        training = InpaintTraining(chosen)
    else:
        training = InpaintTraining(chosen, EdgeTraining(chosen).edge)
    folder.mkdir(exist_ok=True)
    samples = InpaintSamples(photos(), chosen.size, chosen.seed)
    return Run(training, samples, InpaintSamples(photos(), 32, 99), chosen, folder, ALONE)
