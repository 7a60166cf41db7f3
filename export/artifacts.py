"""Checkpoints in, a verified artifact file out.

Promises: the output file appears whole, verified and with mode 0644, in one rename; on any error it
is as it was before.
"""

import copy
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError
from torch import nn

import daemon
from daemon.artifact import Manifest
from export import pipelines
from export.metrics import metrics_of
from export.torchscript import freeze, to_bytes
from export.verify import FreshProcess, Precision, Report, Task, make_cases
from models import canny, edgeconnect, matting, matting_normed, matting_skips
from models.checkpoints import (
    EDGE_GENERATOR_FILE,
    EDGE_WEIGHTS_FILE,
    INPAINT_GENERATOR_FILE,
    INPAINT_WEIGHTS_FILE,
    RUN_FILE,
    Checkpoint,
    CheckpointError,
    MattingNetwork,
    build_edge_generator,
    build_inpaint_generator,
    build_matting,
    read_checkpoint,
    run_advice,
)
from models.matting_corrected import CorrectingMatting
from models.matting_normed import NormedMatting
from models.matting_skips import SkipMatting

Stage = Literal[1, 2, 3]
# What is put where a network is to work, before it sees the picture.
Prefill = Literal["white", "smooth", "sides"]

# Picture sizes that the published training used, pixels.
EDGECONNECT_BEST_SIZE = 256
MATTING_BEST_SIZE = 320

# The files of huochaitiantang are called `stage1_skip_sad_52.9.pth` with skips, and without
# `stage1_sad_54.4.pth`, `stage0_norm_balance_sad_62.0.pth` and the like.
NAME_WITHOUT_SKIPS = re.compile(r"(my_)?stage\d_(?!.*skip)", re.IGNORECASE)

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
    prefill: Prefill | None = None


def edgeconnect_recipe(folder: Path, stage: Stage = 3) -> Recipe:
    """EdgeConnect from a folder with its published file names, or those of weights of our own.

    Stage 1 draws edges, 2 inpaints along Canny's edges alone, 3 draws edges and inpaints along
    them. Raises `CheckpointError`; where a file is missing it says which stage works without.
    """
    names = (EDGE_GENERATOR_FILE, INPAINT_GENERATOR_FILE)
    own = (EDGE_WEIGHTS_FILE, INPAINT_WEIGHTS_FILE)
    if not any((folder / name).is_file() for name in names):
        names = own if any((folder / name).is_file() for name in own) else names
    needed = {1: names[:1], 2: names[1:]}.get(stage, names)
    _require(folder, needed, names, stage)
    checkpoints = tuple(read_checkpoint(folder / name) for name in needed)
    smooth = checkpoints[-1].fills_smoothly
    if any(checkpoint.fills_smoothly != smooth for checkpoint in checkpoints):
        raise CheckpointError(
            f"{folder}: one network was trained on white holes, the other on smooth ones. "
            "Use the two of one training."
        )
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
        assemble=partial(assemble, smooth=smooth),
        checkpoints=checkpoints,
        width=networks[-1].get_parameter("decoder.7.weight").shape[1],
        size_multiple=edgeconnect.SIZE_MULTIPLE,
        best_size=EDGECONNECT_BEST_SIZE,
        halo=reach,
        stage=stage,
        blocks=blocks[-1],
        prefill="smooth" if smooth else "white",
    )


def matting_recipe(file: Path, *, skips: bool | None = None) -> Recipe:
    """Deep Image Matting from a checkpoint file of any of its three layouts.

    `skips` says whether a network of the layout that may have skips was trained with them, which
    its tensors don't tell; see `build_matting` for what holds if it isn't given. Raises
    `CheckpointError`, also where the file's name speaks against the skips and nobody has said.
    """
    checkpoint = read_checkpoint(file, whole_objects=True)
    network = build_matting(checkpoint, skips=skips)
    _check_skips(file, network, skips)
    layout = _matting_layout(network)
    return Recipe(
        task="matting",
        network=layout.name,
        networks=(network,),
        assemble=partial(
            pipelines.Matte,
            multiple=layout.size_multiple,
            least=layout.least,
            sides=layout.prefill is not None,
        ),
        checkpoints=(checkpoint,),
        width=layout.width,
        size_multiple=layout.size_multiple,
        best_size=MATTING_BEST_SIZE,
        halo=layout.reach,
        prefill=layout.prefill,
    )


@dataclass(frozen=True)
class _MattingLayout:
    """What a manifest says of a matting network, and the least size that it takes."""

    name: str
    width: int
    reach: int
    least: int
    size_multiple: int = 1
    prefill: Prefill | None = None


def _matting_layout(network: MattingNetwork) -> _MattingLayout:
    if isinstance(network, SkipMatting):
        return _MattingLayout(
            name="deep-image-matting"
            + ("-skips" if network.skips else "-plain")
            + ("-refined" if network.refine else ""),
            width=network.conv1_1.out_channels,
            reach=matting_skips.REFINED_REACH if network.refine else matting_skips.REACH,
            least=matting_skips.SMALLEST_SIZE,
            size_multiple=matting_skips.SIZE_MULTIPLE,
        )
    if isinstance(network, CorrectingMatting):
        return _MattingLayout(
            name="deep-image-matting-corrected",
            width=network.network.conv1_1.out_channels,
            reach=matting_skips.REACH,
            least=matting_skips.SMALLEST_SIZE,
            prefill="sides",
        )
    if isinstance(network, NormedMatting):
        return _MattingLayout(
            name="deep-image-matting-normed",
            width=network.get_parameter("up1.conv.cbr_unit.0.weight").shape[1],
            reach=matting_normed.REACH,
            least=matting_normed.SMALLEST_SIZE,
        )
    return _MattingLayout(
        name="deep-image-matting",
        width=network.get_parameter("_final_conv.weight").shape[1],
        reach=matting.REACH,
        least=matting.SMALLEST_SIZE,
    )


def _check_skips(file: Path, network: MattingNetwork, skips: bool | None) -> None:
    """Raise `CheckpointError` for a `skips` without meaning, and where it is missed."""
    if not isinstance(network, SkipMatting):
        if skips is not None:
            raise CheckpointError(
                f"{file}: its layout knows no choice of skips. Leave --skips and --no-skips out."
            )
    elif skips is None and network.skips and NAME_WITHOUT_SKIPS.match(file.name):
        raise CheckpointError(
            f"{file}: is named like the published networks without skips, whose tensors look the "
            "same as those with. Say --no-skips, or --skips if this one has them."
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

    Raises `CheckpointError` where the checkpoint's metadata can't go into a manifest,
    `VerificationError` where the written file does not do what the network does, and `OSError`
    where it can't be written; `output` is then as it was before.
    """
    manifest = _manifest(recipe, licence, trained, device, precision)
    # Started first: it imports torch while this process compiles.
    with FreshProcess(device) as fresh, _published(output) as draft:
        module = compile_pipeline(recipe, DTYPES[precision], device)
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
    last = recipe.checkpoints[-1]
    try:
        return Manifest(
            contract="retouchd",
            contract_version=1,
            task=recipe.task,
            network=recipe.network,
            stage=recipe.stage,
            width=recipe.width,
            blocks=recipe.blocks,
            prefill=recipe.prefill,
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
            note=last.about.get("note"),
            metrics=metrics_of(last),
        )
    except ValidationError as error:
        bad = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors()[:4])
        raise CheckpointError(
            f"{last.path}: what is said of it can't go into a manifest ({bad}). Say less with "
            "--licence, or write the weights again with retouchd-train weights."
        ) from None


def _text(manifest: Manifest) -> str:
    return manifest.model_dump_json(indent=2, exclude_none=True)


def _require(folder: Path, needed: tuple[str, ...], names: tuple[str, str], stage: Stage) -> None:
    missing = [name for name in needed if not (folder / name).is_file()]
    if not missing:
        return
    edge, inpaint = names
    text = f"{folder}: {' and '.join(missing)} missing, which stage {stage} needs."
    if (folder / inpaint).is_file():
        text += f" With {inpaint} alone, --stage 2 works."
    elif (folder / edge).is_file():
        text += f" With {edge} alone, --stage 1 works (an edge map, no picture)."
    elif (folder / RUN_FILE).is_file():
        text += f" {run_advice(folder)}"
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
