"""The loop: ten steps of each stage, resumed runs, learning that ends near zero."""

import math
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
import torch
from PIL import Image
from tiny_runs import CLOCKS, OneBatch, go, go_some_steps, lines, weights
from torch._dynamo.exc import TorchDynamoException

from models.training.board import Board
from models.training.loop import Run, TrainingError, rate_at
from models.training.run_folder import RunError

PAPER = {
    "squares": 1.0,
    "decibels": 0.1,
    "adversarial": 0.1,
    "matching": 1.0,
    "style": 10.0,
    "content": 0.1,
}


@pytest.mark.parametrize("stage", ["edge", "inpaint", "joint"])
@pytest.mark.parametrize("fill", ["white", "smooth"])
def test_ten_steps_of_each_stage_with_every_loss(tmp_path: Path, stage: str, fill: str) -> None:
    run = tiny_runs.inpaint_run(tmp_path, stage, fill=fill, **PAPER)
    before = {name: weights(network) for name, network in run.training.networks.items()}
    logged = [line for line in go(run) if "judge" in line]
    assert [line["step"] for line in logged] == list(range(1, 11))
    assert {"adversarial", "matching", "style", "content", "judge"} <= logged[0].keys()
    assert all(math.isfinite(value) for line in logged for value in line.values())
    for name, network in run.training.networks.items():
        assert not torch.equal(before[name], weights(network)), f"{name} has not learned"


def test_a_run_leaves_scalars_pictures_a_board_and_a_checkpoint(tmp_path: Path) -> None:
    go(tiny_runs.inpaint_run(tmp_path))
    assert (tmp_path / "last.pt").stat().st_size > 0
    assert list((tmp_path / "board").iterdir())
    with Image.open(tmp_path / "pictures" / "0000010.png") as picture:
        assert picture.size == (2 * 4 * 32, 32)  # two rows of: filled, edges, made, true
    assert any("validation/psnr" in line for line in lines(tmp_path))


def test_a_smooth_fill_is_where_a_correction_begins(tmp_path: Path) -> None:
    run = tiny_runs.inpaint_run(tmp_path)
    with Board(tmp_path) as board:
        run.measure(board)
    (line,) = lines(tmp_path)
    assert line["validation/psnr"] == pytest.approx(line["validation/psnr_fill"], abs=1e-4)


@pytest.mark.parametrize("stage", ["edge", "joint"])
def test_a_run_cut_off_and_resumed_learns_as_if_it_had_not_been(tmp_path: Path, stage: str) -> None:
    whole = go(tiny_runs.inpaint_run(tmp_path / "whole", stage, **PAPER))
    cut = tiny_runs.inpaint_run(tmp_path / "cut", stage, **PAPER)
    cut.resume()
    go_some_steps(cut, 4)
    cut.save()
    go_some_steps(cut, 2)  # done after the checkpoint, and lost
    resumed = go(tiny_runs.inpaint_run(tmp_path / "cut", stage, **PAPER))
    assert resumed[0]["step"] == 5
    for again, once in zip(resumed, whole[4:], strict=False):
        if again["step"] == once["step"] and again.keys() == once.keys():
            for name in once.keys() - CLOCKS:
                assert again[name] == pytest.approx(once[name], rel=1e-3, abs=1e-5), name


def test_the_number_of_loader_processes_changes_nothing(tmp_path: Path) -> None:
    alone = tiny_runs.inpaint_run(tmp_path / "a", steps=3)
    helped = tiny_runs.inpaint_run(tmp_path / "b", steps=3, loaders=2)
    for one, other in zip(alone.batches(), helped.batches(), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("at", [0, -1])
def test_one_weight_that_is_no_number_is_found_wherever_it_is(tmp_path: Path, at: int) -> None:
    run = tiny_runs.inpaint_run(tmp_path)
    network = run.training.networks["inpaint"]
    with torch.no_grad():
        list(network.parameters())[at].view(-1)[-1] = math.inf
    run.save()
    with pytest.raises(RunError, match="no numbers"):
        tiny_runs.inpaint_run(tmp_path).resume()


def test_a_loss_that_is_not_a_number_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    run = tiny_runs.inpaint_run(tmp_path, learning_rate=1e30, average=0.0)
    with pytest.raises(TrainingError, match="learning_rate"):
        go(run)


def test_such_a_loss_is_told_with_the_checkpoint_there_is(tmp_path: Path) -> None:
    wild: dict[str, Any] = {"learning_rate": 1e30, "average": 0.0, "warmup_steps": 0}
    with pytest.raises(TrainingError, match="Nothing was saved yet"):
        go(tiny_runs.inpaint_run(tmp_path / "new", **wild))
    run = tiny_runs.inpaint_run(tmp_path / "old")
    run.resume()
    go_some_steps(run, 3)
    run.save()
    with pytest.raises(TrainingError, match="goes on from the checkpoint of step 3"):
        go(tiny_runs.inpaint_run(tmp_path / "old", **wild))


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path) -> None:
    wild: dict[str, Any] = {
        "learning_rate": 1e30,
        "average": 0.0,
        "warmup_steps": 0,
        "save_every_s": 0.0,
    }
    with pytest.raises(TrainingError, match="not finite"):
        go(tiny_runs.inpaint_run(tmp_path, log_every=10, **wild))
    if (tmp_path / "last.pt").exists():
        for network in torch.load(tmp_path / "last.pt", weights_only=True)["networks"].values():
            assert all(bool(weight.isfinite().all()) for weight in network.values())


def test_a_resumed_run_takes_the_rate_of_its_new_settings(tmp_path: Path) -> None:
    run = tiny_runs.inpaint_run(tmp_path, steps=4, warmup_steps=0)
    go(run)
    again = tiny_runs.inpaint_run(tmp_path, steps=6, warmup_steps=0, learning_rate=5e-4)
    go(again)
    assert again.step == 6
    for name, share in (("inpaint", 1.0), ("judge", again.settings.judge_rate)):  # type: ignore[attr-defined]
        (group,) = again.training.optimizers[name].param_groups
        assert group["lr"] == pytest.approx(5e-4 * share)


def test_a_run_says_where_it_begins_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(run: Run) -> str:
        capsys.readouterr()
        go(run)
        return capsys.readouterr().err

    stopped = tiny_runs.inpaint_run(tmp_path, steps=3, measure_every=100)
    stopped.until = 0.0
    text = said(stopped)
    assert "3 steps to go." in text
    assert "Stopped: saved at step 1 of 3. The same command goes on from there." in text
    text = said(tiny_runs.inpaint_run(tmp_path, steps=3, measure_every=100))
    assert "Goes on at step 1 of 3." in text
    assert "Trained: saved at step 3, the last." in text
    assert "This run is finished: step 3 of 3." in said(tiny_runs.inpaint_run(tmp_path, steps=3))


def test_a_checkpoint_of_other_networks_is_refused_in_a_sentence(tmp_path: Path) -> None:
    run = tiny_runs.inpaint_run(tmp_path)
    run.save()
    with pytest.raises(RunError, match=r"last\.pt: is no checkpoint of this run"):
        tiny_runs.inpaint_run(tmp_path, width=6).resume()
    with pytest.raises(RunError, match=r"last\.pt: is no checkpoint of this run"):
        tiny_runs.matting_run(tmp_path).resume()
    with torch.no_grad():
        next(run.training.networks["inpaint"].parameters()).fill_(math.nan)
    run.save()
    with pytest.raises(RunError, match="no numbers"):
        tiny_runs.inpaint_run(tmp_path).resume()


class _NoCompiler(TorchDynamoException):
    """What torch raises where it finds no C++ compiler; test_train_cli.py has the real thing."""


def test_a_network_that_can_not_be_compiled_trains_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_compiler(*_: object) -> None:
        raise _NoCompiler("no C++ compiler")

    run = tiny_runs.inpaint_run(tmp_path, steps=3)
    for network in run.training.networks.values():
        network.compile(backend=without_compiler)
    try:
        go(run)
    finally:
        torch.compiler.set_stance("default")
    assert run.step == 3
    assert capsys.readouterr().err.count("Can't compile the networks here") == 1


def test_rate_rises_then_falls_to_its_final_share() -> None:
    settings = tiny_runs.settings(steps=100, warmup_steps=10, final_rate=0.1)
    rates = [rate_at(step, settings) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_the_published_rate_stays_as_it_is() -> None:
    settings = tiny_runs.settings(steps=100, warmup_steps=0, final_rate=1.0)
    assert {rate_at(step, settings) for step in range(100)} == {1.0}


@pytest.mark.parametrize(
    ("stage", "loss"), [("edge", "edges"), ("inpaint", "reconstruction"), ("joint", "edges")]
)
def test_one_batch_learned_by_heart_drives_the_loss_near_zero(
    tmp_path: Path, stage: str, loss: str
) -> None:
    run = tiny_runs.inpaint_run(
        tmp_path, stage, steps=150, width=12, adversarial=0.0, learning_rate=1.5e-3,
        final_rate=0.05, log_every=150, measure_every=1000, clip=1.0,
    )  # fmt: skip
    run.samples = OneBatch([run.samples[number] for number in range(2)])
    first = float(run.training.step(next(iter(run.batches())), run.update)[loss])
    last = next(line[loss] for line in go(run) if loss in line)
    assert last < 0.12 * first
