"""The example on docs/artifact.md makes an artifact that the contract accepts."""

import re
from pathlib import Path

import pytest
import torch

from daemon.artifact import Manifest, read_artifact, read_manifest
from export.torchscript import from_bytes

PAGE = Path(__file__).parents[2] / "docs" / "artifact.md"


def test_artifact_of_ones_own_is_accepted_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    # TorchScript compiles from source, which it looks up in a file.
    script = tmp_path / "example.py"
    script.write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    __import__("example")
    assert read_manifest(Path("mean.pt")).network == "mean-colour"
    image = torch.randint(0, 256, (2, 3, 9, 7), dtype=torch.uint8)
    mask = torch.zeros(2, 1, 9, 7, dtype=torch.uint8)
    mask[:, :, 2:5, 3] = 255
    made = from_bytes(read_artifact(Path("mean.pt")), "cpu")(image, mask)
    assert torch.equal(made.masked_fill(mask != 0, 0), image.masked_fill(mask != 0, 0))


def test_every_field_of_the_manifest_is_on_the_page() -> None:
    page = PAGE.read_text()
    assert [name for name in Manifest.model_fields if f"`{name}`" not in page] == []
