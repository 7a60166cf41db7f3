"""The record of a job: all that is known of it, in one file that is always whole.

On the disk before anything it speaks of happens. A record counts only if it names its own job and
no place outside the spool.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, get_args

from daemon.intake.pairing import Role, Source, Task, makes_trimap
from daemon.intake.scan import Entry, Identity
from daemon.places import Place
from daemon.reasons import REASONS, Report
from daemon.spool import files
from daemon.spool.entries import Facts, facts_of
from daemon.spool.layout import Spool

RECORD: Final = "record.json"
IN: Final = "in"
OUT: Final = "out"


class State(StrEnum):
    """Where the originals belong."""

    INBOX = "inbox"
    WORK = "work"
    OUTBOX = "outbox"
    ARCHIVE = "archive"
    FAILED = "failed"


@dataclass(frozen=True)
class Original:
    """A user's file: where it lay in the inbox, its name in `in/`, and what it was when claimed.

    `mount` is the folder in the inbox on which the file system is mounted that holds it, and so its
    `in/` too; empty for the inbox's own.
    """

    path: str
    tail: str
    held: str
    identity: Identity
    mount: str = ""

    @property
    def entry(self) -> Entry:
        return Entry(self.path, self.identity)


@dataclass(frozen=True)
class Output:
    """A file to publish: its name in `out/`, its content's SHA-256, its path in the outbox.

    `replaces` is the SHA-256 of an earlier try's output, which alone may be replaced.
    """

    held: str
    suffix: str
    sha256: str
    target: str
    replaces: str | None = None


@dataclass(frozen=True)
class Record:
    """All that is known of a job. On disk before anything it speaks of happens.

    `told` is the last attempt whose end the story tells: a later one died with the daemon.
    `marker` is the file by which the uploader said that both are complete, where that is asked for.
    `trimap_band_percent` is set where the trimap is to be made from a mask, and only there: what
    was decided at the claim holds when the job is run again under other settings.
    `facts` are what the book is to say of the outputs.

    A picture that was alone has no `companion`. Its mask is then `mask_file`, the absolute path of
    a file that is not the user's to this job, and that nothing here ever moves or removes; or,
    where that is None, its own transparency.
    """

    job: str
    state: State
    task: Task
    role: Role
    picture: Original
    companion: Original | None
    claimed_at: float
    attempts: int = 0
    outputs: tuple[Output, ...] = ()
    number: int = 1
    report: Report | None = None
    story: tuple[str, ...] = field(default=())
    told: int = 0
    trimap_band_percent: float | None = None
    marker: Original | None = None
    facts: Facts | None = None
    mask_file: str | None = None

    def __post_init__(self) -> None:
        if makes_trimap(self.task, self.role) != (self.trimap_band_percent is not None):
            raise ValueError(f"the record of {self.job} does not say how its trimap is made")

    @property
    def source(self) -> Source:
        """Where it is told what is to be done."""
        if self.companion is not None:
            return "own"
        return "alpha" if self.mask_file is None else "folder"

    @property
    def told_by(self) -> str:
        """The file in which it is told: the companion, the folder's mask, or the picture itself."""
        if self.companion is not None:
            return self.companion.path
        return self.mask_file or self.picture.path

    @property
    def inputs(self) -> tuple[Original, ...]:
        """What of the user's a worker reads, the picture first."""
        return (self.picture, self.companion) if self.companion else (self.picture,)

    @property
    def originals(self) -> tuple[Original, ...]:
        """All that was dropped, the marker last: it speaks of the others."""
        return (*self.inputs, self.marker) if self.marker else self.inputs


def held(spool: Spool, record: Record, original: Original) -> Place:
    """Where a job holds one of its originals."""
    return spool.jobs_on(original.mount) / record.job / IN / original.held


def made(spool: Spool, record: Record, name: str) -> Place:
    """Where a job's worker leaves an output, until it is published."""
    return spool.job(record.job) / OUT / name


def load(spool: Spool, job: str) -> Record:
    """Read a job's record. Raises `OSError`, or `ValueError` for a record that is none of ours."""
    with files.reading(spool.job(job) / RECORD) as file:
        text = file.read().decode("ascii")
    try:
        data: dict[str, Any] = json.loads(text)
        record = Record(
            **{
                **data,
                "state": State(data["state"]),
                "picture": _original(data["picture"]),
                "companion": _original_or_none(data["companion"]),
                "marker": _original_or_none(data.get("marker")),
                "outputs": tuple(Output(**output) for output in data["outputs"]),
                "report": Report(**data["report"]) if data["report"] else None,
                "story": tuple(data["story"]),
                "facts": facts_of(data["facts"]) if data.get("facts") is not None else None,
            }
        )
        _require_inside(record, job)
        _require_sound(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no job record: {error!r}") from None
    return record


def _require_inside(record: Record, job: str) -> None:
    """Raise `ValueError` for a record that names another job, or anything outside the spool."""
    paths = [original.path for original in record.originals]
    paths += [output.target for output in record.outputs]
    held = [output.held for output in record.outputs]
    if (
        record.job != job
        or record.picture.held != "picture"
        or (record.companion is not None and record.companion.held != "companion")
        or (record.marker is not None and record.marker.held != "marker")
        or not all(name.isalpha() for name in held)
        or any(path.startswith("/") or ".." in path.split("/") for path in paths)
    ):
        raise ValueError(f"the record of {job} names what is not its own")


def _require_sound(record: Record) -> None:
    """Raise `ValueError` or `TypeError` for values that no record of ours has."""
    for text in (*(o.path for o in record.originals), *(o.target for o in record.outputs)):
        if b"\0" in os.fsencode(text) or not text:
            raise ValueError("a path that no file has")
    for number, least in ((record.attempts, 0), (record.number, 1), (record.told, 0)):
        if type(number) is not int or number < least:
            raise ValueError("a number that is none")
    if record.task not in get_args(Task) or record.role not in get_args(Role):
        raise ValueError("a task that there is not")
    for original in record.originals:
        if original.mount and not original.path.startswith(f"{original.mount}/"):
            raise ValueError("a mount on which the file did not lie")
    if record.mask_file is not None and (
        record.companion is not None
        or "\0" in record.mask_file
        or not record.mask_file.startswith("/")
    ):
        raise ValueError("a mask of its folder that it can't have")
    if record.source == "alpha" and (record.task, record.role) != ("inpaint", "mask"):
        raise ValueError("a task for which transparency is no mask")
    if record.report is not None and record.report.key not in REASONS:
        raise ValueError("a reason that there is not")
    if not all(isinstance(line, str) for line in record.story):
        raise ValueError("a story that is none")


def save(spool: Spool, record: Record) -> Record:
    """Write a record; on return it is on the disk."""
    # ASCII: names that are no UTF-8 travel as escaped surrogates and come back as they were.
    text = json.dumps(asdict(record), indent=1)
    files.write_durably(spool.job(record.job) / RECORD, text.encode("ascii"))
    return record


def _original_or_none(data: dict[str, Any] | None) -> Original | None:
    return None if data is None else _original(data)


def _original(data: dict[str, Any]) -> Original:
    return Original(**{**data, "identity": Identity(*data["identity"])})
