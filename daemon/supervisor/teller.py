"""When those outside are told what goes on: soon after it has changed, and once in a while."""

from collections.abc import Callable
from typing import Final

from daemon.supervisor.observer import Observer
from daemon.supervisor.snapshot import Snapshot

# Counts change with every job; people and machines need not hear of each.
TELL_EVERY_S: Final = 1.0
# The loop waits for whoever is told, so they get a twentieth of its time at most.
_PAUSE_PER_TELLING: Final = 19.0
# The loop turns at least every five seconds, so that a sign of life comes every thirty.
SIGN_OF_LIFE_S: Final = 25.0


class Teller:
    """Tells `on_change`. `clock` is monotonic, in seconds."""

    def __init__(
        self, observer: Observer, on_change: Callable[[Snapshot], None], clock: Callable[[], float]
    ) -> None:
        self._observer = observer
        self._on_change = on_change
        self._clock = clock
        self._told: object = None
        self._next_at = float("-inf")
        self._again_at = float("-inf")
        self._is_behind = False

    def tell(self) -> None:
        """Tell what goes on, if it may have changed and was not told just now, or long ago."""
        now = self._clock()
        # What has changed is not asked for at each of a thousand turns in a second.
        self._is_behind = now < self._next_at or self._observer.signs() != self._told
        if now >= self._next_at and (self._is_behind or now >= self._again_at):
            self._tell()

    def due(self) -> float:
        """When `tell` should be called next, if nothing happens."""
        return self._next_at if self._is_behind else self._again_at

    def tell_last(self) -> None:
        """Tell how it ended."""
        self._observer.look_anew()
        self._tell()

    def _tell(self) -> None:
        start = self._clock()
        self._on_change(self._observer.snapshot())
        self._told, self._is_behind = self._observer.signs(), False
        now = self._clock()
        pause_s = max(TELL_EVERY_S, _PAUSE_PER_TELLING * (now - start))
        self._next_at, self._again_at = now + min(pause_s, SIGN_OF_LIFE_S), now + SIGN_OF_LIFE_S
