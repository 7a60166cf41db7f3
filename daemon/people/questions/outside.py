"""Of a file that lies in none of the spool's folders: the mask of a folder, or nothing of ours."""

import os
from collections.abc import Iterator

from daemon.folders import WHOLE_INBOX
from daemon.people.questions.answers import Step, in_words, no, yes
from daemon.people.questions.scene import Scene
from daemon.reasons import Report, one_line
from daemon.supervisor.folder_masks import FolderMasks


def outside_steps(scene: Scene, path: str) -> Iterator[Step]:
    """What such a file is to the spool. `path` is absolute."""
    masks = {
        str(table.mask.absolute()): name
        for name, table in scene.settings.by_folder.items()
        if table.mask and os.path.realpath(table.mask) == os.path.realpath(path)
    }
    if not masks:
        yield no(
            "path",
            "it lies in none of the spool's folders, so retouchd knows nothing of it.",
            f"Put it into the inbox, {one_line(str(scene.spool.inbox))}, or below.",
        )
    for mask, name in masks.items():
        where = "the inbox" if name == WHOLE_INBOX else f"the folder {one_line(name)} of the inbox"
        yield yes("path", f"it is the mask of {where}, for pictures that have none of their own.")
        yield from _usable(scene, mask)


def _usable(scene: Scene, mask: str) -> Iterator[Step]:
    """Whether it can be opened, and what a daemon said of it that tried to use it."""
    why = FolderMasks(lambda: 0.0).why_waiting(mask) or _told(scene, mask)
    if why is None:
        yield yes("mask", "it can be opened.")
    else:
        yield in_words("mask", why.trouble())


def _told(scene: Scene, mask: str) -> Report | None:
    waiting = scene.live.waiting if scene.live else ()
    told = (each.report for each in waiting if each.report.key == "folder_mask_unusable")
    return next((each for each in told if each.facts.get("mask") == one_line(mask)), None)
