"""Which file a person means by a path: as it is written, from here, from the inbox on, or by name.

A name is looked for where it may lie: in the inbox, in work and in `failed/`; and last in the book.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daemon.people.naming import from_here, is_called
from daemon.people.questions.elsewhere import was_taken
from daemon.people.questions.known import Group, Room, booked, lying, place_of, published, roots
from daemon.people.questions.scene import Scene
from daemon.places import Place
from daemon.reasons import one_line
from daemon.spool.layout import HIDDEN_WORK


@dataclass(frozen=True)
class Meant:
    """A place in one of the rooms of a spool, be something there or not; `path` is below the room.

    Outside of them `path` is absolute. Where it can't be told which of several files is meant the
    room is `several`, `path` is what was asked for, and `others` are the paths of all.
    """

    room: Room | Literal["outside", "several"]
    path: str
    others: tuple[str, ...] = ()

    def place(self, scene: Scene) -> Place:
        """Where it is; what is several is nowhere but where it was asked for."""
        if self.room == "outside" or self.room == "several":
            path = Path(self.path).absolute()
            return Place(path.parent, path.name)
        return place_of(scene, (self.room, self.path))

    def told(self, scene: Scene) -> str:
        """The whole path; the name that was asked for, where that is one of several files."""
        return self.path if self.room == "several" else str(self.place(scene))


def find_meant(scene: Scene, asked: str) -> Meant:
    """The first of these that is there: the path as it is written, or from the current folder, in a
    room of the spool; the path in the inbox; the one file of that name in the inbox, in work or in
    `failed`; the path in the inbox, if a file of it was taken from there; the one of that name in
    the book; the path outside of the spool.

    Where nothing is there it is the path in the inbox, and an absolute path is only itself.
    """
    here = from_here(asked)
    written, below = _in_a_room(scene, here), _below(asked)
    if asked.startswith("/") or below is None:
        return written if _is_there(scene, written) else _shown_as(scene, written)
    in_inbox = Meant("inbox", below)
    inside = [] if written.room == "outside" else [written]
    for meant in (*inside, in_inbox, *_folders_elsewhere(scene, below)):
        if _is_there(scene, meant):
            return meant
    known = _of_that_name(scene, below)
    if known is not None:
        return known
    return written if inside or _is_there(scene, written) else in_inbox


def _in_a_room(scene: Scene, path: str) -> Meant:
    folder, name = os.path.split(path)
    for spelling in (path, f"{os.path.realpath(folder).rstrip('/')}/{name}"):
        for room, root in roots(scene).items():
            for top in dict.fromkeys((str(root), os.path.realpath(root))):
                if spelling == top or spelling.startswith(top.rstrip("/") + "/"):
                    below = spelling[len(top) :].strip("/")
                    if room == "inbox" and below.split("/")[0] == HIDDEN_WORK:
                        return Meant("work", below.partition("/")[2])
                    return Meant(room, below)
    if os.path.realpath(scene.spool.inbox).startswith(os.path.realpath(path).rstrip("/") + "/"):
        return Meant("inbox", "")  # of all that is in such a folder, only that is looked at
    return Meant("outside", path)


def _below(asked: str) -> str | None:
    """A relative path in one form; None where it leads up and out, or is the current folder."""
    path = os.path.normpath(asked)
    return None if path in (".", "..") or path.startswith("../") else path


def _is_there(scene: Scene, meant: Meant) -> bool:
    try:
        return meant.place(scene).is_there()
    except OSError:
        return True  # something is in the way, and that is told


def _folders_elsewhere(scene: Scene, below: str) -> Iterator[Meant]:
    """The folders of that path that are not in the inbox."""
    rooms: tuple[Room, ...] = ("failed", "outbox", "archive")
    for room in rooms:
        meant = Meant(room, below)
        if meant.place(scene).is_folder():
            yield meant


def _shown_as(scene: Scene, written: Meant) -> Meant:
    """What is shown as it is written, where nothing is called so."""
    if written.room not in ("inbox", "failed"):
        return written
    shown = str(written.place(scene))
    known = (each for group in lying(scene) for each in group)
    same = (each for each in known if one_line(str(place_of(scene, each))) == shown)
    return next((Meant(*each) for each in same), written)


def _of_that_name(scene: Scene, asked: str) -> Meant | None:
    """What the name is of: files that lie somewhere come before those that the book tells of."""
    holding = re.split(r"[.\\]", asked.rpartition("/")[2])[0]  # whatever its number or escapes
    return (
        _only(scene, asked, lying(scene))
        or (Meant("inbox", asked) if was_taken(scene, asked) else None)
        or _only(scene, asked, booked(scene, holding))
        or _only(scene, asked, published(scene, holding))
    )


def _only(scene: Scene, asked: str, groups: Iterable[Group]) -> Meant | None:
    """The file that is called so, of a pair the picture rather; or that there are several."""
    called = ((each for each in group if is_called(each[1], asked)) for group in groups)
    found = list(dict.fromkeys(filter(None, (next(each, None) for each in called))))
    if len(found) > 1:
        return Meant("several", asked, tuple(str(place_of(scene, each)) for each in found))
    return Meant(*found[0]) if found else None
