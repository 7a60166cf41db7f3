"""`retouchd check`: one line for each thing that must be right, with what to do where it is not.

Tries rather than guesses: it renames a file from the inbox to the work folder, writes into every
folder, and starts a real worker that loads and runs the models.
"""

import errno
import os
import selectors
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from daemon.artifact import ArtifactError, Manifest, read_manifest
from daemon.intake.filesystems import filesystem_of, hears_events
from daemon.intake.matting import MattingFolders
from daemon.people.checks.calls import check_calls
from daemon.people.checks.finding import Finding as Finding
from daemon.people.checks.folders import check_folders, folder_subjects
from daemon.places import Place
from daemon.reasons import one_line, world_trouble
from daemon.settings import Settings
from daemon.spool import files
from daemon.supervisor.folder_models import Wanted
from daemon.supervisor.starting import START_TIMEOUT_S, start_worker
from daemon.worker.protocol import Hello, Problem, from_worker

_NARROWEST: Final = len("matting_folders")
_WIDEST: Final = 40


def check(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one finding after the other. Leaves nothing behind."""
    yield Finding("settings", True, "read, every key known")
    for name, path in settings.folders().items():
        yield _check_folder(name, path)
    yield _check_claim(settings)
    if settings.matting_folders:
        yield _check_matting_folders(settings)
    if settings.done_marker:
        says = "pairs wait for a file such as cat.jpg.done beside cat.jpg"
        yield Finding("done_marker", True, says)
    yield from check_folders(settings)
    yield from check_calls(settings)
    findings = [_check_model(f"{t}_model", t, path) for t, path in settings.models().items()]
    findings += [
        _check_model(subject, own.task, Path(own.path))
        for own, subject in zip(settings.own_models(), _model_subjects(settings), strict=True)
    ]
    yield from findings
    if not findings:
        yield Finding(
            "models",
            False,
            "none is set. Export one with retouchd-export and set inpaint_model or matting_model.",
        )
    elif all(finding.is_ok for finding in findings):
        yield from _check_worker(settings)


def subject_width(settings: Settings) -> int:
    """How wide the column of the findings' subjects is to be, short of a name that is very long."""
    subjects = (*folder_subjects(settings), *_model_subjects(settings))
    longest = max(map(len, subjects), default=0)
    return max(_NARROWEST, min(longest, _WIDEST))


def _model_subjects(settings: Settings) -> list[str]:
    """What the findings on the models of folders are called."""
    return [one_line(own.setting) for own in settings.own_models()]


def model_facts(manifest: Manifest) -> str:
    """A manifest in one line."""
    parts = [manifest.network]
    if manifest.stage is not None:
        parts.append(f"stage {manifest.stage}")
    if manifest.width is not None:
        parts.append(f"width {manifest.width}")
    parts.append(manifest.precision)
    if not manifest.trained:
        parts.append("UNTRAINED, its results are noise")
    if manifest.note:
        parts.append(manifest.note)
    return ", ".join(parts)


def model_manifest(task: str, path: Path) -> Manifest:
    """The manifest of the artifact configured for a task. Raises `ArtifactError`."""
    manifest = read_manifest(path)
    if manifest.task != task:
        raise ArtifactError(
            f"{path}: is a model for {manifest.task!r}, but is set as {task}_model. "
            "Set the right file, or export the stage that gives pictures."
        )
    return manifest


def _check_folder(name: str, path: Path) -> Finding:
    # os.path, not Path: here what may not be looked at is not there, and no error.
    if not os.path.isdir(path):  # noqa: PTH112
        return _check_missing(name, path)
    try:
        files.probe_rename(Place(path), Place(path))
        about = path.stat()
    except OSError as error:
        trouble = world_trouble(error, path)
        return Finding(name, False, f"{trouble.sentence} {trouble.advice}")
    kind = filesystem_of(path)
    events = "" if name != "inbox" or hears_events(kind) else ", no events: found by scanning"
    return Finding(name, True, f"{path} (mode {about.st_mode & 0o7777:o}, {kind}{events})")


def _check_missing(name: str, path: Path) -> Finding:
    if os.path.lexists(path):
        return Finding(name, False, f"{path} is no folder. Move it away, or set {name} elsewhere.")
    above = next(parent for parent in path.parents if os.path.lexists(parent))
    may = os.access(above, os.W_OK | os.X_OK, effective_ids=True)
    if may and os.path.isdir(above):  # noqa: PTH112
        return Finding(name, True, f"{path} will be made")
    return Finding(
        name,
        False,
        f"{path} is not there and can't be made in {above}. Make it, and give it to the user that "
        "runs retouchd.",
    )


def _check_claim(settings: Settings) -> Finding:
    folders = settings.folders()
    inbox, work = folders["inbox"], folders["work"]
    if not (os.path.isdir(inbox) and os.path.isdir(work)):  # noqa: PTH112
        return Finding("claim", True, "will be tried when inbox and work are there")
    try:
        files.probe_rename(Place(inbox), Place(work))
    except OSError as error:
        if error.errno != errno.EXDEV:
            trouble = world_trouble(error, work)
            return Finding("claim", False, f"{trouble.sentence} {trouble.advice}")
        return Finding(
            "claim", True, "inbox and work are on different file systems: a hidden folder serves"
        )
    return Finding("claim", True, "a file moves from inbox to work in one step")


def _check_matting_folders(settings: Settings) -> Finding:
    folders = MattingFolders(settings.matting_folders)
    inbox = settings.folders()["inbox"]
    missing = [_told_missing(folders, inbox, name) for name in folders.missing(inbox)]
    says = f"masks in {', '.join(folders.names)} mean cut out" + (
        f" (not in the inbox yet: {', '.join(missing)})" if missing else ""
    )
    rules = settings.rules()
    lacking = [name for name in folders.names if rules.of_folder(name).matting_model is None]
    if lacking:
        who = "they wait" if len(lacking) == len(folders.names) else f"{', '.join(lacking)} wait"
        says += f"; {who}, as no matting_model is set. Export one and set it."
        return Finding("matting_folders", False, says)
    band = f"{settings.trimap_band_percent:g} % of the shorter side"
    return Finding("matting_folders", True, f"{says}, with an unknown band of {band}")


def _told_missing(folders: MattingFolders, inbox: Path, name: str) -> str:
    nearest = folders.nearest(inbox, name)
    return f"{name}; is {nearest} meant?" if nearest else name


def _check_model(setting: str, task: str, path: Path) -> Finding:
    try:
        return Finding(setting, True, f"{path}: {model_facts(model_manifest(task, path))}")
    except ArtifactError as error:
        return Finding(setting, False, str(error))


def _check_worker(settings: Settings) -> Iterator[Finding]:
    wanted = Wanted(settings)
    asked, work = wanted.of_a_new_one(), settings.folders()["work"]
    try:
        process, ear = start_worker(settings, work, settings.devices()[0], [], folder_models=asked)
    except OSError as error:
        yield Finding("device", False, f"no worker can be started ({error.strerror})")
        return
    assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
    try:
        text = _read_line(process.stdout.fileno(), time.monotonic() + START_TIMEOUT_S)
        message = from_worker.validate_json(text)
    except (ValidationError, TimeoutError):
        yield Finding("device", False, "the worker does not start; its own words stand above")
        return
    finally:
        ear.close()
        process.kill()
        process.wait()
        process.stdout.close()
    match message:
        case Hello():
            says = f"{message.device}, torch {message.torch_version}: the models run"
            yield Finding("device", True, says)
            for own, why in wanted.wrong(message):
                yield Finding(one_line(own.setting), False, one_line(why))
            yield _confinement(message)
        case Problem():
            yield Finding("device", False, str(message.facts.get("detail")))
        case _:
            yield Finding("device", False, "the worker answers strangely")


def _confinement(hello: Hello) -> Finding:
    """Whatever was to be had is right: who wants all or nothing sets `confine = require`."""
    holds = " and ".join(hello.confinement) or "none"
    if hello.unconfined is None:
        return Finding("confinement", True, f"the worker is confined ({holds})")
    return Finding("confinement", True, f"{holds}; not had: {hello.unconfined}")


def _read_line(fd: int, deadline: float) -> bytes:
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while not text.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                break
            text += chunk
    return text
