"""Pictures without a companion, in folders whose settings say where the hole is.

A folder's mask, or a picture's own transparency, makes a job of a picture that is alone. A
companion of its own wins: who has one is none of these, and neither is who is in doubt between
several, nor a mask or trimap that waits for its picture.
"""

from collections.abc import Iterable
from typing import Final

from daemon.folders import FolderRules
from daemon.intake.matting import MattingFolders
from daemon.intake.names import split_suffix
from daemon.intake.pairing import Pair, Pairing, Task, Waiting
from daemon.intake.scan import Entry
from daemon.reasons import Report, one_line

# What can't be transparent; a file of another name is believed until it is read.
_OPAQUE_SUFFIXES: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp")


def with_those_alone(
    pairing: Pairing, pictures: Iterable[Entry], rules: FolderRules, matting_folders: MattingFolders
) -> Pairing:
    """The pairs, and with them the pictures that wait for a companion and need none. Pure.

    `pictures` are all the files that were paired.
    """
    if not rules.give_holes:
        return pairing
    entries = {entry.path: entry for entry in pictures}
    pairs, waiting = list(pairing.pairs), []
    for each in pairing.waiting:
        found: Pair | Waiting = each
        if each.report.key == "companion_missing":
            found = _alone(entries[each.path], rules, matting_folders) or each
        if isinstance(found, Pair):
            pairs.append(found)
        else:
            waiting.append(found)
    return Pairing(tuple(pairs), tuple(waiting))


def _alone(
    picture: Entry, rules: FolderRules, matting_folders: MattingFolders
) -> Pair | Waiting | None:
    """The job that a picture is by itself, or why it is none; None where no folder says so."""
    of_folder = rules.of(picture.path)
    stem, suffix = split_suffix(picture.path.rpartition("/")[2])
    if of_folder.mask is not None:
        task: Task = "matting" if matting_folders.hold(picture.path) else "inpaint"
        return Pair(picture, None, "mask", task, suffix, "", mask_file=of_folder.mask)
    if not of_folder.alpha_as_mask:
        return None
    if suffix.lower() in _OPAQUE_SUFFIXES:
        facts = {"suffix": one_line(suffix), "stem": one_line(stem)}
        return Waiting(picture.path, Report("cannot_be_transparent", {**facts}))
    return Pair(picture, None, "mask", "inpaint", suffix, "")
