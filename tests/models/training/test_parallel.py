"""Two real processes that train as one, over gloo on the CPU."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import group_member
import pytest
import tiny_runs
import torch
from tiny_runs import ALONE, go, lines

from models.training.parallel import Group, join_group

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def run_two(*command: str) -> subprocess.CompletedProcess[str]:
    """Start a command twice under torchrun and wait for both."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{HERE}"}
    return subprocess.run(
        [sys.executable, *TORCHRUN, *command],
        cwd=ROOT, env=environment, text=True, capture_output=True, timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of two processes that trained together, and what each found."""
    folder = tmp_path_factory.mktemp("pair")
    done = run_two(str(HERE / "group_member.py"), str(folder))
    assert done.returncode == 0, done.stderr
    return folder, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_each_process_knows_its_place(pair: tuple[Path, list[dict[str, Any]]]) -> None:
    _, found = pair
    assert [(one["rank"], one["size"]) for one in found] == [(0, 2), (1, 2)]


def test_gradients_are_the_mean_over_all_processes(pair: tuple[Path, list[dict[str, Any]]]) -> None:
    for found in pair[1]:
        one, other = found["gradients"]
        assert torch.equal(one, torch.full((2, 3), 1.5))
        assert torch.equal(other, torch.full((4,), 5.0))


def test_both_end_with_the_same_weights_to_the_bit(
    pair: tuple[Path, list[dict[str, Any]]],
) -> None:
    one, other = (found for found in pair[1])
    for kind in ("weights", "averages"):
        for name, state in one[kind].items():
            for key, value in state.items():
                assert torch.equal(value, other[kind][name][key]), f"{kind} {name} {key}"


def test_together_they_see_the_samples_of_one_process_with_twice_the_batch(
    pair: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    alone = group_member.make_run(tmp_path, ALONE, batch=4)
    one, other = (found["images"] for found in pair[1])
    whole = [batch["image"] for batch in alone.batches()]
    assert len(whole) == len(one) == len(other) == 4
    for all_four, first, second in zip(whole, one, other, strict=True):
        assert torch.equal(all_four, torch.cat([first, second]))


def test_together_they_learn_what_one_process_does_with_twice_the_batch(
    pair: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    alone = group_member.make_run(tmp_path, ALONE, batch=4)
    network = alone.training.networks["inpaint"].eval()
    x = torch.rand((2, 5, 32, 32), generator=torch.Generator().manual_seed(1))
    start = network(x).detach()
    go(alone)
    learned = network(x).detach()
    network.load_state_dict(pair[1][0]["weights"]["inpaint"])
    together = network(x).detach()
    # Not to the bit: sums are rounded in another order. A bias that instance normalisation takes
    # away again follows rounding alone, so the pictures are compared and not the weights.
    assert (together - learned).abs().max() < 0.02 * (learned - start).abs().max()


def test_only_the_first_process_writes(pair: tuple[Path, list[dict[str, Any]]]) -> None:
    logged = [line["step"] for line in lines(pair[0] / "run") if "reconstruction" in line]
    assert logged == [1, 2, 3, 4]


def test_torchrun_trains_by_the_command(tmp_path: Path) -> None:
    pack = tiny_runs.pack(tmp_path / "pack.zip")
    settings = tmp_path / "tiny.toml"
    tiny = {"steps": 3, "batch": 1, "size": 32, "width": 4, "judge_width": 4, "blocks": 1,
            "log_every": 1, "measure_pictures": 1, "loaders": 0}  # fmt: skip
    settings.write_text("".join(f"{k} = {v}\n" for k, v in tiny.items()), encoding="utf-8")
    # Without the two dashes torchrun takes --run for short of an option of its own.
    command = [
        "-m", "--", "models.training.cli", "edgeconnect", "inpaint", "--data", str(pack),
        "--settings", str(settings), "--run", str(tmp_path / "run"), "--device", "cpu",
    ]  # fmt: skip
    done = run_two(*command)
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == 3
    assert [line["step"] for line in lines(tmp_path / "run") if "judge" in line] == [1, 2, 3]


def test_a_process_without_torchrun_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert join_group("cpu") == Group(torch.device("cpu"), 0, 1)


def test_a_process_alone_keeps_its_gradients() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    ALONE.average_gradients([weight])
    assert weight.grad.tolist() == [1.0, 2.0, 3.0]
