"""What `retouchd check` says of the settings of folders: what each means, and whether it can."""

import os
from collections.abc import Iterator

from daemon.folders import FolderSettings, ModelTask, is_inside, told
from daemon.intake.matting import MattingFolders
from daemon.intake.names import kind_of
from daemon.people.checks.finding import Finding
from daemon.reasons import Trouble, one_line
from daemon.settings import Settings
from daemon.spool.jobs import open_mask


def check_folders(settings: Settings) -> Iterator[Finding]:
    """A finding for each folder that has settings of its own, in the order of the file."""
    named, inbox = MattingFolders(settings.by_folder), settings.folders()["inbox"]
    missing = named.missing(inbox)
    for name, table in settings.by_folder.items():
        wrong = _wrong(settings, name, table)
        says = "; ".join([*_in_words(table), *wrong])
        if name in missing:
            nearest = named.nearest(inbox, name)
            hint = f"; is {nearest} meant?" if nearest else ""
            says += f" (not in the inbox yet{hint})"
        yield Finding(_subject(name), not wrong, one_line(says))


def folder_subjects(settings: Settings) -> list[str]:
    """What the findings are called."""
    return [_subject(name) for name in settings.by_folder]


def _subject(name: str) -> str:
    return one_line(told(name))


def _in_words(table: FolderSettings) -> list[str]:
    """What a table says, key by key."""
    said = []
    if table.mask is not None:
        said.append(f"mask {table.mask.absolute()}" if table.mask else "no mask of the folder's")
    if table.alpha_as_mask is not None:
        said.append(f"{'' if table.alpha_as_mask else 'no '}holes drawn as transparency")
    if table.output_format is not None:
        said.append(f"results as {table.output_format}")
    if table.originals is not None:
        said.append(f"originals: {table.originals}")
    if table.done_marker is not None:
        said.append(f"{'a' if table.done_marker else 'no'} marker asked for")
    if table.inpaint_model is not None:
        said.append(f"holes filled by {table.inpaint_model.absolute()}")
    if table.matting_model is not None:
        said.append(f"cut out by {table.matting_model.absolute()}")
    return said or ["says nothing"]


def _wrong(settings: Settings, name: str, table: FolderSettings) -> list[str]:
    """What keeps the folder's pictures from being worked, with what to do."""
    wrong = []
    if table.mask:
        wrong += _wrong_mask(str(table.mask.absolute()))
    is_matting = any(is_inside(name, matting) for matting in settings.matting_folders)
    task: ModelTask = "matting" if is_matting else "inpaint"
    has_model = settings.rules().of_folder(name).model(task) is not None
    if (table.mask or table.alpha_as_mask) and not has_model:
        wrong.append(f"its pictures wait, as no {task}_model is set. Export one and set it.")
    return wrong


def _wrong_mask(mask: str) -> list[str]:
    try:
        os.close(open_mask(mask))
    except Trouble as trouble:
        return [f"{trouble.sentence} {trouble.advice}"]
    if kind_of(os.path.basename(mask)) != "picture":  # noqa: PTH119 - a path, and no file of ours
        return [f"{mask} is no picture by its name. Save it as PNG, TIFF, JPEG, WebP or BMP."]
    return []
