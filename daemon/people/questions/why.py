"""`retouchd why PATH`: why a file is not picked up, or what became of it, step by step.

Looks, and changes nothing. The first cross says what to do.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Final

from daemon.events import configure
from daemon.people.questions.answers import Answer, Step, in_words, no, note, yes
from daemon.people.questions.at_work import work_steps
from daemon.people.questions.elsewhere import became_of, in_archive, in_failed, in_outbox, in_work
from daemon.people.questions.in_inbox import inbox_steps
from daemon.people.questions.meant import Meant, find_meant
from daemon.people.questions.outside import outside_steps
from daemon.people.questions.scene import Scene, scene_of
from daemon.people.standpoint import seen_as
from daemon.people.telling import print_answer, print_as_json
from daemon.places import Place
from daemon.reasons import Trouble, one_line, world_trouble
from daemon.settings import Settings
from daemon.spool.looking import find_spool, worker_of

_MOST_LISTED: Final = 10


def answer_why(settings: Settings, paths: Sequence[str], *, as_json: bool) -> bool:
    """Print an answer for each path. False where a person must do something.

    Root looks as the user that runs the daemon, for what he may not read is what waits.
    """
    # The inbox is looked at by what else logs what it finds.
    configure(settings.log_format, "critical")
    spool, uid = find_spool(settings), worker_of(settings)
    scene = scene_of(settings, spool, os.geteuid() if uid is None else uid)
    is_well = True
    for path in paths:
        with seen_as(scene.user):
            answer = why(scene, path)
        (print_as_json if as_json else print_answer)(answer)
        is_well = is_well and not answer.needs_somebody
    return is_well


def why(scene: Scene, asked: str) -> Answer:
    """Answer for a path, as a person wrote it."""
    try:
        meant = find_meant(scene, asked)
        told = one_line(meant.told(scene))
    except (OSError, ValueError) as error:
        shown = one_line(asked)
        return Answer(shown, shown, (*_spool(scene), _in_the_way(asked, error)))
    return Answer(one_line(asked), told, tuple(_steps(scene, meant)))


def _steps(scene: Scene, meant: Meant) -> Iterator[Step]:
    yield from _spool(scene)
    try:
        yield from _about(scene, meant)
    except (OSError, ValueError) as error:
        yield _in_the_way(meant.path, error)


def _in_the_way(path: str, error: OSError | ValueError) -> Step:
    """A path that leads out of a room, or that no file can have, is an error of the world too."""
    if isinstance(error, OSError):
        return in_words("path", world_trouble(error))
    return in_words("path", Trouble("io_error", path=one_line(path), detail=str(error)))


def _about(scene: Scene, meant: Meant) -> Iterator[Step]:
    match meant.room:
        case "failed":
            yield from in_failed(scene, meant.path)
        case "outbox":
            yield from in_outbox(scene, meant.path)
        case "archive":
            yield from in_archive(scene, meant.path)
        case "work":
            yield from in_work(scene, meant.path)
            yield from work_steps(scene)
        case "several":
            yield from _several(meant.others)
        case "outside":
            yield from outside_steps(scene, meant.path)
        case "inbox":
            yield from _in_inbox(scene, meant.path)


def _in_inbox(scene: Scene, path: str) -> Iterator[Step]:
    place = Place(scene.spool.inbox, path)
    if place.is_folder():
        yield yes("path", _which_folder(path))
        yield from work_steps(scene)
        yield from inbox_steps(scene, path)
        return
    before = list(became_of(scene, path))
    if not place.is_there() and before:
        yield note("path", "it lies in the inbox no more.")
        if any(step.subject == "work" for step in before):
            yield from work_steps(scene)
        yield from before
        return
    if place.is_there():
        yield yes("path", f"it lies in the inbox, as {one_line(path)}.")
    yield from work_steps(scene)
    yield from inbox_steps(scene, path)
    # A name that comes again is told what became of the one before it; that is in nobody's way.
    yield from (note("before", step.says) for step in before if step.subject != "how")


def _which_folder(path: str) -> str:
    return f"it is a folder of the inbox, {one_line(path)}." if path else "it is the inbox itself."


def _several(paths: Sequence[str]) -> Iterator[Step]:
    does = "Ask for the one that is meant, by its whole path."
    yield no("path", f"{len(paths)} files are called so.", does)
    yield from (note("path", one_line(path)) for path in paths[:_MOST_LISTED])
    if len(paths) > _MOST_LISTED:
        yield note("path", f"and {len(paths) - _MOST_LISTED} more.")


def _spool(scene: Scene) -> Iterator[Step]:
    inbox = scene.spool.inbox
    if inbox.is_dir():
        yield yes("spool", f"the settings are read; the inbox is {one_line(str(inbox))}.")
    else:
        yield in_words("spool", Trouble("folder_missing", path=inbox))
