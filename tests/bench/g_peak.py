"""Figure g: the share of the chip's peak that the forward reaches.

The peak is what a large matrix product of the same precision reaches on this machine, in turn with
the forwards. Operations are counted on the eager network: two for a multiplication and addition.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import scenes
import torch
from findings import Bound, Finding, Row
from networks import Pipeline, Task, run
from side_by_side import Measure, Times, side_by_side, timed
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from workbench import Workbench

from export.artifacts import DTYPES

TITLE: Final = "share of the chip's peak: forward / matrix product, operations a second"
SIDES_PX: Final[dict[Task, int]] = {"inpaint": 256, "matting": 320}
BUDGET_S: Final = 12.0
CPU_PRODUCT: Final = 4096
GPU_PRODUCT: Final = 8192
# On a CPU a batch gains nothing.
GPU_BATCHES: Final = (1, 4, 16, 64)
_GPU_BOUND: Final = Bound("at least", 35)


def measure(bench: Workbench, budget_s: float = BUDGET_S) -> Finding:
    """Percent, for both networks; on a GPU at the best batch."""
    networks = bench.need_networks()
    product, flops_of_product = matrix_product(bench, DTYPES[networks.precision])
    rows: list[Row] = []
    details: dict[str, Any] = {"product_flop": flops_of_product}
    for task in networks.files:
        one = scenes.batch(task, SIDES_PX[task], 1, bench.device)
        flops = count_flops(networks.eager(task), *one)
        times = side_by_side({"product": timed(product), **_forwards(bench, task)}, budget_s, 5)
        rows.append(_row(bench, task, flops, flops_of_product, times))
        details[task] = {
            "flop_a_picture": flops,
            "times": {name: one.as_json() for name, one in times.items()},
        }
    if not bench.is_gpu:
        note = "Only on a GPU."
        rows.append(Row("inpaint, half precision, best batch", None, "%", _GPU_BOUND, note))
    return Finding(tuple(rows), details)


def _forwards(bench: Workbench, task: Task) -> dict[str, Measure]:
    """By batch."""
    artifact = bench.need_networks().artifact(task)
    counts = GPU_BATCHES if bench.is_gpu else (1,)
    batches = {count: scenes.batch(task, SIDES_PX[task], count, bench.device) for count in counts}
    return {str(count): timed(partial(run, artifact, *batch)) for count, batch in batches.items()}


def _row(
    bench: Workbench, task: Task, flops: int, flops_of_product: int, times: dict[str, Times]
) -> Row:
    peak = flops_of_product / times["product"].least
    rates = {n: int(n) * flops / one.least for n, one in times.items() if n != "product"}
    best = max(rates, key=lambda count: rates[count])
    precision = bench.need_networks().precision
    return Row(
        f"{task}, {SIDES_PX[task]} px, batch {best}",
        100 * rates[best] / peak,
        "%",
        _GPU_BOUND if bench.is_gpu and task == "inpaint" else None,
        f"{flops / 1e9:.0f} GFLOP a picture, {rates[best] / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s "
        f"in {precision}, {times['product'].how}",
    )


def count_flops(eager: Pipeline, image: Tensor, companion: Tensor) -> int:
    """Operations of convolutions and matrix products in one forward, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        run(eager, image, companion)
    return int(counter.get_total_flops())


def matrix_product(bench: Workbench, dtype: torch.dtype) -> tuple[Callable[[], None], int]:
    """A large product of random matrices, to its end, and how many operations it takes."""
    size = GPU_PRODUCT if bench.is_gpu else CPU_PRODUCT
    chance = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(size, size, generator=chance).to(bench.device, dtype) for _ in range(2)
    )

    def product() -> None:
        torch.mm(left, right)
        if bench.is_gpu:
            torch.cuda.synchronize(bench.device)

    return product, 2 * size**3
