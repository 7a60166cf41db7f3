"""Figure f: from drop to result, less the quiet period and the computing."""

import statistics
import time
from pathlib import Path
from typing import Any, Final

import scenes
from findings import Bound, CannotMeasureError, Finding, Row
from workbench import PATIENCE_S, Daemon, Site, Workbench, drop, finished, running, save

TITLE: Final = "drop to result, less quiet period and computing, on an idle daemon"
DROPS: Final = 20
QUIET_S: Final = 0.5
# Small, so that the network's own unsteadiness does not drown the rest.
SIDE_PX: Final = 64
_BOUND: Final = Bound("at most", 0.3)
_LOOK_S: Final = 0.001
# Between drops the daemon idles; by steps that fit no period of its own.
_PAUSE_S: Final = 0.083


def measure(bench: Workbench, drops: int = DROPS, quiet_s: float = QUIET_S) -> Finding:
    """Median and worst, in seconds."""
    folder = bench.folder / "latency"
    photo = save(scenes.photo(SIDE_PX, SIDE_PX), folder / "photo.png")
    mask = save(scenes.square_hole(SIDE_PX, SIDE_PX, 0.1), folder / "mask.png")
    site = bench.site("latency-spool", "inpaint", quiet_s=quiet_s)
    with running(site) as daemon:
        # The first job warms up; it is not counted.
        seen = [_one(site, daemon, number, photo, mask, quiet_s) for number in range(drops + 1)][1:]
    rest = [one["rest_s"] for one in seen]
    note = f"{drops} drops of {SIDE_PX} px, quiet period {quiet_s:g} s"
    rows = (
        Row("median", statistics.median(rest), "s", _BOUND, note),
        Row("worst", max(rest), "s", _BOUND, note),
    )
    details: dict[str, Any] = {"quiet_period_s": quiet_s, "drops": seen}
    return Finding(rows, details)


def _one(
    site: Site, daemon: Daemon, number: int, photo: Path, mask: Path, quiet_s: float
) -> dict[str, float]:
    name = f"drop {number}.png"
    time.sleep(_PAUSE_S * (number % 7))
    dropped = drop(site, name, "mask", photo, mask)
    result = site.outbox / name
    while not result.exists():
        if time.time() > dropped + PATIENCE_S:
            raise CannotMeasureError(f"{name} had no result after {PATIENCE_S:.0f} s.")
        time.sleep(_LOOK_S)
    whole = time.time() - dropped
    computing = finished(daemon, name).compute_s
    return {"whole_s": whole, "computing_s": computing, "rest_s": whole - quiet_s - computing}
