"""One training at a time in a run's folder."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.training.run_folder import RunError

LOCK = ".lock"

_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder and keep other trainings out of it until the end, a kill included.

    A folder that is made here and stays empty is taken away again. On a disk without locks nothing
    is kept out. Raises `RunError` where another training is at work.
    """
    made = _make(folder)
    with (folder / LOCK).open("ab") as lock:
        # A loader process outlives a killed training for some seconds and must not hold its lock.
        os.register_at_fork(after_in_child=lock.close)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                raise _busy(folder) from None
        if not os.fstat(lock.fileno()).st_nlink:
            raise _busy(folder)  # it ends just now and takes its empty folder away
        try:
            yield
        finally:
            if made and os.listdir(folder) == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()


def _busy(folder: Path) -> RunError:
    return RunError(
        f"{folder}: another training is at work here. Wait for its end, or name another folder."
    )


def _make(folder: Path) -> bool:
    """Whether the folder had to be made."""
    if folder.is_dir():
        return False
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_dir():
            return False  # by another training, just now
        raise RunError(f"{folder}: is a file. --run has to name a folder.") from None
    return True
