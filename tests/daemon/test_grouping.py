"""Pairs looked for group by group are those of all files together, and only changes cost."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pairing import PATHS

from daemon.intake import grouping
from daemon.intake.grouping import Groups
from daemon.intake.pairing import Pairing, pair_up
from daemon.intake.scan import Entry, Folder, Identity


def folders(paths: list[str], before: dict[str, Folder] | None = None) -> dict[str, Folder]:
    """The files by folder, as a survey keeps them: what has not changed is the same."""
    files: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for path in paths:
        folder, _, name = path.rpartition("/")
        files[folder][name] = Entry(path, Identity(1, 1, 10, 0))
    found = {}
    for folder, pictures in files.items():
        known = (before or {}).get(folder)
        same = known is not None and known.pictures == pictures
        found[folder] = Folder(pictures=known.pictures if known and same else pictures)
    return found


def settled(found: Pairing) -> tuple[set[object], set[object]]:
    return (
        {(pair.picture, pair.companion, pair.role, pair.task) for pair in found.pairs},
        {(waiting.path, waiting.report.trouble().sentence) for waiting in found.waiting},
    )


@given(st.lists(PATHS, max_size=4))
def test_the_pairs_of_all_groups_are_those_of_all_files(looks: list[list[str]]) -> None:
    groups = Groups()
    known: dict[str, Folder] = {}
    for paths in looks:
        known = folders(paths, known)
        entries = [Entry(path, Identity(1, 1, 10, 0)) for path in paths]
        assert settled(groups.pair_up(known)) == settled(pair_up(entries))


def test_only_the_group_in_which_a_file_changed_is_paired_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups = Groups()
    paths = [f"{day}/cat.jpg" for day in range(50)] + ["x/images/dog.jpg", "x/masks/dog.png"]
    known = folders(paths)
    first = groups.pair_up(known)
    assert len(first.pairs) == 1
    paired: list[list[str]] = []

    def counted(entries: list[Entry], *more: object) -> Pairing:
        files = list(entries)
        paired.append([entry.path for entry in files])
        return pair_up(files, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(grouping, "pair_up", counted)
    assert groups.pair_up(folders(paths, known)) is first
    assert paired == []
    found = groups.pair_up(folders([*paths, "7/cat_mask.png"], known))
    assert paired == [["7/cat.jpg", "7/cat_mask.png"]]
    assert len(found.pairs) == 2
    known = folders([path for path in paths if path != "x/images/dog.jpg"], known)
    assert groups.pair_up(known).pairs == ()
