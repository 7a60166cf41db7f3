"""An entry of the book: how a job ended, and the line of JSON that tells it.

A line is believed only where it has the form of ours, whoever may have written it: what is read is
shown to people, and handed to programs.
"""

import json
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Final, Literal, get_args

from daemon.intake.pairing import Role, Task
from daemon.reasons import REASONS, Report

# What lies beside a result, by what follows the name that a job's outputs share.
_BESIDE: Final = (".log", ".preview.jpg", ".trimap.png", ".alpha.png")
# The year 5000: later than any clock, and a date to every reader.
_LATEST: Final = 95_617_584_000.0

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
    `companion` is a folder's mask in full where that served, and the picture's own path where its
    transparency did.

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

    @property
    def result(self) -> str | None:
        """Which of the outputs people want: the retouched picture or the cut-out, in whatever order
        they stand; None where there is none."""
        log = next((path for path in self.outputs if path.endswith(".log")), "")
        shared = log.removesuffix(".log")
        beside = {f"{shared}{ending}" for ending in _BESIDE}
        return next((path for path in self.outputs if path not in beside), None)


def line_of(ended: Ended) -> bytes:
    """A job's line, with its end."""
    # ASCII: names that are no UTF-8 travel as escaped surrogates and come back as they were.
    return json.dumps(asdict(ended), separators=(",", ":")).encode("ascii") + b"\n"


def ended_of(line: bytes) -> Ended:
    """A job from its line. Raises `ValueError` for one that a crash cut off, or is none of ours.

    What a later version may have added is left out.
    """
    try:
        data: dict[str, Any] = json.loads(line.decode("ascii"))
        facts, report, note = data.get("facts"), data.get("report"), data.get("note")
        return Ended(
            job=_text(data["job"]),
            outcome=_one_of(data["outcome"], Outcome),
            ended_at=_time(data["ended_at"]),
            claimed_at=_time(data["claimed_at"]),
            task=_one_of(data["task"], Task),
            role=_one_of(data["role"], Role),
            picture=_text(data["picture"]),
            companion=_text(data["companion"]),
            attempts=_count(data["attempts"]),
            outputs=_texts(data.get("outputs", [])),
            facts=None if facts is None else facts_of(facts),
            report=None if report is None else report_of(report),
            note=None if note is None else _text(note),
            story=_texts(data.get("story", [])),
        )
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"no line of the book: {error!r}") from None


def facts_of(data: Any) -> Facts:
    """Facts from what JSON made of them. Raises `ValueError`, `TypeError` or `KeyError`."""
    preview = data.get("preview")
    return Facts(
        width=_count(data["width"]),
        height=_count(data["height"]),
        seconds={_text(step): _number(seconds) for step, seconds in data["seconds"].items()},
        model=_text(data["model"]),
        model_sha256=_text(data["model_sha256"]),
        device=_text(data["device"]),
        notes=_texts(data.get("notes", [])),
        preview=None if preview is None else _pair(preview),
    )


def report_of(data: Any) -> Report:
    """A report from what JSON made of it. Raises as `facts_of` does, or `AttributeError`."""
    if data["key"] not in REASONS:
        raise ValueError("a reason that there is not")
    facts = data["facts"].items()
    return Report(data["key"], {_text(name): _plain(value) for name, value in facts})


def _plain(value: Any) -> str | int | float:
    return value if isinstance(value, str) else _number(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(map(_text, value))


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _pair(value: Any) -> tuple[int, int]:
    first, second = map(_count, value)
    return first, second


def _time(value: Any) -> float:
    if not 0 <= _number(value) <= _LATEST:
        raise ValueError(f"{value!r} is no time")
    return _number(value)


def _one_of(value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise ValueError(f"{value!r} is none of them")
    return value
