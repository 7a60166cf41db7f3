"""Removes from the gallery's folder those pages of ours that are no longer wanted.

Ours is what has our mark among its first bytes; whatever else has the name of a page stays.
"""

import os
from collections.abc import Iterable, Iterator

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


def cut_short(names: set[str]) -> Iterator[str]:
    """The pages of which a crash may have left something hidden."""
    if any(name.startswith(files.HIDDEN_PREFIX) for name in names):
        yield from (name for name in names if number_of(name) is not None)


def end_exchange(page: Place) -> None:
    """End what a crash cut short of a page's writing: what was somebody else's is shown again."""
    files.end_page_exchange(page, is_own)


def unwanted(names: Iterable[str], last: int) -> Iterator[str]:
    """Those beyond the last page, as where months were taken out of the book, and what a crash may
    have left hidden of any."""
    for name in names:
        number = number_of(name)
        is_beyond = number is not None and number > last
        if is_beyond or name.startswith(files.HIDDEN_PREFIX):
            yield name


def remove_if_ours(place: Place) -> None:
    """Remove a page of ours; what is none stays. Raises `OSError`."""
    files.remove_own_page(place, is_own)
