"""A job's life, from claim to result, as states on the disk.

A state says where the originals belong, and whoever finds a record drives them there:

    INBOX    a claim was begun, or the pair is given back
    WORK     claimed: to be run, or to be run again
    OUTBOX   the outputs are complete in out/ and are being published
    ARCHIVE  all outputs are published; the originals are archived or deleted
    FAILED   given up; the originals and a reason go to failed/

A job that ends in ARCHIVE or FAILED is in the book before its record goes (spool/booking.py).

Each change of state is one durable write of the record. docs/spool.md holds the whole table; the
comments S1 to S5 repeat its lines. `settle` is the only way on from a state, after a crash as in
quiet times, so what is tested by every job is what a restart relies on.
"""

import os
import secrets
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from daemon.intake.mounts import mount_of, mounts_below
from daemon.intake.pairing import Pair, makes_trimap
from daemon.intake.scan import Entry, Identity
from daemon.places import Place
from daemon.reasons import Trouble, one_line
from daemon.spool import files
from daemon.spool.closed import in_its_own_way
from daemon.spool.entries import Facts
from daemon.spool.holding import make_rooms, require_rooms
from daemon.spool.layout import Spool
from daemon.spool.numbers import free_targets
from daemon.spool.publishing import publish, published_before
from daemon.spool.putting_away import (
    archive_originals,
    decide_to_fail,
    fail_originals,
    is_as_claimed,
    is_that_marker,
    return_originals,
)
from daemon.spool.record import IN, OUT, Original, Output, Record, State, held, made, save


def claim_pair(spool: Spool, pair: Pair, trimap_band_percent: float | None = None) -> Record | None:
    """Move a ready pair into work/. On return the job survives a crash.

    `trimap_band_percent` is for a pair whose trimap is made from its mask; others do without.
    None where a file is no longer what the scan saw; the inbox is then unchanged. On `OSError`, and
    on `JobWaits`, what was moved has been given back, or will be by the next `recover`.
    """
    spool.require_ours()
    if not _unchanged(spool.inbox, *pair.inputs):
        return None
    if pair.marker and not is_that_marker(Place(spool.inbox, pair.marker.path), pair.marker):
        return None
    mounts = mounts_below(spool.inbox)
    record = Record(
        job=_new_name(),
        state=State.INBOX,
        task=pair.task,
        role=pair.role,
        picture=_original(pair.picture, pair.picture_tail, "picture", mounts),
        companion=pair.companion
        and _original(pair.companion, pair.companion_tail, "companion", mounts),
        claimed_at=time.time(),
        trimap_band_percent=(trimap_band_percent if makes_trimap(pair.task, pair.role) else None),
        marker=pair.marker and _original(pair.marker, pair.marker_tail, "marker", mounts),
        mask_file=pair.mask_file,
    )
    make_rooms(spool, record)
    folder = spool.job(record.job)
    sources = [Place(spool.inbox, original.path) for original in record.originals]
    try:
        files.make_folders(folder / IN, files.PRIVATE)
        files.make_folders(folder / OUT, files.PRIVATE)
        save(spool, record)  # S1: from here a restart gives back whatever was moved
        for source, original in zip(sources, record.originals, strict=True):
            files.rename(source, held(spool, record, original))
        for parent in {held(spool, record, original).parent for original in record.originals}:
            files.sync_folder(parent)
        for parent in {source.parent for source in sources}:
            files.sync_folder(parent)
        # Between the check and the rename, somebody may have written on.
        if not (_held_unchanged(spool, record) and _holds_its_marker(spool, record)):
            settle(spool, record)
            return None
        return save(spool, replace(record, state=State.WORK))  # S2: the pair is ours
    except (FileNotFoundError, NotADirectoryError):
        settle(spool, record)  # its owner took one of them away just now
        if not spool.jobs.is_folder():
            raise
        return None
    except OSError:
        with suppress(OSError, Trouble):  # the record stays, and `recover` does it later
            settle(spool, record)
        raise


def begin_attempt(spool: Spool, record: Record) -> Record:
    """Count the attempt before it is made, so that a job that kills its worker can't forget it."""
    return save(spool, replace(record, attempts=record.attempts + 1))


def tell(spool: Spool, record: Record, line: str, *, uncount: bool = False) -> Record:
    """Add a line to the job's story; with `uncount` the attempt was not the job's fault."""
    attempts = record.attempts - 1 if uncount else record.attempts
    story = record.story
    if not (uncount and story and _says(story[-1]) == _says(line)):  # an outage is told once
        story = (*story, line)
    return save(spool, replace(record, attempts=attempts, told=attempts, story=story))


def _says(line: str) -> str:
    return line.partition(" ")[2]  # without the time


def give_back(spool: Spool, record: Record) -> None:
    """Put the pair back into the inbox as it was, to be claimed again when it has changed."""
    settle(spool, save(spool, replace(record, state=State.INBOX)))


def fail(spool: Spool, record: Record, trouble: Trouble) -> None:
    """Give the job up: the pair goes to failed/ with a reason that a person can read."""
    settle(spool, decide_to_fail(spool, record, trouble))


def open_for_work(spool: Spool, record: Record, outputs: Sequence[str]) -> list[int]:
    """Descriptors for a worker: picture and companion to read, then an empty file for each output.

    Its folder's mask stands in for a companion, as that file is now; a picture whose transparency
    is its mask has none. The caller closes them. Raises `OSError`, or a `Trouble` of the job's own
    (a `MountAway`, a mask that can't be opened), with nothing left open.
    """
    with ExitStack() as opened:
        descriptors = []
        for original in record.inputs:
            try:
                descriptors.append(files.open_regular(held(spool, record, original)))
            except OSError:
                require_rooms(spool, record)
                raise
            opened.callback(os.close, descriptors[-1])
        if record.mask_file is not None:
            descriptors.append(open_mask(record.mask_file))
            opened.callback(os.close, descriptors[-1])
        for name in outputs:
            descriptors.append(files.open_new(made(spool, record, name)))
            opened.callback(os.close, descriptors[-1])
        opened.pop_all()
        return descriptors


def open_mask(path: str) -> int:
    """A descriptor of a folder's mask, to read; links on the way to it are followed.

    Raises a `Trouble` where there is none that can be read.
    """
    try:
        real = Path(os.path.realpath(path))
        return files.open_regular(Place(real.parent, real.name))
    except OSError as error:
        detail = error.strerror or type(error).__name__
        raise Trouble("folder_mask_unreadable", mask=one_line(path), detail=detail) from None


def inputs_unchanged(spool: Spool, record: Record) -> bool:
    """False where an uploader that held a file open wrote on after the claim, or where the mount
    is away and nobody can know."""
    return _held_unchanged(spool, record)


def publish_result(
    spool: Spool,
    record: Record,
    outputs: list[tuple[str, str]],
    log_text: str,
    facts: Facts | None = None,
) -> Record:
    """Publish a finished job and archive its originals. Returns the record as it ended.

    Its state is ARCHIVE when all went well; FAILED where the outbox can't hold such a name; WORK
    where an output was lost and the job must run again.

    `outputs` are names in `out/` with the suffixes they get in the outbox, the one that people
    wait for last; the log is published before them all, so who sees the result finds its log.
    `facts` are for the book.
    """
    files.write_durably(made(spool, record, "log"), log_text.encode("utf-8", "backslashreplace"))
    wanted = [("log", ".log"), *outputs]
    known = {output.suffix: output for output in record.outputs}
    if {suffix for _, suffix in wanted} == known.keys():
        targets = {suffix: output.target for suffix, output in known.items()}  # decided before
    else:
        targets = free_targets(spool, record, [suffix for _, suffix in wanted])
    decided = tuple(
        Output(
            held=name,
            suffix=suffix,
            sha256=files.sha256_of(made(spool, record, name)) or "",
            target=targets[suffix],
            replaces=published_before(spool, known.get(suffix)),
        )
        for name, suffix in wanted
    )
    record = replace(record, state=State.OUTBOX, outputs=decided, facts=facts)
    record = save(spool, record)  # S3
    while record.state is State.OUTBOX:
        record = publish(spool, record)
    settle(spool, record)
    return record


def settle(spool: Spool, record: Record) -> Record | None:
    """Drive a job on from its state. Returns a record that is to be run, or None when it is gone.

    May be called again after any error or crash; raises `OSError` or a `WORLD` trouble, which may
    be a `JobWaits`, that job's own.
    """
    with in_its_own_way(spool, record):
        match record.state:
            case State.INBOX:  # S1
                return_originals(spool, record)
            case State.WORK:  # S2
                require_rooms(spool, record)
                return record
            case State.OUTBOX:  # S3
                return settle(spool, publish(spool, record))
            case State.ARCHIVE:  # S4
                archive_originals(spool, record)
            case State.FAILED:  # S5
                fail_originals(spool, record)
    return None


def _original(entry: Entry, tail: str, name: str, mounts: Collection[str]) -> Original:
    mount = mount_of(entry.path.rpartition("/")[0], mounts)
    return Original(entry.path, tail, name, entry.identity, mount)


def _new_name() -> str:
    # Sorts by time, so a listing of work/ is in order of claim.
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


def _unchanged(inbox: Path, *entries: Entry) -> bool:
    return all(_identity(Place(inbox, entry.path)) == entry.identity for entry in entries)


def _held_unchanged(spool: Spool, record: Record) -> bool:
    return all(is_as_claimed(held(spool, record, o), o.identity) for o in record.inputs)


def _holds_its_marker(spool: Spool, record: Record) -> bool:
    """Whether the marker is the very file that the scan saw; what is in it may still change."""
    if record.marker is None:
        return True
    return is_that_marker(held(spool, record, record.marker), record.marker)


def _identity(place: Place) -> Identity | None:
    about = place.about()
    return Identity.of(about) if about else None
