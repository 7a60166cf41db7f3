"""What weights say of how good they are reaches the manifest, or is refused by its own name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from export import cli
from export.metrics import metrics_of
from models.checkpoints import Checkpoint, CheckpointError, read_checkpoint
from models.untrained import write_matting


def telling(metrics: str | None) -> Checkpoint:
    about = {} if metrics is None else {"metrics": metrics}
    return Checkpoint(Path("w.safetensors"), "", {}, about)


def test_finite_numbers_are_taken_as_they_are() -> None:
    assert metrics_of(telling('{"sad": 4.5, "pictures": 52}')) == {"sad": 4.5, "pictures": 52.0}
    assert metrics_of(telling(None)) is None


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ('{"sad": NaN, "mse": 0.1}', r"no finite number \(sad: nan\)"),
        ('{"psnr": Infinity}', r"psnr: inf"),
        ('{"psnr": 1e999}', r"psnr: inf"),
        ('{"n": 1' + "0" * 400 + "}", "no finite number"),
        ('{"good": true}', "good: True"),
        ('{"sad": "low"}', "sad: low"),
        ("[1]", "no JSON object"),
        ("nan?", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
    ],
)
def test_metrics_that_are_none_are_named(metrics: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^w\.safetensors: the metrics .*{words}"):
        metrics_of(telling(metrics))


def test_export_says_what_is_wrong_with_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_matting(tmp_path / "m.pth", width=4)
    state = {k: v.contiguous() for k, v in read_checkpoint(tmp_path / "m.pth").state.items()}
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    file = tmp_path / "m.safetensors"
    save_file(state, file, metadata={"metrics": '{"sad": NaN}'})
    output = tmp_path / "m.pt"
    assert cli.main(["matting", "--checkpoint", str(file), "--output", str(output)]) == 2
    said = capsys.readouterr().err
    assert f"{file}: the metrics in its metadata hold what is no finite number (sad: nan)" in said
    assert "--metric NAME=NUMBER" in said
    assert "xport the checkpoint again" not in said
    assert not output.exists()
