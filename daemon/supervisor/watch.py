"""Watching the inbox: which folder it is, what its file systems allow, and what it holds now.

A disk that is mounted on the inbox, or goes, makes another folder of it, with other rules. What is
mounted on a folder in it has rules of its own.
"""

import errno
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.filesystems import filesystem_of, hears_events
from daemon.intake.hints import Hints
from daemon.intake.mounts import mount_of, mounts_below
from daemon.intake.scan import Folder, Survey, Watcher
from daemon.places import FolderId, Place
from daemon.settings import Settings
from daemon.supervisor.terms import Terms, terms_of

log = structlog.get_logger()

_ADVICE: Final = {
    errno.ENOSPC: "raise fs.inotify.max_user_watches; until then the scan finds all",
    errno.EMFILE: "raise fs.inotify.max_user_instances; until then the scan finds all",
}


@dataclass(frozen=True)
class Look:
    """What the inbox holds, by folder, and at which folders this look was: None for all.

    `is_all` is False where hints were lost, so that only a look at all of it tells more.
    """

    folders: Mapping[str, Folder]
    seen: frozenset[str] | None
    is_all: bool


class Watch:
    """The inbox's folder, as of the last `look`.

    `root` says which one it is, None before it was there at all; `bell` is for the loop to listen
    to, None where there are to be no events, or can be none. `has_other_mounts` says whether the
    last look found that something in the inbox has been mounted or unmounted, or exchanged.
    """

    def __init__(self, settings: Settings, inbox: Path) -> None:
        self._settings = settings
        self._inbox = inbox
        self._trouble: OSError | None = None
        self._told: tuple[object, ...] = ()
        self._told_below: dict[str, Terms] = {}
        self._survey = Survey(inbox, with_markers=settings.rules().ask_for_markers)
        self.bell = self._hung_up() if settings.events else None
        self.root: FolderId | None = None
        self.has_other_mounts = False
        with suppress(OSError):
            self.root = Place(inbox).folder_id()
        self._judge()

    @property
    def terms(self) -> Terms:
        """The inbox's own."""
        return terms_of(self._settings, self._filesystem, is_heard=self.hears)

    def terms_below(self) -> dict[str, Terms]:
        """Those of the mounts in it, by their folders."""
        return {
            folder: terms_of(self._settings, filesystem, is_heard=self.hears)
            for folder, filesystem in self._below.items()
        }

    @property
    def hears(self) -> bool:
        """Whether every change rings, as far as is known, but on the `deaf` mounts."""
        return self.bell is not None and self._is_local and self._why_deaf is None

    def deaf(self) -> dict[str, Terms]:
        """The mounts in the inbox on which nothing rings, where the rest of it does."""
        below = self.terms_below() if self.hears else {}
        return {folder: terms for folder, terms in below.items() if not terms.events}

    def look(self, suspects: Iterable[str] | None = None, *, goes_round: bool = False) -> Look:
        """List the inbox, and have each folder in it watched.

        Only the folders that rang, the suspects among the others, and all on the `deaf` mounts if
        it `goes_round`; all of them where suspects is None, where hints can't be relied on, and
        where mounts have come or gone. Raises `OSError` if the inbox can't be listed.
        """
        root = Place(self._inbox).folder_id()
        if self.root != root:
            self.root = root
            self._judge()
            suspects = None
            log.warning(Event.INBOX_CHANGED, inbox=str(self._inbox), filesystem=self._filesystem)
        self.has_other_mounts = False
        if suspects is None or goes_round:
            self._read_mounts()
        seen, is_all = None, True
        if self.bell is None or not self._is_local:
            self._survey.whole()
        elif suspects is None or not self.hears or self.has_other_mounts:
            self.bell.heard()  # what happened before such a look is of no use to it
            with self.bell.watching_all() as watch:
                self._survey.whole(self._where_heard(watch))
        else:
            heard = self.bell.heard()
            deaf = map(self._survey.tree, self.deaf()) if goes_round else ()
            paths = heard.folders.union(suspects, chain.from_iterable(deaf))
            watch = self._where_heard(self.bell.watch)
            seen = frozenset(self._survey.part(paths, heard.anew, watch))
            is_all = heard.is_all
        self._tell()
        return Look(self._survey.folders, seen, is_all)

    def close(self) -> None:
        """Stop watching."""
        if self.bell:
            self.bell.close()

    def _hung_up(self) -> Hints | None:
        try:
            return Hints()
        except OSError as error:
            self._trouble = error
            return None

    def _judge(self) -> None:
        self._filesystem = filesystem_of(self._inbox)
        self._is_local = hears_events(self._filesystem)
        self._below = mounts_below(self._inbox)
        self._roots = self._roots_below()

    def _read_mounts(self) -> None:
        below, roots = self._below, self._roots
        self._below = mounts_below(self._inbox)
        self._roots = self._roots_below()
        self.has_other_mounts = (below, roots) != (self._below, self._roots)

    def _roots_below(self) -> dict[str, FolderId | None]:
        """Which folder is at the top of each mount: another disk of the same type is another."""
        roots: dict[str, FolderId | None] = dict.fromkeys(self._below)
        for folder in roots:
            with suppress(OSError):
                roots[folder] = Place(self._inbox, folder).folder_id()
        return roots

    def _where_heard(self, watch: Watcher) -> Watcher:
        """It, without the folders in which there is nothing to be heard."""
        deaf = {folder for folder, kind in self._below.items() if not hears_events(kind)}
        if not deaf:
            return watch

        def watch_where_heard(fd: int, path: str) -> None:
            if mount_of(path, self._below) not in deaf:
                watch(fd, path)

        return watch_where_heard

    @property
    def _why_deaf(self) -> OSError | None:
        """What keeps events away that should come."""
        if not self._settings.events or not self._is_local:
            return None
        return self.bell.trouble if self.bell else self._trouble

    def _tell(self) -> None:
        """Log how the inbox is watched: at first, and when that has changed."""
        why, before = self._why_deaf, self._told
        self._told = (self.root, self.hears, why and why.errno)
        if self._told != before:
            if why is not None:
                log.warning(
                    Event.EVENTS_UNAVAILABLE,
                    why=why.strerror or str(why),
                    advice=_ADVICE.get(why.errno or 0, "the scan finds all the same"),
                )
            self._tell_of("", self.terms)
        self._tell_below()

    def _tell_below(self) -> None:
        told, self._told_below = (
            self._told_below,
            {
                folder: terms
                for folder, terms in self.terms_below().items()
                if folder in self._survey.folders
            },
        )
        for folder in told.keys() - self._below.keys():
            holder = mount_of(folder, self._below)
            kind = self._below.get(holder, self._filesystem)
            log.warning(Event.INBOX_CHANGED, inbox=str(self._inbox / folder), filesystem=kind)
        for folder, terms in self._told_below.items():
            if told.get(folder) != terms:
                self._tell_of(folder, terms)

    def _tell_of(self, folder: str, terms: Terms) -> None:
        log.info(
            Event.WATCHING,
            inbox=str(self._inbox),
            folder=folder,
            filesystem=terms.filesystem,
            events=terms.events,
            interval_s=terms.interval_s,
            quiet_period_s=terms.quiet_period_s,
        )
