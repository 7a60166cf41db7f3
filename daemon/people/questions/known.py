"""All files that are known: in the inbox, in work, in `failed/`; and those that the book tells of.

A file is told by the room and its path below that: the inbox and the path that it had there, as far
as that is known.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, Literal

from daemon.people.naming import nearest
from daemon.people.questions.answers import Step, no, note
from daemon.people.questions.elsewhere import records
from daemon.people.questions.ends import newest, why_unread
from daemon.people.questions.scene import Scene
from daemon.people.standing import advice_for_book
from daemon.places import Place
from daemon.reasons import one_line, world_trouble
from daemon.spool.fallen import Fallen, find_fallen

Room = Literal["inbox", "work", "outbox", "failed", "archive"]
Known = tuple[Room, str]
# What belongs together, the picture first.
Group = Sequence[Known]

# So far back in the book a name is looked for that is only nearly the asked one, in jobs.
_MOST_JOBS: Final = 5000


def roots(scene: Scene) -> dict[Room, Path]:
    """Where the rooms of a spool are."""
    spool = scene.spool
    return {
        "inbox": spool.inbox,
        "work": spool.work,
        "outbox": spool.outbox,
        "failed": spool.failed,
        "archive": spool.archive,
    }


def place_of(scene: Scene, known: Known) -> Place:
    """Where one is, or was."""
    room, path = known
    return Place(roots(scene)[room], path)


def lying(scene: Scene) -> Iterator[Group]:
    """All that lies in the inbox, is worked, or has failed; the notes on what failed as well."""
    yield from _in_inbox(scene)
    for record in records(scene):
        yield [("inbox", original.path) for original in record.originals]
    try:
        fallen = find_fallen(scene.spool)
    except OSError:
        return
    for each in fallen:
        yield list(_in_failed(each))


def booked(scene: Scene, holding: str = "") -> Iterator[Group]:
    """The pictures and what went with them in the book, in lines with a text, the newest first."""
    for ended in newest(scene, holding):
        paths = dict.fromkeys((ended.picture, ended.companion))
        yield [("inbox", path) for path in paths if _is_below(path)]


def published(scene: Scene, holding: str) -> Iterator[Group]:
    """The results in the book that lie in the outbox still, in lines with a text."""
    for ended in newest(scene, holding):
        outputs: list[Known] = [("outbox", path) for path in ended.outputs if _is_below(path)]
        yield [each for each in outputs if place_of(scene, each).is_there()]


def nowhere_steps(scene: Scene, path: str) -> Iterator[Step]:
    """Of a path in the inbox at which nothing lies, and which nobody knows: what is near."""
    groups = chain(lying(scene), islice(booked(scene), _MOST_JOBS))
    near = nearest(path, (str(place_of(scene, each)) for group in groups for each in group))
    for each in near:
        yield note("near", f"{one_line(each)} has nearly that name. Is it meant? Ask for it then.")
    says = "no such file lies in the inbox or in failed/, and the book tells of none."
    does = "Look how it is spelt" + ("." if near else ", or drop it anew.")
    unread = why_unread(scene)
    if unread is not None:
        says = "no such file lies in the inbox or in failed/; the book may tell more."
        does = f"Look how it is spelt, or ask as root or as {scene.user.name}, who may read it."
        if not isinstance(unread, PermissionError):
            trouble = world_trouble(unread)
            says += f" It can't be read: {trouble.sentence}"
            does = f"Look how it is spelt. {advice_for_book(trouble)}"
    yield no("file", says, does)


def _is_below(path: str) -> bool:
    """Not so of the mask of a folder, which lies elsewhere, nor of what a forged log has told."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")


def _in_inbox(scene: Scene) -> Iterator[Group]:
    try:
        folders = scene.inbox.folders
    except OSError:
        return
    for where, folder in sorted(folders.items()):
        for held in (folder.pictures, folder.unreadable, folder.markers, folder.others):
            for name in held:
                path = f"{where}/{name}" if where else name
                pair = scene.inbox.pair_of(path)
                if pair is None:
                    yield [("inbox", path)]
                elif pair.picture.path == path:
                    yield [("inbox", each.path) for each in (*pair.inputs, pair.marker) if each]


def _in_failed(fallen: Fallen) -> Iterator[Known]:
    both = zip(fallen.files, fallen.homes, strict=True)
    for file, home in sorted(both, key=lambda each: each[0] != fallen.picture):
        if fallen.is_placed:
            yield "inbox", home
        if not fallen.is_placed or file != home:
            yield "failed", file
    if fallen.note is not None:
        yield "failed", fallen.note.place.path
