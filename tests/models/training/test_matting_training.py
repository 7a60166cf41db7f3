"""Matting's training: ten steps, resumed runs, each loss learned by heart."""

import math
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
import torch
from PIL import Image
from tiny_runs import CLOCKS, OneBatch, go, go_some_steps, lines, weights
from torch.utils.data import Dataset

from models.matting_corrected import FIRST_ALPHA_MARGIN
from models.training.board import Board
from models.training.loop import Batch, Run
from models.training.matting import MattingTraining
from models.training.trimapped import MattingSamples

EVERY_LOSS = {"alpha": 1.0, "composition": 1.0, "gradients": 0.5}


@pytest.mark.parametrize("prefill", [False, True])
def test_ten_steps_with_every_loss(tmp_path: Path, prefill: bool) -> None:
    run = tiny_runs.matting_run(tmp_path, prefill=prefill, **EVERY_LOSS)
    before = weights(run.training.networks["matting"])
    logged = [line for line in go(run) if "alpha" in line]
    assert [line["step"] for line in logged] == list(range(1, 11))
    assert EVERY_LOSS.keys() <= logged[0].keys()
    assert all(math.isfinite(value) for line in logged for value in line.values())
    assert not torch.equal(before, weights(run.training.networks["matting"]))


def test_a_weight_of_0_leaves_a_loss_out(tmp_path: Path) -> None:
    run = tiny_runs.matting_run(tmp_path, steps=1)
    assert not {"composition", "gradients"} & go(run)[0].keys()


def test_a_run_shows_picture_trimap_first_alpha_made_and_true(tmp_path: Path) -> None:
    go(tiny_runs.matting_run(tmp_path, prefill=True, steps=1))
    with Image.open(tmp_path / "pictures" / "0000001.png") as picture:
        assert picture.size == (2 * 5 * 32, 32)


def test_a_network_with_prefill_begins_near_the_first_alpha(tmp_path: Path) -> None:
    run = tiny_runs.matting_run(tmp_path, prefill=True, width=8)
    training = run.training
    assert isinstance(training, MattingTraining)
    seen = training._seen(next(iter(run.batches())))
    # A first alpha of 0 or 1 is a guess, and kept off both by this much.
    first = seen[:, 4:5].clamp(FIRST_ALPHA_MARGIN, 1 - FIRST_ALPHA_MARGIN)
    assert (training.network(seen) - first).abs().max() < 0.1
    with Board(tmp_path) as board:
        run.measure(board)
    (line,) = lines(tmp_path)
    assert line["validation/mae"] == pytest.approx(line["validation/mae_first"], abs=0.05)


def test_a_network_without_prefill_begins_near_one_half(tmp_path: Path) -> None:
    run = tiny_runs.matting_run(tmp_path, width=8)
    seen = torch.randn(1, 4, 32, 32)
    made = run.training.networks["matting"].eval()(seen)
    assert (made - 0.5).abs().max() < 0.2


@pytest.mark.parametrize("prefill", [False, True])
def test_a_run_cut_off_and_resumed_learns_as_if_it_had_not_been(
    tmp_path: Path, prefill: bool
) -> None:
    whole = go(tiny_runs.matting_run(tmp_path / "whole", prefill=prefill, **EVERY_LOSS))
    cut = tiny_runs.matting_run(tmp_path / "cut", prefill=prefill, **EVERY_LOSS)
    cut.resume()
    go_some_steps(cut, 4)
    cut.save()
    go_some_steps(cut, 2)  # done after the checkpoint, and lost
    resumed = go(tiny_runs.matting_run(tmp_path / "cut", prefill=prefill, **EVERY_LOSS))
    once = {(line["step"], "alpha" in line): line for line in whole}
    assert resumed[0]["step"] == 5
    for again in resumed:
        first = once[again["step"], "alpha" in again]
        for name in again.keys() - CLOCKS:
            assert again[name] == pytest.approx(first[name], rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize(
    ("loss", "prefill"),
    [
        ("alpha", False),
        ("alpha", True),
        pytest.param("composition", True, marks=pytest.mark.slow),  # a minute and more
    ],
)
def test_one_batch_learned_by_heart_drives_the_loss_near_zero(
    tmp_path: Path, loss: str, prefill: bool
) -> None:
    run = tiny_runs.matting_run(
        tmp_path, prefill=prefill, learning_rate=3e-4, steps=240, **BY_HEART, **only(loss)
    )
    # Discs alone: where most of a batch is clear, a network as small as this one learns only that.
    discs = MattingSamples(
        tiny_runs.cutouts()[:1], tiny_runs.photos(), 32, 1, 0.0, 0.0, 0.0, least_band=1, most_band=4
    )
    first, last = first_and_last(run, discs, loss)
    assert last < 0.3 * first


def test_steps_of_one_batch_can_be_learned_by_heart(tmp_path: Path) -> None:
    run = tiny_runs.matting_run(
        tmp_path, learning_rate=1e-3, steps=200, clip=1.0, **BY_HEART, **only("gradients")
    )
    first, last = first_and_last(run, run.samples, "gradients")
    assert last < 0.3 * first


BY_HEART: dict[str, Any] = {
    "width": 8,
    "final_rate": 0.05,
    "warmup_steps": 20,
    "average": 0.0,
    "log_every": 1000,
    "measure_every": 1000,
}


def only(loss: str) -> dict[str, float]:
    return dict.fromkeys(EVERY_LOSS, 0.0) | {loss: 1.0}


def first_and_last(run: Run, samples: Dataset[Batch], loss: str) -> tuple[float, float]:
    """A loss on two samples before and after the run has learned nothing but them."""
    run.samples = OneBatch([samples[number] for number in range(2)])
    first = float(run.training.step(next(iter(run.batches())), run.update)[loss])
    return first, next(float(line[loss]) for line in go(run) if loss in line)
