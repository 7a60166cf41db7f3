"""Whose turn is next among the pairs that are ready: new drops first, and folders in turn.

docs/architecture.md says why. In short:

- What has just been dropped goes before the backlog, which is what was there at the start or has
  been ready for `LONG_WAIT_S`. While both wait, every fourth turn is the backlog's.
- Within each of the two the top-level folders of the inbox take turns, and within a folder the
  pair that has been ready for longest is first.

So each pair's turn comes after a number of others that can be told when it gets ready, whatever is
dropped later. To take one costs O(log n).
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

from daemon.intake.pairing import Pair

# Who drops ten thousand files at noon must not keep the next person waiting all afternoon; longer
# than a person looks on, shorter than he is patient.
LONG_WAIT_S: Final = 300.0
# Of so many turns, the last is the backlog's.
BACKLOG_EVERY: Final = 4


class Ready(NamedTuple):
    """A pair that may be taken, since when, and its picture's path; sorted in that order."""

    since: float
    path: str
    pair: Pair

    @property
    def folder(self) -> str:
        """The top-level folder of the inbox that holds it; empty for the inbox itself."""
        folder, slash, _ = self.path.partition("/")
        return folder if slash else ""


class _Turn(NamedTuple):
    """When a folder's turn comes: the lowest is next."""

    round: int
    first: Ready
    folder: str


class _Rounds:
    """Pairs whose folders take turns.

    Each folder has the number of the round in which its turn comes. A folder that was served, and
    one that comes anew, has its turn in the round after this one, and within a round the one that
    has waited for longest is first. Nobody comes into the round that goes on, so it ends.
    """

    def __init__(self) -> None:
        self._round = 0
        self._folders: dict[str, list[Ready]] = {}
        self._turns: list[_Turn] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def fill(self, ready: Iterable[Ready]) -> None:
        """Have these wait, and no others; a folder that waits already keeps its turn."""
        rounds = {turn.folder: turn.round for turn in self._turns}
        self._folders = {}
        for each in ready:
            self._folders.setdefault(each.folder, []).append(each)
        self._count = sum(map(len, self._folders.values()))
        for waiting in self._folders.values():
            heapq.heapify(waiting)
        self._turns = [
            _Turn(rounds.get(folder, self._round + 1), waiting[0], folder)
            for folder, waiting in self._folders.items()
        ]
        heapq.heapify(self._turns)

    def put(self, ready: Ready) -> None:
        """Have one more wait."""
        waiting = self._folders.setdefault(ready.folder, [])
        if not waiting:
            heapq.heappush(self._turns, _Turn(self._round + 1, ready, ready.folder))
        heapq.heappush(waiting, ready)
        self._count += 1

    @property
    def first(self) -> Ready | None:
        """What `take` would give."""
        return self._folders[self._turns[0].folder][0] if self._turns else None

    def take(self) -> Ready:
        """The pair whose turn it is. Raises `IndexError` where none waits."""
        turn = heapq.heappop(self._turns)
        waiting = self._folders[turn.folder]
        taken = heapq.heappop(waiting)
        self._round, self._count = turn.round, self._count - 1
        if waiting:
            heapq.heappush(self._turns, _Turn(turn.round + 1, waiting[0], turn.folder))
        else:
            del self._folders[turn.folder]
        return taken

    def oldest(self) -> float:
        """Since when the one that has waited for longest has been ready; infinite for none."""
        return min((waiting[0].since for waiting in self._folders.values()), default=float("inf"))

    def in_order(self) -> Iterator[Ready]:
        """All that wait, as they would be taken if nothing came; what is read of it costs."""
        turns = list(self._turns)
        waiting = {folder: _sorted(heap) for folder, heap in self._folders.items()}
        coming = {turn.folder: next(waiting[turn.folder]) for turn in turns}
        while turns:
            turn = heapq.heappop(turns)
            yield coming[turn.folder]
            following = next(waiting[turn.folder], None)
            if following is not None:
                coming[turn.folder] = following
                heapq.heappush(turns, _Turn(turn.round + 1, following, turn.folder))


def _sorted(heap: list[Ready]) -> Iterator[Ready]:
    """What a heap holds, sorted, as far as it is read: the first k cost O(k log k)."""
    front = [(heap[0], 0)] if heap else []
    while front:
        least, at = heapq.heappop(front)
        yield least
        for below in range(2 * at + 1, min(2 * at + 3, len(heap))):
            heapq.heappush(front, (heap[below], below))


class Order:
    """The pairs that are ready, in the order of their turns."""

    def __init__(self) -> None:
        self._new = _Rounds()
        self._backlog = _Rounds()
        self._since_backlog = 0

    def __len__(self) -> int:
        return len(self._new) + len(self._backlog)

    def fill(self, new: Iterable[Ready], backlog: Iterable[Ready]) -> None:
        """Have these wait, and no others; whose turn it is goes on from where it was."""
        self._new.fill(new)
        self._backlog.fill(backlog)

    def put(self, ready: Ready, *, is_new: bool) -> None:
        """Have one more wait."""
        (self._new if is_new else self._backlog).put(ready)

    def take(self) -> Pair | None:
        """The pair whose turn it is, once; None where none waits."""
        if not self:
            return None
        is_backlog = self._is_backlogs_turn(self._since_backlog)
        self._since_backlog = self._counted(self._since_backlog, is_backlog=is_backlog)
        return (self._backlog if is_backlog else self._new).take().pair

    @property
    def since(self) -> float | None:
        """Since when the pair that `take` would give has been ready."""
        is_backlog = self._is_backlogs_turn(self._since_backlog)
        first = (self._backlog if is_backlog else self._new).first
        return first and first.since

    @property
    def oldest(self) -> float | None:
        """Since when the pair has been ready that has waited for longest."""
        oldest = min(self._new.oldest(), self._backlog.oldest())
        return oldest if self else None

    def upcoming(self, most: int) -> list[Pair]:
        """So many pairs at most, as they would be taken if nothing came. Changes nothing."""
        return [ready.pair for ready in islice(self._in_order(), most)]

    def _in_order(self) -> Iterator[Ready]:
        new, backlog = self._new.in_order(), self._backlog.in_order()
        since = self._since_backlog
        while True:
            is_backlog = since + 1 >= BACKLOG_EVERY
            following = next(backlog if is_backlog else new, None)
            if following is None:
                break
            since = 0 if is_backlog else since + 1
            yield following
        yield from chain(new, backlog)

    def _is_backlogs_turn(self, since: int) -> bool:
        if not (self._new and self._backlog):
            return not self._new
        return since + 1 >= BACKLOG_EVERY

    def _counted(self, since: int, *, is_backlog: bool) -> int:
        """How many new ones went before the backlog, which waited, since its last turn."""
        if is_backlog or not self._backlog:
            return 0
        return since + 1
