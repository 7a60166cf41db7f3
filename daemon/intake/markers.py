"""Which pairs are marked as complete, where the uploader is asked to say so.

A marker is a file beside the picture: `cat.jpg.done`, or `cat.done` where nothing else in the
folder bears that stem. Case and Unicode form may differ. Only its being there counts. A pair with
none waits for it; one with two waits until one is taken away, as nothing is ever guessed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from daemon.intake.names import folded, split_suffix
from daemon.intake.pairing import Pair, Pairing, Waiting, ambiguous
from daemon.intake.scan import Entry
from daemon.reasons import Report, one_line


class _Key(NamedTuple):
    folder: str
    name: str


def _everywhere(_path: str) -> bool:
    return True


def require_markers(
    pairing: Pairing,
    pictures: Iterable[Entry],
    markers: Iterable[Entry],
    is_asked_for: Callable[[str], bool] = _everywhere,
) -> Pairing:
    """The pairs that are marked, each with its marker; all else waits. Pure: names alone count.

    `pictures` are all the files that were paired. Where the path of a picture `is_asked_for` no
    marker, it needs none, and one there is passed over. Costs grow with the number of files alone.
    """
    bearers = _bearers(pictures)
    put = _by_key(marker for marker in markers if is_asked_for(marker.path))
    pairs: list[Pair] = []
    waiting = list(pairing.waiting)
    for pair in pairing.pairs:
        if not is_asked_for(pair.picture.path):
            pairs.append(pair)
            continue
        found = _markers_of(pair.picture, bearers, put)
        if len(found) == 1:
            pairs.append(replace(pair, marker=found[0], marker_tail=_tail(pair, found[0])))
        else:
            waiting.append(Waiting(pair.picture.path, _why_waiting(pair, found)))
    companions = {pair.companion.path for pair in pairing.pairs if pair.companion}
    for key, twins in put.items():
        named = [entry for entry in bearers.get(key, ()) if entry.path not in companions]
        if not named:
            waiting += [Waiting(marker.path, Report("marker_alone")) for marker in twins]
        elif not _is_told(key, named):
            waiting += [Waiting(marker.path, _one_of(marker, named)) for marker in twins]
    return Pairing(tuple(pairs), tuple(waiting))


def _bearers(pictures: Iterable[Entry]) -> dict[_Key, list[Entry]]:
    """The files that bear a name, be it as their whole name or as their stem."""
    bearers: dict[_Key, list[Entry]] = {}
    for entry in pictures:
        for key in _keys(entry):
            bearers.setdefault(key, []).append(entry)
    return bearers


def _by_key(markers: Iterable[Entry]) -> dict[_Key, list[Entry]]:
    put: dict[_Key, list[Entry]] = {}
    for marker in markers:
        put.setdefault(_keys(marker)[1], []).append(marker)
    return put


def _markers_of(
    picture: Entry, bearers: Mapping[_Key, list[Entry]], put: Mapping[_Key, list[Entry]]
) -> list[Entry]:
    whole, stem = _keys(picture)
    found = put.get(whole, [])
    return found + put.get(stem, []) if len(bearers[stem]) == 1 else found


def _is_told(key: _Key, named: list[Entry]) -> bool:
    """Whether the picture itself says what it waits for, if it does: the marker is only its own."""
    return len(named) == 1 or any(_keys(entry)[0] == key for entry in named)


def _keys(entry: Entry) -> tuple[_Key, _Key]:
    """A file's folder with its whole name, and with its stem."""
    folder, _, name = entry.path.rpartition("/")
    where = folded(folder)
    return _Key(where, folded(name)), _Key(where, folded(split_suffix(name)[0]))


def _tail(pair: Pair, marker: Entry) -> str:
    """What follows the common base in the marker's own name: `.jpg.done` or `.done` for `cat`."""
    name = marker.path.rpartition("/")[2]
    base = split_suffix(name)[0]
    if folded(base) == folded(pair.picture.path.rpartition("/")[2]):
        base = split_suffix(base)[0]
    return name[len(base) :]


def _why_waiting(pair: Pair, found: list[Entry]) -> Report:
    if found:
        return _one_of(pair.picture, found)
    name = pair.picture.path.rpartition("/")[2]
    return Report("marker_missing", {"name": one_line(name)})


def _one_of(entry: Entry, others: list[Entry]) -> Report:
    return ambiguous(entry.path, [entry.path, *(other.path for other in others)])
