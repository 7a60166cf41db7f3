"""Whether the queue holds: because of what, and when it is tried again.

The world's troubles (a full disk, a mount that is gone) hold it. It is tried again after one
second, then after two, four and so on, at least once a minute, for as long as it takes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from daemon.events import Event
from daemon.reasons import Trouble, world_trouble
from daemon.spool.holding import JobWaits

log = structlog.get_logger()

FIRST_HOLD_S: Final = 1.0
LONGEST_HOLD_S: Final = 60.0


class Hold:
    """`trouble` is None while the queue runs. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pause_s = 0.0
        self._is_tried = False
        self.trouble: Trouble | None = None
        self.times = 0
        self.until = float("inf")

    @property
    def is_on(self) -> bool:
        """Whether the queue holds."""
        return self.trouble is not None

    @property
    def forbids(self) -> bool:
        """Whether it holds and is not to be tried yet."""
        return self.is_on and self._clock() < self.until

    def begin(self, trouble: Trouble, *, was_tried: bool = False) -> None:
        """Hold, or hold for longer where it has been tried; logged when the reason is another one.

        Jobs that were running when it began may meet the same trouble: that is no try of it. What
        is done in spite of the hold, as looking at the inbox is, `was_tried`.
        """
        if self.trouble is None or self.trouble.reason != trouble.reason:
            _tell(trouble)
        if not self.is_on:
            self._pause_s, self.times = FIRST_HOLD_S, 1
        elif was_tried or self._is_tried or not self.forbids:
            self._pause_s, self.times = min(2 * self._pause_s, LONGEST_HOLD_S), self.times + 1
        self.trouble, self._is_tried = trouble, False
        self.until = self._clock() + self._pause_s

    @contextmanager
    def when_in_trouble(self) -> Iterator[None]:
        """What raises in here for the world's reasons holds the queue, and goes no further.

        Where a mount is away on which only one job has its files, or its folder takes them back
        no more, that job waits, and not the queue.
        """
        try:
            yield
        except JobWaits:
            return
        except Trouble as trouble:
            self.begin(trouble)
        except OSError as error:
            self.begin(world_trouble(error))

    def postpone(self) -> None:
        """It is tried now, and not again before the pause is over."""
        self._is_tried = True
        self.until = self._clock() + self._pause_s

    def try_now(self) -> None:
        """If it holds, try again at once."""
        if self.is_on:
            self.until = self._clock()

    def end(self) -> None:
        """Go on, if it held."""
        if self.trouble is not None:
            log.info(Event.QUEUE_RESUMED, after=self.trouble.reason.key)
        self.trouble, self.times, self.until = None, 0, float("inf")


class NoWorker:
    """Tells that there is no worker, and so that nothing is worked, as a hold is told.

    It has no pause of its own: the crew tries again.
    """

    def __init__(self) -> None:
        self._told: Trouble | None = None

    def note(self, trouble: Trouble | None) -> None:
        """Log why none starts, once for as long as the words are the same; None where one has."""
        if trouble is None and self._told is not None:
            log.info(Event.QUEUE_RESUMED, after=self._told.reason.key)
        if trouble is not None and str(trouble) != str(self._told):
            _tell(trouble)
        self._told = trouble


def _tell(trouble: Trouble) -> None:
    log.error(
        Event.QUEUE_HELD,
        reason=trouble.reason.key,
        says=trouble.sentence,
        advice=trouble.advice,
    )
