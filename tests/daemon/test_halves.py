"""Half-precision networks on a chip without the units for it, and their layout on a GPU."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daemon.artifact import ArtifactError
from daemon.worker.halves import widen
from daemon.worker.inference import Network

HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
PICTURE = np.random.default_rng(3).integers(0, 256, (41, 56, 3), dtype=np.uint8)
MASK = np.full((41, 56), 255, np.uint8)


class Half(torch.nn.Module):
    """Two convolutions in half precision, and numbers that are written as its dtypes are."""

    like: torch.Tensor

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = torch.nn.Conv2d(3, 8, 3, padding=1).to(dtype)
            self.second = torch.nn.Conv2d(8, 3, 3, padding=1).to(dtype)
        self.register_buffer("like", torch.zeros((), dtype=dtype))

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.pad((image.float() / 255).to(self.like.dtype), [0, 15, 0, 5])
        made = self.second(torch.relu(self.first(x))).float()[:, :, : image.shape[2]]
        levels = (made[..., : image.shape[3]] * 255 + 15).clamp(5, 255)
        return torch.where(mask > 0, levels.to(torch.uint8), image)


class HalfInside(torch.nn.Module):
    """Makes a half-precision tensor as it runs: no weight, no cast that could be widened."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        weight = torch.ones(3, image.shape[1], 1, 1, dtype=torch.bfloat16)
        return torch.conv2d(image.to(torch.bfloat16), weight).to(torch.uint8)


def saved(module: torch.nn.Module, precision: str) -> bytes:
    manifest = {"contract": "retouchd", "contract_version": 1, "network": "half", "task": "inpaint"}
    text = json.dumps({**manifest, "precision": precision})
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen = torch.jit.freeze(torch.jit.script(module.eval()), optimize_numerics=False)
        torch.jit.save(frozen, buffer, _extra_files={"manifest.json": text})
    return buffer.getvalue()


def loaded(data: bytes) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data))
    return module


def artifact(folder: Path, module: torch.nn.Module, precision: str) -> Path:
    path = folder / f"{precision}.pt"
    path.write_bytes(saved(module, precision))
    path.chmod(0o644)
    return path


@pytest.fixture
def without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})


@pytest.mark.parametrize("precision", HALVES)
def test_widened_network_gives_what_its_rounded_weights_give_in_float32(
    tmp_path: Path, precision: str, without_units: None
) -> None:
    half = Half(HALVES[precision])
    network = Network(artifact(tmp_path, half, precision), "inpaint", "cpu")
    with torch.inference_mode():
        image = torch.from_numpy(PICTURE.transpose(2, 0, 1)[None].copy())
        expected = half.float()(image, torch.from_numpy(MASK[None, None].copy()))
    assert np.array_equal(network.run(PICTURE, MASK), expected[0].numpy().transpose(1, 2, 0))


@pytest.mark.parametrize("precision", HALVES)
def test_nothing_is_left_in_half_precision(precision: str) -> None:
    module = loaded(saved(Half(HALVES[precision]), precision))
    assert _halves(module)
    widen(module.graph)
    assert not _halves(module)


def _halves(module: torch.jit.ScriptModule) -> list[torch.Tensor]:
    """The weights that are in half precision."""
    return [tensor for tensor in _weights(module.graph) if tensor.dtype in HALVES.values()]


def _weights(graph: Any) -> list[torch.Tensor]:
    """The tensors that a frozen graph holds."""
    constants = graph.findAllNodes("prim::Constant")
    return [node.t("value") for node in constants if node.output().type().kind() == "TensorType"]


def test_bf16_is_kept_where_the_cpu_has_units_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = artifact(tmp_path, Half(torch.bfloat16), "bf16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert _halves(Network(path, "inpaint", "cpu")._module)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    assert not _halves(Network(path, "inpaint", "cpu")._module)


def test_network_that_cannot_be_widened_is_refused_with_what_to_do(
    tmp_path: Path, without_units: None
) -> None:
    path = artifact(tmp_path, HalfInside(), "bf16")
    with pytest.raises(ArtifactError, match=r"does not run on cpu: .*Export it with --precision"):
        Network(path, "inpaint", "cpu")
