"""The benchmark: `make bench`, or `python tests/bench/run.py --only e,f`.

Prints a table, and writes bench.json and bench.png. docs/bench.md says what each figure is. Speed
is never asserted: the exit status is 0 where everything could be tried, met or missed.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import a_forward
import b_once
import c_hole
import d_matte
import e_scan
import f_latency
import g_peak
import torch
from chip import REPOSITORY, describe
from findings import CannotMeasureError, Finding, Row
from networks import Networks, export_networks, limit_threads
from report import Measured, print_table, write_json, write_plot
from workbench import Workbench

FIGURES: Final[dict[str, ModuleType]] = {
    module.__name__[0]: module
    for module in (a_forward, b_once, c_hole, d_matte, e_scan, f_latency, g_peak)
}
# Scanning needs none.
WITHOUT_NETWORKS: Final = frozenset("e")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    options = _parser().parse_args(arguments)
    device = options.device
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    limit_threads(options.threads)
    about = describe(device, options.threads)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="retouchd-bench-") as folder:
        networks = None
        if set(options.only) - WITHOUT_NETWORKS:
            networks = _export(options.networks or Path(folder, "networks"), device)
        bench = Workbench(Path(folder), device, options.threads, networks)
        figures = [measured(letter, FIGURES[letter], bench) for letter in options.only]
    about["precision"] = networks.precision if networks else None
    about["load_after"] = round(os.getloadavg()[0], 2)
    about["seconds"] = round(time.monotonic() - began)
    print_table(figures)
    print(f"{about['seconds']} s in all, on {about['gpu'] or about['processor']}, "
          f"{options.threads} threads")  # fmt: skip
    output = options.output or (REPOSITORY / "docs" if set(options.only) == set(FIGURES) else None)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        print(
            f"written: {write_json(figures, about, output)}, {write_plot(figures, about, output)}"
        )
    return 0


def measured(letter: str, figure: ModuleType, bench: Workbench) -> Measured:
    """One figure; one row with a sentence where it can't be measured."""
    print(f"{letter}) {figure.TITLE} ...", flush=True)
    measure: Callable[[Workbench], Finding] = figure.measure
    start = time.monotonic()
    try:
        finding = measure(bench)
    except CannotMeasureError as error:
        finding = Finding((Row("not measured", None, note=str(error)),))
        print(f"   not measured: {error}")
    seconds = time.monotonic() - start
    print(f"   {seconds:.0f} s", flush=True)
    return Measured(letter, figure.TITLE, finding, seconds)


def _export(folder: Path, device: str) -> Networks:
    print("exporting the published networks, full width, random weights ...", flush=True)
    start = time.monotonic()
    networks = export_networks(folder, device, "fp16" if device.startswith("cuda") else "fp32")
    print(f"   {time.monotonic() - start:.0f} s", flush=True)
    return networks


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU where there is one), cpu, cuda:0"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="CPU threads of every side that is compared; all cores unless said",
    )
    parser.add_argument(
        "--only",
        type=_letters,
        default="".join(FIGURES),
        metavar="a,c,...",
        help="some figures; nothing is written then unless --output is said",
    )
    parser.add_argument("--output", type=Path, help="folder for the files instead of docs")
    parser.add_argument(
        "--networks",
        type=Path,
        metavar="DIR",
        help="folder to export into; what lies there from an earlier run is used again",
    )
    return parser


def _letters(text: str) -> str:
    letters = "".join(sorted(set(text.replace(",", ""))))
    if not letters or set(letters) - set(FIGURES):
        raise argparse.ArgumentTypeError(f"should be some of {','.join(FIGURES)}")
    return letters


if __name__ == "__main__":
    sys.exit(main())
