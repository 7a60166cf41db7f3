"""Failures that still are some: the picture has not been done since, and its files lie there."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from daemon.places import Place
from daemon.spool.entries import Ended
from daemon.spool.found_notes import find_note, lies_below


def not_done_since(newest: Iterable[Ended]) -> Iterator[Ended]:
    """Of jobs, the newest first, those that failed and were the last of their picture."""
    seen: set[str] = set()
    for ended in newest:
        if ended.picture not in seen:
            seen.add(ended.picture)
            if ended.outcome == "failed":
                yield ended


def still_lies(ended: Ended, failed: Path) -> bool:
    """Whether anything of a job that was given up is still in `failed`: a file that its note names,
    or, where that is gone, the picture. What can't be looked at is taken to be there."""
    try:
        note = None if ended.note is None else find_note(Place(failed, ended.note))
        if note is None:
            return Place(failed, ended.picture).is_there()
        return not note.files or any(lies_below(failed, line) for line in note.files)
    except (OSError, ValueError):  # or a name that no file can have
        return True
