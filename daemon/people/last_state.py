"""What the daemon last told of itself, as it lies in the work folder."""

import json
from pathlib import Path
from typing import Any, Final

from daemon.intake.pairing import Waiting
from daemon.places import Place
from daemon.reasons import REASONS, Report
from daemon.spool import files
from daemon.supervisor.snapshot import Running, Snapshot
from daemon.supervisor.tally import Tally

STATE: Final = ".state.json"


def read_state(work: Path) -> Snapshot | None:
    """The last snapshot; None where there is none, where it can't be read, or is none of ours."""
    try:
        with files.reading(Place(work, STATE)) as file:
            return _snapshot(json.loads(file.read()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _snapshot(data: dict[str, Any]) -> Snapshot:
    return Snapshot(
        at=float(data["at"]),
        started_at=float(data["started_at"]),
        pid=int(data["pid"]),
        tally=Tally(**data["tally"]),
        running=tuple(Running(**running) for running in data["running"]),
        ready=tuple(data["ready"]),
        settling=tuple(data["settling"]),
        waiting=tuple(
            Waiting(waiting["path"], report)
            for waiting in data["waiting"]
            if (report := _report(waiting["report"]))
        ),
        holds=_report(data["holds"]),
        stuck=_report(data["stuck"]),
        is_paused=bool(data["is_paused"]),
    )


def _report(data: dict[str, Any] | None) -> Report | None:
    if data is None or data["key"] not in REASONS:
        return None
    return Report(**data)
