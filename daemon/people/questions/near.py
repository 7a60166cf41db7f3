"""What lies near and may have been meant: a name with a slip, a file in the wrong folder.

Only told, never acted on. Whether a file would fit if it lay elsewhere is asked of the pairing.
"""

import difflib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from daemon.intake.names import folded, kind_of, split_suffix
from daemon.intake.pairing import group_of, pair_up
from daemon.intake.scan import Entry, Identity
from daemon.people.questions.answers import Step, note
from daemon.people.questions.scene import Scene
from daemon.places import Place
from daemon.reasons import one_line

_MOST_TOLD: Final = 3
# Two letters that changed places in `cat_mask` leave 0.88; of `dog_mask` it shares 0.63.
_LIKENESS: Final = 0.8
_NOBODY: Final = Identity(0, 0, 1, 0)


def near_misses(scene: Scene, path: str, reason: str) -> Iterator[Step]:
    """What was looked for, and which of the files that pair with nothing come near to it."""
    if reason not in ("companion_missing", "picture_missing"):
        return
    wanted = _companions(path) if reason == "companion_missing" else _pictures(path)
    names = ", ".join(f"{one_line(stem)}.*" for stem in wanted)
    yield note("looked for", f"{names} (any suffix of a picture; upper or lower case).")
    found = (*_misspelt(scene, path, wanted), *_misplaced(scene, path))
    for near, says in islice(dict(found).items(), _MOST_TOLD):
        yield note("near", f"{one_line(near)} {says}")


def _companions(path: str) -> list[str]:
    stem = split_suffix(_split(path)[1])[0]
    return [f"{stem}{mark}{role}" for role in ("mask", "trimap") for mark in "_.-"]


def _pictures(path: str) -> list[str]:
    """The names, less their suffixes, of the pictures that a companion may belong to."""
    folder, name = _split(path)
    stem = split_suffix(name)[0]
    cuts = (stem[:at] for at, letter in enumerate(stem) if letter in "_.-")
    return [cut for cut in cuts if _are_pair(path, _join(folder, f"{cut}.jpg"))] or [stem]


def _are_pair(one: str, other: str) -> bool:
    return bool(pair_up([Entry(one, _NOBODY), Entry(other, _NOBODY)]).pairs)


def _misspelt(scene: Scene, path: str, wanted: list[str]) -> Iterator[tuple[str, str]]:
    """Files where the other one was looked for, the one with the likest name first."""
    folder, name = _split(path)
    own = folded(split_suffix(name)[0])
    stems = {folded(stem) for stem in wanted}
    found = []
    for where in _group(scene, folder):
        sought = stems if where == folder else stems | {own}
        for each in _names_in(scene, where):
            near = _join(where, each)
            likeness = _likeness(folded(split_suffix(each)[0]), sought)
            if near != path and likeness >= _LIKENESS and (says := _says(scene, near, likeness)):
                found.append((-likeness, near, says))
    yield from ((near, says) for _, near, says in sorted(found))


def _says(scene: Scene, near: str, likeness: float) -> str | None:
    if kind_of(_split(near)[1]) != "picture":
        is_it = likeness == 1 or kind_of(split_suffix(_split(near)[1])[0]) == "picture"
        return "is no picture by its suffix. Is it meant?" if is_it else None
    if scene.inbox.entry(near) is None:
        return "is no regular file, such as the scan takes."
    if near in scene.inbox.lonely:
        return "has a name much like it. Is it meant? Then rename it."
    return None


def _misplaced(scene: Scene, path: str) -> Iterator[tuple[str, str]]:
    """Files in other folders that would pair with it if they lay in its own."""
    folder, name = _split(path)
    base = folded(split_suffix(name)[0])
    for other in scene.inbox.lonely:
        where, each = _split(other)
        stem = folded(split_suffix(each)[0])
        if where == folder or not (base.startswith(stem) or stem.startswith(base)):
            continue
        if _are_pair(path, _join(folder, each)):
            yield other, "would fit, but lies in another folder. Is it meant? Then move it."


def _group(scene: Scene, folder: str) -> list[str]:
    """The folders in which the other one of the pair may lie."""
    group = group_of(folder)
    return [folder, *(f for f in scene.inbox.folders if f != folder and group_of(f) == group)]


def _likeness(stem: str, sought: set[str]) -> float:
    match = difflib.SequenceMatcher(autojunk=False)
    match.set_seq2(stem)
    best = 0.0
    for each in sought:
        match.set_seq1(each)
        if match.real_quick_ratio() >= _LIKENESS:
            best = max(best, match.ratio())
    return best


def _names_in(scene: Scene, folder: str) -> list[str]:
    try:
        return sorted(name for name, _ in Place(scene.spool.inbox, folder).listing())
    except OSError:
        return []


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
