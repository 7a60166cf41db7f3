"""Hints that something changed in the inbox, so that the next scan comes sooner.

A hint says only "look". Where no events come (a network mount, the watch limit, a dead observer),
the scan finds everything all the same, a little later. The handler enqueues nothing and touches
no file: it sets one flag, so a burst of a thousand events is one hint.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

# watchdog follows the tree by `os.walk`, which calls itself for each level before Python 3.12. No
# path is longer than 4,096 bytes (PATH_MAX), so none has more levels than half of that; the rest
# is for who calls. An inbox too deep would otherwise end the daemon, or make its watcher deaf.
_CALLS_IN_THE_DEEPEST_TREE: Final = 4096 // 2 + 1000

# Only what can make a file ready. Not opened or closed without writing: every scan opens the
# folders, and a watcher that hears itself never sleeps.
_TELLING_EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]

# File systems that other machines write to: the kernel here hears nothing of it.
_BLIND_FILESYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "ceph", "glusterfs", "ncpfs"}
    | {"autofs", "beegfs", "coda", "drvfs", "gfs2", "gpfs", "lustre", "ocfs2", "vboxsf"}
)


class Hints:
    """Calls `wake` (from a thread of its own) whenever something may have changed below `inbox`."""

    def __init__(self, inbox: Path, wake: Callable[[], None]) -> None:
        self._inbox = inbox
        self._wake = wake
        self._observer = Observer()

    def start(self) -> None:
        """Begin to watch. Raises `OSError` where the kernel gives no (more) watches."""
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _CALLS_IN_THE_DEEPEST_TREE))
        # Of folders that are renamed while it looks: nothing that concerns a reader of the log.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        self._observer.schedule(
            _Handler(self._wake), str(self._inbox), recursive=True, event_filter=_TELLING_EVENTS
        )
        self._observer.start()
        # watchdog leaves out the folders for which no watch is left, and says nothing.
        if _watches() < sum(1 for _ in os.walk(self._inbox)):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")

    def alive(self) -> bool:
        """False once the observer's threads have died."""
        return self._observer.is_alive() and all(e.is_alive() for e in self._observer.emitters)

    def stop(self) -> None:
        """Stop watching; harmless if it never began."""
        if self._observer.is_alive():
            # Folders renamed while it looked may have left its books wrong: it forgets them all.
            with suppress(KeyError, OSError):
                self._observer.stop()
            self._observer.join(timeout=5)


def _watches() -> int:
    """How many inotify watches this process has; see proc_pid_fdinfo(5)."""
    count = 0
    for about in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the listing's own descriptor
            count += about.read_text().count("inotify wd:")
    return count


class _Handler(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - any will do
        self._wake()


def filesystem_of(path: Path) -> str:
    """The type of the file system that holds `path`, such as `ext4`; `unknown` if hidden."""
    path = path.resolve()
    # Of several mounts on one point the last is the one that is seen, and `max` takes the first:
    # an automounted share is listed twice, as autofs and then as what it is.
    mounted = reversed(psutil.disk_partitions(all=True))
    best = max(
        (disk for disk in mounted if path.is_relative_to(disk.mountpoint)),
        key=lambda disk: len(disk.mountpoint),
        default=None,
    )
    return best.fstype if best else "unknown"


def hears_events(filesystem: str) -> bool:
    """Whether the kernel reports all changes on such a file system.

    FUSE mounts (sshfs, bindfs, rclone) may be written behind the kernel's back too.
    """
    return filesystem not in _BLIND_FILESYSTEMS and not filesystem.startswith("fuse")
