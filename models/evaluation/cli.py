"""`retouchd-evaluate`: artifacts and peers on held-out pictures, measured and drawn.

Exit code 0: measured, and all three files written. 1: the output could not be written. 2: wrong
usage, or a pack, an artifact or a peer that can't be used. 130: Ctrl-C; what the peers made until
then is kept. Errors are one line on stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from models.evaluation.evaluation import Choice, evaluate
from models.evaluation.methods import EvaluationError
from models.evaluation.peers import peer_names
from models.training.pack import PackError, Split

INPAINT_SIZE_PX = 256
MATTING_SIZE_PX = 640

TRUST = "Loading an artifact runs the code in it: evaluate only files that you trust."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    try:
        print(evaluate(_choice(options)))
    except (EvaluationError, PackError) as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(f"{options.output}: can't be written ({error.strerror}).", 1)
    except KeyboardInterrupt:
        return _fail(
            "stopped by Ctrl-C; the same command goes on from the peers' kept results.", 130
        )
    return 0


def _choice(options: argparse.Namespace) -> Choice:
    return Choice(
        task=options.task,
        artifacts=tuple(options.artifact),
        data=options.data,
        split=options.split,
        size=options.size,
        per_picture=options.per_picture,
        procedural=getattr(options, "procedural", 0),
        limit=options.limit,
        peers=options.peers,
        rows=options.rows,
        output=options.output,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retouchd-evaluate",
        description="Measure artifacts, beside peers that need no training, on held-out pictures.",
        epilog=TRUST,
    )
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    inpaint = tasks.add_parser("inpaint", help="holes filled: L1, PSNR, SSIM")
    inpaint.add_argument(
        "--per-photo",
        dest="per_picture",
        type=_count,
        default=2,
        metavar="N",
        help="crops of each photo (default 2); each is given one hole of every kind",
    )
    matting = tasks.add_parser("matting", help="mattes found: SAD, MSE, gradient, connectivity")
    matting.add_argument(
        "--per-cutout",
        dest="per_picture",
        type=_count,
        default=1,
        metavar="N",
        help="photos that each cut-out is put on (default 1)",
    )
    matting.add_argument(
        "--procedural",
        type=_count_or_none,
        default=8,
        metavar="N",
        help="pictures of each procedural kind: hair, lace, smoke (default 8)",
    )
    _add_common(inpaint, INPAINT_SIZE_PX, peer_names("inpaint"))
    _add_common(matting, MATTING_SIZE_PX, peer_names("matting"))
    return parser


def _add_common(command: argparse.ArgumentParser, size: int, peers: Sequence[str]) -> None:
    command.epilog = TRUST
    command.add_argument(
        "--artifact",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an artifact of this task; again for more of them. Its code is run: trust it first",
    )
    command.add_argument(
        "--data", type=Path, required=True, metavar="PACK", help="made by retouchd-train prepare"
    )
    command.add_argument(
        "--split",
        choices=get_args(Split),
        default="test",
        help="part of the pack (default test, which no training sees)",
    )
    command.add_argument(
        "--size",
        type=_count,
        default=size,
        metavar="PX",
        help=f"side of the square pictures (default {size})",
    )
    command.add_argument(
        "--limit",
        type=_count,
        metavar="N",
        help="photos or cut-outs to use, evenly over their sorted names (default all)",
    )
    command.add_argument(
        "--peers",
        default="all",
        metavar="NAMES",
        help=f"all (default), none, or with commas between: {', '.join(peers)}",
    )
    command.add_argument(
        "--rows", type=_count, default=10, metavar="N", help="rows of the sheet (default 10)"
    )
    command.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for results.json, table.md, sheet.png and the peers' results, kept for later",
    )


def _count(text: str) -> int:
    value = _count_or_none(text)
    if not value:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _count_or_none(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _fail(text: str, code: int) -> int:
    print(f"retouchd-evaluate: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
