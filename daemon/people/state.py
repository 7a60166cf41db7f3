"""What goes on, for other programs to read: `work/.state.json`, the daemon's latest snapshot.

It is replaced as a whole, so whoever reads it finds one that is, but on a full disk, where the last
one is written over; how old it is, it says itself. It may be gone or old after a power cut: nothing
depends on it.
"""

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from daemon.intake.pairing import Waiting
from daemon.places import Place
from daemon.spool import files
from daemon.spool.entries import report_of
from daemon.supervisor.snapshot import OfFolder, Running, Served, Snapshot
from daemon.supervisor.tally import Tally

STATE: Final = ".state.json"

# Room for a snapshot without its lists, with what holds all work and what is stuck.
_LEAST_BYTES: Final = 1 << 14
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


def write_state(work: Path, snapshot: Snapshot) -> None:
    """Leave a snapshot in the work folder that the settings name, on a full disk too: without its
    lists, over the last one. Raises `OSError` where that can't be had."""
    place = Place(work, STATE)
    try:
        files.write_whole(place, _text(snapshot).ljust(_LEAST_BYTES))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        short = replace(snapshot, ready=(), settling=(), waiting=(), running=())
        if not files.overwrite(place, _text(short)):
            raise


def _text(snapshot: Snapshot) -> bytes:
    # ASCII: names that are no UTF-8 travel as escaped surrogates and come back as they were.
    return json.dumps(snapshot, default=vars).encode("ascii")  # of thousands of names, no copy


def read_state(work: Path) -> Snapshot | None:
    """The latest snapshot; None where there is none, or one of another version.

    Raises `OSError` where it may not be read.
    """
    try:
        with files.reading(Place(work, STATE)) as file:
            return _snapshot(json.loads(file.read().decode("ascii")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _snapshot(data: dict[str, Any]) -> Snapshot:
    return Snapshot(
        **{
            **data,
            "tally": Tally(**data["tally"]),
            "running": _all(lambda each: Running(**each), data["running"]),
            "ready": tuple(data["ready"]),
            "settling": tuple(data["settling"]),
            "waiting": _all(lambda w: Waiting(w["path"], report_of(w["report"])), data["waiting"]),
            "holds": data["holds"] and report_of(data["holds"]),
            "stuck": data["stuck"] and report_of(data["stuck"]),
            "devices": _all(_served, data["devices"]),
        }
    )


def _all(made: Callable[[Any], Any], values: list[Any]) -> tuple[Any, ...]:
    return tuple(map(made, values))


def _served(data: dict[str, Any]) -> Served:
    return Served(**{**data, "folders": _all(lambda each: OfFolder(**each), data["folders"])})
