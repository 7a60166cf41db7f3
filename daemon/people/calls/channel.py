"""The calls of one kind, in the order of the book: which is due, and what becomes of it.

Promises: each job that is wanted is called for at least once, whatever restarts come between; a
call that fails is tried again at growing distances, until it has failed for the hours that the
settings give, and then given up, which the log says. While all fail, as where a server is away, few
are tried and the others wait in the book, for as long as it takes; a call that alone fails holds up
no other.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from daemon.events import Event
from daemon.people.calls.ledger import Late, Ledger, Position
from daemon.people.calls.process import Called
from daemon.spool.book import Book
from daemon.spool.entries import Ended

log = structlog.get_logger()

# After a failure nothing of this kind is called for so long, and a little longer after the next: a
# folder of thirty pictures for which a hook fails keeps those behind it waiting for some minutes,
# and a server that is away for hours is asked every five minutes.
FIRST_PAUSE_S: Final = 1.0
PAUSE_GROWTH: Final = 1.06
LONGEST_PAUSE_S: Final = 300.0
# For the call that failed, twice as long each time; so soon is all made up for that a repair ends.
FIRST_RETRY_S: Final = 10.0
LONGEST_RETRY_S: Final = 600.0
# Some hundred jobs: who was away for long does not read all of it at once.
_MOST_BYTES: Final = 1 << 17


class Channel:
    """One kind of calls. `clock` is monotonic, `now` is the time since 1970, both in seconds."""

    def __init__(
        self,
        name: str,
        wants: Callable[[Ended], bool],
        call: Callable[[Ended], Called],
        book: Book,
        ledger: Ledger,
        retry_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._wants, self._call = wants, call
        self._book, self._ledger, self._retry_s = book, ledger, retry_s
        self._clock, self._now = clock, now
        self._begin: Position | None = None
        self._position: Position | None = None
        self._after: Position | None = None
        self._ahead: deque[Ended] = deque()
        self._late: list[Late] = []
        self._pause_s, self._paused_until = 0.0, float("-inf")
        self._late_is_next = False

    def open(self) -> None:
        """Go on where an earlier run stopped; the first begins with what ends from now on.

        Raises `OSError`; call it again then.
        """
        if self._position is not None:
            return
        if self._begin is None:
            self._begin = Position(self._book.since(None)[1])
        position = self._ledger.position()
        if position is None:
            self._ledger.advance(self._begin)
            position = self._begin
        self._late = list(self._ledger.late())
        self._position = self._after = position

    def step(self) -> bool:
        """Make a call, if one is due. Raises `OSError` where what came of it could not be kept."""
        self.open()
        if self._clock() < self._paused_until:
            return False
        late = self._due_late()
        new = self._next_new()
        if late is not None and (self._late_is_next or new is None):
            self._late_is_next = False
            return self._try_again(late)
        self._late_is_next = True
        return new is not None and self._try_new(new)

    def due_s(self) -> float:
        """In how many seconds a call may be due, if nothing happens meanwhile."""
        pause = self._paused_until - self._clock()
        nexts = [late.next_at - self._now() for late in self._late]
        return pause if pause > 0 else max(0.0, min(nexts, default=float("inf")))

    def save(self) -> None:
        """Keep how far the book was read. Raises `OSError`."""
        if self._position is not None:
            self._ledger.advance(self._position)

    def _try_new(self, ended: Ended) -> bool:
        called = self._call(ended)
        if called.was_cut_short:
            return False
        if not called.is_ok:
            self._fail(Late(ended, 0, self._now(), 0.0), called)
        else:
            self._pause_s = 0.0
        self._pass()
        self.save()
        return True

    def _try_again(self, late: Late) -> bool:
        called = self._call(late.ended)
        if called.was_cut_short:
            return False
        if not called.is_ok:
            self._fail(late, called)
        self._late.remove(late)
        if called.is_ok:
            self._pause_s = 0.0
            self._ledger.drop(late)
        return True

    def _fail(self, late: Late, called: Called) -> None:
        self._pause_s = min(max(FIRST_PAUSE_S, PAUSE_GROWTH * self._pause_s), LONGEST_PAUSE_S)
        self._paused_until = self._clock() + self._pause_s
        retry_s = min(FIRST_RETRY_S * 2**late.tries, LONGEST_RETRY_S)
        again = Late(late.ended, late.tries + 1, late.first_at, self._now() + retry_s)
        if self._now() - late.first_at >= self._retry_s:
            log.error(
                Event.HOOK_GIVEN_UP,
                call=self.name,
                job=late.ended.job,
                picture=late.ended.picture,
                why=called.how,
                tries=again.tries,
            )
            self._ledger.drop(again)
            return
        log.warning(
            Event.HOOK_FAILED,
            call=self.name,
            job=late.ended.job,
            picture=late.ended.picture,
            why=called.how,
            tries=again.tries,
            retry_s=retry_s,
        )
        self._ledger.keep(again)
        self._late.append(again)

    def _due_late(self) -> Late | None:
        if not self._late:
            return None
        late, now = min(self._late, key=lambda each: each.next_at), self._now()
        # A clock that was set back makes nobody wait for longer than that.
        return late if late.next_at <= now or late.next_at > now + LONGEST_RETRY_S else None

    def _next_new(self) -> Ended | None:
        """The next job of the book that is wanted; those before it are passed."""
        while self._ahead or self._read_on():
            if self._wants(self._ahead[0]):
                return self._ahead[0]
            self._pass()
        return None

    def _read_on(self) -> bool:
        while True:
            assert self._after is not None  # noqa: S101 - as of `open`
            self._position = start = self._after
            added, mark = self._book.since(start.mark, most_bytes=_MOST_BYTES)
            self._after = Position(mark, max(0, start.skip - len(added)) if added else 0)
            self._ahead.extend(added[start.skip :])
            if self._ahead or not added:
                return bool(self._ahead)

    def _pass(self) -> None:
        assert self._position is not None  # noqa: S101 - there was one when it was read
        self._ahead.popleft()
        mark, skip = self._position
        self._position = Position(mark, skip + 1) if self._ahead else self._after
