"""`retouchd-train`: pictures in, a run folder with trained weights out.

Exit code 0: trained to the last step, or stopped in good order with everything saved. 1: training
could not go on. 2: wrong usage, settings or data. 130: stopped by Ctrl-C, unsaved. Errors are one
line on stderr.
"""

import argparse
import errno
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from models.training.board import Board
from models.training.edgeconnect import EDGE, INPAINT
from models.training.failures import in_words
from models.training.lock import held
from models.training.loop import Run, TrainingError
from models.training.pack import PackError
from models.training.parallel import DeviceError, Group, join_group
from models.training.prepare import pack_folders, prepare
from models.training.run_folder import RunError, has_checkpoint
from models.training.runs import edgeconnect_run, matting_run, save_weights
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
        return _fail(_of_the_disk(error), 1)
    except (RuntimeError, MemoryError) as error:
        text = in_words(error)
        if text is None:
            raise
        return _fail(text, 1)
    except KeyboardInterrupt:
        return _fail("stopped.", 130)
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
            "--minutes", type=_minutes, help="save and stop after this time; resumes like a kill"
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
        print(pack_folders(options.output, **own, progress=_tell))
    else:
        print(prepare(options.output, cache=options.cache, progress=_tell))


def _tell(text: str) -> None:
    """A line of progress, at once even into a pipe."""
    print(text, flush=True)


def _edgeconnect(options: argparse.Namespace) -> None:
    begun = options.edge and options.inpaint
    if options.stage == "joint" and not begun and not has_checkpoint(options.run):
        raise RunError("joint: needs --edge RUN and --inpaint RUN, the two stages before it.")
    settings = read_settings(options.settings, EdgeConnectSettings)
    group = join_group(options.device)
    with _alone(options.run, group):
        run = edgeconnect_run(
            options.stage,
            settings,
            options.data,
            options.run,
            group,
            masks=options.masks,
            starts={EDGE: options.edge, INPAINT: options.inpaint},
        )
        _go(run, options)


def _matting(options: argparse.Namespace) -> None:
    settings = read_settings(options.settings, MattingSettings)
    group = join_group(options.device)
    with _alone(options.run, group):
        run = matting_run(
            settings,
            options.data,
            options.run,
            group,
            backgrounds=options.backgrounds,
            start=options.start,
        )
        _go(run, options)


def _alone(folder: Path, group: Group) -> AbstractContextManager[None]:
    """The lock of a run's folder, which the first of a group's processes holds for all."""
    return nullcontext() if group.rank else held(folder)


def _go(run: Run, options: argparse.Namespace) -> None:
    if options.minutes is not None:
        run.until = time.monotonic() + 60 * options.minutes
    torch.backends.cudnn.benchmark = True
    with Board(run.folder, shown=run.group.rank == 0) as board, _stopped_in_good_order(run):
        run.go(board)
    run.group.leave()


@contextmanager
def _stopped_in_good_order(run: Run) -> Iterator[None]:
    """Asked to end, the run ends its step and saves; Ctrl-C after that stops at once."""

    def stop(number: int, _: object) -> None:
        run.until = 0.0
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if number == signal.SIGINT and not run.group.rank:
            os.write(2, b"Saves after this step and stops. Ctrl-C again stops at once.\n")

    before = {asked: signal.signal(asked, stop) for asked in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for asked, handler in before.items():
            signal.signal(asked, handler)


def _weights(options: argparse.Namespace) -> None:
    said = {name: getattr(options, name) for name in ("licence", "note")}
    said["metrics"] = json.dumps(_metrics(options.metric)) if options.metric else None
    known = {name: text for name, text in said.items() if text is not None}
    for path in save_weights(options.run, options.output, **known):
        print(path)


def _metrics(texts: Sequence[str]) -> dict[str, float]:
    try:
        metrics = {name: float(value) for name, value in (text.split("=") for text in texts)}
    except ValueError:
        metrics = {"": math.nan}
    if not all(metrics) or not all(math.isfinite(value) for value in metrics.values()):
        raise RunError(f"--metric: {' '.join(texts)}: has to be NAME=NUMBER, a finite one.")
    return metrics


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 <= minutes < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: has to be a number of minutes, 0 or more.")
    return minutes


def _of_the_disk(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    text = f"{where}{error.strerror or error}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        text += " Make room there and give the same command again. What was saved before is whole."
    return text


def _fail(text: str, code: int) -> int:
    print(f"retouchd-train: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
