"""The log that is published beside each result: what ran, with which model, how long it took.

It is written for people, and read again only where the book has been lost.
"""

import calendar
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import daemon
from daemon.intake.pairing import Role, Task
from daemon.reasons import one_line
from daemon.spool.entries import Ended, Facts
from daemon.spool.record import Record
from daemon.worker.protocol import Done, Hello, Input, Model

# Longer than the longest name, "seconds, foreground:".
_NAME_WIDTH: Final = 22
_TASKS: Final[Mapping[Task, str]] = {
    "inpaint": "inpaint (holes filled)",
    "matting": "matting (cut out)",
}
# What stands behind a file's name, each two spaces from the one before.
_SIZE: Final = re.compile(r"(\d{1,9}) x (\d{1,9})", re.ASCII)
_DETAILS: Final = re.compile(r"\d{1,19} bytes  sha256 \w{64}", re.ASCII)
# What the line of the mask says where the picture has none of its own.
_BY_ALPHA: Final = "where the picture itself is wholly transparent"
_OF_FOLDER: Final = "  the mask of its folder"
_JOB: Final = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}", re.ASCII)
_STEP: Final = "seconds, "


def job_log(record: Record, done: Done, hello: Hello, own: str | None = None) -> str:
    """The text of a job's log, a fact a line, for people and for `grep`.

    `own` is the path of the model that its folder asks for; None where that is the task's.
    """
    model = hello.model_of(record.task, own)
    facts = [
        ("task", _TASKS[record.task]),
        ("picture", _described(record.picture.path, done.picture)),
        (record.role, _mask_line(record, done)),
        ("model", model_line(model)),
        ("model file", f"{Path(model.path).name}  sha256 {model.sha256}"),
        ("model licence", model.licence),
        ("device", hello.device),
        ("claimed", utc(record.claimed_at)),
        ("finished", utc(time.time())),
        ("attempt", str(record.attempts)),
        *((f"{_STEP}{step}", f"{seconds:.3f}") for step, seconds in done.seconds.items()),
        ("retouchd", daemon.__version__),
        ("torch", hello.torch_version),
        ("job", record.job),
    ]
    facts += [("note", note) for note in _notes(done, model)]
    facts += [("earlier", line) for line in record.story]
    return "".join(f"{name + ':':<{_NAME_WIDTH}}{one_line(value)}\n" for name, value in facts)


def job_facts(record: Record, done: Done, hello: Hello, own: str | None = None) -> Facts:
    """What the book says of a job that was done: what its log does, for programs."""
    model = hello.model_of(record.task, own)
    return Facts(
        width=done.picture.width,
        height=done.picture.height,
        seconds=dict(done.seconds),
        model=model_line(model),
        model_sha256=model.sha256,
        device=hello.device,
        notes=tuple(_notes(done, model)),
        preview=done.preview,
    )


def model_line(model: Model) -> str:
    """A model in one line: its network, what of it, and with which precision it runs."""
    parts = [model.network]
    if model.stage is not None:
        parts.append(f"stage {model.stage}")
    if model.width is not None:
        parts.append(f"width {model.width}")
    return ", ".join([*parts, model.precision])


def _notes(done: Done, model: Model) -> list[str]:
    notes = list(done.notes)
    if model.note:
        notes.insert(0, f"the model: {model.note}")
    if not model.trained:
        notes.insert(0, "the model is UNTRAINED: its weights are random, and so is what it paints")
    return notes


def _mask_line(record: Record, done: Done) -> str:
    """What told what to do, and for a mask that is not the picture's own, whose it is."""
    if record.source == "alpha":
        return _BY_ALPHA
    described = _described(record.told_by, done.companion)
    return f"{described}{_OF_FOLDER}" if record.source == "folder" else described


def _described(path: str, read: Input) -> str:
    return (
        f"{path}  {read.width} x {read.height}  {read.mode} {read.format}  "
        f"{read.bytes} bytes  sha256 {read.sha256}"
    )


def utc(seconds: float) -> str:
    """A moment, in seconds since 1970, as logs, notes and hooks write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def read_log(text: str, outputs: Sequence[str]) -> Ended | None:
    """The job that a log tells of, whose `outputs` lie where they do; None where it is no log.

    Its names are as the log writes them: what can't be printed stands there as an escape. The log
    lies where everyone may write, so nothing in it is believed that has not the form of its own.
    """
    facts: defaultdict[str, list[str]] = defaultdict(list)
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        facts[name].append(value.strip())
    try:
        return _ended(facts, tuple(outputs))
    except (ValueError, IndexError, KeyError):
        return None


def _ended(facts: Mapping[str, Sequence[str]], outputs: tuple[str, ...]) -> Ended:
    role: Role = "trimap" if "trimap" in facts else "mask"
    (picture, width, height), told_by = _read(facts["picture"][0]), facts[role][0]
    is_elsewhere = told_by.endswith(_OF_FOLDER) and told_by.startswith("/")
    companion = picture if told_by == _BY_ALPHA else _read(told_by.removesuffix(_OF_FOLDER))[0]
    # The mask of a folder may lie anywhere.
    if _leads_out(picture) or (_leads_out(companion) and not is_elsewhere):
        raise ValueError("a path that nothing in the inbox has")
    job, sha256 = facts["job"][0], facts["model file"][0].rpartition("  sha256 ")[2]
    if not _JOB.fullmatch(job):
        raise ValueError("a name that no job has")
    steps = {name.removeprefix(_STEP): v[0] for name, v in facts.items() if name.startswith(_STEP)}
    return Ended(
        job=job,
        outcome="done",
        ended_at=_seconds(facts["finished"][0]),
        claimed_at=_seconds(facts["claimed"][0]),
        task={words: task for task, words in _TASKS.items()}[facts["task"][0]],
        role=role,
        picture=picture,
        companion=companion,
        attempts=int(facts["attempt"][0]),
        outputs=outputs,
        facts=Facts(
            width=width,
            height=height,
            seconds={step: float(seconds) for step, seconds in steps.items()},
            model=facts["model"][0],
            model_sha256=sha256,
            device=facts["device"][0],
            notes=tuple(facts.get("note", ())),
        ),
        story=tuple(facts.get("earlier", ())),
    )


def _read(described: str) -> tuple[str, int, int]:
    """A file's path, and its width and height."""
    path, size, _, length, digest = described.rsplit("  ", 4)
    found = _SIZE.fullmatch(size)
    if found is None or not path or not _DETAILS.fullmatch(f"{length}  {digest}"):
        raise ValueError("no file as a log describes it")
    return path, int(found[1]), int(found[2])


def _leads_out(path: str) -> bool:
    """Whether it is no path below a folder."""
    return not path or path.startswith("/") or ".." in path.split("/")


def _seconds(utc: str) -> float:
    return float(calendar.timegm(time.strptime(utc, "%Y-%m-%dT%H:%M:%SZ")))
