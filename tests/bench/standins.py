"""Tiny networks in place of the published ones, so that the tests of the benchmark are quick."""

import sys
from pathlib import Path
from typing import Any, Final

from networks import Networks
from workbench import Workbench

sys.path.append(str(Path(__file__).parents[1] / "daemon"))
import tiny

SLOW_PIXEL: Final = tiny.SLOW_PIXEL


def tiny_bench(folder: Path, **manifest: Any) -> Workbench:
    """One thread, a CPU, and networks that invert holes and give unknown pixels an alpha of 100."""
    files = {
        "inpaint": tiny.write_inpaint(folder / "inpaint.pt", **manifest),
        "matting": tiny.write_matting(folder / "matting.pt", **manifest),
    }
    return Workbench(folder, "cpu", 1, Networks(dict(files), {}, "cpu", "fp32"))  # type: ignore[arg-type]


def failing_bench(folder: Path) -> Workbench:
    """Its inpainting network fails on every picture."""
    file = tiny.write_raising(folder / "raising.pt")
    return Workbench(folder, "cpu", 1, Networks({"inpaint": file}, {}, "cpu", "fp32"))
