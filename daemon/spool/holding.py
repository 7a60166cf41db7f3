"""Where a job holds originals that lie on mounts inside the inbox, and whether these are there.

A rename can't leave a mount. So what lies on one is held there, in the hidden folder that
`Spool.jobs_on` names, in `JOB/in`; the job's record lies in the one work folder. That `in/` is on
its disk before a record names it, and goes after the record. Where a record names it and it is not
there, the mount is away, and what became of the file is not known.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from daemon.intake.mounts import mounts_below
from daemon.places import Place
from daemon.reasons import Trouble
from daemon.spool import files
from daemon.spool.layout import HIDDEN_WORK, Spool
from daemon.spool.record import IN, Original, Record, held, save


class JobWaits(Trouble):
    """A trouble of the world's that is one job's own: that job waits, and no other."""


class MountAway(JobWaits):
    """A mount on which a job holds an original is not there."""

    def __init__(self, path: object, detail: object) -> None:
        super().__init__("mount_away", path=path, detail=detail)


def make_rooms(spool: Spool, record: Record) -> None:
    """Make the folders on mounts in which a job is to hold originals; on return they are durable.

    Raises `OSError` where that can't be, or where others could reach into them. None is left then.
    """
    try:
        for original in _on_mounts(record):
            _make_room(spool, record, original)
    except OSError:
        remove_rooms(spool, record)
        raise


def _make_room(spool: Spool, record: Record, original: Original) -> None:
    hidden, room = spool.jobs_on(original.mount), held(spool, record, original).parent
    files.make_folders(hidden, files.PRIVATE)
    with hidden.opened() as fd:
        files.require_private(hidden, fd)
    files.make_folders(room, files.PRIVATE)
    # A mount that has just gone leaves its mount point, on another disk.
    if room.folder_id()[0] != Place(spool.inbox, original.path).parent.folder_id()[0]:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(room))


def remove_rooms(spool: Spool, record: Record) -> None:
    """Remove what `make_rooms` made, after the record; what can't go now goes at a restart."""
    for original in _on_mounts(record):
        _remove_room(spool, original.mount, record.job)


def remove_left_rooms(spool: Spool) -> list[Place]:
    """Remove the empty folders that ended jobs have left on mounts.

    What holds a file stays, and is returned: its record may lie in another work folder. So is the
    work folder, with its jobs, of a mount that was the inbox before.
    """
    left: list[Place] = []
    for mount in mounts_below(spool.inbox):
        left += _work_of_before(spool, mount)
        with suppress(OSError):
            for name, _ in spool.jobs_on(mount).listing():
                if not spool.job(name).is_there():
                    _remove_room(spool, mount, name)
                    room = spool.jobs_on(mount) / name
                    left += [room] if room.is_folder() else []
    return left


def is_held(spool: Spool, record: Record, original: Original) -> bool:
    """Whether a job still holds one of its originals. Raises `MountAway` where none can know."""
    place = held(spool, record, original)
    if not original.mount:
        return place.is_there()
    # In the folder as it was opened: a mount that goes at this moment must not look empty.
    with _opened(spool, record, original) as fd:
        try:
            os.stat(place.name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


def require_rooms(spool: Spool, record: Record) -> None:
    """Raise `MountAway` unless all mounts are there on which a job holds originals."""
    for original in _on_mounts(record):
        is_held(spool, record, original)


def follow_rooms(spool: Spool, record: Record) -> Record:
    """The record with its mounts where they are now: a folder above one may have been renamed.

    The name of a job is no other's, so a mount that has its folder is the one. On return the new
    places are on the disk.
    """
    named = {original.mount for original in _on_mounts(record)}
    lost = {mount for mount in named if not _has_room(spool, mount, record.job)}
    if not lost:
        return record
    others = mounts_below(spool.inbox).keys() - named
    found = sorted(other for other in others if _has_room(spool, other, record.job))
    if len(lost) > 1 or len(found) != 1:
        return record  # which has gone where can't be told
    at = dict.fromkeys(lost, found[0])
    followed = replace(
        record,
        picture=_followed(record.picture, at),
        companion=record.companion and _followed(record.companion, at),
        marker=record.marker and _followed(record.marker, at),
    )
    return save(spool, followed)


def _has_room(spool: Spool, mount: str, job: str) -> bool:
    room = spool.jobs_on(mount) / job / IN
    try:
        with room.opened() as fd:
            files.require_private(room, fd)
    except OSError:
        return False
    return True


def _followed(original: Original, at: dict[str, str]) -> Original:
    mount = at.get(original.mount, original.mount)
    path = f"{mount}{original.path.removeprefix(original.mount)}"
    return replace(original, path=path, mount=mount)


def sync_rooms(spool: Spool, record: Record) -> None:
    """Make durable on the mounts what has left them."""
    for original in _on_mounts(record):
        files.sync_folder(held(spool, record, original).parent)


@contextmanager
def _opened(spool: Spool, record: Record, original: Original) -> Iterator[int]:
    room = held(spool, record, original).parent
    try:
        with room.opened() as fd:
            files.require_private(room, fd)
            yield fd
    except OSError as error:
        why = error.strerror
        if isinstance(error, FileNotFoundError) and original.mount in mounts_below(spool.inbox):
            why = f"what is mounted there knows nothing of job {record.job}"
        raise MountAway(spool.inbox / original.mount, why) from None


def _work_of_before(spool: Spool, mount: str) -> list[Place]:
    work = Place(spool.inbox, mount) / HIDDEN_WORK
    with suppress(OSError):
        if any((work / name / IN).is_folder() for name, _ in work.listing()):
            return [work]
    return []


def _on_mounts(record: Record) -> list[Original]:
    return [original for original in record.originals if original.mount]


def _remove_room(spool: Spool, mount: str, job: str) -> None:
    folder = spool.jobs_on(mount) / job
    with suppress(OSError):
        files.remove_if_empty(folder / IN)
        files.remove_if_empty(folder)
