"""Pairs, looked for anew only where files have changed.

The files of one folder, or of the folders of parallel trees that belong together, pair among
themselves and with no others: what is known of the rest stays true.
"""

from collections import defaultdict
from collections.abc import Mapping
from itertools import chain

from daemon.intake.matting import NO_FOLDERS, MattingFolders
from daemon.intake.pairing import Pairing, group_of, pair_up
from daemon.intake.scan import Entry, Folder

_Files = dict[str, Entry]


class Groups:
    """The pairings of all groups of folders, as of the last look."""

    def __init__(self, matting_folders: MattingFolders = NO_FOLDERS) -> None:
        self._matting_folders = matting_folders
        self._known: dict[str, tuple[list[_Files], Pairing]] = {}
        self._whole = Pairing((), ())

    def pair_up(self, folders: Mapping[str, Folder]) -> Pairing:
        """What `pair_up` finds in all of them; the very same object where nothing has changed."""
        before, self._known = self._known, {}
        is_changed = False
        for group, files in _by_group(folders).items():
            known = before.pop(group, None)
            if known is None or not _same(known[0], files):
                is_changed = True
                entries = chain.from_iterable(held.values() for held in files)
                known = files, pair_up(entries, self._matting_folders)
            self._known[group] = known
        if is_changed or before:
            pairings = [pairing for _, pairing in self._known.values()]
            self._whole = Pairing(
                tuple(chain.from_iterable(pairing.pairs for pairing in pairings)),
                tuple(chain.from_iterable(pairing.waiting for pairing in pairings)),
            )
        return self._whole


def _by_group(folders: Mapping[str, Folder]) -> dict[str, list[_Files]]:
    groups: defaultdict[str, list[_Files]] = defaultdict(list)
    for path, folder in folders.items():
        if folder.pictures:
            groups[group_of(path)].append(folder.pictures)
    return groups


def _same(before: list[_Files], now: list[_Files]) -> bool:
    """Whether these are the very same: an unchanged folder keeps its files."""
    return len(before) == len(now) and all(map(lambda a, b: a is b, before, now))
