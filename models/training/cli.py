"""`retouchd-train`: pictures in, a run folder with trained weights out.

Exit code 0: trained to the last step, or stopped in good order with everything saved. 1: training
could not go on. 2: wrong usage, settings or data. Errors are one line on stderr.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from models.training.board import Board
from models.training.edgeconnect import EDGE, INPAINT
from models.training.folders import read_masks
from models.training.loop import Run, TrainingError
from models.training.pack import PackError
from models.training.parallel import DeviceError, join_group
from models.training.prepare import pack_folders, prepare
from models.training.runs import RunError, edgeconnect_run, matting_run, save_weights
from models.training.settings import (
    EdgeConnectSettings,
    MattingSettings,
    SettingsError,
    read_settings,
)

STAGES = ("edge", "inpaint", "joint")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    try:
        options.command(options)
    except (SettingsError, PackError, RunError, DeviceError) as error:
        return _fail(str(error), 2)
    except TrainingError as error:
        return _fail(str(error), 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}.", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retouchd-train", description="Train the networks that retouchd runs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = commands.add_parser("prepare", help="fetch freely licensed pictures and pack them")
    data.add_argument("--output", type=Path, required=True, metavar="PACK")
    data.add_argument(
        "--cache", type=Path, default=Path("packages"), help="folder of the packages fetched"
    )
    data.add_argument(
        "--photos", type=Path, metavar="DIR", help="pack photos of your own, and fetch nothing"
    )
    data.add_argument(
        "--cutouts", type=Path, metavar="DIR", help="pack cut-outs of your own, and fetch nothing"
    )
    data.set_defaults(command=_prepare)

    inpaint = commands.add_parser("edgeconnect", help="inpainting: one of three stages")
    inpaint.add_argument("stage", choices=STAGES)
    inpaint.add_argument(
        "--edge", type=Path, metavar="RUN", help="joint: the run that trained the edge stage"
    )
    inpaint.add_argument(
        "--inpaint", type=Path, metavar="RUN", help="joint: the run that trained the inpaint stage"
    )
    inpaint.add_argument(
        "--masks", type=Path, metavar="DIR", help="irregular masks of your own (white: hole)"
    )
    inpaint.set_defaults(command=_edgeconnect)

    matting = commands.add_parser("matting", help="matting")
    matting.add_argument(
        "--backgrounds", type=Path, metavar="DIR", help="background photos, if not in DATA"
    )
    matting.add_argument(
        "--start", type=Path, metavar="RUN", help="begin with the network of another run"
    )
    matting.set_defaults(command=_matting)

    for command in (inpaint, matting):
        command.add_argument(
            "--data", type=Path, required=True, help="a pack, or a folder of pictures"
        )
        command.add_argument("--settings", type=Path, metavar="TOML", required=True)
        command.add_argument(
            "--run", type=Path, required=True, metavar="DIR", help="made, or resumed"
        )
        command.add_argument(
            "--minutes", type=float, help="save and stop after this time; resumes like a kill"
        )
        command.add_argument("--device", help="cpu, cuda, cuda:1 ...; the GPU if there is one")

    weights = commands.add_parser("weights", help="write a run's weights to be exported")
    weights.add_argument("--run", type=Path, required=True, metavar="DIR")
    weights.add_argument("--output", type=Path, required=True, metavar="DIR")
    weights.add_argument("--licence", metavar="TEXT", help="of the weights, for the artifacts")
    weights.add_argument(
        "--note", metavar="TEXT", help="what whoever looks at a result should know"
    )
    weights.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="how good they are; may be given again",
    )
    weights.set_defaults(command=_weights)
    return parser


def _prepare(options: argparse.Namespace) -> None:
    if options.photos or options.cutouts:
        own = {"photos": options.photos, "cutouts": options.cutouts}
        print(pack_folders(options.output, **own, progress=print))
    else:
        print(prepare(options.output, cache=options.cache, progress=print))


def _edgeconnect(options: argparse.Namespace) -> None:
    if options.stage == "joint" and not (options.edge and options.inpaint):
        raise RunError("joint: needs --edge RUN and --inpaint RUN, the two stages before it.")
    settings = read_settings(options.settings, EdgeConnectSettings)
    masks = read_masks(options.masks) if options.masks else []
    group = join_group(options.device)
    run = edgeconnect_run(
        options.stage,
        settings,
        options.data,
        options.run,
        group,
        masks=masks,
        starts={EDGE: options.edge, INPAINT: options.inpaint},
    )
    _go(run, options)


def _matting(options: argparse.Namespace) -> None:
    settings = read_settings(options.settings, MattingSettings)
    group = join_group(options.device)
    _go(
        matting_run(
            settings,
            options.data,
            options.run,
            group,
            backgrounds=options.backgrounds,
            start=options.start,
        ),
        options,
    )


def _go(run: Run, options: argparse.Namespace) -> None:
    if options.minutes is not None:
        run.until = time.monotonic() + 60 * options.minutes
    for asked in (signal.SIGTERM, signal.SIGINT):  # the step ends, is saved, and the run with it
        signal.signal(asked, lambda *_: setattr(run, "until", 0.0))
    torch.backends.cudnn.benchmark = True
    with Board(run.folder, shown=run.group.rank == 0) as board:
        run.go(board)
    run.group.leave()


def _weights(options: argparse.Namespace) -> None:
    said = {name: getattr(options, name) for name in ("licence", "note")}
    said["metrics"] = json.dumps(_metrics(options.metric)) if options.metric else None
    known = {name: text for name, text in said.items() if text is not None}
    for path in save_weights(options.run, options.output, **known):
        print(path)


def _metrics(texts: Sequence[str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in (text.split("=") for text in texts)}
    except ValueError:
        raise RunError(f"--metric: {' '.join(texts)}: has to be NAME=NUMBER.") from None


def _fail(text: str, code: int) -> int:
    print(f"retouchd-train: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
