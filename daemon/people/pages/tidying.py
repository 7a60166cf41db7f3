"""Removes from the gallery's folder those pages of ours that are no longer wanted.

Ours is what has our mark among its first bytes; whatever else has the name of a page stays.
"""

import os
from collections.abc import Iterable

from daemon.people.pages.albums import number_of
from daemon.people.pages.frame import is_own
from daemon.places import Place
from daemon.spool import files


def names_in(folder: Place) -> set[str]:
    """What lies in a folder; nothing where there is none, or none that may be looked into."""
    try:
        with folder.listable() as fd:
            return set(os.listdir(fd))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return set()


def tidy(folder: Place, names: Iterable[str], last: int) -> None:
    """Remove the numbered pages beyond the last one, and what a crash left hidden of any.

    Such pages are there where months were taken out of the book. Raises `OSError`.
    """
    for name in names:
        number = number_of(name)
        is_beyond = number is not None and number > last
        if is_beyond or name.startswith(files.HIDDEN_PREFIX):
            files.remove_own_page(folder / name, is_own)
