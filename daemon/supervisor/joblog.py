"""The log that is published beside each result: what ran, with which model, how long it took."""

import time
from pathlib import Path
from typing import Final

import daemon
from daemon.reasons import one_line
from daemon.spool.record import Record
from daemon.worker.protocol import Done, Hello, Input

# Longer than the longest name, "seconds, foreground:".
_NAME_WIDTH: Final = 22


def job_log(record: Record, done: Done, hello: Hello) -> str:
    """The text of a job's log, a fact a line, for people and for `grep`."""
    model = hello.models[record.task]
    facts = [
        ("task", "inpaint (holes filled)" if record.task == "inpaint" else "matting (cut out)"),
        ("picture", _described(record.picture.path, done.picture)),
        (record.role, _mask_line(record, done)),
        ("model", _model_line(model.network, model.stage, model.width, model.precision)),
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
    notes = list(done.notes)
    if model.note:
        notes.insert(0, f"the model: {model.note}")
    if not model.trained:
        notes.insert(0, "the model is UNTRAINED: its weights are random, and so is what it paints")
    facts += [("note", note) for note in notes]
    facts += [("earlier", line) for line in record.story]
    return "".join(f"{name + ':':<{_NAME_WIDTH}}{one_line(value)}\n" for name, value in facts)


def _mask_line(record: Record, done: Done) -> str:
    """What told what to do, and for a mask that is not the picture's own, whose it is."""
    if record.source == "alpha":
        return "where the picture itself is wholly transparent"
    described = _described(record.told_by, done.companion)
    return f"{described}  the mask of its folder" if record.source == "folder" else described


def _described(path: str, read: Input) -> str:
    return (
        f"{path}  {read.width} x {read.height}  {read.mode} {read.format}  "
        f"{read.bytes} bytes  sha256 {read.sha256}"
    )


def _model_line(network: str, stage: int | None, width: int | None, precision: str) -> str:
    parts = [network]
    if stage is not None:
        parts.append(f"stage {stage}")
    if width is not None:
        parts.append(f"width {width}")
    return ", ".join([*parts, precision])


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
