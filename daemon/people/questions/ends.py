"""How the jobs on a file ended, one by one: by the book, or by the logs in the outbox.

The logs serve whoever may not read the book, and where it has been lost.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, takewhile
from typing import Final

from daemon.people.history import Sought
from daemon.people.outline import clock, told_report
from daemon.people.questions.answers import Step, note, yes
from daemon.people.questions.scene import Scene
from daemon.people.rebuilding import read_log_at
from daemon.places import Place
from daemon.reasons import one_line
from daemon.spool.book import Book
from daemon.spool.entries import Ended

_MOST_ENDS: Final = 5

_IsIt = Callable[[Ended], bool]


def ends_at(scene: Scene, path: str) -> list[Ended]:
    """The jobs whose picture, mask or trimap lay at this path of the inbox, the last one first."""

    def is_it(ended: Ended) -> bool:
        return one_line(path) in map(one_line, (ended.picture, ended.companion))

    return _in_book(scene, path, is_it) or _in_logs(scene, path, is_it)


def ends_with(scene: Scene, output: str) -> list[Ended]:
    """The jobs that put this path into the outbox, the last one first."""

    def is_it(ended: Ended) -> bool:
        return one_line(output) in map(one_line, ended.outputs)

    return _in_book(scene, output, is_it) or _in_logs(scene, output, is_it)


def ends_of_archived(scene: Scene, path: str) -> list[Ended]:
    """The jobs that may have put this path into the archive, where names may get a number."""
    sought = Sought(scene.settings, str(Place(scene.spool.archive, path)))
    return _in_book(scene, sought.holding(), sought.is_about) or _in_logs(
        scene, path, sought.is_about
    )


def end_steps(ends: list[Ended]) -> Iterator[Step]:
    """What is to be said of jobs, each by itself."""
    if len(ends) > 1:
        last = f"the last {len(ends)}" if len(ends) == _MOST_ENDS else str(len(ends))
        yield note("jobs", f"{last} jobs on files of this name, the newest first:")
    for ended in ends:
        yield from _end(ended)


def _end(ended: Ended) -> Iterator[Step]:
    when = clock(ended.ended_at)
    if ended.outcome == "failed":
        sentence = told_report(ended).trouble().sentence if ended.report else ""
        yield note("before", f"it failed on {when}: {sentence} (job {ended.job})")
        return
    yield yes("done", f"done on {when}: {one_line(', '.join(ended.outputs))} (job {ended.job})")
    if ended.facts is not None:
        facts = ended.facts
        ran = one_line(f"{facts.model}, on {facts.device}")
        size = f"{facts.width} x {facts.height} pixels"
        yield note("how", f"{size}, {ran}, attempt {ended.attempts}")
        yield from (note("how", one_line(said)) for said in facts.notes)


def newest(scene: Scene, holding: str = "") -> Iterator[Ended]:
    """The jobs in the book, the last one first, as far as it may be read."""
    with suppress(OSError):
        yield from Book(scene.spool.books).newest(holding)


def why_unread(scene: Scene) -> OSError | None:
    """What keeps the book from being read, to which the daemon's user has the right."""
    try:
        next(Book(scene.spool.books).newest(), None)
    except OSError as error:
        return error
    return None


def _in_book(scene: Scene, holding: str, is_it: _IsIt) -> list[Ended]:
    return list(islice(filter(is_it, newest(scene, holding)), _MOST_ENDS))


def _in_logs(scene: Scene, path: str, is_it: _IsIt) -> list[Ended]:
    found = {ended.job: ended for ended in _logged(Place(scene.spool.outbox, path)) if is_it(ended)}
    ends = sorted(found.values(), key=lambda ended: ended.ended_at, reverse=True)
    return ends[:_MOST_ENDS]


def _logged(place: Place) -> Iterator[Ended]:
    """What the logs tell that may be on a file of this name: all whose names begin as its does."""
    try:
        names = [name for name, _ in place.parent.listing()]
    except OSError:
        return
    stem = place.name.split(".")[0]
    # A log's name is its result's, which the picture's begins: `cat.2.log` is of `cat.jpg`.
    logs = [name for name in names if name.endswith(".log")]
    alike = [name for name in logs if stem.startswith(name.split(".")[0])]
    alike.sort(key=lambda name: (-_common(name, place.name), len(name), name))
    for name in alike:
        ended = read_log_at(place.parent, name, names)
        if ended is not None:
            yield ended


def _common(one: str, other: str) -> int:
    """How many letters two names have in common from their beginnings on."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)
