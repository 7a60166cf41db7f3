"""Half-precision exports on a CPU without units for them: all of their networks run in float32."""

from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.worker.halves import widen
from export.artifacts import DTYPES, Recipe, compile_pipeline, edgeconnect_recipe, matting_recipe
from export.torchscript import from_bytes, to_bytes
from models.untrained import write_edgeconnect, write_matting


def recipes(folder: Path) -> list[Recipe]:
    write_edgeconnect(folder, width=4, blocks=1)
    write_matting(folder / "matting.pth", width=4)
    return [edgeconnect_recipe(folder, 3), matting_recipe(folder / "matting.pth")]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_widened_export_has_nothing_left_in_half_precision(tmp_path: Path, precision: str) -> None:
    half = DTYPES[precision]
    for recipe in recipes(tmp_path):
        module = from_bytes(to_bytes(compile_pipeline(recipe, half, "cpu"), "{}"), "cpu")
        graph: Any = module.graph
        widen(graph)
        constants = graph.findAllNodes("prim::Constant")
        tensors = [n.t("value") for n in constants if n.output().type().kind() == "TensorType"]
        assert half not in {tensor.dtype for tensor in tensors}
        _run(module)  # a cast that was left would meet a weight of another type, and fail


def test_widened_inpainting_is_closer_to_float32_than_in_half_precision(tmp_path: Path) -> None:
    recipe = recipes(tmp_path)[0]
    gaps = []
    full = _run(compile_pipeline(recipe, torch.float32, "cpu"))
    for widens in (True, False):
        data = to_bytes(compile_pipeline(recipe, torch.bfloat16, "cpu"), "{}")
        module = from_bytes(data, "cpu")
        if widens:
            widen(module.graph)
        gaps.append(float((_run(module) - full).abs().mean()))
    assert 0 < gaps[0] < gaps[1]


def _run(module: torch.jit.ScriptModule) -> torch.Tensor:
    """What it makes of a picture, half of which is to be worked, as float32."""
    picture = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    image = (torch.nn.functional.interpolate(picture, size=(48, 64)) * 255).to(torch.uint8)
    companion = torch.zeros(1, 1, 48, 64, dtype=torch.uint8)
    companion[..., :32] = 128
    with torch.inference_mode():
        made: torch.Tensor = module(image, companion).float()
    return made
