"""All who are told what goes on, behind the one listener that the supervisor has.

An error in one of them is logged once, until it goes well again, and hurts neither the work nor the
others.
"""

from collections.abc import Callable
from functools import partial

import structlog

from daemon.events import Event
from daemon.people.monitoring.metrics import MetricsFile
from daemon.people.news import News
from daemon.people.state import STATE, write_state
from daemon.settings import Settings
from daemon.spool.book import Book
from daemon.supervisor.snapshot import Snapshot

log = structlog.get_logger()

Listener = Callable[[Snapshot], None]


class Audience:
    """Called with each snapshot: soon after something has changed, and every 30 s at the latest.

    The supervisor waits for it, so what takes long belongs into a thread of its listener's own.
    """

    def __init__(self, settings: Settings, **more: Listener) -> None:
        work = settings.folders()["work"]
        self._listeners: list[tuple[str, Listener]] = [
            (STATE, partial(write_state, work)),
            *more.items(),
        ]
        if settings.metrics_file is not None:
            metrics = MetricsFile(settings.metrics_file, News(Book(work)))
            self._listeners.append((str(settings.metrics_file), metrics.update))
        self._failing: set[str] = set()

    def __call__(self, snapshot: Snapshot) -> None:
        """Tell all of them."""
        for name, listener in self._listeners:
            self._tell(name, listener, snapshot)

    def _tell(self, name: str, listener: Listener, snapshot: Snapshot) -> None:
        try:
            listener(snapshot)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work goes on
            if name not in self._failing:
                why = str(error) or type(error).__name__
                log.warning(Event.NOT_TOLD, what=name, why=why)
            self._failing.add(name)
        else:
            self._failing.discard(name)
