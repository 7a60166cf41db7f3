"""Books and snapshots for tests of what people see."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import pytest

from daemon.places import Place
from daemon.reasons import Report
from daemon.spool import files
from daemon.spool.entries import Ended, Facts
from daemon.supervisor.snapshot import Served, Snapshot
from daemon.supervisor.tally import Tally

# 2026-11-23, six in the morning, UTC.
AT = 1_795_413_600.0
MINUTE_S = 60.0

FACTS = Facts(
    width=4032,
    height=3024,
    seconds={"wait": 40.0, "read": 0.25, "network": 2.25},
    model="edgeconnect, stage 3, width 64, fp32",
    model_sha256="ab" * 32,
    device="cpu",
    notes=("filled in 3 windows at full resolution",),
    preview=(480, 360),
)


def done(number: int = 1, picture: str | None = None, **more: Any) -> Ended:
    """A picture that was retouched; each number ended a minute after the one before."""
    picture = f"holiday/cat {number}.jpg" if picture is None else picture
    base = picture.rpartition(".")[0]
    whole: dict[str, Any] = {
        "job": f"20261123T060000-{number:08x}",
        "outcome": "done",
        "ended_at": AT + number * MINUTE_S,
        "claimed_at": AT + number * MINUTE_S - 5,
        "task": "inpaint",
        "role": "mask",
        "picture": picture,
        "companion": f"{base}_mask.png",
        "attempts": 1,
        "outputs": (f"{base}.log", f"{base}.preview.jpg", f"{base}.png"),
        "facts": FACTS,
        **more,
    }
    return Ended(**whole)


def failed(number: int = 1, picture: str | None = None, **more: Any) -> Ended:
    """A picture that was given up: its mask had another size."""
    facts = {"picture_width": 40, "picture_height": 30, "companion_width": 4}
    report = Report("size_mismatch", {"role": "mask", **facts, "companion_height": 3})
    ended = {"outcome": "failed", "outputs": (), "facts": None, "report": report}
    note = f"{picture or f'holiday/cat {number}.jpg'}.reason.txt"
    return done(number, picture, **{**ended, "note": note, **more})


def lay_notes(folder: Path, *entries: Ended) -> None:
    """Put the notes of what was given up where they lie until somebody looks after it."""
    for ended in entries:
        if ended.note:
            with suppress(ValueError):  # a name that no file can have
                (folder / ended.note).parent.mkdir(parents=True, exist_ok=True)
                (folder / ended.note).write_text("why")


def snapshot(**more: Any) -> Snapshot:
    """A daemon with nothing to do."""
    whole: dict[str, Any] = {
        "at": AT,
        "started_at": AT - 86_400,
        "pid": 7,
        "tally": Tally(done=12, failed=1),
        "devices": (Served("cpu", {"inpaint": "edgeconnect, stage 3"}),),
        **more,
    }
    return Snapshot(**whole)


@dataclass
class Chronicle:
    """A book in memory, which counts how many entries were read."""

    entries: list[Ended] = field(default_factory=list)
    read: int = 0

    def count(self) -> int:
        return len(self.entries)

    def failures(self) -> int:
        return sum(ended.outcome == "failed" for ended in self.entries)

    def between(self, first: int, last: int) -> Sequence[Ended]:
        found = self.entries[first:last]
        self.read += len(found)
        return found


def spoil(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the disk fail to read the files of this name. A mock: root may read all there is."""
    reading = files.reading

    @contextmanager
    def failing(place: Place) -> Iterator[BufferedReader]:
        if place.name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))
        with reading(place) as file:
            yield file

    monkeypatch.setattr(files, "reading", failing)
