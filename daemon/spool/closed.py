"""Whether it is a folder in the inbox, and so one job's own trouble, that keeps its files there.

A folder may be given to another user, or a disk be mounted on it that is read-only or full, while
files that belong there are in work. What is held on a mount can't leave it either where that has
become read-only. No other job is to wait for that.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from daemon.intake.mounts import mount_of, mounts_below
from daemon.places import Place
from daemon.spool.holding import JobWaits
from daemon.spool.layout import Spool
from daemon.spool.record import Record

_REFUSED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
# Met anywhere, and nowhere's fault.
_OF_THE_PROCESS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class FolderClosed(JobWaits):
    """Files of a job can't go back into their folder in the inbox, or can't leave its mount."""

    def __init__(self, path: object, detail: object) -> None:
        super().__init__("folder_closed", path=path, detail=detail)


@contextmanager
def in_its_own_way(spool: Spool, record: Record) -> Iterator[None]:
    """Raise what is met in here as `FolderClosed` where a folder of this job's is at fault."""
    try:
        yield
    except OSError as error:
        folder = _mount_at_fault(spool, error) or _folder_at_fault(spool, record, error)
        if folder is None:
            raise
        raise FolderClosed(folder, error.strerror) from None


def _mount_at_fault(spool: Spool, error: OSError) -> Place | None:
    """The mount in the inbox on which an error was met."""
    if error.errno in _OF_THE_PROCESS:
        return None
    mounts, inbox = mounts_below(spool.inbox), f"{spool.inbox}/"
    for met in (error.filename, error.filename2):
        path = met if isinstance(met, str) else ""
        mount = mount_of(path.removeprefix(inbox), mounts) if path.startswith(inbox) else ""
        if mount:
            return Place(spool.inbox, mount)
    return None


def _folder_at_fault(spool: Spool, record: Record, error: OSError) -> Place | None:
    """The job's folder in the inbox that refuses us, where the inbox itself does not."""
    inbox = Place(spool.inbox)
    if error.errno not in _REFUSED or _refuses(inbox):
        return None
    folders = (_nearest(Place(spool.inbox, each.path).parent) for each in record.originals)
    return next((folder for folder in folders if _refuses(folder)), None)


def _nearest(folder: Place) -> Place:
    """A folder, or the one above it that is there."""
    while folder.path and not folder.is_folder():
        folder = folder.parent
    return folder


def _refuses(folder: Place) -> bool:
    with folder.opened() as fd:
        return not os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True)
