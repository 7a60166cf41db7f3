"""Pairs, looked for anew only where files have changed.

The files of one folder, or of the folders of parallel trees that belong together, pair among
themselves and with no others: what is known of the rest stays true.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from daemon.folders import FolderRules
from daemon.intake.alone import with_those_alone
from daemon.intake.markers import require_markers
from daemon.intake.matting import NO_FOLDERS, MattingFolders
from daemon.intake.pairing import Pairing, group_of, pair_up
from daemon.intake.scan import Entry, Folder

_Files = dict[str, Entry]


@dataclass(frozen=True, slots=True)
class _Group:
    """The files of the folders that belong together, a folder after the other."""

    pictures: list[_Files] = field(default_factory=list)
    markers: list[_Files] = field(default_factory=list)


class Groups:
    """The pairings of all groups of folders, as of the last look.

    The rules of folders say where a pair waits for its marker, and which pictures are complete
    alone.
    """

    def __init__(
        self, matting_folders: MattingFolders = NO_FOLDERS, rules: FolderRules | None = None
    ) -> None:
        self._matting_folders = matting_folders
        self._rules = rules or FolderRules()
        self._known: dict[str, tuple[_Group, Pairing]] = {}
        self._whole = Pairing((), ())

    def pair_up(self, folders: Mapping[str, Folder]) -> Pairing:
        """What `pair_up` finds in all of them; the very same object where nothing has changed."""
        before, self._known = self._known, {}
        is_changed = False
        for name, group in _by_group(folders).items():
            known = before.pop(name, None)
            if known is None or not _same(known[0], group):
                is_changed = True
                known = group, self._paired(group)
            self._known[name] = known
        if is_changed or before:
            pairings = [pairing for _, pairing in self._known.values()]
            self._whole = Pairing(
                tuple(chain.from_iterable(pairing.pairs for pairing in pairings)),
                tuple(chain.from_iterable(pairing.waiting for pairing in pairings)),
            )
        return self._whole

    def _paired(self, group: _Group) -> Pairing:
        pictures = _entries(group.pictures)
        pairing = pair_up(pictures, self._matting_folders)
        pairing = with_those_alone(pairing, pictures, self._rules, self._matting_folders)
        if not self._rules.ask_for_markers:
            return pairing
        markers = _entries(group.markers)
        return require_markers(pairing, pictures, markers, self._asks_for_marker)

    def _asks_for_marker(self, path: str) -> bool:
        return self._rules.of(path).done_marker


def _by_group(folders: Mapping[str, Folder]) -> dict[str, _Group]:
    groups: defaultdict[str, _Group] = defaultdict(_Group)
    for path, folder in folders.items():
        if folder.pictures:
            groups[group_of(path)].pictures.append(folder.pictures)
        if folder.markers:
            groups[group_of(path)].markers.append(folder.markers)
    return groups


def _entries(files: list[_Files]) -> list[Entry]:
    return list(chain.from_iterable(held.values() for held in files))


def _same(before: _Group, now: _Group) -> bool:
    """Whether these are the very same: an unchanged folder keeps its files."""
    return _are(before.pictures, now.pictures) and _are(before.markers, now.markers)


def _are(before: list[_Files], now: list[_Files]) -> bool:
    return len(before) == len(now) and all(map(lambda a, b: a is b, before, now))
