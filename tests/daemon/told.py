"""What monitoring is told, for tests: jobs that ended, moments, and a reader of the text format."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from daemon.people.monitoring.metrics import MetricsFile
from daemon.reasons import Report
from daemon.spool.entries import Ended, Facts
from daemon.supervisor.snapshot import Snapshot
from daemon.supervisor.tally import Tally

# What is allowed of a line here, which is less than Prometheus takes.
_LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"(retouchd_[a-z_]+(?:{{{_LABEL}(?:,{_LABEL})*}})?) (-?[0-9.e+]+)")
_COMMENT = re.compile(
    r"# (?:HELP retouchd_[a-z_]+ \S.*\.|TYPE retouchd_[a-z_]+ (?:counter|gauge|summary))"
)


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as they stand there; anything odd is an error."""
    found: dict[str, float] = {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if _COMMENT.fullmatch(line):
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        assert sample[1] not in found, line
        found[sample[1]] = float(sample[2])
    return found


def labels(name: str) -> dict[str, str]:
    """The labels of a sample, by its name and labels as they stand there."""
    found = (each.partition("=") for each in re.findall(_LABEL, name))
    return {key: json.loads(quoted) for key, _, quoted in found}


def a_moment(at: float = 1000.0, **more: Any) -> Snapshot:
    """A snapshot; nothing is going on, but for what is given."""
    facts: dict[str, Any] = {"at": at, "started_at": 900.0, "pid": 1, "tally": Tally(), **more}
    return Snapshot(**facts)


def done(**more: Any) -> Ended:
    """A job that was done; `seconds` are those of its steps."""
    seconds = more.pop("seconds", {"wait": 0.25, "read": 0.5, "network": 2.0})
    facts = Facts(96, 64, seconds, "tiny", "ab", "cpu")
    more = {"outputs": ("cat.png", "cat.log"), **more}
    return _ended(outcome="done", facts=facts, **more)


def failed(reason: str = "corrupt", **more: Any) -> Ended:
    """A job that was given up."""
    more = {"note": "cat.jpg.reason.txt", **more}
    return _ended(outcome="failed", report=Report(reason, {"role": "mask"}), **more)


def _ended(**more: Any) -> Ended:
    facts: dict[str, Any] = {
        "job": "j1",
        "ended_at": 1010.0,
        "claimed_at": 1000.0,
        "task": "inpaint",
        "role": "mask",
        "picture": "cat.jpg",
        "companion": "cat_mask.png",
        "attempts": 1,
        **more,
    }
    return Ended(**facts)


def written(folder: Path, snapshot: Snapshot, news: Iterable[Ended] = ()) -> str:
    """The text of the file for a moment, after these jobs ended."""
    metrics = MetricsFile(folder / "retouchd.prom", lambda: news)
    metrics.update(snapshot)
    return (folder / "retouchd.prom").read_text("utf-8")
