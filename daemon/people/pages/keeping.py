"""Keeps the pages up to date beside the work, which never waits for them.

They are written in a thread of their own: a disk that is slow, or hangs, is so for them alone.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from daemon.events import Event
from daemon.people.pages.albums import INDEX
from daemon.people.pages.gallery import Gallery
from daemon.reasons import Trouble, world_trouble
from daemon.settings import Settings
from daemon.spool.layout import Spool
from daemon.spool.positions import Positions
from daemon.supervisor.snapshot import Snapshot

log = structlog.get_logger()

# People look now and then; a disk that is written to several times a second serves nobody.
LEAST_PAUSE_S: Final = 2.0
# Where writing takes long, it takes this share of the time at most.
_MOST_OF_THE_TIME: Final = 1 / 20
# After a trouble of the disk.
TROUBLED_PAUSE_S: Final = 60.0
# At the end, for what has changed last.
_LAST_WORDS_S: Final = 10.0


@contextmanager
def kept_pages(settings: Settings, spool: Spool) -> Iterator[Callable[[Snapshot], None]]:
    """Yields what is to be told of each snapshot; at the end the last one is on the pages."""
    if not settings.pages:
        yield lambda _snapshot: None
        return
    keeping = Keeping(Gallery(spool, Positions(spool.books)))
    try:
        yield keeping.show
    finally:
        keeping.end()


class Keeping:
    """A thread that has a gallery updated. `pause_s` and `troubled_s` are how long it rests."""

    def __init__(
        self, gallery: Gallery, pause_s: float = LEAST_PAUSE_S, troubled_s: float = TROUBLED_PAUSE_S
    ) -> None:
        self._gallery = gallery
        self._pause_s = pause_s
        self._troubled_s = troubled_s
        self._changed = threading.Condition()
        self._latest: Snapshot | None = None
        self._shown: Snapshot | None = None
        self._is_over = False
        self._told: set[str] = set()
        # Whatever it waits for, the process may end.
        self._thread = threading.Thread(target=self._keep, name="pages", daemon=True)
        self._thread.start()

    def show(self, snapshot: Snapshot) -> None:
        """Have this on the pages soon. Returns at once."""
        with self._changed:
            self._latest = snapshot
            self._changed.notify()

    def end(self, most_s: float = _LAST_WORDS_S) -> None:
        """Have what was shown last on the pages, and that nothing comes any more, if that takes no
        longer."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join(most_s)

    def _keep(self) -> None:
        is_whole = True
        while latest := self._next(is_whole=is_whole):
            began = time.monotonic()
            is_whole, pause_s = self._update(latest)
            self._shown = latest
            rest_s = max(pause_s, (time.monotonic() - began) / _MOST_OF_THE_TIME)
            with self._changed:
                self._changed.wait_for(lambda: self._is_over, rest_s)
        if self._latest:
            self._update(self._latest, is_over=True)

    def _next(self, *, is_whole: bool) -> Snapshot | None:
        """What is to be shown next, the same again where old pages are still owed; None at the
        end."""
        with self._changed:
            if is_whole:
                self._changed.wait_for(lambda: self._latest is not self._shown or self._is_over)
            return None if self._is_over else self._latest

    def _update(self, snapshot: Snapshot, *, is_over: bool = False) -> tuple[bool, float]:
        """Whether all is written, and how long to rest."""
        try:
            return self._gallery.update(snapshot, is_over=is_over), self._pause_s
        except (OSError, Trouble) as met:
            trouble = met if isinstance(met, Trouble) else world_trouble(met)
            self._tell(trouble.sentence, trouble.advice)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work goes on
            self._tell(f"{type(error).__name__}: {error}", "It is tried again; please report it.")
        return False, self._troubled_s

    def _tell(self, why: str, advice: str) -> None:
        if why not in self._told:
            self._told.add(why)
            log.warning(Event.PAGE_NOT_WRITTEN, page=INDEX, why=why, advice=advice)
