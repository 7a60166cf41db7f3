"""A pause: the file `.paused` in the work folder, until somebody takes it away.

It lies on the disk, so a restart changes nothing of it, and no daemon need run to be told.
"""

import errno
import time
from pathlib import Path
from typing import Final

from daemon.places import Place
from daemon.spool import files

FLAG: Final = ".paused"


def paused_since(work: Path) -> float | None:
    """Since when there is a pause, in seconds since 1970; None where there is none."""
    about = Place(work, FLAG).about()
    # Anybody who may can give a file any time; this he did at the other, which the kernel sets.
    return max(0.0, min(about.st_mtime, about.st_ctime)) if about else None


def pause(work: Path) -> bool:
    """Ask for a pause; on return that is on the disk. False where there was one already."""
    if paused_since(work) is not None:
        return False
    said = time.strftime("paused at %Y-%m-%dT%H:%M:%SZ by retouchd pause\n", time.gmtime())
    files.write_durably(Place(work, FLAG), said.encode("ascii"))
    return True


def resume(work: Path) -> bool:
    """End the pause; on return that is on the disk. False where there was none.

    Raises `OSError` where somebody has made a folder of that name, and put something into it.
    """
    if paused_since(work) is None:
        return False
    flag = Place(work, FLAG)
    if flag.is_folder():
        files.remove_if_empty(flag)
        if flag.is_folder():
            what = "it is a folder, and not empty; move it away"
            raise OSError(errno.ENOTEMPTY, what, str(flag))
    files.remove_file(flag)
    files.sync_folder(Place(work))
    return True
