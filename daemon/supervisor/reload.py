"""A reload of the models, from the wish for it to the word that it is over."""

import time
from enum import Enum

import structlog

from daemon.events import Event
from daemon.supervisor.crew import Crew
from daemon.supervisor.systemd import READY, RELOADING, notify

log = structlog.get_logger()


class _State(Enum):
    NONE = "none"
    WANTED = "wanted"
    RUNS = "runs"


class Reload:
    """Tells the service manager and the log when a reload begins, and when it is over."""

    def __init__(self) -> None:
        self._state = _State.NONE

    @property
    def is_over(self) -> bool:
        """Whether the models in use are those that were last asked for, or can't be replaced."""
        return self._state is _State.NONE

    def ask(self) -> None:
        """Have the models loaded anew, once more if that is just being done."""
        self._state = _State.WANTED

    def see_to(self, crew: Crew, *, may_begin: bool) -> None:
        """Begin what was asked for, or note that the new workers are there, or refused."""
        if self._state is _State.WANTED and may_begin:
            # systemd wants the time, to tell this reload from an earlier one.
            notify(RELOADING, f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            log.info(Event.RELOADING)
            crew.reload()
            self._state = _State.RUNS
        elif self._state is _State.RUNS and not crew.is_reloading:
            notify(READY)
            log.info(Event.RELOADED)
            self._state = _State.NONE
