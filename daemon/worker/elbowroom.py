"""Memory for the jobs that a worker has in hand: several small pictures at once, or a large one.

So what a worker takes is bounded by the largest picture that it may open, or by a few small ones,
however many jobs it has.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# A picture of more pixels is large: what people photograph with a phone is small.
LARGE_FROM: Final = 16_000_000


class Elbowroom:
    """Lets in who comes first; nobody overtakes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._inside = 0
        self._visits = 0
        self._is_taken = False

    def waiting_count(self) -> int:
        """How many wait to be let in."""
        return len(self._queue)

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[Callable[[], bool]]:
        """Wait until there is room, beside others or `alone`; leave at the end.

        Yields what tells whether anybody has been here meanwhile.
        """
        me = object()
        with self._changed:
            self._queue.append(me)
            self._changed.wait_for(lambda: self._queue[0] is me and self._is_free(alone=alone))
            self._queue.popleft()
            self._inside += 1
            self._visits += 1
            self._is_taken = alone
            was_alone, visits = self._inside == 1, self._visits
            self._changed.notify_all()
        try:
            yield lambda: not was_alone or self._visits > visits
        finally:
            with self._changed:
                self._inside -= 1
                self._is_taken = False
                self._changed.notify_all()

    def _is_free(self, *, alone: bool) -> bool:
        return not self._inside if alone else not self._is_taken
