"""Which file a person means by a path: as it is written, from here, or from the inbox on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from daemon.people.questions.elsewhere import was_taken
from daemon.people.questions.scene import Scene
from daemon.places import Place
from daemon.spool.layout import HIDDEN_WORK

Room = Literal["inbox", "work", "outbox", "failed", "archive", "outside"]


@dataclass(frozen=True)
class Meant:
    """A place in one of the rooms of a spool, be something there or not; `path` is below the room.

    Outside of them `path` is absolute. `others` are files of the same name that may be meant too.
    """

    room: Room
    path: str
    others: tuple[str, ...] = ()

    def place(self, scene: Scene) -> Place:
        """Where it is."""
        if self.room == "outside":
            return Place(Path(self.path).parent, Path(self.path).name)
        return Place(_roots(scene)[self.room], self.path)


def find_meant(scene: Scene, asked: str) -> Meant:
    """The first of these that is there: the path as it is written, or from the current folder, in a
    room of the spool; the path in the inbox; a file of that name anywhere in the inbox; the path in
    the inbox, if a file of it was taken from there; the path outside of the spool.

    Where nothing is there it is the path in the inbox, and an absolute path is only itself.
    """
    here = os.path.abspath(asked)  # noqa: PTH100 - a link at its end is what is asked for
    written, below = _in_a_room(scene, here), _below(asked)
    if asked.startswith("/") or below is None:
        return written
    in_inbox = Meant("inbox", below)
    inside = [] if written.room == "outside" else [written]
    for meant in chain(inside, [in_inbox], _of_that_name(scene, below)):
        if _is_there(scene, meant):
            return meant
    if was_taken(scene, below) or not _is_there(scene, written):
        return in_inbox if written.room == "outside" else written
    return written


def _in_a_room(scene: Scene, path: str) -> Meant:
    folder, name = os.path.split(path)
    for spelling in (path, f"{os.path.realpath(folder).rstrip('/')}/{name}"):
        for room, root in _roots(scene).items():
            for top in dict.fromkeys((str(root), os.path.realpath(root))):
                if spelling == top or spelling.startswith(top.rstrip("/") + "/"):
                    below = spelling[len(top) :].strip("/")
                    if room == "inbox" and below.split("/")[0] == HIDDEN_WORK:
                        return Meant("work", below.partition("/")[2])
                    return Meant(room, below)
    return Meant("outside", path)


def _roots(scene: Scene) -> dict[Room, Path]:
    spool = scene.spool
    return {
        "inbox": spool.inbox,
        "work": spool.work,
        "outbox": spool.outbox,
        "failed": spool.failed,
        "archive": spool.archive,
    }


def _below(asked: str) -> str | None:
    """A relative path in one form; None where it leads up and out."""
    path = os.path.normpath(asked)
    return None if path == ".." or path.startswith("../") else path


def _is_there(scene: Scene, meant: Meant) -> bool:
    try:
        return meant.place(scene).is_there()
    except OSError:
        return True  # something is in the way, and that is told


def _of_that_name(scene: Scene, name: str) -> Iterator[Meant]:
    """Files in the inbox whose path ends like that, the shortest first."""
    try:
        folders = scene.inbox.folders
    except OSError:
        return
    tail = f"/{name}"
    found = sorted(
        (
            path
            for where, folder in folders.items()
            for held in (folder.pictures, folder.unreadable, folder.markers, folder.others)
            for each in held
            if (path := f"{where}/{each}" if where else each).endswith(tail)
        ),
        key=lambda path: (path.count("/"), path),
    )
    if found:
        yield Meant("inbox", found[0], tuple(found[1:]))
