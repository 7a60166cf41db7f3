"""What a question about a file is answered from: the settings, the daemon, and the inbox now.

The inbox is judged by the daemon's own eyes, `supervisor.inbox` and all that it stands on, so that
no rule has a second reading here. They look twice, a moment apart, and are told that more than the
quiet period lies between the two looks: what has not changed meanwhile is judged as it will be when
it has been quiet for long enough.
"""

import errno
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, get_args

from daemon.folders import FolderSettings
from daemon.intake.mounts import mount_of, mounts_below
from daemon.intake.pairing import Pair, Task, Waiting
from daemon.intake.scan import Entry
from daemon.people.standing import SILENT_AFTER_S
from daemon.people.standpoint import User, rights_of, user_of
from daemon.people.state import read_state
from daemon.places import Place
from daemon.reasons import Report, Trouble
from daemon.settings import Settings
from daemon.spool import files
from daemon.spool.layout import Spool
from daemon.spool.looking import is_worked
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.snapshot import Snapshot
from daemon.supervisor.unclaimable import Allows, Unclaimable

# Whoever writes a file on writes more often than that.
WATCHED_S: Final = 1.0
# A clock by which every quiet period and every retry is over.
_LATER_S: Final = 1e7
# What a look tells by itself. All else only who has tried to work a pair, or to claim it, knows.
_SEEN: Final = {
    *("companion_missing", "picture_missing", "ambiguous", "marker_missing", "marker_alone"),
    *("not_quiet", "empty", "no_model", "unreadable_kind", "unreadable"),
    *("cannot_be_transparent", "folder_mask_unreadable"),
}
# What has nobody to go with it.
_LONELY: Final = {"companion_missing", "picture_missing", "cannot_be_transparent"}


@dataclass(frozen=True)
class Verdict:
    """What the inbox says of a file: its pair if it has one, and what it waits for if it does.

    `waits` names the file that is at fault, which may be the other one of the pair. `is_told` says
    that this is the daemon's own word, and not what was found just now.
    """

    pair: Pair | None
    waits: Waiting | None
    is_told: bool = False


@dataclass(frozen=True)
class Scene:
    """All that is known before a path is looked at. `runs` is None where nobody may say."""

    settings: Settings
    spool: Spool
    runs: bool | None
    user: User
    state: Snapshot | None

    @cached_property
    def allows(self) -> Allows:
        return rights_of(self.user)

    @cached_property
    def inbox(self) -> "Looked":
        """The inbox as it is now. Raises `OSError` where it can't be listed."""
        return Looked(self)

    def asks_for_marker(self, path: str) -> bool:
        """Whether a pair that lies there is taken only with a marker."""
        return self.settings.rules().of(path).done_marker

    @cached_property
    def judged(self) -> Settings:
        """The settings, but with the models that the daemon has which runs, wherever it tells."""
        served = self.live.devices if self.live else ()
        if not served:
            return self.settings
        has = {task: model for device in served for task, model in device.models.items()}
        for_all = {f"{task}_model": self._model(task, has.get(task)) for task in get_args(Task)}
        tables = dict(self.settings.by_folder)
        for own in (own for device in served for own in device.folders if own.model):
            table = tables.get(own.folder) or FolderSettings()
            name = f"{own.task}_model"
            if getattr(table, name) is None:
                tables[own.folder] = table.model_copy(update={name: Path(str(own.model))})
        return self.settings.model_copy(update={**for_all, "by_folder": tables})

    def _model(self, task: Task, served: str | None) -> Path | None:
        """The path that is set; where none is, the words of the daemon, which no one opens."""
        if served is None:
            return None
        return self.settings.models().get(task, Path(served))

    @property
    def live(self) -> Snapshot | None:
        """What a daemon that runs and looks says of itself now."""
        state = self.state
        is_live = self.runs is not False and state and time.time() - state.at < SILENT_AFTER_S
        return state if is_live else None


def scene_of(settings: Settings, spool: Spool, uid: int) -> Scene:
    """See who works on a spool, as whom, and what he last told."""
    runs = is_worked(spool)
    try:
        state = read_state(spool.books)
    except OSError:
        state = None
    return Scene(settings, spool, runs, user_of(uid, state.pid if state and runs else None), state)


class Looked:
    """The inbox, looked at twice."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._now = 0.0
        deaf = scene.judged.model_copy(update={"events": False})
        self._inbox = Inbox(deaf, scene.spool.inbox, lambda: self._now)
        try:
            self._inbox.look()
            time.sleep(WATCHED_S)
            self._now = _LATER_S
            self._inbox.look()
        finally:
            self._inbox.close()
        self.folders = self._inbox.folders
        self.errors = {
            str(error.filename): error for f in self.folders.values() for error in f.errors
        }
        self._waiting = {waiting.path: waiting for waiting in self._inbox.waiting()}
        self._pairs = {
            entry.path: pair
            for pair in self._inbox.pairing.pairs
            for entry in (pair.picture, pair.companion, pair.marker)
            if entry
        }

    def entry(self, path: str) -> Entry | None:
        """The file of that path, if the scan takes it for a picture or a marker."""
        where, _, name = path.rpartition("/")
        folder = self.folders.get(where)
        if folder is None:
            return None
        kinds = (folder.pictures, folder.unreadable, folder.markers)
        return next((kind[name] for kind in kinds if name in kind), None)

    @cached_property
    def lonely(self) -> frozenset[str]:
        """The paths of all pictures and companions that have no partner, nor one too many."""
        alone = (each for each in self._waiting.values() if each.report.key in _LONELY)
        return frozenset(each.path for each in alone if each.path not in self._pairs)

    def pair_of(self, path: str) -> Pair | None:
        """The pair that a file belongs to."""
        return self._pairs.get(path)

    def below(self, folder: str) -> list[Verdict]:
        """What the daemon would do with all that lies in a folder and below, a pair once."""
        top = f"{folder}/" if folder else ""
        held = sorted(path for path in {*self._pairs, *self._waiting} if path.startswith(top))
        pairs = {id(pair): path for path in held if (pair := self._pairs.get(path))}
        once = set(pairs.values())
        return [self.verdict(p) for p in held if p in once or p not in self._pairs]

    def verdict(self, path: str) -> Verdict:
        """What the daemon would do with a file, or waits for."""
        pair = self._pairs.get(path)
        if pair is None:
            return Verdict(None, self._waiting.get(path))
        waits = self._first_waiting(pair)
        if waits is None or waits.report.key == "not_quiet":
            # Time alone heals that one, and none of these.
            later = self._lacks_rights(pair) or self._lacks_room(pair)
            if later is None and (told := self._told(pair)):
                return Verdict(pair, told, is_told=True)
            waits = later or waits or self._too_young(pair)
        return Verdict(pair, waits)

    def _first_waiting(self, pair: Pair) -> Waiting | None:
        paths = [entry.path for entry in pair.inputs]
        return next((self._waiting[path] for path in paths if path in self._waiting), None)

    def _lacks_rights(self, pair: Pair) -> Waiting | None:
        asked = Unclaimable(self._scene.spool.inbox, self._scene.allows)
        asked.lacks_rights(pair, self._now)
        return next(iter(asked.waiting()), None)

    def _lacks_room(self, pair: Pair) -> Waiting | None:
        error = _no_room(self._scene, pair)
        if error is None:
            return None
        asked = Unclaimable(self._scene.spool.inbox, self._scene.allows)
        asked.refuse(pair, error, self._now, others_go=True)
        return next(iter(asked.waiting()), None)

    def _told(self, pair: Pair) -> Waiting | None:
        """What only a try tells, as a daemon had it to tell when the pair was as it is now."""
        state = self._scene.state
        if state is None or _changed_at(self._scene.spool, pair) > state.at:
            return None
        known = {waiting.path: waiting for waiting in state.waiting}
        paths = [entry.path for entry in pair.inputs]
        found = next((known[path] for path in paths if path in known), None)
        return found if found and found.report.key not in _SEEN else None

    def _too_young(self, pair: Pair) -> Waiting | None:
        live, path = self._scene.live, pair.picture.path
        if live and (path in live.ready or any(path == job.picture for job in live.running)):
            return None
        period = max(self._inbox.quiet_period_of(folder) for folder in pair.folders)
        age = time.time() - _changed_at(self._scene.spool, pair)
        if not 0 <= age < period and not (live and path in live.settling):
            return None
        return Waiting(path, Report.of(Trouble("not_quiet", seconds=period)))


def _changed_at(spool: Spool, pair: Pair) -> float:
    """When a file of the pair was last written, moved or touched, by the file system's clock."""
    abouts = [Place(spool.inbox, entry.path).about() for entry in pair.inputs]
    if pair.mask_file is not None:
        real = Path(os.path.realpath(pair.mask_file))
        abouts.append(Place(real.parent, real.name).about())
    return max((max(about.st_mtime, about.st_ctime) for about in abouts if about), default=0.0)


def _no_room(scene: Scene, pair: Pair) -> OSError | None:
    """What a claim would meet on a mount in the inbox, as far as rights tell without a try."""
    mounts = mounts_below(scene.spool.inbox)
    for folder in sorted(pair.folders):
        mount = mount_of(folder, mounts)
        if not mount:
            continue
        place, hidden = Place(scene.spool.inbox, mount), scene.spool.jobs_on(mount)
        try:
            if os.statvfs(str(place)).f_flag & os.ST_RDONLY:
                return OSError(errno.EROFS, os.strerror(errno.EROFS), str(hidden))
            if hidden.is_there():
                if os.geteuid() == scene.user.uid:
                    files.require_private(hidden)
            elif not scene.allows(place, os.W_OK | os.X_OK):
                return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(hidden))
        except OSError as error:
            return error
    return None
