"""Checkpoints in, a verified artifact file out.

Promises: the output file appears whole, verified and with mode 0644, in one rename; on any error it
is as it was before.
"""

import copy
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

import daemon
from daemon.artifact import Manifest
from export import pipelines
from export.torchscript import freeze, to_bytes
from export.verify import FreshProcess, Precision, Report, Task, make_cases
from models import canny, edgeconnect, matting
from models.checkpoints import (
    EDGE_GENERATOR_FILE,
    INPAINT_GENERATOR_FILE,
    Checkpoint,
    CheckpointError,
    build_edge_generator,
    build_inpaint_generator,
    build_matting,
    read_checkpoint,
)

Stage = Literal[1, 2, 3]

# Picture sizes that the published training used, pixels.
EDGECONNECT_BEST_SIZE = 256
MATTING_BEST_SIZE = 320

# An artifact is code: its owner writes it, everybody may read it.
ARTIFACT_MODE = 0o644

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Recipe:
    """What is to be exported: networks in float32 on the CPU, and what the manifest says of them.

    `assemble` makes the pipeline of the task around the networks, in their order.
    """

    task: Task
    network: str
    networks: tuple[nn.Module, ...]
    assemble: Callable[..., nn.Module]
    checkpoints: tuple[Checkpoint, ...]
    width: int
    size_multiple: int
    best_size: int
    halo: int
    stage: Stage | None = None
    blocks: int | None = None


def edgeconnect_recipe(folder: Path, stage: Stage = 3) -> Recipe:
    """EdgeConnect from a folder with its published file names.

    Stage 1 draws edges, 2 inpaints along Canny's edges alone, 3 draws edges and inpaints along
    them. Raises `CheckpointError`; where a file is missing it says which stage works without.
    """
    needed = {1: [EDGE_GENERATOR_FILE], 2: [INPAINT_GENERATOR_FILE]}.get(
        stage, [EDGE_GENERATOR_FILE, INPAINT_GENERATOR_FILE]
    )
    _require(folder, needed, stage)
    checkpoints = tuple(read_checkpoint(folder / name) for name in needed)
    networks: tuple[nn.Module, ...]
    assemble: Callable[..., nn.Module]
    if stage == 1:
        networks = (build_edge_generator(checkpoints[0]),)
        assemble = pipelines.EdgeMap
    elif stage == 2:
        networks = (build_inpaint_generator(checkpoints[0]),)
        assemble = pipelines.InpaintAlongCanny
    else:
        networks = (build_edge_generator(checkpoints[0]), build_inpaint_generator(checkpoints[1]))
        assemble = pipelines.InpaintAlongDrawnEdges
    blocks = [len(network.get_submodule("middle")._modules) for network in networks]
    reach = canny.reach(pipelines.CANNY_SIGMA) + sum(map(edgeconnect.reach, blocks))
    return Recipe(
        task="edges" if stage == 1 else "inpaint",
        network="edgeconnect",
        networks=networks,
        assemble=assemble,
        checkpoints=checkpoints,
        width=networks[-1].get_parameter("decoder.7.weight").shape[1],
        size_multiple=edgeconnect.SIZE_MULTIPLE,
        best_size=EDGECONNECT_BEST_SIZE,
        halo=reach,
        stage=stage,
        blocks=blocks[-1],
    )


def matting_recipe(file: Path) -> Recipe:
    """Deep Image Matting from a checkpoint file. Raises `CheckpointError`."""
    checkpoint = read_checkpoint(file)
    network = build_matting(checkpoint)
    return Recipe(
        task="matting",
        network="deep-image-matting",
        networks=(network,),
        assemble=pipelines.Matte,
        checkpoints=(checkpoint,),
        width=network.get_parameter("_final_conv.weight").shape[1],
        size_multiple=1,
        best_size=MATTING_BEST_SIZE,
        halo=matting.REACH,
    )


def write_artifact(
    recipe: Recipe,
    output: Path,
    *,
    licence: str,
    trained: bool = True,
    device: str = "cpu",
    precision: Precision = "fp32",
) -> tuple[Manifest, Report]:
    """Export, verify in a fresh process, and only then put the file under its name, mode 0644.

    Raises `VerificationError` where the written file does not do what the network does, and
    `OSError` where it can't be written; `output` is then as it was before.
    """
    # Started first: it imports torch while this process compiles.
    with FreshProcess(device) as fresh, _published(output) as draft:
        module = compile_pipeline(recipe, DTYPES[precision], device)
        manifest = _manifest(recipe, licence, trained, device, precision)
        draft.write_bytes(to_bytes(module, _text(manifest)))
        memory = fresh.measure_memory(draft)
        manifest = manifest.model_copy(update={"memory_bytes_per_pixel": memory})
        draft.write_bytes(to_bytes(module, _text(manifest)))
        eager = recipe.assemble(*recipe.networks).eval()
        report = fresh.check(draft, make_cases(eager, recipe.task))
    return manifest, report


def compile_pipeline(recipe: Recipe, dtype: torch.dtype, device: str) -> torch.jit.ScriptModule:
    """The recipe's pipeline as TorchScript, spectral norm folded; its networks stay as they are."""
    networks = [copy.deepcopy(network) for network in recipe.networks]
    for network in networks:
        edgeconnect.fold_spectral_norm(network)
    parts = (pipelines.InPrecision(network, dtype) for network in networks)
    return freeze(recipe.assemble(*parts).to(device))


def _manifest(
    recipe: Recipe, licence: str, trained: bool, device: str, precision: Precision
) -> Manifest:
    return Manifest(
        contract="retouchd",
        contract_version=1,
        task=recipe.task,
        network=recipe.network,
        stage=recipe.stage,
        width=recipe.width,
        blocks=recipe.blocks,
        size_multiple=recipe.size_multiple,
        smallest_size=1,  # smaller than the network takes is padded inside
        best_size=recipe.best_size,
        halo=recipe.halo,
        precision=precision,
        device=device,
        checkpoint_sha256={c.path.name: c.sha256 for c in recipe.checkpoints},
        exporter=f"retouchd-export {daemon.__version__}",
        torch_version=torch.__version__,
        licence=licence,
        trained=trained,
    )


def _text(manifest: Manifest) -> str:
    return manifest.model_dump_json(indent=2, exclude_none=True)


def _require(folder: Path, names: list[str], stage: Stage) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    text = f"{folder}: {' and '.join(missing)} missing, which stage {stage} needs."
    if (folder / INPAINT_GENERATOR_FILE).is_file():
        text += f" With {INPAINT_GENERATOR_FILE} alone, --stage 2 works."
    elif (folder / EDGE_GENERATOR_FILE).is_file():
        text += f" With {EDGE_GENERATOR_FILE} alone, --stage 1 works (an edge map, no picture)."
    else:
        text += " Name the folder that holds the published files."
    raise CheckpointError(text)


@contextmanager
def _published(output: Path) -> Iterator[Path]:
    """A hidden draft beside `output`, which takes its name if the block ends well, else goes."""
    fd, name = tempfile.mkstemp(prefix=f".{output.name}.", suffix=".draft", dir=output.parent)
    draft = Path(name)
    try:
        yield draft
        os.fchmod(fd, ARTIFACT_MODE)
        os.fsync(fd)
        draft.replace(output)
        folder = os.open(output.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.close(fd)
        draft.unlink(missing_ok=True)
