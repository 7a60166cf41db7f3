"""A job's life, from claim to result, as states on the disk.

A state says where the originals belong, and whoever finds a record drives them there:

    INBOX    a claim was begun, or the pair is given back
    WORK     claimed: to be run, or to be run again
    OUTBOX   the outputs are complete in out/ and are being published
    ARCHIVE  all outputs are published; the originals are archived or deleted
    FAILED   given up; the originals and a reason go to failed/

Each change of state is one durable write of the record. docs/spool.md holds the whole table; the
comments S1 to S5 repeat its lines. `settle` is the only way on from a state, after a crash as in
quiet times, so what is tested by every job is what a restart relies on.
"""

import errno
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any, Final

from daemon.intake.pairing import Pair, Role, Task, makes_trimap
from daemon.intake.scan import Entry, Identity
from daemon.reasons import Report, Trouble
from daemon.spool import files
from daemon.spool.layout import Spool

RECORD: Final = "record.json"
# Below archive and failed: for files whose own path is taken there by a file, or is not allowed.
UNPLACED: Final = "unplaced"

# What a file system answers to a name it can't hold. No waiting helps, so it holds no queue.
_UNPLACEABLE: Final = {errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR}

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
    """A user's file: where it lay in the inbox, its name in `in/`, and what it was when claimed."""

    path: str
    tail: str
    held: str
    identity: Identity

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

    `trimap_band_percent` is set where the trimap is to be made from a mask, and only there: what
    was decided at the claim holds when the job is run again under other settings.
    """

    job: str
    state: State
    task: Task
    role: Role
    picture: Original
    companion: Original
    claimed_at: float
    attempts: int = 0
    outputs: tuple[Output, ...] = ()
    number: int = 1
    report: Report | None = None
    story: tuple[str, ...] = field(default=())
    trimap_band_percent: float | None = None

    def __post_init__(self) -> None:
        if makes_trimap(self.task, self.role) != (self.trimap_band_percent is not None):
            raise ValueError(f"the record of {self.job} does not say how its trimap is made")

    @property
    def originals(self) -> tuple[Original, Original]:
        return self.picture, self.companion

    @property
    def identities(self) -> tuple[Identity, Identity]:
        return self.picture.identity, self.companion.identity


def claim_pair(spool: Spool, pair: Pair, trimap_band_percent: float | None = None) -> Record | None:
    """Move a ready pair into work/. On return the job survives a crash.

    `trimap_band_percent` is for a pair whose trimap is made from its mask; others do without.
    None where a file is no longer what the scan saw; the inbox is then unchanged. On `OSError`
    what was moved has been given back, or will be by the next `recover`.
    """
    if not _unchanged(spool.inbox, pair.picture, pair.companion):
        return None
    record = Record(
        job=_new_name(),
        state=State.INBOX,
        task=pair.task,
        role=pair.role,
        picture=Original(pair.picture.path, pair.picture_tail, "picture", pair.picture.identity),
        companion=Original(
            pair.companion.path, pair.companion_tail, "companion", pair.companion.identity
        ),
        claimed_at=time.time(),
        trimap_band_percent=(trimap_band_percent if makes_trimap(pair.task, pair.role) else None),
    )
    folder = spool.folder(record.job)
    try:
        files.make_folders(spool.work, f"{record.job}/{IN}", files.PRIVATE)
        files.make_folders(folder, OUT, files.PRIVATE)
        _save(spool, record)  # S1: from here a restart gives back whatever was moved
        for original in record.originals:
            files.rename(spool.inbox / original.path, folder / IN / original.held)
        files.sync_folder(folder / IN)
        for source in {(spool.inbox / original.path).parent for original in record.originals}:
            files.sync_folder(source)
        # Between the check and the rename, somebody may have written on.
        if not _held_unchanged(spool, record):
            settle(spool, record)
            return None
        return _save(spool, replace(record, state=State.WORK))  # S2: the pair is ours
    except (FileNotFoundError, NotADirectoryError):
        settle(spool, record)  # its owner took one of the two away just now
        if not spool.work.is_dir():
            raise
        return None
    except OSError:
        with suppress(OSError, Trouble):  # the record stays, and `recover` does it later
            settle(spool, record)
        raise


def begin_attempt(spool: Spool, record: Record) -> Record:
    """Count the attempt before it is made, so that a job that kills its worker can't forget it."""
    return _save(spool, replace(record, attempts=record.attempts + 1))


def tell(spool: Spool, record: Record, line: str, *, uncount: bool = False) -> Record:
    """Add a line to the job's story; with `uncount` the attempt was not the job's fault."""
    attempts = record.attempts - 1 if uncount else record.attempts
    return _save(spool, replace(record, attempts=attempts, story=(*record.story, line)))


def give_back(spool: Spool, record: Record) -> None:
    """Put the pair back into the inbox as it was, to be claimed again when it has changed."""
    settle(spool, _save(spool, replace(record, state=State.INBOX)))


def fail(spool: Spool, record: Record, trouble: Trouble) -> None:
    """Give the job up: the pair goes to failed/ with a reason that a person can read."""
    settle(spool, _decide_to_fail(spool, record, trouble))


def inputs_unchanged(spool: Spool, record: Record) -> bool:
    """False where an uploader that held a file open wrote on after the claim."""
    return _held_unchanged(spool, record)


def publish_result(
    spool: Spool, record: Record, outputs: list[tuple[str, str]], log_text: str
) -> Record:
    """Publish a finished job and archive its originals. Returns the record as it ended.

    Its state is ARCHIVE when all went well; FAILED where the outbox can't hold such a name; WORK
    where an output was lost and the job must run again.

    `outputs` are names in `out/` with the suffixes they get in the outbox, the one that people
    wait for last; the log is published before them all, so who sees the result finds its log.
    """
    folder = spool.folder(record.job) / OUT
    files.write_durably(folder / "log", log_text.encode("utf-8", "backslashreplace"))
    wanted = [("log", ".log"), *outputs]
    known = {output.suffix: output for output in record.outputs}
    if {suffix for _, suffix in wanted} == known.keys():
        targets = {suffix: output.target for suffix, output in known.items()}  # decided before
    else:
        targets = _free_targets(spool, record, [suffix for _, suffix in wanted])
    decided = tuple(
        Output(
            held=held,
            suffix=suffix,
            sha256=files.sha256_of(folder / held) or "",
            target=targets[suffix],
            replaces=_published_before(spool, known.get(suffix)),
        )
        for held, suffix in wanted
    )
    record = _save(spool, replace(record, state=State.OUTBOX, outputs=decided))  # S3
    while record.state is State.OUTBOX:
        record = _publish(spool, record)
    settle(spool, record)
    return record


def settle(spool: Spool, record: Record) -> Record | None:
    """Drive a job on from its state. Returns a record that is to be run, or None when it is gone.

    May be called again after any error or crash; raises `OSError` or a `WORLD` trouble.
    """
    match record.state:
        case State.INBOX:  # S1
            _return_originals(spool, record)
        case State.WORK:  # S2
            return record
        case State.OUTBOX:  # S3
            return settle(spool, _publish(spool, record))
        case State.ARCHIVE:  # S4
            _archive_originals(spool, record)
        case State.FAILED:  # S5
            _fail_originals(spool, record)
    return None


def load(spool: Spool, job: str) -> Record:
    """Read a job's record. Raises `OSError`, or `ValueError` for a record that is none of ours."""
    try:
        data: dict[str, Any] = json.loads((spool.folder(job) / RECORD).read_text("ascii"))
        record = Record(
            **{
                **data,
                "state": State(data["state"]),
                "picture": _original(data["picture"]),
                "companion": _original(data["companion"]),
                "outputs": tuple(Output(**output) for output in data["outputs"]),
                "report": Report(**data["report"]) if data["report"] else None,
                "story": tuple(data["story"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no job record: {error!r}") from None
    _require_inside(record, job)
    return record


def _require_inside(record: Record, job: str) -> None:
    """Raise `ValueError` for a record that names another job, or anything outside the spool."""
    paths = [original.path for original in record.originals]
    paths += [output.target for output in record.outputs]
    held = [output.held for output in record.outputs]
    if (
        record.job != job
        or [original.held for original in record.originals] != ["picture", "companion"]
        or not all(name.isalpha() for name in held)
        or any(path.startswith("/") or ".." in path.split("/") for path in paths)
    ):
        raise ValueError(f"the record of {job} names what is not its own")


def _decide_to_fail(spool: Spool, record: Record, trouble: Trouble) -> Record:
    decided = replace(
        record,
        state=State.FAILED,
        report=Report.of(trouble),
        number=_free_number(spool.failed, record),
    )
    return _save(spool, decided)


def _save(spool: Spool, record: Record) -> Record:
    # ASCII: names that are no UTF-8 travel as escaped surrogates and come back as they were.
    text = json.dumps(asdict(record), indent=1)
    files.write_durably(spool.folder(record.job) / RECORD, text.encode("ascii"))
    return record


def _original(data: dict[str, Any]) -> Original:
    return Original(**{**data, "identity": Identity(*data["identity"])})


def _new_name() -> str:
    # Sorts by time, so a listing of work/ is in order of claim.
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def _unchanged(inbox: Path, *entries: Entry) -> bool:
    return all(_identity(inbox / entry.path) == entry.identity for entry in entries)


def _held_unchanged(spool: Spool, record: Record) -> bool:
    folder = spool.folder(record.job) / IN
    return all(_identity(folder / o.held) == o.identity for o in record.originals)


def _identity(path: Path) -> Identity | None:
    try:
        return Identity.of(path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _publish(spool: Spool, record: Record) -> Record:
    """Publish what is not yet published. The record that comes back is in ARCHIVE, in OUTBOX where
    a name was taken and another was chosen, in WORK where an output was lost in a crash and must be
    made again, or in FAILED where the outbox can't hold its name."""
    spool.require_mounts()
    try:
        return _publish_outputs(spool, record)
    except OSError as error:
        if error.errno not in _UNPLACEABLE:
            raise
        detail = error.strerror
        trouble = Trouble("unplaceable", path=record.outputs[-1].target, detail=detail)
        return _decide_to_fail(spool, record, trouble)


def _publish_outputs(spool: Spool, record: Record) -> Record:
    folder = spool.folder(record.job) / OUT
    for at, output in enumerate(record.outputs):
        target = spool.outbox / output.target
        files.make_folders(spool.outbox, os.path.dirname(output.target), spool.ownership)  # noqa: PTH120
        there = files.sha256_of(target) if os.path.lexists(target) else None
        if there == output.sha256:
            continue  # published before a crash
        if files.sha256_of(folder / output.held) != output.sha256:
            return _save(spool, replace(record, state=State.WORK))
        try:
            files.publish(
                folder / output.held,
                target,
                f"{record.job}-{at}",
                spool.ownership,
                replace=there is not None and there == output.replaces,
            )
        except FileExistsError:
            # Somebody else's file has taken the name: ours gets the next.
            free = _free_targets(spool, record, [output.suffix])[output.suffix]
            renamed = replace(output, target=free, replaces=None)
            outputs = (*record.outputs[:at], renamed, *record.outputs[at + 1 :])
            return _save(spool, replace(record, outputs=outputs))
    for parent in {(spool.outbox / output.target).parent for output in record.outputs}:
        files.sync_folder(parent)
    number = _free_number(spool.archive, record) if spool.originals == "archive" else 1
    return _save(spool, replace(record, state=State.ARCHIVE, number=number))  # S4


def _published_before(spool: Spool, output: Output | None) -> str | None:
    """The SHA-256 of what an earlier try of the job left under an output's name, if it did."""
    if output is None:
        return None
    there = files.sha256_of(spool.outbox / output.target)
    return there if there in (output.sha256, output.replaces) else None


def _archive_originals(spool: Spool, record: Record) -> None:
    spool.require_mounts()
    for original in record.originals:
        held = spool.folder(record.job) / IN / original.held
        if spool.originals == "delete":
            files.remove_file(held)
        elif os.path.lexists(held):
            record = _put_away(spool, spool.archive, record, original)
    _forget(spool, record)


def _fail_originals(spool: Spool, record: Record) -> None:
    spool.require_mounts()
    report = record.report or Report("vanished")
    for original in record.originals:
        if os.path.lexists(spool.folder(record.job) / IN / original.held):
            record = _put_away(spool, spool.failed, record, original)
    _write_reason(spool, record, report)
    for at, output in enumerate(record.outputs):  # what a crash in mid-publishing left hidden
        left = (spool.outbox / output.target).with_name(f".retouchd-{record.job}-{at}")
        if os.path.lexists(left):
            files.remove_file(left)
    _forget(spool, record)


def _return_originals(spool: Spool, record: Record) -> None:
    folder = spool.folder(record.job) / IN
    taken = False
    for original in record.originals:
        if not os.path.lexists(folder / original.held):
            continue
        held, target = folder / original.held, spool.inbox / original.path
        try:
            files.make_folders(spool.inbox, os.path.dirname(original.path), spool.ownership)  # noqa: PTH120
            files.rename(held, target)
            files.sync_folder(target.parent)
        except FileExistsError:
            if held.samefile(target):  # a rename by link and unlink that was cut short
                files.remove_file(held)
            else:
                taken = True
        except OSError as error:
            if error.errno not in _UNPLACEABLE:
                raise
            taken = True  # its folder's name has become a file's
    if taken:
        fail(spool, record, Trouble("superseded"))
    else:
        _forget(spool, record)


def _put_away(spool: Spool, root: Path, record: Record, original: Original) -> Record:
    """Move one original below `root`, under the next free number if its name is taken."""
    held = spool.folder(record.job) / IN / original.held
    while True:
        target = root / _numbered(original, record.number)
        try:
            files.make_folders(root, os.path.dirname(original.path), spool.ownership)  # noqa: PTH120
            files.move(held, target)
        except FileExistsError:
            record = _save(spool, replace(record, number=_free_number(root, record)))
        except OSError as error:
            if error.errno not in _UNPLACEABLE:
                raise
            # Its own place can't be had, so it gets one that is certain to be free.
            parent = files.make_folders(root, f"{UNPLACED}/{record.job}", spool.ownership)
            files.move(held, parent / original.held)
            files.sync_folder(parent)
            return record
        else:
            files.sync_folder(target.parent)
            return record


def _write_reason(spool: Spool, record: Record, report: Report) -> None:
    trouble = report.trouble(attempts=record.attempts)
    paths = [_numbered(original, record.number) for original in record.originals]
    if not os.path.isdir((spool.failed / paths[0]).parent):  # noqa: PTH112 - true or false, no error
        paths = [f"{UNPLACED}/{record.job}/{original.held}" for original in record.originals]
    here = "".join(f"  {p}\n" for p in paths if os.path.lexists(spool.failed / p))
    story = "".join(f"  {line}\n" for line in record.story)
    text = (
        f"{os.path.basename(record.picture.path)}: {trouble.sentence}\n\n"  # noqa: PTH119
        f"What to do: {trouble.advice}\n\n"
        f"The files, put into failed with this note:\n{here}"
        "To have them tried again, move them back into the inbox; this note may be deleted.\n\n"
        + (f"What happened:\n{story}\n" if story else "")
        + f"(reason: {trouble.reason.key}, job: {record.job})\n"
    )
    content = text.encode("utf-8", "backslashreplace")
    folder, name = os.path.split(paths[0])
    try:
        parent = files.make_folders(spool.failed, folder, spool.ownership)
        files.write_durably(parent / _fit(name, ".reason.txt"), content, spool.ownership)
    except OSError as error:
        if error.errno not in _UNPLACEABLE:
            raise
        parent = files.make_folders(spool.failed, f"{UNPLACED}/{record.job}", spool.ownership)
        files.write_durably(parent / "picture.reason.txt", content, spool.ownership)


def _forget(spool: Spool, record: Record) -> None:
    """End a job. The record goes first: what is left of a folder without one is only our own."""
    folder = spool.folder(record.job)
    if _anything_held(spool, record):
        raise RuntimeError(f"job {record.job} still holds originals in {folder / IN}")
    if not folder.is_dir():
        return
    files.remove_file(folder / RECORD)
    files.sync_folder(folder)
    files.remove_folder(folder)


def _anything_held(spool: Spool, record: Record) -> bool:
    folder = spool.folder(record.job) / IN
    return any(os.path.lexists(folder / original.held) for original in record.originals)


def _free_targets(spool: Spool, record: Record, suffixes: list[str]) -> dict[str, str]:
    """Names in the outbox that are all free, with one number for all: `a.png`, then `a.2.png`."""
    folder, name = os.path.split(record.picture.path)
    base = name[: len(name) - len(record.picture.tail)]
    for number in _numbers():
        targets = {s: os.path.join(folder, _fit(base, f"{number}{s}")) for s in suffixes}  # noqa: PTH118
        if not any(os.path.lexists(spool.outbox / target) for target in targets.values()):
            return targets
    raise AssertionError("the numbers do not end")


def _free_number(root: Path, record: Record) -> int:
    """The least number under which neither original's name is taken below `root`."""
    for number in count(1):
        targets = [root / _numbered(original, number) for original in record.originals]
        if not any(os.path.lexists(target) for target in targets):
            return number
    raise AssertionError("the numbers do not end")


def _numbered(original: Original, number: int) -> str:
    """`cat.2_mask.png` for `cat_mask.png`: the number before the tail, so pairs stay pairs."""
    if number == 1:
        return original.path
    folder, name = os.path.split(original.path)
    base = name[: len(name) - len(original.tail)]
    return os.path.join(folder, _fit(base, f".{number}{original.tail}"))  # noqa: PTH118


def _numbers() -> Iterator[str]:
    yield ""
    for number in count(2):
        yield f".{number}"


def _fit(base: str, suffix: str) -> str:
    """`base + suffix`, the base shortened to what a file name may have in bytes."""
    room = files.MAX_NAME_BYTES - len(os.fsencode(suffix))
    raw = os.fsencode(base)
    if len(raw) <= room:
        return base + suffix
    return raw[:room].decode("utf-8", "ignore") + suffix
