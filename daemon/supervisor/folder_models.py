"""The models of folders: what workers are to load of them, and whose pictures wait for one.

Such a model is no reason to stop the others. Where a worker can't use it, its folder's pictures
wait; where it seems to have cost a worker its start, the next one goes without. When the file is
another, it is tried again.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from daemon.folders import OwnModel
from daemon.intake.pairing import Task
from daemon.reasons import Report, Trouble, one_line
from daemon.settings import Settings
from daemon.supervisor.member import Worker
from daemon.worker.protocol import FolderModel, Hello

Key = tuple[Task, str]
_Sign = tuple[int, ...] | None

# What was refused is looked at so often; a file that is the same at two looks is whole.
LOOK_EVERY_S: Final = 5.0
# Where its file stays as it is, what was in the way may have gone: want of memory, another model.
# It is tried again after so long, then after twice that, and so on.
FIRST_RETRY_S: Final = 600.0
LONGEST_RETRY_S: Final = 6 * 3600.0


class Wanted:
    """What workers are asked for, and what those that serve can't use."""

    def __init__(self, settings: Settings) -> None:
        self._own = settings.own_models()
        self._keys: tuple[Key, ...] = tuple(dict.fromkeys((m.task, m.path) for m in self._own))
        self._left_out: str | None = None
        self._refused: Mapping[Key, str] = {}
        self._tried: Mapping[Key, _Sign] = {}
        self._seen: Mapping[Key, _Sign] = {}
        self._look_at = float("-inf")
        self._retry_at: float | None = None
        self._retry_s = FIRST_RETRY_S

    def of_a_new_one(self, replaced: Sequence[Worker] | None = None) -> tuple[FolderModel, ...]:
        """What a worker that is started now is to load.

        One that replaces others, by a reload, is asked for all, and must be able to use what these
        can.
        """
        if self._left_out and replaced is None:
            return ()
        self._tried = _signs(self._keys)
        had = {key for w in replaced or () for key in self._keys if _uses(w.hello, key)}
        return tuple(FolderModel(task=k[0], path=k[1], must=k in had) for k in self._keys)

    def leave_out(self, why: str) -> None:
        """A worker died or hung as it loaded its models: the next ones go without folders'."""
        self._left_out = why

    def take_in_again(self) -> None:
        """Ask for all of them again: a worker has loaded them, or came up no better without."""
        self._left_out = None

    def wrong(self, hello: Hello) -> list[tuple[OwnModel, str]]:
        """What a worker can't use, by the tables that name it, and why."""
        lacking = self._lacking(hello)
        return [(own, lacking[own[1:]]) for own in self._own if own[1:] in lacking]

    def refused(self, serving: Iterable[Worker]) -> Mapping[Key, str]:
        """What one of those that serve can't use, and why; while none does, what was so before."""
        if not self._keys:
            return self._refused
        hellos = [worker.hello for worker in serving if worker.hello is not None]
        if hellos:
            self._refused = {k: why for each in hellos for k, why in self._lacking(each).items()}
        return self._refused

    def is_mended(self, now: float) -> bool:
        """Whether a file that could not be used is another by now, and nobody writes it any more;
        or whether it is time to try it again as it is.

        True once for each; `now` is monotonic, in seconds.
        """
        if not self._refused:
            self._retry_at, self._retry_s = None, FIRST_RETRY_S
            return False
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY_S
        return self._is_another() or self._is_due(now)

    def _is_due(self, now: float) -> bool:
        if not any(self._seen.values()):  # no file is there
            return False
        if self._retry_at is None:
            self._retry_at = now + self._retry_s
        if now < self._retry_at:
            return False
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        self._retry_at = now + self._retry_s
        return True

    def _is_another(self) -> bool:
        before, self._seen = self._seen, _signs(self._refused)
        found = {key: sign for key, sign in self._seen.items() if sign != self._tried.get(key)}
        is_mended = any(sign and sign == before.get(key) for key, sign in found.items())
        if is_mended:
            self._tried = {**self._tried, **found}
        return is_mended

    def _lacking(self, hello: Hello) -> dict[Key, str]:
        why = {(each.task, each.path): each.why for each in hello.refused}
        left_out = f"is left out: a worker that was to load it did not start ({self._left_out})."
        return {k: why.get(k, f"{k[1]}: {left_out}") for k in self._keys if not _uses(hello, k)}


class FolderModels:
    """Which model works a picture, and what it waits for where none can."""

    def __init__(self, settings: Settings) -> None:
        self.own = settings.own_models()
        self._tasks = frozenset(settings.models())
        self._rules = settings.rules()
        self._refused: Mapping[Key, str] = {}

    def follow(self, refused: Mapping[Key, str]) -> bool:
        """Heed what the workers can't use now; whether that is another than before."""
        is_other = refused != self._refused
        self._refused = refused
        return is_other

    def why_waiting(self, task: Task, picture: str) -> Report | None:
        """What a picture waits for, by its path; None where there is a model that can be used."""
        if not self.own:
            return None if task in self._tasks else Report.of(no_model(task))
        model = self._rules.of(picture).model(task)
        if model is None:
            return Report.of(no_model(task))
        why = self._refused.get((task, model))
        if why is None:
            return None
        return Report.of(Trouble("folder_model_unusable", detail=one_line(why)))


def no_model(task: Task) -> Trouble:
    """Why a pair waits for whose task nothing is configured."""
    name = "inpainting" if task == "inpaint" else "matting"
    return Trouble("no_model", task=name, setting=f"{task}_model")


def _signs(keys: Iterable[Key]) -> dict[Key, _Sign]:
    return {key: _sign_of(key[1]) for key in keys}


def _sign_of(path: str) -> _Sign:
    """What is another where a file, its owner or its rights are; None where it can't be seen."""
    try:
        about = os.stat(path)  # noqa: PTH116 - of a setting, which may be a link
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _uses(hello: Hello | None, key: Key) -> bool:
    return hello is not None and hello.own_model(*key) is not None
