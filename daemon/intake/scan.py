"""What is in the inbox now. The directory is the truth; everything else only makes us look sooner.

Trusts: nothing in the inbox, which is open to everyone. Symbolic links, pipes, sockets and devices
are passed over, junk too. Promises: every regular file that could be a picture, once, and, where it
is asked for, every marker; and an error for each folder that could not be listed; one bad folder
hides no other.

Each folder is opened in the one that holds it, never through a link, and each file asked once what
it is. What has not changed stays the very same object, so that whoever builds on it need not build
anew.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from daemon.intake.names import Kind, is_junk_folder, kind_of
from daemon.places import LIST, Place

# Nobody keeps pictures so deep; what lies deeper is told, like a folder that can't be read. A walk
# holds a descriptor open for each folder on its way.
MAX_DEPTH: Final = 100

# Is given each folder's descriptor, and its path, before it is listed.
Watcher = Callable[[int, str], None]


class Identity(NamedTuple):
    """What must stay the same for a file to be the same, unchanged file."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, about: os.stat_result) -> "Identity":
        return cls(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)


class Entry(NamedTuple):
    """A file in the inbox: its path relative to the inbox, with `/`, and its identity."""

    path: str
    identity: Identity


@dataclass(frozen=True)
class Scan:
    """What one walk over the inbox found."""

    pictures: tuple[Entry, ...]
    unreadable: tuple[Entry, ...]
    errors: tuple[OSError, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder held when it was last listed: its files and its folders, by their names.

    `markers` are looked for only where a survey is told to; `others` are the names of files that
    are none of these.
    """

    pictures: dict[str, Entry] = field(default_factory=dict)
    unreadable: dict[str, Entry] = field(default_factory=dict)
    markers: dict[str, Entry] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    errors: tuple[OSError, ...] = ()


_NEVER_LISTED: Final = Folder()


def _watch_nothing(_fd: int, _path: str) -> None:
    """Where nobody is to be told of changes."""


def scan(inbox: Path, watch: Watcher = _watch_nothing) -> Scan:
    """Walk the inbox once; `watch` is called with each folder before it is listed.

    Raises `OSError` if the inbox itself can't be listed; what lies below is collected in `errors`.
    """
    survey = Survey(inbox)
    survey.whole(watch)
    return survey.scan()


class Survey:
    """The folders of an inbox by their paths, each as it was when it was last listed.

    Files that are markers by their names are others, unless it is told `with_markers`.
    """

    def __init__(self, inbox: Path, *, with_markers: bool = False) -> None:
        self._inbox = Place(inbox)
        self.with_markers = with_markers
        self.folders: dict[str, Folder] = {}
        self._before = self.folders
        self._listed: set[str] = set()

    def scan(self) -> Scan:
        """All that is known."""
        folders = self.folders.values()
        return Scan(
            tuple(chain.from_iterable(folder.pictures.values() for folder in folders)),
            tuple(chain.from_iterable(folder.unreadable.values() for folder in folders)),
            tuple(chain.from_iterable(folder.errors for folder in folders)),
        )

    def whole(self, watch: Watcher = _watch_nothing) -> None:
        """List every folder. Raises `OSError`, and knows what it knew, if the inbox can't be."""
        self._before, self.folders = self.folders, {}
        try:
            with self._inbox.listable() as fd:
                self._walk(fd, "", watch)
        except OSError:
            self.folders = self._before
            raise

    def part(self, paths: Iterable[str], anew: Collection[str], watch: Watcher) -> set[str]:
        """List these folders again, and walk those in them that are new; returns all listed.

        `anew` are folders that may be others than those of before: they are walked like new ones.
        Raises `OSError` if the inbox itself can't be listed.
        """
        self._before, self._listed = self.folders, set()
        for path in sorted(paths, key=lambda path: (path.count("/"), path)):
            if path in self.folders and path not in self._listed:
                self._list_again(path, anew, watch)
        return self._listed

    def _list_again(self, path: str, anew: Collection[str], watch: Watcher) -> None:
        before = self.folders[path]
        try:
            with Place(self._inbox.root, path).listable() as fd:
                here = self._list(fd, path, watch)
                kept = {name for name in here.folders if _join(path, name) not in anew}
                for name in set(before.folders) - kept:
                    self._forget(_join(path, name))
                for name in here.folders:
                    if _join(path, name) not in self.folders:
                        self._enter(fd, name, _join(path, name), watch)
        except OSError as error:
            if not path:
                raise
            self._forget(path)
            self._miss(path, error)

    def _walk(self, fd: int, path: str, watch: Watcher) -> None:
        for name in self._list(fd, path, watch).folders:
            self._enter(fd, name, _join(path, name), watch)

    def _enter(self, holder: int, name: str, path: str, watch: Watcher) -> None:
        """List a folder and all below it; what can't be listed is told, and hides no other."""
        if path.count("/") >= MAX_DEPTH:
            what = f"it lies more than {MAX_DEPTH} folders deep; move it up"
            self._miss(path, OSError(errno.ENAMETOOLONG, what))
            return
        try:
            fd = os.open(name, LIST, dir_fd=holder)
        except OSError as error:
            self._miss(path, error)
            return
        try:
            self._walk(fd, path, watch)
        except OSError as error:
            self._miss(path, error)
        finally:
            os.close(fd)

    def _list(self, fd: int, path: str, watch: Watcher) -> Folder:
        watch(fd, path)
        self._listed.add(path)
        folder = _Reading(self, path, self._before.get(path, _NEVER_LISTED)).read(fd)
        self.folders[path] = folder
        return folder

    def _miss(self, path: str, error: OSError) -> None:
        self.folders[path] = Folder(errors=(self.named(error, path),))

    def named(self, error: OSError, path: str) -> OSError:
        """The error with the whole path: descriptors have no names to tell."""
        return OSError(error.errno, error.strerror, str(self._inbox / path))

    def tree(self, path: str) -> list[str]:
        """All known folders from this one on downwards."""
        found = [path] if path in self.folders else []
        for above in found:  # which grows
            below = (_join(above, name) for name in self.folders[above].folders)
            found += [path for path in below if path in self.folders]
        return found

    def _forget(self, path: str) -> None:
        for folder in self.tree(path):
            del self.folders[folder]


class _Reading:
    """A folder as it is listed, beside what it was before."""

    def __init__(self, survey: Survey, path: str, before: Folder) -> None:
        self._survey = survey
        self._path = path
        self._before = before
        self._found: dict[Kind, dict[str, Entry]] = {"picture": {}, "unreadable": {}, "marker": {}}
        self._known: dict[Kind, dict[str, Entry]] = {
            "picture": before.pictures,
            "unreadable": before.unreadable,
            "marker": before.markers,
        }
        self._others: set[str] = set()
        self._folders: list[str] = []
        self._errors: list[OSError] = []

    def read(self, fd: int) -> Folder:
        """List it. Raises `OSError` if it can't be."""
        with os.scandir(fd) as found:
            for item in found:
                try:
                    if item.is_file(follow_symlinks=False):
                        self._take(item)
                    elif item.is_dir(follow_symlinks=False) and not is_junk_folder(item.name):
                        self._folders.append(item.name)
                except FileNotFoundError:
                    continue  # gone since it was listed: the next look tells
                except OSError as error:
                    self._errors.append(self._survey.named(error, _join(self._path, item.name)))
        before = self._before
        return Folder(
            self._files("picture"),
            self._files("unreadable"),
            self._files("marker"),
            before.others if self._others == before.others else frozenset(self._others),
            tuple(self._folders),
            tuple(self._errors),
        )

    def _files(self, kind: Kind) -> dict[str, Entry]:
        """The files of a kind: the very same as before where they are."""
        known, found = self._known[kind], self._found[kind]
        return known if found == known else found

    def _take(self, item: os.DirEntry[str]) -> None:
        name = item.name
        kind = self._kind(name)
        if kind is None:
            self._others.add(name)
            return
        about = item.stat(follow_symlinks=False)
        if not stat.S_ISREG(about.st_mode):
            return
        known = self._known[kind].get(name)
        identity = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        if known is None or known.identity != identity:
            known = Entry(_join(self._path, name), Identity._make(identity))
        self._found[kind][name] = known

    def _kind(self, name: str) -> Kind | None:
        """What the name says; each is judged once, for that costs more than to ask the disk."""
        if name in self._before.pictures:
            return "picture"
        if name in self._before.others:
            return None
        if name in self._before.unreadable:
            return "unreadable"
        if name in self._before.markers:
            return "marker"
        return kind_of(name, with_markers=self._survey.with_markers)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
