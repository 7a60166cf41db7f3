"""The networks under test: the published ones at full width, with random weights, as artifacts.

Random weights take exactly as long as trained ones. The eager side of a comparison is the same
pipeline with spectral norm folded, as in the artifact: without that it would lose by itself.
"""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from daemon.artifact import read_artifact
from export.artifacts import DTYPES, Recipe, edgeconnect_recipe, matting_recipe, write_artifact
from export.pipelines import InPrecision
from export.torchscript import from_bytes
from export.verify import Precision
from models.edgeconnect import fold_spectral_norm
from models.untrained import write_edgeconnect, write_matting

Task = Literal["inpaint", "matting"]
# A picture and its mask or trimap, as the contract has them, to the result.
Pipeline = Callable[[Tensor, Tensor], Tensor]

PUBLISHED_WIDTH: Final = 64
PUBLISHED_BLOCKS: Final = 8


@dataclass(frozen=True)
class Networks:
    """Artifact files by task, made for one device in one precision, and what they came from."""

    files: dict[Task, Path]
    recipes: dict[Task, Recipe]
    device: str
    precision: Precision

    def artifact(self, task: Task) -> Pipeline:
        """The artifact as the daemon loads it."""
        module: Pipeline = from_bytes(read_artifact(self.files[task]), self.device)
        return module

    def eager(self, task: Task, precision: Precision | None = None) -> Pipeline:
        """The same pipeline as a plain module, in the artifact's precision unless another."""
        recipe = self.recipes[task]
        parts: list[nn.Module] = []
        for network in recipe.networks:
            own = copy.deepcopy(network)
            fold_spectral_norm(own)
            parts.append(InPrecision(own, DTYPES[precision or self.precision]))
        module: Pipeline = recipe.assemble(*parts).to(self.device).eval()
        return module


def export_networks(
    folder: Path,
    device: str,
    precision: Precision,
    width: int = PUBLISHED_WIDTH,
    blocks: int = PUBLISHED_BLOCKS,
) -> Networks:
    """Write both artifacts into a folder, verified as every export is; those there are kept."""
    write_edgeconnect(folder / "checkpoints", width=width, blocks=blocks)
    write_matting(folder / "matting.pth", width=width)
    recipes: dict[Task, Recipe] = {
        "inpaint": edgeconnect_recipe(folder / "checkpoints"),
        "matting": matting_recipe(folder / "matting.pth"),
    }
    kind = f"{device.partition(':')[0]}-{precision}-{width}"
    files: dict[Task, Path] = {task: folder / f"{task}-{kind}.pt" for task in recipes}
    for task, recipe in recipes.items():
        if not files[task].exists():
            licence = "Random weights; no rights reserved."
            write_artifact(
                recipe,
                files[task],
                licence=licence,
                trained=False,
                device=device,
                precision=precision,
            )
    return Networks(files, recipes, device, precision)


def run(pipeline: Pipeline, image: Tensor, companion: Tensor) -> Tensor:
    """One forward, to its end: on a GPU too."""
    with torch.inference_mode():
        result = pipeline(image, companion)
        if result.is_cuda:
            torch.cuda.synchronize(result.device)
    return result


def limit_threads(threads: int) -> None:
    """The same number for this process and for all it starts."""
    torch.set_num_threads(threads)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
