"""Watching the inbox: which folder it is, what its file system allows, and what it holds now.

A disk that is mounted on the inbox, or goes, makes another folder of it, with other rules.
"""

import errno
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.filesystems import filesystem_of, hears_events
from daemon.intake.hints import Hints
from daemon.intake.scan import Folder, Survey
from daemon.places import FolderId, Place
from daemon.settings import Settings

log = structlog.get_logger()

LOCAL_QUIET_S: Final = 5.0
NETWORK_QUIET_S: Final = 10.0
INTERVAL_WITH_EVENTS_S: Final = 10.0
INTERVAL_WITHOUT_EVENTS_S: Final = 2.0

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
    to, None where there are to be no events, or can be none.
    """

    def __init__(self, settings: Settings, inbox: Path) -> None:
        self._settings = settings
        self._inbox = inbox
        self._trouble: OSError | None = None
        self._told: tuple[object, ...] = ()
        self._survey = Survey(inbox, with_markers=settings.done_marker)
        self.bell = self._hung_up() if settings.events else None
        self.root: FolderId | None = None
        with suppress(OSError):
            self.root = Place(inbox).folder_id()
        self._judge()

    @property
    def quiet_period_s(self) -> float:
        """Seconds that a file must stay unchanged."""
        if self._settings.quiet_period_s is not None:
            return self._settings.quiet_period_s
        return LOCAL_QUIET_S if self._is_local else NETWORK_QUIET_S

    @property
    def interval_s(self) -> float:
        """Seconds from one look to the next where nothing hints at an earlier one."""
        if self._settings.scan_interval_s is not None:
            return self._settings.scan_interval_s
        return INTERVAL_WITH_EVENTS_S if self.hears else INTERVAL_WITHOUT_EVENTS_S

    @property
    def hears(self) -> bool:
        """Whether every change in the inbox rings, as far as is known."""
        return self.bell is not None and self._is_local and self._why_deaf is None

    def look(self, suspects: Iterable[str] | None = None) -> Look:
        """List the inbox, and have each folder in it watched.

        Only the folders that rang, and the suspects among the others; all of them where suspects
        is None, and where hints can't be relied on. Raises `OSError` if the inbox can't be listed.
        """
        root = Place(self._inbox).folder_id()
        if self.root != root:
            self.root = root
            self._judge()
            suspects = None
            log.warning(Event.INBOX_CHANGED, inbox=str(self._inbox), filesystem=self._filesystem)
        seen, is_all = None, True
        if self.bell is None or not self._is_local:
            self._survey.whole()
        elif suspects is None or not self.hears:
            self.bell.heard()  # what happened before such a look is of no use to it
            with self.bell.watching_all() as watch:
                self._survey.whole(watch)
        else:
            heard = self.bell.heard()
            paths = heard.folders.union(suspects)
            seen = frozenset(self._survey.part(paths, heard.anew, self.bell.watch))
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
        if self._told == before:
            return
        if why is not None:
            log.warning(
                Event.EVENTS_UNAVAILABLE,
                why=why.strerror or str(why),
                advice=_ADVICE.get(why.errno or 0, "the scan finds all the same"),
            )
        log.info(
            Event.WATCHING,
            inbox=str(self._inbox),
            filesystem=self._filesystem,
            events=self.hears,
            interval_s=self.interval_s,
            quiet_period_s=self.quiet_period_s,
        )
