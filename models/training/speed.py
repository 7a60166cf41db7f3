"""How much of the device a training uses: a step's operations against a matrix product's rate."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

# Large enough to fill a GPU of today, small enough to take a CPU core under a second.
GPU_SIDE = 8192
CPU_SIDE = 1024
REPEATS = 5


@dataclass
class Speed:
    """Operations of one step, and the rate of a large matrix product on the same device.

    Both count a multiplication and an addition as two. The product stands for the chip's peak: what
    a data sheet promises beyond it no program gets.
    """

    step_flop: int
    peak_flops: float

    def share(self, steps_per_second: float) -> float:
        """The share of the peak that a training at this rate uses, 0 to 1."""
        return self.step_flop * steps_per_second / self.peak_flops


def count_operations(step: Callable[[], object]) -> int:
    """Run `step` once and count what its matrix products and convolutions do, forth and back."""
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    return int(counter.get_total_flops())


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of the best of some large matrix products."""
    side = GPU_SIDE if device.type == "cuda" else CPU_SIDE
    a, b = (torch.randn((side, side), device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(REPEATS + 1):
        _wait(device)
        start = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
