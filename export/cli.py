"""`retouchd-export`: a checkpoint in, a verified artifact out.

Exit code 0: written and verified. 1: the file did not do what the network does, or could not be
written. 2: wrong usage, or a checkpoint that can't be used. 130: Ctrl-C; nothing is half-written.
Errors are one line on stderr.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from export.artifacts import (
    DTYPES,
    Recipe,
    edgeconnect_recipe,
    matting_recipe,
    write_artifact,
)
from export.outputs import OutputError, check_output
from export.verify import VerificationError
from models.checkpoints import (
    EDGE_GENERATOR_FILE,
    EDGE_WEIGHTS_FILE,
    INPAINT_GENERATOR_FILE,
    INPAINT_WEIGHTS_FILE,
    MATTING_WEIGHTS_FILE,
    STARTER_WEIGHTS,
    CheckpointError,
)

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
    output: Path = options.output
    try:
        _check_device(options.device)
        for output, make_recipe, licence in _exports(options):
            check_output(output, _inputs(options))
            recipe = make_recipe()
            _check_width(options.width, recipe)
            _export(recipe, output, _licence(options, recipe, licence), options)
    except (CheckpointError, OutputError, UsageError) as error:
        return _fail(str(error), 2)
    except VerificationError as error:
        return _fail(f"{error} {output} was not written.", 1)
    except OSError as error:
        return _fail(f"{output}: can't be written ({error.strerror}).", 1)
    except RuntimeError as error:  # torch's writer tells of a full disk in its own way
        return _fail(f"{output}: can't be made ({str(error).strip().splitlines()[0]}).", 1)
    except KeyboardInterrupt:
        return _fail(f"stopped by Ctrl-C; {output} was not written.", 130)
    return 0


def _exports(options: argparse.Namespace) -> list[tuple[Path, Callable[[], Recipe], str]]:
    """What is asked for: for each file its path, how to make its recipe, and the usual licence."""
    if options.network == "edgeconnect":
        inpaint = partial(edgeconnect_recipe, options.checkpoints, options.stage)
        return [(options.output, inpaint, EDGECONNECT_LICENCE)]
    if options.network == "matting":
        matting = partial(matting_recipe, options.checkpoint, skips=options.skips)
        return [(options.output, matting, MATTING_LICENCE)]
    if options.output.exists() and not options.output.is_dir():
        raise UsageError(f"--output {options.output}: is a file. Name a folder.")
    options.output.mkdir(parents=True, exist_ok=True)
    weights = STARTER_WEIGHTS / MATTING_WEIGHTS_FILE
    return [
        (options.output / "inpaint.pt", partial(edgeconnect_recipe, STARTER_WEIGHTS), ""),
        (options.output / "matting.pt", partial(matting_recipe, weights), ""),
    ]


def _inputs(options: argparse.Namespace) -> list[Path]:
    """The checkpoints that the command may read."""
    if options.network == "matting":
        return [options.checkpoint]
    folder = options.checkpoints if options.network == "edgeconnect" else STARTER_WEIGHTS
    names = (EDGE_GENERATOR_FILE, INPAINT_GENERATOR_FILE, EDGE_WEIGHTS_FILE, INPAINT_WEIGHTS_FILE)
    return [folder / name for name in (*names, MATTING_WEIGHTS_FILE)]


def _licence(options: argparse.Namespace, recipe: Recipe, usual: str) -> str:
    """The licence said on the command line, or by the weights themselves, or the usual one."""
    if options.untrained:
        usual = UNTRAINED_LICENCE
    own = recipe.checkpoints[-1].about.get("licence", "")
    return str(options.licence or own or usual)


def _export(recipe: Recipe, output: Path, licence: str, options: argparse.Namespace) -> None:
    manifest, report = write_artifact(
        recipe,
        output,
        licence=licence,
        trained=not options.untrained,
        device=options.device,
        precision=options.precision,
    )
    print(f"{output}: {_describe(recipe)}, {manifest.precision}")
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
    matting.add_argument(
        "--skips",
        action=argparse.BooleanOptionalAction,
        help="whether a network of huochaitiantang's layout was trained with skips, which its "
        "tensors don't tell; with them unless said, or its 1x1 conv6_1 is older than skips",
    )
    starter = networks.add_parser(
        "starter", help="both, from the small networks that come with retouchd"
    )
    starter.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="for inpaint.pt and matting.pt"
    )
    starter.set_defaults(untrained=False, licence=None, width=None)
    for command in (inpaint, matting):
        command.add_argument("--output", type=Path, required=True, metavar="FILE")
        command.add_argument(
            "--width",
            type=int,
            help="channels of the first layer; read from the checkpoint, and must agree with it",
        )
        command.add_argument(
            "--licence", metavar="TEXT", help="licence of the weights, for the manifest"
        )
        command.add_argument(
            "--untrained", action="store_true", help="the weights are random: say so"
        )
    for command in (inpaint, matting, starter):
        command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
        command.add_argument(
            "--precision",
            choices=tuple(DTYPES),
            default="fp32",
            help="fp16 and bf16 are meant for GPUs; a CPU takes minutes to verify fp16",
        )
    return parser


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
