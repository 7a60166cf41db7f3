import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.evaluation.artifact import describe, load_artifacts
from models.evaluation.methods import EvaluationError

PICTURE = np.arange(20 * 24 * 3, dtype=np.uint32).reshape(20, 24, 3).astype(np.uint8)
GUIDE = np.zeros((20, 24), np.uint8)


class Copy(nn.Module):
    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return image + 0 * mask


class Grey(nn.Module):
    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        return image[:, 1:2] + 0 * trimap


class Halves(nn.Module):
    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return image[:, :, ::2] + 0 * mask[:, :, ::2]


class Failing(nn.Module):
    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        if image.size(2) > 0:
            raise RuntimeError("this network takes no such picture")
        return image + mask


def save(module: nn.Module, path: Path, manifest: dict[str, object] | None = None) -> Path:
    extra = {} if manifest is None else {"manifest.json": json.dumps(manifest)}
    torch.jit.save(torch.jit.script(module), str(path), _extra_files=extra)
    return path


def test_artifact_runs_from_pixels_to_pixels(tmp_path: Path) -> None:
    (copy,) = load_artifacts([save(Copy(), tmp_path / "copy.pt")], "inpaint")
    assert (copy.run(PICTURE, GUIDE) == PICTURE).all()
    (grey,) = load_artifacts([save(Grey(), tmp_path / "grey.pt")], "matting")
    assert (grey.run(PICTURE, GUIDE) == PICTURE[:, :, 1]).all()


def test_artifact_is_labelled_by_its_manifest(tmp_path: Path) -> None:
    manifest = {
        "task": "inpaint",
        "network": "edgeconnect",
        "stage": 3,
        "width": 24,
        "licence": "CC0",
        "trained": False,
    }
    (method,) = load_artifacts([save(Copy(), tmp_path / "small.pt", manifest)], "inpaint")
    assert (method.name, method.kind, method.identity) == ("small", "artifact", "")
    assert method.about == "edgeconnect, stage 3, width 24, licence CC0, UNTRAINED"
    assert method.facts["manifest"] == manifest
    assert "UNTRAINED" not in describe({**manifest, "trained": True})


def test_artifact_without_a_manifest_is_said_to_have_none(tmp_path: Path) -> None:
    (method,) = load_artifacts([save(Copy(), tmp_path / "copy.pt")], "inpaint")
    assert method.about == "no manifest"


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [save(Copy(), tmp_path / "a.pt"), save(Copy(), tmp_path / "other" / "a.pt")]
    assert [m.name for m in load_artifacts(paths, "inpaint")] == ["a", "a (2)"]
    assert [m.name for m in load_artifacts(paths[:1], "inpaint", ["a"])] == ["a (2)"]


def test_artifact_of_another_task_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "matting.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/extra/manifest.json", json.dumps({"task": "matting"}))
    with pytest.raises(EvaluationError, match=r"is an artifact for matting, not for inpaint"):
        load_artifacts([path], "inpaint")


def test_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"none\.pt: there is no such file"):
        load_artifacts([tmp_path / "none.pt"], "inpaint")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(EvaluationError, match=r"text\.pt: is no artifact"):
        load_artifacts([tmp_path / "text.pt"], "inpaint")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("hello", "hello")
    with pytest.raises(EvaluationError, match=r"zip\.pt: torch can't load it"):
        load_artifacts([tmp_path / "zip.pt"], "inpaint")


def test_failing_artifact_is_named_with_its_own_words(tmp_path: Path) -> None:
    (method,) = load_artifacts([save(Failing(), tmp_path / "failing.pt")], "inpaint")
    with pytest.raises(EvaluationError, match=r"failing\.pt: failed .* no such picture"):
        method.run(PICTURE, GUIDE)


def test_artifact_that_gives_another_size_is_refused(tmp_path: Path) -> None:
    (method,) = load_artifacts([save(Halves(), tmp_path / "halves.pt")], "inpaint")
    with pytest.raises(EvaluationError, match=r"halves\.pt: gave torch\.uint8 \[1, 3, 10, 24\]"):
        method.run(PICTURE, GUIDE)
