"""When a file has been still for long enough to be whole.

Neither a stable size nor a close nor a rename proves that an upload is complete, so the first gate
is time: size, mtime and inode unchanged over a period of our own monotonic clock (file times come
from other people's clocks). The second gate is a full decode, in the worker.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from daemon.intake.mounts import mount_of
from daemon.intake.scan import Entry, Folder, Identity
from daemon.reasons import Report


class _Page(NamedTuple):
    """The files of a folder, and since when each path has been as it is."""

    files: dict[str, Entry]
    since: dict[str, float]


class QuietBook:
    """Remembers since when each file has been as it is.

    `period_s` is the quiet period in seconds, and `periods_s` has those of mounts in the inbox, by
    their folders; times are seconds of one monotonic clock.
    """

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.periods_s: Mapping[str, float] = {}
        self._pages: dict[str, _Page] = {}

    def observe(self, folders: Mapping[str, Folder], now: float) -> None:
        """Take note of all pictures; what is no longer there is forgotten.

        Any difference starts the period anew: some tools set the time of a file backwards. A folder
        whose files are the very same as before costs nothing.
        """
        before = self._pages
        self._pages = {}
        for path, folder in folders.items():
            if folder.pictures:
                page = before.get(path, _Page({}, {}))
                is_same = page.files is folder.pictures
                self._pages[path] = page if is_same else _page(folder.pictures, page, now)

    def quiet_at(self, entry: Entry) -> float | None:
        """When the file will count as whole; None for 0 bytes, which means not yet."""
        if entry.identity.size == 0:
            return None
        return self.came_at(entry) + self.period_of(entry.path.rpartition("/")[0])

    def came_at(self, entry: Entry) -> float:
        """When the file was first seen as it is."""
        return self._pages[entry.path.rpartition("/")[0]].since[entry.path]

    def period_of(self, folder: str) -> float:
        """The quiet period of the files in a folder."""
        return self.periods_s.get(mount_of(folder, self.periods_s), self.period_s)


def _page(files: dict[str, Entry], before: _Page, now: float) -> _Page:
    known = before.files
    return _Page(
        files,
        {
            entry.path: before.since[entry.path] if known.get(name) == entry else now
            for name, entry in files.items()
        },
    )


_Looks = tuple[tuple[int, int], ...]


def _looks(identities: tuple[Identity, ...]) -> _Looks:
    return tuple((each.size, each.mtime_ns) for each in identities)


class IncompleteBook:
    """Remembers which files turned out to be cut off, so that they are not tried again unchanged.

    A file is given up when it stayed cut off and unchanged for `give_up_s` seconds. Its size and
    time tell: a file that was claimed and given back has another inode on some mounts (sshfs).
    """

    def __init__(self, give_up_s: float) -> None:
        self.give_up_s = give_up_s
        self._since: dict[str, tuple[_Looks, float, Report]] = {}

    def remember(
        self, path: str, identities: tuple[Identity, ...], now: float, why: Report
    ) -> None:
        """Note that the pair of this picture was found cut off; the first time counts."""
        known, looks = self._since.get(path), _looks(identities)
        if known is None or known[0] != looks:
            self._since[path] = (looks, now, why)

    def waits(self, path: str, identities: tuple[Identity, ...], now: float) -> Report | None:
        """Why the pair still waits, or None where it changed, was never cut off or is given up."""
        known = self._since.get(path)
        if known is None or known[0] != _looks(identities) or self.is_given_up(path, now):
            return None
        return known[2]

    def is_given_up(self, path: str, now: float) -> bool:
        """True once the pair has been cut off and unchanged for too long."""
        known = self._since.get(path)
        return known is not None and now - known[1] >= self.give_up_s

    def due(self, now: float) -> float | None:
        """The next time at which a pair will be given up."""
        times = [since + self.give_up_s for _, since, _ in self._since.values()]
        return min((time for time in times if time > now), default=None)

    def forget_all_but(self, paths: Iterable[str]) -> None:
        """Drop what is no longer in the inbox, so that the book can't grow for ever."""
        if not self._since:
            return
        kept = set(paths)
        self._since = {path: known for path, known in self._since.items() if path in kept}
