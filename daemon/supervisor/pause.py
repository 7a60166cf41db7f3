"""Whether people have asked for a pause, as the loop sees it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.spool.pausing import paused_since

log = structlog.get_logger()

# The loop may turn thousands of times in a second, and people are not that quick.
_LOOK_EVERY_S: Final = 1.0


class Pause:
    """`is_on` while nothing new is to be begun. `clock` is monotonic, in seconds."""

    def __init__(self, work: Path, clock: Callable[[], float]) -> None:
        self._work = work
        self._clock = clock
        self._next_look = float("-inf")
        self.is_on = False

    def look(self, running: Sequence[str] = ()) -> None:
        """See whether it has been asked for or ended, and log that. `running` are jobs in hand.

        Where that can't be seen, all stays as it was.
        """
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY_S
        try:
            is_on = paused_since(self._work) is not None
        except OSError:
            return
        if is_on and not self.is_on:
            log.info(Event.PAUSED, running=list(running))
        elif self.is_on and not is_on:
            log.info(Event.RESUMED)
        self.is_on = is_on
