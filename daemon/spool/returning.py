"""Returning: what lies in `failed/` goes back into the inbox, where it came from.

Each file is renamed by itself, the picture after what goes with it and a marker last, so a crash in
between leaves each in exactly one place, and the next try goes on from there. The note goes when
all it speaks of has gone, and then a folder that is left empty. No link is followed, and nothing is
ever replaced.
"""

import errno
import os
from contextlib import suppress

from daemon.places import Place
from daemon.spool import files
from daemon.spool.fallen import Fallen
from daemon.spool.found_notes import lies_below
from daemon.spool.layout import Spool


def return_to_inbox(spool: Spool, fallen: Fallen) -> bool:
    """Move files that failed together back into the inbox; on return that is on the disk. False
    where the very same files lay there already: then these are removed.

    Raises `FileExistsError`, with nothing moved, where another file lies in the place of one; and
    any other `OSError` with some of them moved, none of them lost.
    """
    moves = [
        (Place(spool.failed, path), Place(spool.inbox, home))
        for path, home in zip(fallen.files, fallen.homes, strict=True)
    ]
    is_there = [target.is_there() for _, target in moves]
    for source, target in moves:
        # What has its very content is what a crash left of a move to another file system.
        if target.is_there() and not files.is_same_content(source, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    for source, target in moves:
        files.make_folders(target.parent, spool.ownership)
        files.move(source, target)
        files.sync_folder(target.parent)
        files.sync_folder(source.parent)
    _remove_note(spool, fallen)
    for folder in {source.parent for source, _ in moves}:
        _remove_emptied(folder)
    return not all(is_there)


def _remove_emptied(folder: Place) -> None:
    """Remove a folder of `failed/` and those above it, as far as nothing is left in them.

    Should a daemon just then put a file into one, that fails or its move does, and is tried again.
    """
    with suppress(OSError):  # the files are back, and that was asked for
        while folder.path:
            files.remove_if_empty(folder)
            if folder.is_there():  # of thousands in it none is looked at
                return
            files.sync_folder(folder.parent)
            folder = folder.parent


def _remove_note(spool: Spool, fallen: Fallen) -> None:
    """Remove the note, unless it speaks of a file that is still there; it has been read by then."""
    note = fallen.note
    with suppress(OSError):  # the files are back, and that was asked for
        if note is not None and not any(lies_below(spool.failed, line) for line in note.files):
            files.remove_file(note.place)
            files.sync_folder(note.place.parent)
