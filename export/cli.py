"""`retouchd-export`: a checkpoint in, a verified artifact out.

Exit code 0: written and verified. 1: the file did not do what the network does, or could not be
written. 2: wrong usage, or a checkpoint that can't be used. Errors are one line on stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from export.artifacts import (
    DTYPES,
    Recipe,
    edgeconnect_recipe,
    matting_recipe,
    write_artifact,
)
from export.verify import VerificationError
from models.checkpoints import CheckpointError

EDGECONNECT_LICENCE = (
    "Unless you trained these weights yourself: EdgeConnect's published weights are "
    "CC BY-NC 4.0, for non-commercial use only."
)
MATTING_LICENCE = (
    "Unless you trained these weights yourself on data of your own: weights trained on Adobe's "
    "matting data set are for non-commercial use only."
)
UNTRAINED_LICENCE = "Random weights; no rights reserved."


class UsageError(Exception):
    """The command line asks for what can't be. The text says what to change."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    try:
        _export(options)
    except (CheckpointError, UsageError) as error:
        return _fail(str(error), 2)
    except VerificationError as error:
        return _fail(f"{error} {options.output} was not written.", 1)
    except OSError as error:
        return _fail(f"{options.output}: can't be written ({error.strerror}).", 1)
    except RuntimeError as error:  # torch's writer tells of a full disk in its own way
        return _fail(f"{options.output}: can't be made ({str(error).splitlines()[0]}).", 1)
    return 0


def _export(options: argparse.Namespace) -> None:
    _check_output(options.output)
    _check_device(options.device)
    if options.network == "edgeconnect":
        recipe = edgeconnect_recipe(options.checkpoints, options.stage)
        licence = EDGECONNECT_LICENCE
    else:
        recipe = matting_recipe(options.checkpoint)
        licence = MATTING_LICENCE
    _check_width(options.width, recipe)
    if options.untrained:
        licence = UNTRAINED_LICENCE
    licence = options.licence or licence
    manifest, report = write_artifact(
        recipe,
        options.output,
        licence=licence,
        trained=not options.untrained,
        device=options.device,
        precision=options.precision,
    )
    print(f"{options.output}: {_describe(recipe)}, {manifest.precision}")
    print(
        f"verified in a fresh process: {report.cases} batches, {report.off} of {report.samples} "
        f"samples off, by {report.largest} at most and {report.mean:.2g} in the mean"
    )
    print(f"memory: {manifest.memory_bytes_per_pixel} bytes per pixel on {manifest.device}")
    print(f"licence of the weights: {licence}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retouchd-export",
        description="Make an artifact that retouchd runs from a trained network's checkpoint.",
    )
    networks = parser.add_subparsers(dest="network", required=True, metavar="NETWORK")
    inpaint = networks.add_parser("edgeconnect", help="inpainting, by EdgeConnect")
    inpaint.add_argument(
        "--checkpoints",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with EdgeModel_gen.pth and InpaintingModel_gen.pth",
    )
    inpaint.add_argument(
        "--stage",
        type=int,
        choices=(1, 2, 3),
        default=3,
        help="1: edge map only; 2: inpaint without drawn edges; 3 (default): with drawn edges",
    )
    matting = networks.add_parser("matting", help="matting, by Deep Image Matting")
    matting.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    for command in (inpaint, matting):
        command.add_argument("--output", type=Path, required=True, metavar="FILE")
        command.add_argument(
            "--width",
            type=int,
            help="channels of the first layer; read from the checkpoint, and must agree with it",
        )
        command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
        command.add_argument(
            "--precision",
            choices=tuple(DTYPES),
            default="fp32",
            help="fp16 and bf16 are meant for GPUs; a CPU takes minutes to verify fp16",
        )
        command.add_argument(
            "--licence", metavar="TEXT", help="licence of the weights, for the manifest"
        )
        command.add_argument(
            "--untrained", action="store_true", help="the weights are random: say so"
        )
    return parser


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise UsageError(f"--output {output}: is a folder. Name a file in it.")
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.parent}. Make it first.")


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"--device {device}: can't be used here ({reason}).") from None


def _check_width(width: int | None, recipe: Recipe) -> None:
    if width is not None and width != recipe.width:
        names = " and ".join(str(checkpoint.path) for checkpoint in recipe.checkpoints)
        raise UsageError(
            f"--width {width}: {names} has width {recipe.width}. Leave --width out, or use "
            "another checkpoint."
        )


def _describe(recipe: Recipe) -> str:
    parts = [recipe.task, recipe.network]
    if recipe.stage is not None:
        parts.append(f"stage {recipe.stage}")
    parts.append(f"width {recipe.width}")
    if recipe.blocks is not None:
        parts.append(f"{recipe.blocks} blocks")
    return ", ".join(parts)


def _fail(text: str, code: int) -> int:
    print(f"retouchd-export: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
