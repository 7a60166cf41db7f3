"""Figure b: `retouchd once` over N pairs of 256 px against N forwards alone.

Both are programs started afresh, with the same artifact and the same threads; one runs after the
other. What decoding, encoding, publishing and the books cost is what the ratio is above 1.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import scenes
from findings import Bound, CannotMeasureError, Finding, Row
from networks import run
from side_by_side import side_by_side, timed
from workbench import Site, Workbench, moment, save

TITLE: Final = "`retouchd once` over N pairs of 256 px / N forwards alone"
SIDE_PX: Final = 256
# For each of the two sides, on a CPU.
BUDGET_S: Final = 38.0
GPU_PAIRS: Final = 2000
GPU_BATCHES: Final = (1, 4, 16, 64)
_FEWEST: Final = 8
_DIFFERENT_PHOTOS: Final = 16
_BOUND: Final = Bound("at most", 1.05)
_GPU_BOUND: Final = Bound("at least", 0.7)


@dataclass(frozen=True)
class Side:
    """Seconds of a whole program, of its steady part, and of all its processes' CPU time."""

    whole_s: float
    steady_s: float
    cpu_s: float


def measure(bench: Workbench, pairs: int | None = None) -> Finding:
    """Whole programs, and their steady parts. `pairs` is chosen by the time of a forward."""
    networks = bench.need_networks()
    rates = {} if pairs else _seconds_a_picture(bench)
    batch = min(rates, key=lambda count: rates[count]) if rates else 1
    count = pairs or (GPU_PAIRS if bench.is_gpu else pairs_for(rates[1]))
    site = bench.site("once", "inpaint")
    seen = fill(site, count)
    forwards = run_forwards(networks.files["inpaint"], seen, count, batch, bench)
    once = run_once(site, count)
    details = {
        "pairs": count,
        "batch_of_forwards": batch,
        "once": vars(once),
        "forwards": vars(forwards),
        "seconds_a_picture_by_batch": rates,
    }
    return Finding(rows_of(once, forwards, count, batch, is_gpu=bench.is_gpu), details)


def pairs_for(forward_s: float) -> int:
    """As many as fill one side's time."""
    return max(_FEWEST, min(GPU_PAIRS, round(BUDGET_S / forward_s)))


def rows_of(once: Side, forwards: Side, count: int, batch: int, *, is_gpu: bool) -> tuple[Row, ...]:
    """On a GPU the forwards are in batches, and no bound is set for one to one."""
    bound = None if is_gpu else _BOUND
    beside = f" in batches of {batch}" if batch > 1 else ""
    rate = forwards.steady_s / once.steady_s
    return (
        Row(
            f"whole programs, {count} pairs",
            once.whole_s / forwards.whole_s,
            "",
            bound,
            f"{once.whole_s:.1f} s to {forwards.whole_s:.1f} s, one after the other{beside}",
        ),
        Row(
            "first job's start to last job's end",
            once.steady_s / forwards.steady_s,
            "",
            bound,
            f"{once.steady_s:.1f} s to {forwards.steady_s:.1f} s{beside}",
        ),
        Row(
            "CPU time of the whole programs",
            once.cpu_s / forwards.cpu_s,
            "",
            None,
            f"{once.cpu_s:.1f} s to {forwards.cpu_s:.1f} s",
        ),
        Row(
            "rate of `once` / rate of forwards at their best batch, 2,000 pairs on a GPU",
            rate if is_gpu else None,
            "",
            _GPU_BOUND,
            "" if is_gpu else "Only on a GPU.",
        ),
    )


def fill(site: Site, count: int) -> Path:
    """Pairs of PNG, whole before anybody looks; a few photos in turn, with one mask.

    Returns a file with the very same as arrays: what is in a picture is a part of its cost.
    """
    photos = [scenes.photo(SIDE_PX, SIDE_PX, seed) for seed in range(min(count, _DIFFERENT_PHOTOS))]
    hole = scenes.square_hole(SIDE_PX, SIDE_PX, 0.1)
    staging = site.root / "staging"
    staged = [save(photo, staging / f"{seed}.png") for seed, photo in enumerate(photos)]
    mask = save(hole, staging / "mask.png")
    for number in range(count):
        photo = staged[number % len(staged)].read_bytes()
        (site.inbox / f"photo {number:04}.png").write_bytes(photo)
        (site.inbox / f"photo {number:04}_mask.png").write_bytes(mask.read_bytes())
    seen = staging / "seen.npz"
    np.savez(seen, photos=np.stack(photos).transpose(0, 3, 1, 2), mask=hole)
    return seen


def steady_seconds(lines: Sequence[dict[str, Any]]) -> float:
    """From the first job's start to the last job's end, by the log's own times."""
    starts = [moment(line) for line in lines if line["event"] == "job_started"]
    ends = [moment(line) for line in lines if line["event"] == "job_finished"]
    return max(ends) - min(starts)


def run_once(site: Site, count: int) -> Side:
    """Work off what is in the inbox. Raises `CannotMeasureError` where not all of it was done."""
    done, whole, cpu = _ended(site.command("once"), site.variables())
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    finished = sum(line["event"] == "job_finished" for line in lines)
    if done.returncode != 0 or finished != count:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CannotMeasureError(
            f"`once` finished {finished} of {count} pairs; its last line: {last}"
        )
    return Side(whole, steady_seconds(lines), cpu)


def run_forwards(artifact: Path, seen: Path, count: int, batch: int, bench: Workbench) -> Side:
    """The other program; its steady part by its own clock. Raises `CannotMeasureError`."""
    program = Path(__file__).with_name("forwards_alone.py")
    numbers = {"count": count, "batch": batch, "threads": bench.threads}
    options = [f"--{name}={value}" for name, value in numbers.items()]
    options += [f"--device={bench.device}"]
    done, whole, cpu = _ended([sys.executable, str(program), str(artifact), str(seen), *options])
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CannotMeasureError(f"The forwards alone did not run: {last}")
    return Side(whole, json.loads(done.stdout)["seconds"], cpu)


def _ended(
    command: Sequence[str], variables: Mapping[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], float, float]:
    """A program run to its end, its seconds, and its CPU seconds with those of its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return done, whole, cpu


def _seconds_a_picture(bench: Workbench) -> dict[int, float]:
    """By batch: one alone on a CPU, where more at once gains nothing that `once` could use."""
    artifact = bench.need_networks().artifact("inpaint")
    found = {}
    for count in GPU_BATCHES if bench.is_gpu else (1,):
        image, mask = scenes.batch("inpaint", SIDE_PX, count, bench.device)
        measure = timed(lambda: run(artifact, image, mask))  # noqa: B023 - called at once
        found[count] = side_by_side({"one": measure}, 5.0, 3)["one"].least / count
    return found
