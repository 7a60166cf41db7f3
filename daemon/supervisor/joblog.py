"""The log that is published beside each result: what ran, with which model, how long it took."""

import time
from pathlib import Path
from typing import Final

import daemon
from daemon.reasons import one_line
from daemon.spool.book import Facts
from daemon.spool.record import Record
from daemon.worker.protocol import Done, Hello, Input, Model

# Longer than the longest name, "seconds, foreground:".
_NAME_WIDTH: Final = 22


def job_log(record: Record, done: Done, hello: Hello) -> str:
    """The text of a job's log, a fact a line, for people and for `grep`."""
    model = hello.models[record.task]
    facts = [
        ("task", "inpaint (holes filled)" if record.task == "inpaint" else "matting (cut out)"),
        ("picture", _described(record.picture.path, done.picture)),
        (record.role, _described(record.companion.path, done.companion)),
        ("model", model_line(model)),
        ("model file", f"{Path(model.path).name}  sha256 {model.sha256}"),
        ("model licence", model.licence),
        ("device", hello.device),
        ("claimed", _utc(record.claimed_at)),
        ("finished", _utc(time.time())),
        ("attempt", str(record.attempts)),
        *((f"seconds, {step}", f"{seconds:.3f}") for step, seconds in done.seconds.items()),
        ("retouchd", daemon.__version__),
        ("torch", hello.torch_version),
        ("job", record.job),
    ]
    facts += [("note", note) for note in _notes(done, model)]
    facts += [("earlier", line) for line in record.story]
    return "".join(f"{name + ':':<{_NAME_WIDTH}}{one_line(value)}\n" for name, value in facts)


def job_facts(record: Record, done: Done, hello: Hello) -> Facts:
    """What the book says of a job that was done: what its log does, for programs."""
    model = hello.models[record.task]
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


def _described(path: str, read: Input) -> str:
    return (
        f"{path}  {read.width} x {read.height}  {read.mode} {read.format}  "
        f"{read.bytes} bytes  sha256 {read.sha256}"
    )


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
