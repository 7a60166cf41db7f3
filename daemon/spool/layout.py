"""The folders of a spool, opened for work: made, owned, tried out and locked."""

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
import structlog

from daemon.events import Event
from daemon.folders import Fate, FolderRules
from daemon.places import Place
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import files
from daemon.spool.files import Ownership

log = structlog.get_logger()

# Serves as the work folder where the inbox is a mount of its own. Hidden, so the scan ignores it.
HIDDEN_WORK: Final = ".retouchd-work"
# Holds the originals that lie on a mount inside the inbox. By another name: where such a mount
# becomes the inbox, what is held there must not look like jobs of a work folder without records.
HIDDEN_ROOMS: Final = ".retouchd-held"


class SpoolInUseError(Exception):
    """Another retouchd works on this spool."""


@dataclass(frozen=True)
class Spool:
    """Where everything lies. `work` is on the inbox's file system.

    `books` is the work folder that the settings name, wherever jobs are worked: in it lies what is
    kept longer than a job. `originals` is what becomes of them where the rules of their folder do
    not say otherwise.
    """

    inbox: Path
    work: Path
    books: Path
    outbox: Path
    failed: Path
    archive: Path
    ownership: Ownership
    originals: Fate
    mounts: frozenset[Path]
    rules: FolderRules = field(default_factory=FolderRules)

    @property
    def jobs(self) -> Place:
        """The work folder. Where it lies in the inbox, anyone may put a link in its place, so there
        the way leads from the inbox on, and through no link."""
        if self.work == self.inbox / HIDDEN_WORK:
            return Place(self.inbox, HIDDEN_WORK)
        return Place(self.work)

    def job(self, job: str) -> Place:
        """The folder of a job: `in/` holds the originals, `out/` what the worker writes."""
        return self.jobs / job

    def jobs_on(self, mount: str) -> Place:
        """What stands in for `jobs` on a mount in the inbox, out of which no rename leads."""
        return Place(self.inbox, mount) / HIDDEN_ROOMS if mount else self.jobs

    def fate_of(self, picture: str) -> Fate:
        """What becomes of a job's originals when it is done, by the path of its picture."""
        return self.rules.of(picture).originals or self.originals

    def require_ours(self) -> None:
        """Raise `PermissionError` where the work folder has become somebody else's.

        In an inbox it can be renamed away by anyone, and another, with forged records, put there.
        """
        if self.jobs.is_there():
            files.require_private(self.jobs)

    def require_mounts(self) -> None:
        """Raise a `WORLD` trouble where a mount that held one of the folders when opened is gone.

        What is written into a mount point disappears when the disk comes back.
        """
        points = _mount_points()
        gone = [path for path in self.mounts if os.path.realpath(path) not in points]
        if gone:
            raise Trouble("folder_missing", path=min(gone))


def open_spool(settings: Settings) -> Spool:
    """Make the folders that are missing and choose the work folder. Raises `OSError`."""
    ownership = Ownership(
        file_mode=settings.file_mode,
        folder_mode=settings.folder_mode,
        uid=settings.uid(),
        gid=settings.gid(),
    )
    folders = settings.folders()
    for name, path in folders.items():
        private = name == "work"
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.make_root(path, files.PRIVATE if private else ownership)
    return Spool(
        inbox=folders["inbox"],
        work=_work_beside(folders["inbox"], folders["work"]),
        books=folders["work"],
        outbox=folders["outbox"],
        failed=folders["failed"],
        archive=folders["archive"],
        ownership=ownership,
        originals=settings.originals,
        mounts=_mounts_of(folders.values()),
        rules=settings.rules(),
    )


def _mounts_of(folders: Iterable[Path]) -> frozenset[Path]:
    """For each folder the mount that holds it: itself, or the nearest above it but `/`."""
    points = _mount_points()
    held_by: set[Path] = set()
    for folder in folders:
        real = Path(os.path.realpath(folder))
        if str(real) in points:
            held_by.add(folder)  # by its own name, which may be a link that comes to lead elsewhere
        else:
            held_by.update([above for above in real.parents[:-1] if str(above) in points][:1])
    return frozenset(held_by)


def _mount_points() -> set[str]:
    """Where anything is mounted, be it a folder of the same disk."""
    return {disk.mountpoint for disk in psutil.disk_partitions(all=True)}


def _work_beside(inbox: Path, work: Path) -> Path:
    """`work`, or a hidden folder in the inbox where a rename can't reach `work`."""
    files.require_private(Place(work))
    try:
        files.probe_rename(Place(inbox), Place(work))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return work
    hidden = files.make_folders(Place(inbox, HIDDEN_WORK), files.PRIVATE)
    files.require_private(hidden)
    log.info(Event.WORK_FOLDER_MOVED, work=str(hidden), why="the inbox is on another file system")
    return Path(str(hidden))


@contextmanager
def locked(spool: Spool, wait_s: float = 0.0) -> Iterator[int]:
    """Hold the spool's lock; yields its descriptor, which workers inherit.

    The lock ends with the last process that holds the descriptor, so a new daemon can't begin
    while an old worker still writes. Raises `SpoolInUseError` when `wait_s` seconds did not help.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with (spool.jobs / "lock").reached() as (folder, name):
        fd = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        _lock(fd, spool.work, time.monotonic() + wait_s)
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int, work: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise SpoolInUseError(
                    f"another retouchd works on {work}. Stop it first, or use another spool."
                ) from None
            time.sleep(0.1)
        else:
            return


def is_locked(work: Place) -> bool:
    """Whether a daemon, or a worker that outlived one, holds a work folder's lock.

    Raises `OSError` where that may not be asked.
    """
    try:
        with (work / "lock").reached() as (folder, name):
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        # Shared: who else asks at this moment is not in the way.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
