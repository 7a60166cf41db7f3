import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from models.evaluation import cli
from models.evaluation.cli import main
from models.training.pack import Cutout, Kind, Photo, Split, write_pack

FILES = {"results.json", "table.md", "sheet.png"}


class Copy(nn.Module):
    """An inpainter that gives back what it is given: the grey of the hole."""

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return image + 0 * mask


class Half(nn.Module):
    """A matting network that takes every unknown pixel for half."""

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        return trimap + 0 * image[:, :1]


def photo(name: str, split: Split = "test") -> Photo:
    """A slope of colours with some grain, 72 x 64 px."""
    y, x = np.mgrid[:64, :72]
    grain = np.random.default_rng(len(name)).integers(0, 12, (64, 72, 3))
    pixels = np.stack([40 + 2 * x, 50 + 2 * y, 90 + x + y], axis=-1) + grain
    return Photo(name, f"subject of {name}", split, "drawn", "CC0", pixels.astype(np.uint8))


def cutout(name: str, softness_px: float) -> Cutout:
    """A disc with a soft or a hard rim."""
    y, x = np.mgrid[:48, :48]
    alpha = np.clip((17 - np.hypot(y - 23.5, x - 23.5)) / softness_px, 0, 1)
    colours = np.stack([200 + 0 * x, 40 + x, 30 + y], axis=-1)
    pixels = np.dstack([colours, np.rint(alpha * 255)]).astype(np.uint8)
    kind: Kind = "soft" if softness_px > 3 else "hard"
    return Cutout(name, name, "test", "drawn", "CC0", kind, pixels)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tiny.zip"
    photos = [photo("ant"), photo("bear"), photo("horse"), photo("unseen", "train")]
    write_pack(path, photos, [cutout("cloud", 8), cutout("stone", 1)])
    return path


def save(module: nn.Module, path: Path) -> Path:
    extra = {"manifest.json": json.dumps({"network": type(module).__name__, "trained": False})}
    torch.jit.save(torch.jit.script(module), str(path), _extra_files=extra)
    return path


def results_of(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def without_times(results: dict[str, Any]) -> list[dict[str, Any]]:
    keys = ("case", "method", "errors")
    return [{key: score[key] for key in keys} for score in results["scores"]]


def evaluate(task: str, output: Path, *more: str | Path) -> int:
    return main([task, "--output", str(output), "--rows", "2", *map(str, more)])


def test_inpainting_is_measured_from_the_pack_to_the_three_files(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = save(Copy(), tmp_path / "copy.pt")
    output = tmp_path / "out"
    asked = ("--artifact", artifact, "--data", pack, "--size", "48", "--per-photo", "1")
    assert evaluate("inpaint", output, *asked, "--peers", "telea,smooth-fill") == 0
    assert {path.name for path in output.iterdir()} == FILES | {"peers"}
    assert capsys.readouterr().out.strip() == (output / "table.md").read_text().strip()

    results = results_of(output)
    assert len(results["cases"]) == 3 * 5
    assert len(results["scores"]) == 3 * 5 * 3
    assert results["data"]["split"] == "test"
    assert not any("unseen" in case["name"] for case in results["cases"])
    for case in results["cases"]:
        share = case["groups"][-1].removesuffix(" %").split("-")
        least, most = map(int, share) if case["groups"][-1] != "scratches and dust" else (0, 8)
        assert least <= 100 * case["hole_ratio"] <= most, case
    # Grey is no filling: any peer is better by far, in every group.
    for row in results["differences"]:
        if row["metric"] == "psnr_hole":
            assert row["mean"] < -3
            assert row["better"] == 0
    table = (output / "table.md").read_text()
    assert "### 40-50 %: 3 pictures" in table
    assert "| copy | artifact | Copy, UNTRAINED |" in table
    with Image.open(output / "sheet.png") as sheet:
        assert sheet.width > 5 * 48


def test_second_evaluation_measures_the_same_and_takes_the_peers_from_the_first(
    pack: Path, tmp_path: Path
) -> None:
    asked: list[str | Path] = ["--data", pack, "--size", "48", "--per-photo", "1", "--limit", "2"]
    asked += ["--peers", "navier-stokes", "--artifact", save(Copy(), tmp_path / "copy.pt")]
    first, again, elsewhere = tmp_path / "first", tmp_path / "first", tmp_path / "elsewhere"
    assert evaluate("inpaint", first, *asked) == 0
    before = results_of(first)
    assert evaluate("inpaint", again, *asked) == 0
    assert evaluate("inpaint", elsewhere, *asked) == 0
    assert without_times(before) == without_times(results_of(again))
    assert without_times(before) == without_times(results_of(elsewhere))
    peers = [score for score in results_of(again)["scores"] if score["method"] == "navier-stokes"]
    assert all(score["kept"] for score in peers)
    times = {(s["case"], s["seconds"]) for s in before["scores"] if s["method"] == "navier-stokes"}
    assert {(score["case"], score["seconds"]) for score in peers} == times
    assert "earlier runs: 10" in (again / "table.md").read_text()
    assert "earlier runs" not in (elsewhere / "table.md").read_text()


def test_matting_is_measured_with_each_kind_apart(pack: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    asked: list[str | Path] = ["--data", pack, "--size", "96"]
    asked += ["--artifact", save(Half(), tmp_path / "half.pt")]
    asked += ["--per-cutout", "1", "--procedural", "1", "--peers", "closed-form"]
    assert evaluate("matting", output, *asked) == 0
    assert {path.name for path in output.iterdir()} == FILES | {"peers"}
    results = results_of(output)
    groups = {group for case in results["cases"] for group in case["groups"]}
    assert groups == {"real, soft", "real, hard-edged", "procedural", "hair", "lace", "smoke"}
    found = {(s["case"], s["method"]): s["errors"] for s in results["scores"]}
    (stone,) = (case["name"] for case in results["cases"] if "stone" in case["name"])
    assert found[stone, "closed-form"]["sad"] < found[stone, "half"]["sad"] / 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "none.zip"), "there is no such pack"),
        (("--data", "PACK", "--split", "validation"), "has no photos in it"),
        (("--data", "PACK", "--size", "65"), "asks for more"),
        (("--data", "PACK", "--size", "13"), "--size 13: has to be at least 16 px"),
        (("--data", "PACK", "--peers", "none"), "there is nothing to measure"),
        (("--data", "PACK", "--artifact", "none.pt"), "there is no such file"),
        (("--data", "PACK", "--limit", "0"), "must be at least 1"),
        (("--data", "PACK", "--rows", "x"), "is no whole number"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_sentence(
    pack: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    given = [str(pack) if argument == "PACK" else argument for argument in arguments]
    assert evaluate("inpaint", tmp_path / "out", *given) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_least_size_is_measured_and_a_small_photo_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speck = Photo("speck", "speck", "test", "", "", np.zeros((1, 1, 3), np.uint8))
    write_pack(tmp_path / "pack.zip", [photo("ant"), speck], [])
    asked = ("--data", tmp_path / "pack.zip", "--size", "16", "--peers", "telea,smooth-fill")
    assert evaluate("inpaint", tmp_path / "out", *asked) == 0
    assert "left out speck (1 x 1 px)" in capsys.readouterr().out
    assert results_of(tmp_path / "out")["data"]["left out"] == "speck (1 x 1 px)"


def test_folder_with_a_table_from_elsewhere_is_refused_before_anything_is_measured(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.md").write_text("mine")
    assert evaluate("inpaint", tmp_path, "--data", pack, "--size", "48") == 2
    assert "holds table.md from elsewhere" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]
    assert (tmp_path / "table.md").read_text() == "mine"


def test_ctrl_c_ends_with_130_and_one_line_and_no_half_written_files(
    pack: Path, tmp_path: Path
) -> None:
    command = ["inpaint", "--data", str(pack), "--size", "48", "--output", str(tmp_path)]
    command += ["--per-photo", "2", "--peers", "biharmonic"]
    running = subprocess.Popen(
        [sys.executable, "-m", "models.evaluation.cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(cli.__file__).parents[2],
        start_new_session=True,
    )
    while running.poll() is None and not list(tmp_path.glob("peers/*.npz")):
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)
    out, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("retouchd-evaluate: stopped by Ctrl-C")
    assert [path.name for path in tmp_path.iterdir()] == ["peers"]
    assert list(tmp_path.glob("peers/.*")) == []


def test_output_that_cannot_be_written_is_exit_code_1(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert evaluate("inpaint", tmp_path / "file", "--data", pack) == 2
    assert "is a file. Name a folder" in capsys.readouterr().err
    asked = ("--data", pack, "--size", "48", "--peers", "telea")
    assert evaluate("inpaint", tmp_path / "file" / "out", *asked) == 1
    assert "can't be written" in capsys.readouterr().err


def test_help_warns_that_an_artifact_is_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inpaint", "--help"]) == 0
    assert "evaluate only files that you trust" in " ".join(capsys.readouterr().out.split())
