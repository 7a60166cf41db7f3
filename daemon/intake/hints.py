"""Hints that something changed in the inbox, so that the next scan comes sooner.

A hint says only "look". Where no events come (a network mount, the watch limit), the scan finds
everything all the same, a little later. It is the scan that has each folder watched: through the
descriptor by which it lists the folder, and before it does. So no path is followed to anywhere,
what is watched is what was scanned, and nothing falls between the two.
"""

import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from inotify_simple import INotify, flags

# Only what can make a file ready. Not each write: its end is told, and the quiet period starts
# there. Nor opening and listing: every scan does both, and who hears himself never sleeps.
_TELLING: Final = flags.CREATE | flags.CLOSE_WRITE | flags.MOVED_TO | flags.ATTRIB | flags.ONLYDIR
_ONCE: Final = select.EPOLLIN | select.EPOLLONESHOT
# What happened before a look is of no use to it. Whatever does not fit into this only makes the
# bell ring once more.
_MANY_EVENTS_BYTES: Final = 1 << 20


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
        self._watched: set[int] = set()
        self.trouble: OSError | None = None

    def fileno(self) -> int:
        """Readable while the bell rings."""
        return self._bell.fileno()

    def answer(self) -> None:
        """Silence the bell until the next round."""
        self._bell.poll(0)

    @contextmanager
    def round(self) -> Iterator[Callable[[int], None]]:
        """Watch the folders whose descriptors are given in here, and from its end on no others.

        A folder that can't be watched is no error: `trouble` is the last one's, None where all are.
        A round that an error ends forgets no folder.
        """
        with suppress(BlockingIOError):
            os.read(self._inotify.fileno(), _MANY_EVENTS_BYTES)
        self._bell.modify(self._inotify, _ONCE)
        self.trouble = None
        met: set[int] = set()
        yield lambda fd: self._watch(fd, met)
        for gone in self._watched - met:
            with suppress(OSError):  # the folder is no more, and the kernel has forgotten it
                self._inotify.rm_watch(gone)
        self._watched = met

    def close(self) -> None:
        """Watch nothing any more."""
        self._bell.close()
        self._inotify.close()

    def _watch(self, fd: int, met: set[int]) -> None:
        try:
            watch = self._inotify.add_watch(f"/proc/self/fd/{fd}", _TELLING)
        except OSError as error:
            self.trouble = error
            return
        met.add(watch)
        self._watched.add(watch)
