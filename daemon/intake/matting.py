"""Matting folders: where in the inbox a mask means cut out rather than retouch.

Which they are is a setting. None is one unless it is named: a mask in a folder that happens to be
called `matting` fills holes like any other.
"""

import difflib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from daemon.intake.names import folded, is_junk_folder
from daemon.places import Place

WHOLE_INBOX: Final = "."


class MattingFolders:
    """The folders of the setting: paths below the inbox, with `/`, or `.` for all of it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._folded = tuple(folded(name) for name in self.names)

    def hold(self, path: str) -> bool:
        """Whether a file lies in one of them or anywhere below, however the path is spelt."""
        if not self._folded:
            return False
        place = folded(path)
        return any(name == WHOLE_INBOX or place.startswith(f"{name}/") for name in self._folded)

    def missing(self, inbox: Path) -> list[str]:
        """Those of which there is no folder in the inbox now."""
        return [
            name
            for name, spelling in zip(self.names, self._folded, strict=True)
            if spelling != WHOLE_INBOX and not _is_there(Place(inbox), spelling.split("/"))
        ]

    def nearest(self, inbox: Path, name: str) -> str | None:
        """The folder of the inbox, as deep as `name` and none of these, that is named most like it.

        None where no name is like it.
        """
        paths = _folders(Place(inbox), name.count("/") + 1)
        there = {folded(path): path for path in paths if not self.hold(f"{path}/")}
        close = difflib.get_close_matches(folded(name), there, n=1)
        return there[close[0]] if close else None


NO_FOLDERS: Final = MattingFolders(())


def _folders(folder: Place, depth: int) -> Iterator[str]:
    """The folders that lie exactly so deep below one; what can't be listed has none."""
    if depth == 0:
        yield ""
        return
    for name in sorted(_folders_in(folder)):
        for below in _folders(folder / name, depth - 1):
            yield f"{name}/{below}" if below else name


def _is_there(folder: Place, below: list[str]) -> bool:
    if not below:
        return True
    alike = [name for name in _folders_in(folder) if folded(name) == below[0]]
    return any(_is_there(folder / name, below[1:]) for name in alike)


def _folders_in(folder: Place) -> list[str]:
    try:
        found = folder.listing()
    except OSError:
        return []
    return [
        name
        for name, about in found
        if isinstance(about, os.stat_result)
        and stat.S_ISDIR(about.st_mode)
        and not is_junk_folder(name)
    ]
