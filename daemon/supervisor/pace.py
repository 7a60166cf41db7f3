"""How soon the inbox is looked at again, so that looks never take more than their share of time.

A look at all of it, a look at the folders that rang, and a round of the mounts on which nothing
rings are paid for apart: a pair among tens of thousands of folders need not wait for the walk
through all the others, nor one on a quick disk for a slow share.
"""

from typing import Final

# Looks never take more than a tenth of the time, however many hints come or files lie there.
_PAUSE_PER_LOOK: Final = 9.0
# Where every change rings, walks through all of the inbox only make sure. They take a hundredth,
# unless what did not ring would be missed for longer than this for its sake.
_PAUSE_PER_WALK: Final = 99.0
_LONGEST_LEISURE_S: Final = 90.0
_LEAST_PAUSE_S: Final = 0.05


class Pace:
    """When to look next. Times are monotonic, in seconds.

    `soonest` is the earliest moment at which a hint is followed, `walk_at` that of the next look at
    all of the inbox, `round_at` that of the next at the mounts on which nothing rings.
    """

    def __init__(self) -> None:
        self.soonest = 0.0
        self.walk_at = 0.0
        self.round_at = float("inf")
        self._soonest_walk = 0.0
        self._pause_after_round_s = 0.0

    def looked(
        self, start: float, now: float, *, at_all: bool, interval_s: float, hears: bool, fixed: bool
    ) -> None:
        """A look took from `start` to `now`.

        `hears` says that every change rings; `fixed` that the interval is to be kept all the same,
        as far as the looks' share of the time allows.
        """
        self.soonest = now + max(_LEAST_PAUSE_S, _PAUSE_PER_LOOK * (now - start))
        if at_all:
            leisure = min(_LONGEST_LEISURE_S, _PAUSE_PER_WALK * (now - start))
            if fixed or not hears:
                leisure = 0.0
            self._soonest_walk = self.soonest
            self.walk_at = max(self.soonest, now + max(interval_s, leisure))
            if hears:
                self.soonest = now + _LEAST_PAUSE_S
        elif not hears:
            self.hurry_walk()

    def went_round(self, start: float, now: float, *, at_all: bool, interval_s: float) -> None:
        """That look has listed the mounts on which nothing rings; `interval_s` is theirs.

        It is infinite where there are none. Called after `looked`: what rings elsewhere need not
        wait for what this has cost.
        """
        if not at_all:
            self._pause_after_round_s = _PAUSE_PER_LOOK * (now - start)
            self.soonest = now + _LEAST_PAUSE_S
        self.round_at = now + max(interval_s, self._pause_after_round_s)

    def hurry_walk(self) -> None:
        """Not everything rang: look at all of the inbox as soon as is fair."""
        self.walk_at = min(self.walk_at, self._soonest_walk)
