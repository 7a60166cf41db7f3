"""One process of a group, as torchrun starts it: `group_member.py FOLDER`.

Writes what it saw and came to into FOLDER, for test_parallel.py to compare.
"""

import sys
from pathlib import Path
from typing import Any

import tiny_runs
import torch
from torch import nn

from models.training.board import Board
from models.training.edgeconnect import InpaintTraining
from models.training.loop import Batch, Run
from models.training.parallel import Group, join_group

# Without a discriminator, without averages to hide a difference, at one rate from first to last.
CHANGES: dict[str, Any] = {
    "steps": 4,
    "adversarial": 0.0,
    "edges": 0.0,
    "average": 0.5,
    "warmup_steps": 0,
}


class EqualHoles(torch.utils.data.Dataset[Batch]):
    """The tiny run's samples, each with the same hole: losses are then means over pictures."""

    def __init__(self, samples: torch.utils.data.Dataset[Batch]) -> None:
        self.samples = samples

    def __getitem__(self, number: int) -> Batch:
        hole = torch.zeros(1, 32, 32, dtype=torch.bool)
        hole[:, 8:20, 10:26] = True
        return {**self.samples[number], "hole": hole}


def make_run(folder: Path, group: Group, *, batch: int, seed: int = 1) -> Run:
    """A run of the inpaint stage on equal holes; `seed` is that of its random start."""
    plain = tiny_runs.inpaint_run(folder, batch=batch, **CHANGES)
    torch.manual_seed(seed)
    training = InpaintTraining(plain.settings)  # type: ignore[arg-type]
    samples = EqualHoles(plain.samples)
    return Run(training, samples, plain.validation, plain.settings, folder, group)


def mean_gradients(group: Group) -> list[torch.Tensor]:
    """The averages of gradients that are 1 + rank and 10 * rank; one weight has none."""
    one, other, idle = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4)), nn.Parameter()
    one.grad = torch.full((3, 2), 1.0 + group.rank).t()  # not contiguous, as in channels_last
    other.grad = torch.full((4,), 10.0 * group.rank)
    group.average_gradients([one, idle, other])
    return [one.grad.clone(), other.grad.clone()]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    group = join_group("cpu")
    run = make_run(folder / "run", group, batch=2, seed=1 + group.rank)
    seen = [batch["image"] for batch in run.batches()]
    with Board(run.folder, shown=group.rank == 0) as board:
        run.go(board)
    found = {
        "rank": group.rank,
        "size": group.size,
        "gradients": mean_gradients(group),
        "images": seen,
        "weights": {name: n.state_dict() for name, n in run.training.networks.items()},
        "averages": run.average.state(),
    }
    torch.save(found, folder / f"{group.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
