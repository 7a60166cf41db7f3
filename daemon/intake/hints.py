"""Hints that something changed in the inbox, so that the next scan comes sooner, and where it did.

A hint says only "look here". Where no events come (a network mount, the watch limit), the scan
finds everything all the same, a little later. It is the scan that has each folder watched: through
the descriptor by which it lists the folder, and before it does. So no path is followed to anywhere,
what is watched is what was scanned, and nothing falls between the two.

A watch is on a folder, whatever its name becomes; so a hint names the path by which the scan met
the folder last. The folder that holds it tells when another has taken that path.
"""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from inotify_simple import Event, INotify, flags

from daemon.intake.scan import Watcher
from daemon.places import FolderId

# Only what can make a file ready. Not each write: its end is told, and the quiet period starts
# there. Nor opening and listing: every scan does both, and who hears himself never sleeps.
_TELLING: Final = int(flags.CREATE | flags.CLOSE_WRITE | flags.MOVED_TO | flags.ATTRIB)
# What has gone is noted and rings for nobody: each claim takes two files away.
_NOTED: Final = int(flags.DELETE | flags.MOVED_FROM)
_MASK: Final = _TELLING | _NOTED | int(flags.ONLYDIR)
_IS_FOLDER: Final = int(flags.ISDIR)
_LOST: Final = int(flags.Q_OVERFLOW)
_UNWATCHED: Final = int(flags.IGNORED)
_ONCE: Final = select.EPOLLIN | select.EPOLLONESHOT


class Heard(NamedTuple):
    """Where something has changed: in `folders`, by path.

    Those in `anew` may be others than before. `is_all` is False where events were lost.
    """

    folders: frozenset[str]
    anew: frozenset[str]
    is_all: bool


class Hints:
    """A bell that rings when something may have changed in a watched folder.

    It rings once, however many events come, and not again before the next round: a copy of a
    thousand files wakes nobody a thousand times. Raises `OSError` where the kernel gives no
    inotify instance.
    """

    def __init__(self) -> None:
        self._inotify = INotify(nonblocking=True)
        self._bell = select.epoll()
        self._bell.register(self._inotify, _ONCE)
        self._paths: dict[int, str] = {}
        self._ids: dict[int, FolderId] = {}
        self._watches: dict[FolderId, int] = {}
        self._met: set[int] = set()
        self._folders: set[str] = set()
        self._anew: set[str] = set()
        self._is_all = True
        self.trouble: OSError | None = None

    def fileno(self) -> int:
        """Readable while the bell rings."""
        return self._bell.fileno()

    def answer(self) -> bool:
        """Silence the bell until the next round, and say whether a file may have become ready.

        Where not, it goes on listening.
        """
        self._bell.poll(0)
        may_be_ready = self._hear()
        if not may_be_ready:
            self._listen()
        return may_be_ready

    def heard(self) -> Heard:
        """All that has changed since it was asked last. Begins a new round."""
        self._hear()
        self._listen()
        heard = Heard(frozenset(self._folders), frozenset(self._anew), self._is_all)
        self._folders, self._anew, self._is_all = set(), set(), True
        return heard

    @contextmanager
    def watching_all(self) -> Iterator[Watcher]:
        """Watch the folders that are given in here, and from its end on no others.

        A folder that can't be watched is no error: `trouble` is the last one's, None where all are.
        A walk that an error ends forgets no folder.
        """
        self.trouble = None
        self._met = set()
        yield self.watch
        for gone in self._paths.keys() - self._met:
            self._forget(gone)
            with suppress(OSError):  # the folder is no more, and the kernel has forgotten it
                self._inotify.rm_watch(gone)

    def watch(self, fd: int, path: str) -> None:
        """Watch an open folder, which lies at this path, unless it is watched already."""
        about = os.fstat(fd)
        folder = about.st_dev, about.st_ino
        try:
            # No folder gets the number of a watched one before that one's end has been told.
            watch = self._watches.get(folder) or self._add(fd, folder)
        except OSError as error:
            self.trouble = error
            return
        self._paths[watch] = path
        self._met.add(watch)

    def close(self) -> None:
        """Watch nothing any more."""
        self._bell.close()
        self._inotify.close()

    def _add(self, fd: int, folder: FolderId) -> int:
        watch: int = self._inotify.add_watch(f"/proc/self/fd/{fd}", _MASK)
        self._watches[folder] = watch
        self._ids[watch] = folder
        return watch

    def _forget(self, watch: int) -> str | None:
        folder = self._ids.pop(watch, None)
        if folder is not None and self._watches.get(folder) == watch:
            del self._watches[folder]
        return self._paths.pop(watch, None)

    def _listen(self) -> None:
        self._bell.modify(self._inotify, _ONCE)

    def _hear(self) -> bool:
        noted = [self._note(event) for event in self._inotify.read(timeout=0)]
        return any(noted)

    def _note(self, event: Event) -> bool:
        """Remember where something changed; whether it may have made a file ready."""
        if event.mask & _LOST:
            self._is_all = False
            return True
        is_gone = event.mask & _UNWATCHED
        path = self._forget(event.wd) if is_gone else self._paths.get(event.wd)
        if path is None:
            return False
        self._folders.add(path)
        if event.mask & _IS_FOLDER and event.name:
            self._anew.add(f"{path}/{event.name}" if path else event.name)
        return bool(event.mask & _TELLING)
