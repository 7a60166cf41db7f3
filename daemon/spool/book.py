"""The book: what became of each picture, a line each, kept for years.

`work/.book/2026-11.jsonl` holds the jobs that ended in a month (UTC), a JSON object a line, in the
order in which they ended. A job's line is on the disk before the job is forgotten, so a crash may
write it twice and never loses it: of two lines of one job the last one counts. A line that a crash
cut off is passed over. Only the daemon that holds the spool's lock writes; anyone who may may read,
at any time.
"""

from dataclasses import dataclass, field
from typing import Literal

from daemon.intake.pairing import Role, Task
from daemon.reasons import Report

Outcome = Literal["done", "failed"]


@dataclass(frozen=True)
class Facts:
    """What the worker told of a job that was done.

    `width` and `height` are the picture's, in pixels. `seconds` is the time of each step, as in the
    job's log. `model` is what the log says of it, in one line; `model_sha256` its artifact's.
    `preview` is the width and height of one panel of the preview, in pixels; None without one.
    """

    width: int
    height: int
    seconds: dict[str, float]
    model: str
    model_sha256: str
    device: str
    notes: tuple[str, ...] = ()
    preview: tuple[int, int] | None = None


@dataclass(frozen=True)
class Ended:
    """How a job ended. Paths are relative: `picture` and `companion` to the inbox, `outputs` to the
    outbox (the log and the preview among them), `note` (the reason's file) to `failed`.

    Times are seconds since 1970. `facts` are there where it was done, `report` where it failed.
    """

    job: str
    outcome: Outcome
    ended_at: float
    claimed_at: float
    task: Task
    role: Role
    picture: str
    companion: str
    attempts: int
    outputs: tuple[str, ...] = ()
    facts: Facts | None = None
    report: Report | None = None
    note: str | None = None
    story: tuple[str, ...] = field(default=())
