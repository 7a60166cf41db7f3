"""Figure a: the artifact's forward against the eager network's, by size and batch."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import psutil
import scenes
import torch
from findings import Bound, Finding, Row
from networks import Networks, Pipeline, Task, run
from side_by_side import Times, side_by_side, timed
from torch import Tensor
from workbench import Workbench

TITLE: Final = "artifact forward / eager forward"
# For one size and batch. Where that is too little for a second round, the first one counts, cold.
BUDGET_S: Final = 28.0
MOST_ROUNDS: Final = 4
# What one round may take at all, by the time of one picture: more is left blank.
MOST_ROUND_S: Final = 75.0
_BYTES_PER_PIXEL: Final = 4096
_WITHIN_A_LEVEL: Final = Bound("at least", 99.9)


def measure(bench: Workbench) -> Finding:
    """Ratios of the least times, for both networks."""
    networks = bench.need_networks()
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for task in networks.files:
        artifact, eager = networks.artifact(task), networks.eager(task)
        seconds_a_pixel = 0.0
        for side, count in sizes(task, is_gpu=bench.is_gpu):
            what = f"{task}, {side} px, batch {count}"
            why = _why_not(seconds_a_pixel, side, count, bench)
            if why:
                rows.append(Row(what, None, "", note=why))
                continue
            image, companion = scenes.batch(task, side, count, bench.device)
            times = compare(artifact, eager, image, companion, BUDGET_S)
            seconds_a_pixel = times["artifact"].least / (count * side**2)
            rows.append(ratio_row(what, times))
            details[what] = {name: one.as_json() for name, one in times.items()}
    rows.append(_within_a_level(bench, networks))
    return Finding(tuple(rows), details)


def sizes(task: Task, *, is_gpu: bool) -> Iterator[tuple[int, int]]:
    """Sides and batches. On a CPU the matting network, which is worked alone, gets no batches."""
    counts = (1, 4, 16, 64) if is_gpu else (1, 4) if task == "inpaint" else (1,)
    for side in (256, 512):
        for count in counts:
            yield side, count


def compare(
    artifact: Pipeline, eager: Pipeline, image: Tensor, companion: Tensor, budget_s: float
) -> dict[str, Times]:
    """Both on the same batch, in turn."""
    sides = {"artifact": artifact, "eager": eager}
    measures = {
        name: timed(partial(run, pipeline, image, companion)) for name, pipeline in sides.items()
    }
    return side_by_side(measures, budget_s, MOST_ROUNDS)


def ratio_row(what: str, times: dict[str, Times]) -> Row:
    artifact, eager = times["artifact"], times["eager"]
    note = f"{artifact.least:.3g} s to {eager.least:.3g} s, {artifact.how}"
    return Row(what, artifact.least / eager.least, "", None, note)


def _why_not(seconds_a_pixel: float, side: int, count: int, bench: Workbench) -> str:
    """A sentence where a size would take too long or too much memory, else nothing."""
    pixels = count * side**2
    if 2 * seconds_a_pixel * pixels > MOST_ROUND_S:
        return f"One round would take {2 * seconds_a_pixel * pixels:.0f} s, too long for this run."
    free = torch.cuda.mem_get_info()[0] if bench.is_gpu else psutil.virtual_memory().available
    if pixels * _BYTES_PER_PIXEL > free:
        return f"It needs {pixels * _BYTES_PER_PIXEL / 1e9:.0f} GB of memory."
    return ""


def _within_a_level(bench: Workbench, networks: Networks) -> Row:
    """On a GPU: how many samples of the hole are as in fp32, or one grey level off."""
    what = "inpaint, half-precision samples within one grey level of fp32"
    if not bench.is_gpu or networks.precision == "fp32":
        return Row(what, None, "%", _WITHIN_A_LEVEL, "Only where half precision is run, on a GPU.")
    image, mask = scenes.batch("inpaint", 256, 8, bench.device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    exact = run(networks.eager("inpaint", "fp32"), image, mask)
    half = run(networks.artifact("inpaint"), image, mask)
    return Row(
        what, 100 * near_share(half, exact, mask), "%", _WITHIN_A_LEVEL, "8 photos of 256 px"
    )


def near_share(made: Tensor, exact: Tensor, mask: Tensor) -> float:
    """The share of samples in the hole that differ by one grey level at most."""
    gap = (made.int() - exact.int()).abs()[(mask != 0).expand_as(made)]
    return float((gap <= 1).double().mean())
