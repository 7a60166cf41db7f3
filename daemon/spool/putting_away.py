"""Putting away: a job's originals to the archive, to `failed/` with a reason, or back.

Each may be called again after a crash and goes on from where it was. The job is forgotten when
nothing is left in it that is not our own, and, unless it went back, when it is in the book. Each
raises `MountAway` where an original is held on a mount that is not there.
"""

import errno
import stat
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.scan import Entry, Identity
from daemon.places import Place
from daemon.reasons import Report, Trouble
from daemon.spool import files
from daemon.spool.booking import book_done, book_failed
from daemon.spool.holding import is_held, remove_rooms, require_rooms, sync_rooms
from daemon.spool.layout import Spool
from daemon.spool.notes import reason_text
from daemon.spool.numbers import free_number, note_name, numbered
from daemon.spool.record import IN, RECORD, Original, Record, State, held, save

log = structlog.get_logger()

# Below archive and failed: for files whose own path is taken there by a file, or is not allowed.
UNPLACED: Final = "unplaced"

# What a file system answers to a name it can't hold, or where a link lies. No waiting helps, so it
# holds no queue.
UNPLACEABLE: Final = {
    *(errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR, errno.ELOOP)
}


def decide_to_fail(spool: Spool, record: Record, trouble: Trouble) -> Record:
    """Note that a job is given up, why, and under which number its files go to `failed/`."""
    decided = replace(
        record,
        state=State.FAILED,
        report=Report.of(trouble),
        number=free_number(spool.failed, record),
    )
    return save(spool, decided)


def archive_originals(spool: Spool, record: Record) -> None:
    """Archive or delete the originals of a published job, as configured, and forget it.

    Its marker goes in any case: it has said what it was put there to say.
    """
    spool.require_mounts()
    is_deleted = spool.fate_of(record.picture.path) == "delete"
    for original in record.originals:
        if not is_held(spool, record, original):
            continue
        if is_deleted or original == record.marker:
            files.remove_file(held(spool, record, original))
        else:
            record = _put_away(spool, spool.archive, record, original)
    book_done(spool, record)
    _forget(spool, record)


def fail_originals(spool: Spool, record: Record) -> None:
    """Put the originals of a job that is given up into `failed/`, with the reason; forget it."""
    spool.require_mounts()
    require_rooms(spool, record)
    report = record.report or Report("vanished")
    for original in record.originals:
        if is_held(spool, record, original):
            record = _put_away(spool, spool.failed, record, original)
    note = _write_reason(spool, record, report)
    for at, output in enumerate(record.outputs):
        remove_hidden(spool, record, at)
        # Published before it turned out that the others have no place.
        published = Place(spool.outbox, output.target)
        if files.sha256_of(published) == output.sha256:
            files.remove_file(published)
    book_failed(spool, record, report, note.path)
    _forget(spool, record)


def return_originals(spool: Spool, record: Record) -> None:
    """Put the originals back where they lay in the inbox, and forget the job.

    Where a newer file has taken one's place, it goes to `failed/`, and so does the marker: it does
    not speak of the newer one.
    """
    require_rooms(spool, record)  # or one of them would go back without the others
    taken = False
    for original in record.inputs:
        if is_held(spool, record, original) and not _put_back(spool, record, original):
            taken = True
    if not taken:
        _return_marker(spool, record)
        _forget(spool, record)
    else:
        _fail_as_superseded(spool, record)


def _fail_as_superseded(spool: Spool, record: Record) -> None:
    trouble = Trouble("superseded")
    fail_originals(spool, decide_to_fail(spool, record, trouble))
    # Nobody is told of it as a failure: the job's own end was to be given back.
    log_failure(record, trouble)


def log_failure(record: Record, trouble: Trouble) -> None:
    """Log that a job was given up."""
    log.error(
        Event.JOB_FAILED,
        job=record.job,
        picture=record.picture.path,
        reason=trouble.reason.key,
        says=trouble.sentence,
        advice=trouble.advice,
    )


def _return_marker(spool: Spool, record: Record) -> None:
    """Put the marker back beside its pair. A newer one in its place says the same.

    Where what lies there now is not that pair, it would speak of others: it goes to `failed/`.
    """
    marker = record.marker
    if marker is None or not is_held(spool, record, marker):
        return
    place = held(spool, record, marker)
    is_beside = all(
        is_as_claimed(Place(spool.inbox, each.path), each.identity) for each in record.inputs
    )
    if is_beside and _put_back(spool, record, marker):
        return
    if is_beside and is_that_marker(place, marker):
        files.remove_file(place)
    else:
        _put_away(spool, spool.failed, record, marker)


def is_as_claimed(place: Place, claimed: Identity) -> bool:
    """Whether a file that was claimed is as it was then: where we hold it, none can exchange it.

    Its device and its inode may have other numbers by now: a disk that was taken away and came
    back, or a file system (sshfs) where a rename that replaces nothing gives it another inode.
    """
    about = place.about()
    return about is not None and (about.st_size, about.st_mtime_ns) == (
        claimed.size,
        claimed.mtime_ns,
    )


def is_that_marker(place: Place, marker: Original | Entry) -> bool:
    """Whether a marker is the very file that the scan saw; what is in it may have changed since."""
    about, then = place.about(), marker.identity
    if about is None or not stat.S_ISREG(about.st_mode):
        return False
    is_it = (about.st_dev, about.st_ino) == (then.device, then.inode)
    return is_it or is_as_claimed(place, then)


def _put_back(spool: Spool, record: Record, original: Original) -> bool:
    """Put one original back; False where its place is taken."""
    place, target = held(spool, record, original), Place(spool.inbox, original.path)
    try:
        files.make_folders(target.parent, spool.ownership)
        files.move(place, target)
        files.sync_folder(target.parent)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in UNPLACEABLE:
            raise
        return False  # its folder's name has become a file's
    return True


def _put_away(spool: Spool, root: Path, record: Record, original: Original) -> Record:
    """Move one original below `root`, under the next free number if its name is taken."""
    place = held(spool, record, original)
    while True:
        target = Place(root, numbered(original, record.number))
        try:
            files.make_folders(target.parent, spool.ownership)
            files.move(place, target)
        except FileExistsError:
            record = save(spool, replace(record, number=free_number(root, record)))
        except OSError as error:
            if error.errno not in UNPLACEABLE:
                raise
            # Its own place can't be had, so it gets one that is certain to be free.
            target = _unplaced(root, record) / original.held
            files.make_folders(target.parent, spool.ownership)
            files.move(place, target)
            files.sync_folder(target.parent)
            return record
        else:
            files.sync_folder(target.parent)
            return record


def hidden_tag(record: Record, at: int) -> str:
    """What names the hidden file of a job's output until it is published."""
    return f"{record.job}-{at}"


def remove_hidden(spool: Spool, record: Record, at: int) -> None:
    """Remove what a crash in the midst of publishing left hidden in the outbox.

    What is not ours of it, and was in the way, gets its name back.
    """
    output, tag = record.outputs[at], hidden_tag(record, at)
    target, ours = Place(spool.outbox, output.target), (output.sha256, output.replaces)
    files.end_exchange(target, tag, lambda place: files.has_content(place, ours))
    left = target.beside(f"{files.HIDDEN_PREFIX}{tag}")
    if left.is_there() and not left.is_folder():
        files.remove_file(left)


def _unplaced(root: Path, record: Record) -> Place:
    for number in count(1):
        folder = Place(root, UNPLACED if number == 1 else f"{UNPLACED}.{number}")
        if folder.is_folder() or not folder.is_there():
            return folder / record.job
    raise AssertionError("the numbers do not end")


def _write_reason(spool: Spool, record: Record, report: Report) -> Place:
    """Write the note that says why; returns where it lies."""
    places = [Place(spool.failed, numbered(each, record.number)) for each in record.originals]
    if not places[0].parent.is_folder():
        places = [_unplaced(spool.failed, record) / each.held for each in record.originals]
    content = reason_text(record, report, [place for place in places if place.is_there()])
    note = places[0].beside(note_name(places[0].name))
    try:
        files.make_folders(note.parent, spool.ownership)
        files.write_durably(note, content, spool.ownership)
    except OSError as error:
        if error.errno not in UNPLACEABLE:
            raise
        note = _unplaced(spool.failed, record) / "picture.reason.txt"
        files.make_folders(note.parent, spool.ownership)
        files.write_durably(note, content, spool.ownership)
    return note


def _forget(spool: Spool, record: Record) -> None:
    """End a job. The record goes first: what is left of a folder without one is only our own."""
    folder = spool.job(record.job)
    if any(is_held(spool, record, original) for original in record.originals):
        raise RuntimeError(f"job {record.job} still holds originals in {folder / IN}")
    sync_rooms(spool, record)
    if folder.is_folder():
        files.remove_file(folder / RECORD)
        files.sync_folder(folder)
        files.remove_folder(folder)
    remove_rooms(spool, record)
