"""The spool as it lies there, for who only looks: nothing is made, tried out or changed."""

from pathlib import Path

from daemon.settings import Settings
from daemon.spool.files import Ownership
from daemon.spool.layout import HIDDEN_WORK, Spool, is_locked


def find_spool(settings: Settings) -> Spool:
    """The folders of a spool, be they there or not.

    Which of the two work folders serves is told by the lock, and where none is held by the file
    systems: a daemon would find it out by a rename.
    """
    folders = settings.folders()
    beside = Spool(
        inbox=folders["inbox"],
        work=folders["work"],
        books=folders["work"],
        outbox=folders["outbox"],
        failed=folders["failed"],
        archive=folders["archive"],
        ownership=Ownership(
            file_mode=settings.file_mode,
            folder_mode=settings.folder_mode,
            uid=settings.uid(),
            gid=settings.gid(),
        ),
        originals=settings.originals,
        mounts=frozenset(),
        rules=settings.rules(),
    )
    hidden = Spool(**{**vars(beside), "work": beside.inbox / HIDDEN_WORK})
    if is_worked(beside):
        return beside
    if is_worked(hidden) or _device(beside.inbox) != _device(beside.work):
        return hidden if hidden.jobs.is_folder() else beside
    return beside


def is_worked(spool: Spool) -> bool | None:
    """Whether a daemon works on the spool now: whether its lock is held.

    None where that may not be asked: the work folder is open to the daemon's own user alone.
    """
    try:
        return is_locked(spool.jobs)
    except PermissionError:
        return None
    except OSError:
        return False


def worker_of(settings: Settings) -> int | None:
    """The user that runs the daemon, by the work folder, which is his; None without one."""
    try:
        return settings.folders()["work"].stat().st_uid
    except OSError:
        return None


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None
