"""Figures a and g measure what they say."""

import copy
import time
from pathlib import Path

import a_forward
import g_peak
import pytest
import scenes
import torch
from networks import Networks, Pipeline, Task, export_networks, run
from side_by_side import Times
from standins import tiny_bench
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from workbench import Workbench

IMAGE = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
MASK = torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)


def after(seconds: float) -> Pipeline:
    """A network that takes its time."""

    def forward(image: Tensor, mask: Tensor) -> Tensor:
        time.sleep(seconds)
        return image

    return forward


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = tmp_path_factory.mktemp("networks")
    return export_networks(folder, "cpu", "fp32", width=2, blocks=1)


def test_a_forward_slowed_on_purpose_raises_the_ratio() -> None:
    same = a_forward.compare(after(0.01), after(0.01), IMAGE, MASK, 0.2)
    slowed = a_forward.compare(after(0.05), after(0.01), IMAGE, MASK, 0.4)
    alike, raised = a_forward.ratio_row("x", same).value, a_forward.ratio_row("x", slowed).value
    assert alike is not None
    assert raised is not None
    assert raised > 2 * alike


def test_ratio_is_of_the_least_times() -> None:
    times = {"artifact": Times((4.0, 3.0), True), "eager": Times((2.0, 9.0), True)}
    assert a_forward.ratio_row("x", times).value == 1.5


def test_a_ratio_from_a_cold_round_says_so() -> None:
    times = {"artifact": Times((4.0,), False), "eager": Times((2.0,), False)}
    assert a_forward.ratio_row("x", times).note.endswith("cold")


@pytest.mark.parametrize("task", ["inpaint", "matting"])
def test_both_sides_compute_the_same(networks: Networks, task: Task) -> None:
    image, companion = scenes.batch(task, 64, 2, "cpu")
    artifact = run(networks.artifact(task), image, companion)
    eager = run(networks.eager(task), image, companion)
    assert (artifact.int() - eager.int()).abs().float().mean() < 0.05
    assert artifact.float().std() > 1


def test_eager_side_does_not_compute_spectral_norm_anew(networks: Networks) -> None:
    module = networks.eager("inpaint")
    assert isinstance(module, nn.Module)
    assert not any(hasattr(part, "weight_orig") for part in module.modules())


def test_artifacts_of_an_earlier_run_are_used_again(networks: Networks) -> None:
    before = {file: file.stat().st_mtime_ns for file in networks.files.values()}
    folder = networks.files["inpaint"].parent
    again = export_networks(folder, "cpu", "fp32", width=2, blocks=1)
    assert {file: file.stat().st_mtime_ns for file in again.files.values()} == before


def test_what_needs_a_gpu_is_blank_on_a_cpu(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path)
    row = a_forward._within_a_level(bench, bench.need_networks())
    assert (row.value, row.verdict) == (None, "-")


def test_share_of_near_samples_looks_only_into_the_hole() -> None:
    mask = copy.deepcopy(MASK)
    mask[..., :4] = 0
    made, exact = IMAGE.clone(), IMAGE.clone()
    made[..., :4] = 200  # outside
    made[:, :, 0, 4:] = 1  # one level off still counts as near
    made[:, :, 1, 4:] = 2  # one row of eight does not
    assert a_forward.near_share(made, exact, mask) == pytest.approx(7 / 8)


def test_operations_are_counted_two_for_a_multiplication_and_addition() -> None:
    layer = nn.Conv2d(3, 5, 3, padding=1, bias=False)

    def forward(image: Tensor, mask: Tensor) -> Tensor:
        made: Tensor = layer(image.float())
        return made

    assert g_peak.count_flops(forward, IMAGE, MASK) == 2 * 3 * 5 * 9 * 64


def test_a_product_takes_the_operations_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(g_peak, "CPU_PRODUCT", 64)
    product, flops = g_peak.matrix_product(tiny_bench(tmp_path), torch.float32)
    with FlopCounterMode(display=False) as counter:
        product()
    assert counter.get_total_flops() == flops == 2 * 64**3


def test_share_of_the_peak_is_percent_of_the_products_rate(
    networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(g_peak, "CPU_PRODUCT", 512)
    monkeypatch.setattr(g_peak, "SIDES_PX", {"inpaint": 32, "matting": 32})
    finding = g_peak.measure(Workbench(tmp_path, "cpu", 1, networks), budget_s=0.5)
    inpaint = finding.rows[0].value
    about = finding.details["inpaint"]
    peak = finding.details["product_flop"] / about["times"]["product"]["least_s"]
    rate = about["flop_a_picture"] / about["times"]["1"]["least_s"]
    assert inpaint == pytest.approx(100 * rate / peak)
    assert finding.rows[-1].value is None  # half precision needs a GPU
