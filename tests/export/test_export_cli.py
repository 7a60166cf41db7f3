"""`retouchd-export`: from a checkpoint to a verified file, or one clear line and no file."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.artifact import Manifest, read_artifact, read_manifest
from export import artifacts, cli
from export.artifacts import Recipe, compile_pipeline
from export.torchscript import freeze, from_bytes, to_bytes
from models.checkpoints import read_checkpoint
from models.untrained import write_edgeconnect, write_matting

ROOT = Path(cli.__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints in the published layouts, narrow."""
    folder = tmp_path_factory.mktemp("checkpoints")
    write_edgeconnect(folder, width=8, blocks=2)
    write_matting(folder / "matting.pth", width=8)
    return folder


def test_edgeconnect_is_exported_and_tells_all_about_itself(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "inpaint.pt"
    with umask(0o000):
        code = cli.main(["edgeconnect", "--checkpoints", str(folder), "--output", str(output)])
    assert code == 0
    said = capsys.readouterr().out
    assert "non-commercial" in said
    assert "verified in a fresh process" in said
    manifest = read_manifest(output)
    assert (manifest.task, manifest.network, manifest.stage) == ("inpaint", "edgeconnect", 3)
    assert (manifest.width, manifest.blocks) == (8, 2)
    assert (manifest.size_multiple, manifest.smallest_size, manifest.best_size) == (4, 1, 256)
    assert manifest.halo == 10 + 2 * 39
    assert manifest.precision == "fp32"
    assert manifest.trained
    assert "non-commercial" in manifest.licence
    assert manifest.checkpoint_sha256.keys() == {"EdgeModel_gen.pth", "InpaintingModel_gen.pth"}
    checkpoint = read_checkpoint(folder / "EdgeModel_gen.pth")
    assert manifest.checkpoint_sha256["EdgeModel_gen.pth"] == checkpoint.sha256
    assert manifest.torch_version == torch.__version__
    assert manifest.exporter.startswith("retouchd-export ")
    # Some tens of float32 planes and Canny's float64 ones; not the weights, not the libraries.
    assert manifest.memory_bytes_per_pixel is not None
    assert 100 < manifest.memory_bytes_per_pixel < 1000
    assert output.stat().st_mode & 0o7777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["inpaint.pt"]


def test_a_licence_too_long_for_a_manifest_is_one_clear_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "inpaint.pt"
    asked = ["--checkpoints", str(folder), "--output", str(output), "--licence", "x" * 5000]
    assert cli.main(["edgeconnect", *asked]) != 0
    said = capsys.readouterr().err
    assert "can't go into a manifest (licence: " in said
    assert "Say less with --licence" in said
    assert not output.exists()


def test_matting_is_exported_with_the_users_own_words(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "matting.pt"
    with umask(0o077):
        code = cli.main(
            [
                *("matting", "--checkpoint", str(folder / "matting.pth"), "--untrained"),
                *("--output", str(output), "--width", "8", "--licence", "CC0-1.0"),
            ]
        )
    assert code == 0
    manifest = read_manifest(output)
    assert (manifest.task, manifest.network) == ("matting", "deep-image-matting")
    assert (manifest.stage, manifest.blocks, manifest.width) == (None, None, 8)
    assert (manifest.size_multiple, manifest.smallest_size, manifest.best_size) == (1, 1, 320)
    assert not manifest.trained
    assert manifest.licence == "CC0-1.0"
    assert output.stat().st_mode & 0o7777 == 0o644


def test_edge_map_needs_the_edge_generator_alone(folder: Path, tmp_path: Path) -> None:
    alone, output = tmp_path / "alone", tmp_path / "edges.pt"
    alone.mkdir()
    (alone / "EdgeModel_gen.pth").write_bytes((folder / "EdgeModel_gen.pth").read_bytes())
    command = ["edgeconnect", "--checkpoints", str(alone), "--output", str(output)]
    assert cli.main([*command, "--stage", "1"]) == 0
    assert read_manifest(output).task == "edges"


def test_file_runs_where_the_networks_source_is_not(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "inpaint.pt"
    command = ["edgeconnect", "--checkpoints", str(folder), "--stage", "2", "--untrained"]
    done = subprocess.run(
        [sys.executable, "-m", "export.cli", *command, "--output", str(output)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    program = (
        "import sys, torch, warnings; warnings.simplefilter('ignore');"
        "run = torch.jit.load(sys.argv[1]);"
        "image = torch.zeros(1, 3, 20, 30, dtype=torch.uint8);"
        "assert run(image, image[:, :1]).equal(image)"
    )
    subprocess.run([sys.executable, "-c", program, str(output)], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("present", "stage", "words"),
    [
        ("InpaintingModel_gen.pth", "3", "EdgeModel_gen.pth missing.*--stage 2 works"),
        ("EdgeModel_gen.pth", "3", "InpaintingModel_gen.pth missing.*--stage 1 works"),
        ("EdgeModel_gen.pth", "2", "InpaintingModel_gen.pth missing.*--stage 1 works"),
        ("InpaintingModel_gen.pth", "1", "EdgeModel_gen.pth missing.*--stage 2 works"),
        ("", "3", "EdgeModel_gen.pth and InpaintingModel_gen.pth missing.*published files"),
    ],
)
def test_missing_file_is_named_with_the_stage_that_works(
    folder: Path, tmp_path: Path, present: str, stage: str, words: str, capsys: Any
) -> None:
    if present:
        (tmp_path / present).write_bytes((folder / present).read_bytes())
    assert_refused(
        ["edgeconnect", "--checkpoints", str(tmp_path), "--stage", stage], tmp_path, words, capsys
    )


def test_width_must_agree_with_the_checkpoint(folder: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["matting", "--checkpoint", str(folder / "matting.pth"), "--width", "64"]
    assert_refused(command, tmp_path, "--width 64: .* has width 8", capsys)


def test_unknown_device_is_refused(folder: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["matting", "--checkpoint", str(folder / "matting.pth"), "--device", "cuda:99"]
    assert_refused(command, tmp_path, "--device cuda:99", capsys)


def test_output_in_no_folder_is_refused(folder: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["matting", "--checkpoint", str(folder / "matting.pth")]
    assert_refused(command, tmp_path / "none", "there is no folder", capsys)


def test_checkpoint_that_is_none_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "m.pth").write_bytes(b"no checkpoint")
    assert_refused(
        ["matting", "--checkpoint", str(tmp_path / "m.pth")], tmp_path, "not a checkpoint", capsys
    )


@pytest.mark.parametrize("arguments", [[], ["lama"], ["matting"], ["edgeconnect", "--stage", "5"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: Any) -> None:
    assert cli.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_help_ends_with_0(capsys: Any) -> None:
    assert cli.main(["edgeconnect", "--help"]) == 0
    assert "--checkpoints" in capsys.readouterr().out


def test_file_with_other_weights_is_found_out_and_never_appears(
    folder: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_matting(tmp_path / "other.pth", width=8, seed=99)
    other = artifacts.matting_recipe(tmp_path / "other.pth")

    def compile_other(_recipe: Recipe, dtype: torch.dtype, device: str) -> Any:
        return compile_pipeline(other, dtype, device)

    monkeypatch.setattr(artifacts, "compile_pipeline", compile_other)
    output = tmp_path / "matting.pt"
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("matting/extra/manifest.json", "an artifact that was there before")
    before = output.read_bytes()
    command = ["matting", "--checkpoint", str(folder / "matting.pth"), "--output", str(output)]
    assert cli.main(command) == 1
    assert "differs from the network" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["matting.pt", "other.pth"]


def test_file_torn_on_its_way_to_disk_is_found_out_and_never_appears(
    folder: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "to_bytes", lambda *parts: to_bytes(*parts)[:-5000])
    output = tmp_path / "matting.pt"
    command = ["matting", "--checkpoint", str(folder / "matting.pth"), "--output", str(output)]
    assert cli.main(command) == 1
    assert "does not run in a fresh process" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_manifest_promises_what_the_module_does(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "matting.pt"
    recipe = artifacts.matting_recipe(folder / "matting.pth")
    manifest, report = artifacts.write_artifact(recipe, output, licence="CC0-1.0", trained=False)
    assert manifest == read_manifest(output)
    assert isinstance(manifest, Manifest)
    assert report.samples > 10_000
    side = manifest.smallest_size
    tiny = torch.zeros(1, 4, side, side, dtype=torch.uint8)
    module = from_bytes(read_artifact(output), "cpu")
    assert module(tiny[:, :3], tiny[:, 3:]).shape == (1, 1, side, side)


def test_failed_write_leaves_no_draft(
    folder: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    command = ["matting", "--checkpoint", str(folder / "matting.pth")]
    assert cli.main([*command, "--output", str(tmp_path / "matting.pt")]) == 1
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_130_and_one_line_and_leaves_no_draft(
    folder: Path, tmp_path: Path
) -> None:
    command = ["matting", "--checkpoint", str(folder / "matting.pth")]
    running = subprocess.Popen(
        [sys.executable, "-m", "export.cli", *command, "--output", str(tmp_path / "matting.pt")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    while running.poll() is None and not list(tmp_path.iterdir()):
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the process that verifies, too
    said = running.communicate(timeout=60)
    assert said == (
        "",
        f"retouchd-export: stopped by Ctrl-C; {tmp_path}/matting.pt was not written.\n",
    )
    assert running.returncode == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("network", ["matting", "edgeconnect"])
def test_training_run_is_named_with_the_command_that_makes_weights_of_it(
    tmp_path: Path, network: str, capsys: Any
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    saved = {"step": 7, "networks": {"matting": {}}, "averages": {}, "optimizers": {}}
    torch.save(saved, run / "last.pt")
    command = {
        "matting": ["matting", "--checkpoint", str(run / "last.pt")],
        "edgeconnect": ["edgeconnect", "--checkpoints", str(run)],
    }
    words = f"Run first: retouchd-train weights --run {run} --output DIR"
    assert_refused(command[network], tmp_path, words, capsys)


def test_artifact_given_as_a_checkpoint_is_refused_without_a_warning(
    tmp_path: Path, capsys: Any
) -> None:
    data = to_bytes(freeze(torch.nn.Identity()), "{}")
    (tmp_path / "artifact.pt").write_bytes(data)
    command = ["matting", "--checkpoint", str(tmp_path / "artifact.pt")]
    assert_refused(command, tmp_path, "is a TorchScript file, as artifacts are", capsys)


def test_networks_of_a_recipe_keep_their_spectral_norm(folder: Path) -> None:
    recipe = artifacts.edgeconnect_recipe(folder, 1)
    compile_pipeline(replace(recipe), torch.float32, "cpu")
    assert "encoder.1.weight_orig" in recipe.networks[0].state_dict()


def assert_refused(command: list[str], folder: Path, words: str, capsys: Any) -> None:
    """Exit 2, one line on stderr that matches, and nothing written."""
    before = sorted(folder.iterdir()) if folder.exists() else None
    assert cli.main([*command, "--output", str(folder / "out.pt")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith("retouchd-export: ")
    with pytest.raises(AssertionError, match=f"(?s){words}"):
        raise AssertionError(error)
    assert (sorted(folder.iterdir()) if folder.exists() else None) == before


@contextmanager
def umask(mode: int) -> Iterator[None]:
    old = os.umask(mode)
    try:
        yield
    finally:
        os.umask(old)
