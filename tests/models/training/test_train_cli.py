"""`retouchd-train` from end to end: every trainer, what it refuses, and what survives a kill."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
import torch
from tiny_runs import lines

from models.checkpoints import (
    build_edge_generator,
    build_inpaint_generator,
    build_matting,
    read_checkpoint,
)
from models.matting_corrected import IN_CHANNELS
from models.training.cli import main
from models.training.lock import held
from models.training.pack import Photo, write_pack

ROOT = Path(__file__).parents[3]

COMMON = {"steps": 10, "batch": 2, "size": 32, "width": 4, "learning_rate": 1e-3, "log_every": 1,
          "measure_pictures": 2, "loaders": 0, "average": 0.5}  # fmt: skip
INPAINTING = COMMON | {"blocks": 1, "judge_width": 4}


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.pack(tmp_path_factory.mktemp("pack") / "pack.zip")


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def toml(path: Path, values: dict[str, Any]) -> Path:
    path.write_text("".join(f"{k} = {v!r}\n" for k, v in values.items()), encoding="utf-8")
    return path


def options(pack: Path, folder: Path, values: dict[str, Any], run: str = "run") -> list[str]:
    """The options of a training of `values` on `pack` in `folder/run`."""
    settings = toml(folder / f"{run}.toml", values)
    chosen = {"--data": pack, "--settings": settings, "--run": folder / run, "--device": "cpu"}
    return [str(word) for pair in chosen.items() for word in pair]


def step_of(run: Path) -> int:
    return int(torch.load(run / "last.pt", weights_only=True)["step"])


def trained_steps(run: Path, loss: str) -> list[int]:
    return [line["step"] for line in lines(run) if loss in line]


def weights_of(run: Path) -> list[Path]:
    """The files of `retouchd-train weights`."""
    assert main(["weights", "--run", str(run), "--output", str(run / "weights")]) == 0
    return sorted((run / "weights").iterdir())


def test_ten_steps_of_edges_of_colours_and_of_both_give_weights_to_export(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in ("edge", "inpaint"):
        code = main(["edgeconnect", stage, *options(pack, tmp_path, INPAINTING, stage)])
        assert code == 0, capsys.readouterr().err
        assert trained_steps(tmp_path / stage, "judge") == list(range(1, 11))
    starts = ["--edge", str(tmp_path / "edge"), "--inpaint", str(tmp_path / "inpaint")]
    joint = options(pack, tmp_path, INPAINTING, "joint")
    assert main(["edgeconnect", "joint", *starts, *joint]) == 0
    assert step_of(tmp_path / "joint") == 10
    capsys.readouterr()
    edges, colours = (read_checkpoint(path) for path in weights_of(tmp_path / "joint"))
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert build_edge_generator(edges)(torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)
    assert build_inpaint_generator(colours)(torch.rand(1, 4, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("prefill", ["true", "false"])
def test_ten_steps_of_matting_give_weights_to_export(
    pack: Path, tmp_path: Path, prefill: str
) -> None:
    command = options(pack, tmp_path, COMMON)
    with (tmp_path / "run.toml").open("a", encoding="utf-8") as stream:
        stream.write(f"prefill = {prefill}\n")
    assert main(["matting", *command]) == 0
    (path,) = weights_of(tmp_path / "run")
    seen = torch.rand(1, IN_CHANNELS if prefill == "true" else 4, 32, 32)
    assert build_matting(read_checkpoint(path))(seen).shape == (1, 1, 32, 32)


def test_minutes_stop_a_run_early_and_save_it_and_it_goes_on(pack: Path, tmp_path: Path) -> None:
    command = ["edgeconnect", "inpaint", *options(pack, tmp_path, INPAINTING)]
    assert main([*command, "--minutes", "1e-6"]) == 0
    assert step_of(tmp_path / "run") == 1
    assert main(command) == 0
    assert step_of(tmp_path / "run") == 10
    assert trained_steps(tmp_path / "run", "judge") == list(range(1, 11))


def test_a_finished_run_is_left_as_it_is(pack: Path, tmp_path: Path) -> None:
    command = ["edgeconnect", "inpaint", *options(pack, tmp_path, INPAINTING | {"steps": 2})]
    assert main(command) == 0
    before = (tmp_path / "run" / "last.pt").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    more = ["edgeconnect", "inpaint", *options(pack, tmp_path, INPAINTING | {"steps": 3})]
    assert main(more) == 0
    assert step_of(tmp_path / "run") == 3


def test_own_masks_are_read(pack: Path, tmp_path: Path) -> None:
    command = ["edgeconnect", "inpaint", *options(pack, tmp_path, INPAINTING | {"steps": 1})]
    masks = ["--masks", str(tmp_path / "nowhere")]
    assert main([*command, *masks]) == 2


Prepare = Callable[[Path, Path], list[str]]


def _missing_settings(pack: Path, folder: Path) -> list[str]:
    command = ["edgeconnect", "edge", *options(pack, folder, INPAINTING)]
    (folder / "run.toml").unlink()
    return command


def _without_photos(folder: Path) -> Path:
    write_pack(folder / "empty.zip", [], [])
    return folder / "empty.zip"


def _without_validation(folder: Path) -> Path:
    photo = Photo("a", "a", "train", "test", "CC0-1.0", tiny_runs.photos()[0])
    write_pack(folder / "half.zip", [photo], [])
    return folder / "half.zip"


REFUSED: dict[str, tuple[Prepare, str]] = {
    "missing settings": (_missing_settings, "no such file"),
    "unknown key": (
        lambda pack, folder: ["edgeconnect", "edge", *options(pack, folder, {"widht": 3})],
        "widht",
    ),
    "key of the other trainer": (
        lambda pack, folder: ["matting", *options(pack, folder, {"blocks": 3})],
        "blocks",
    ),
    "joint without edge": (
        lambda pack, folder: [
            "edgeconnect", "joint", "--inpaint", "x", *options(pack, folder, INPAINTING)
        ],
        "--edge",
    ),
    "joint with an edge run that isn't there": (
        lambda pack, folder: [
            "edgeconnect", "joint", "--inpaint", str(folder), "--edge", str(folder / "no"),
            *options(pack, folder, INPAINTING),
        ],
        "no checkpoint",
    ),
    "missing data": (
        lambda _, folder: ["matting", *options(folder / "no.zip", folder, COMMON)],
        "no.zip",
    ),
    "data that is no pack": (
        lambda _, folder: ["matting", *options(toml(folder / "t.zip", {}), folder, COMMON)],
        "no pack",
    ),
    "data without photos": (
        lambda _, folder: [
            "edgeconnect", "edge", *options(_without_photos(folder), folder, INPAINTING)
        ],
        "no photos",
    ),
    "data without photos to measure on": (
        lambda _, folder: [
            "edgeconnect", "edge", *options(_without_validation(folder), folder, INPAINTING)
        ],
        "no photos for the split validation",
    ),
    "a device that can't train": (
        lambda pack, folder: [
            "edgeconnect", "edge", *options(pack, folder, INPAINTING), "--device", "meta"
        ],
        "--device meta",
    ),
    "a metric that is no number": (
        lambda *_: ["weights", "--run", "x", "--output", "y", "--metric", "psnr=nan"],
        "psnr=nan",
    ),
    "weights of no run": (
        lambda _, folder: ["weights", "--run", str(folder), "--output", str(folder / "w")],
        "no run's folder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_code_2_and_one_line(
    case: str, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare, word = REFUSED[case]
    assert main(prepare(pack, tmp_path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("retouchd-train: ")
    assert word in line
    assert not (tmp_path / "run").exists(), "nothing is left behind"


@pytest.mark.parametrize("minutes", ["nan", "inf", "-1", "soon"])
def test_minutes_are_a_number(
    minutes: str, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["matting", *options(pack, tmp_path, COMMON), "--minutes", minutes]
    assert main(command) == 2
    assert "has to be a number of minutes" in capsys.readouterr().err


def test_a_folder_in_use_or_a_file_is_refused(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["matting", *options(pack, tmp_path, COMMON)]
    with held(tmp_path / "run"):
        assert main(command) == 2
    assert "another training is at work here" in capsys.readouterr().err
    (tmp_path / "run").write_text("", encoding="utf-8")
    assert main(command) == 2
    assert "is a file" in capsys.readouterr().err


def test_a_disk_that_takes_no_more_is_named_with_what_to_do(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["matting", *options(pack, tmp_path, COMMON | {"log_every": 100})]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert main(command) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "last.pt: File too large. Make room there" in last
    assert not list((tmp_path / "run").glob(".last*"))


def test_memory_that_is_not_there_is_a_line_and_code_1(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.cli.matting_run", lambda *_, **__: torch.empty(2**60))
    assert main(["matting", *options(pack, tmp_path, COMMON)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Lower batch, size or width" in line


def test_ctrl_c_before_the_first_step_is_a_line_and_code_130(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    for name in ("prepare", "save_weights", "matting_run"):
        monkeypatch.setattr(f"models.training.cli.{name}", interrupted)
    for command in (
        ["prepare", "--output", str(tmp_path / "pack.zip")],
        ["weights", "--run", "x", "--output", "y"],
        ["matting", *options(pack, tmp_path, COMMON)],
    ):
        assert main(command) == 130
        assert capsys.readouterr().err == "retouchd-train: stopped.\n"


def test_ctrl_c_in_training_saves_and_says_where(pack: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for_long = COMMON | {"steps": 10**6, "measure_every": 10**6, "loaders": 1}
    with started(["matting", *options(pack, tmp_path, for_long)], session=True) as process:
        wait_until(process, lambda: len(lines(run)) > 2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: the loader gets it too
        _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "Saves after this step and stops." in told
    assert f"Stopped: saved at step {step_of(run)} of 1000000." in told


@pytest.mark.slow
def test_without_a_c_compiler_compile_true_is_a_warning(pack: Path, tmp_path: Path) -> None:
    values = INPAINTING | {"steps": 3}
    command = ["edgeconnect", "inpaint", *options(pack, tmp_path, values)]
    with (tmp_path / "run.toml").open("a", encoding="utf-8") as stream:
        stream.write("compile = true\n")
    with started(command, CXX=str(tmp_path / "none")) as process:
        _, told = process.communicate(timeout=280)
    assert process.returncode == 0, told
    assert told.count("Can't compile the networks here") == 1
    assert "Traceback" not in told
    assert step_of(tmp_path / "run") == 3


def test_wrong_usage_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edgeconnect", "colours"]) == 2
    assert "colours" in capsys.readouterr().err


def test_losses_that_are_no_numbers_end_in_code_1(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without a memory of the gradients' size, one that vanishes makes a step without end.
    wild = COMMON | {"learning_rate": 1.0, "betas": [0.9, 0.0], "warmup_steps": 0, "steps": 40}
    assert main(["matting", *options(pack, tmp_path, wild)]) == 1
    assert "learning_rate" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_killed_goes_on_from_its_last_checkpoint_and_a_run_asked_to_end_saves(
    pack: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for_long = INPAINTING | {"steps": 10**6, "save_every_s": 0.0, "measure_every": 10**6}
    command = ["edgeconnect", "inpaint", *options(pack, tmp_path, for_long)]
    with started(command) as process:
        wait_until(process, lambda: (run / "last.pt").exists() and len(lines(run)) > 3)
        process.kill()
    saved, before = step_of(run), len(lines(run))
    with started(command) as process:
        wait_until(process, lambda: len(lines(run)) > before + 2)
        process.terminate()
        _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    steps = trained_steps(run, "judge")
    assert steps[before:] == list(range(saved + 1, steps[-1] + 1))
    assert step_of(run) == steps[-1]


def started(
    command: list[str], *, session: bool = False, **environment: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "models.training.cli", *command],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment, text=True,
        stderr=subprocess.PIPE, start_new_session=session,
    )  # fmt: skip


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Until a running command has come that far; a line half written is not there yet."""
    for _ in range(2400):
        try:
            if reached():
                return
        except (FileNotFoundError, ValueError):
            pass
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the command did not come that far")
