"""Runs small enough for a test: two pictures, networks of a few channels, crops of 32 pixels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from models.training.board import Board
from models.training.crops import InpaintSamples
from models.training.edgeconnect import EdgeTraining, InpaintTraining
from models.training.loop import Batch, Run, Training
from models.training.matting import MattingTraining
from models.training.pack import Cutout, Photo, write_pack
from models.training.parallel import Group
from models.training.settings import EdgeConnectSettings, MattingSettings
from models.training.trimapped import MattingSamples

ALONE = Group(torch.device("cpu"))

# What no run repeats: its clock.
CLOCKS = {"seconds", "pictures_per_second", "peak_share"}

_TINY: dict[str, Any] = {
    "steps": 10,
    "batch": 2,
    "size": 32,
    "width": 4,
    "learning_rate": 2e-3,
    "warmup_steps": 2,
    "average": 0.9,
    "log_every": 1,
    "measure_every": 5,
    "measure_pictures": 2,
    "loaders": 0,
}
_TINY_INPAINTING = _TINY | {"blocks": 1, "judge_width": 4, "fill": "smooth", "edges": 1.0}


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


def cutouts() -> list[np.ndarray]:
    """A hard disc and a soft cloud that is nowhere opaque, uint8 `[48,64,4]`."""
    y, x = np.mgrid[:48, :64]
    away = np.hypot(y - 24, x - 32)
    colours = np.stack([x * 3, y * 4, 200 - x], 2)
    disc, cloud = np.where(away < 14, 255, 0), np.clip(150 - 7 * away, 0, 255)
    return [np.dstack([colours, alpha]).astype(np.uint8) for alpha in (disc, cloud)]


def pack(path: Path) -> Path:
    """A pack of those pictures, the same in training and validation."""
    about = ("test", "CC0-1.0")
    write_pack(
        path,
        [
            Photo(f"{n}", f"{n}", split, *about, pixels)
            for split in ("train", "validation")
            for n, pixels in enumerate(photos())
        ],
        [
            Cutout(f"{n}", f"{n}", split, *about, "soft" if n else "hard", pixels)
            for split in ("train", "validation")
            for n, pixels in enumerate(cutouts())
        ],
    )
    return path


def settings(**changes: Any) -> EdgeConnectSettings:
    return EdgeConnectSettings(**(_TINY_INPAINTING | changes))


def matting_settings(**changes: Any) -> MattingSettings:
    return MattingSettings(**(_TINY | {"least_band": 1, "most_band": 4} | changes))


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


def matting_run(folder: Path, **changes: Any) -> Run:
    chosen = matting_settings(**changes)
    torch.manual_seed(chosen.seed)
    folder.mkdir(exist_ok=True)
    samples, validation = (
        MattingSamples(cutouts(), photos(), chosen.size, seed, least_band=1, most_band=4)
        for seed in (chosen.seed, 99)
    )
    return Run(MattingTraining(chosen), samples, validation, chosen, folder, ALONE)


@dataclass(frozen=True)
class OneBatch(Dataset[Batch]):
    """The same few samples over and over."""

    rows: Sequence[Batch]

    def __getitem__(self, number: int) -> Batch:
        return self.rows[number % len(self.rows)]


def go(run: Run) -> list[dict[str, Any]]:
    """Train, and give the logged lines."""
    with Board(run.folder) as board:
        run.go(board)
    return lines(run.folder)


def go_some_steps(run: Run, count: int) -> None:
    """Train a little, without a word and without a checkpoint."""
    for batch, _ in zip(run.batches(), range(count), strict=False):
        run._set_rates()
        run.training.step(batch, run.update)
        run.step += 1
        run.average.update(run.step)


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "scalars.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def weights(network: torch.nn.Module) -> Tensor:
    """All of a network's weights in a row, as they are now."""
    return torch.cat([p.detach().flatten().clone() for p in network.parameters()])
