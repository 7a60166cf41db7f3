"""What an earlier run left, or a trouble of this one: settled, here and where was worked before.

What can't be settled keeps nobody else from being served: it is tried again once in a while, and
said once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from daemon.events import Event
from daemon.places import Place
from daemon.reasons import Trouble, world_trouble
from daemon.settings import Settings
from daemon.spool.holding import remove_left_rooms
from daemon.spool.layout import Spool
from daemon.spool.recovery import Recovered, recover, recover_elsewhere
from daemon.supervisor.hold import LONGEST_HOLD_S

log = structlog.get_logger()


class Leftovers:
    """`stuck` is why a job could not be settled the last time, here or elsewhere.

    `due` is when `settle` should be called next. `clock` is monotonic, in seconds. A job that waits
    for its mount or its folder is stuck too, but not `is_stuck_here`: that is for what may be in
    everybody's way.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._is_settled_elsewhere = False
        self._told: set[str] = set()
        self.stuck: Trouble | None = None
        self.is_stuck_here = False
        self.due = float("inf")

    def look_elsewhere(self) -> None:
        """Let the next `settle` see to the work folders of before too."""
        self._is_settled_elsewhere = False

    def look_soon(self) -> None:
        """Something may be left to be settled, and need not be at once."""
        self.due = min(self.due, self._clock() + LONGEST_HOLD_S)

    def look_now(self) -> None:
        """Something may have come for which a job is stuck."""
        if self.stuck is not None:
            self.due = self._clock()

    @contextmanager
    def sought_if_it_fails(self) -> Iterator[None]:
        """What raises in here may leave a job in nobody's hands: `due` is now.

        The hold that begins then is no reminder: it may end by another job's success.
        """
        try:
            yield
        except (OSError, Trouble):
            self.due = self._clock()
            raise

    def settle(self, spool: Spool, known: frozenset[str]) -> Recovered:
        """Settle all jobs but the `known` ones.

        Raises `OSError` where the work folder can't be looked at, or is no more ours.
        """
        elsewhere = None
        if not self._is_settled_elsewhere:
            elsewhere = recover_elsewhere(spool, self._settings)
            self._is_settled_elsewhere = elsewhere is None
        found = recover(spool, except_for=known)
        self.is_stuck_here = found.stuck is not None
        self._note(found.stuck or found.waits or elsewhere)
        if self.stuck is None:  # a record that nobody has settled may name such a folder
            self._tell_of(remove_left_rooms(spool))
        return found

    def _tell_of(self, left: list[Place]) -> None:
        for path in {str(room) for room in left} - self._told:
            log.warning(
                Event.FILES_LEFT_ON_MOUNT,
                path=path,
                advice="no job here knows of it; if it holds pictures of yours, move them back",
            )
            self._told.add(path)

    def _note(self, met: OSError | Trouble | None) -> None:
        before = self.stuck
        self.stuck = world_trouble(met) if isinstance(met, OSError) else met
        self.due = float("inf") if self.stuck is None else self._clock() + LONGEST_HOLD_S
        if self.stuck and (before is None or before.sentence != self.stuck.sentence):
            log.error(
                Event.JOB_STUCK,
                reason=self.stuck.reason.key,
                says=self.stuck.sentence,
                advice=self.stuck.advice,
            )
