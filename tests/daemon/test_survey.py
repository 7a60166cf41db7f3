"""A look at what rang knows as much as a walk through everything, and asks the disk for no more."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from floods import flood
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.intake.hints import Hints
from daemon.intake.scan import Folder, Survey, scan

NAMES = st.sampled_from(["a.jpg", "b.jpg", "a_mask.png", "film.gif", "notes.txt", "x.tmp"])
BELOW = st.sampled_from(["day", "night", "day/deep", "day/deep/er", "night/deep", "@eaDir"])
FOLDERS = st.one_of(st.just(""), BELOW)
Change = Callable[[Path], object]


def write(folder: str, name: str, content: bytes) -> Change:
    def change(root: Path) -> None:
        (root / "in" / folder).mkdir(parents=True, exist_ok=True)
        (root / "in" / folder / name).write_bytes(content)

    return change


def remove(folder: str, name: str) -> Change:
    return lambda root: (root / "in" / folder / name).unlink()


def rename(folder: str, name: str, to_folder: str, to: str) -> Change:
    return lambda root: (root / "in" / folder / name).replace(root / "in" / to_folder / to)


def remove_folder(folder: str) -> Change:
    return lambda root: shutil.rmtree(root / "in" / folder)


def move_folder(folder: str, to: str) -> Change:
    return lambda root: (root / "in" / folder).rename(root / "in" / to)


def carry_out(folder: str) -> Change:
    return lambda root: (root / "in" / folder).rename(root / "out")


def carry_in(folder: str) -> Change:
    return lambda root: (root / "out").rename(root / "in" / folder)


def write_outside(name: str) -> Change:
    """Where a folder was carried out, that may still be watched."""
    return lambda root: (root / "out" / name).touch()


def put_a_link(folder: str) -> Change:
    return lambda root: (root / "in" / folder).symlink_to(root / "secret")


CHANGES = st.one_of(
    st.builds(write, FOLDERS, NAMES, st.binary(max_size=3)),
    st.builds(write, FOLDERS, NAMES, st.binary(max_size=3)),
    st.builds(remove, FOLDERS, NAMES),
    st.builds(rename, FOLDERS, NAMES, FOLDERS, NAMES),
    st.builds(remove_folder, BELOW),
    st.builds(move_folder, BELOW, BELOW),
    st.builds(carry_out, BELOW),
    st.builds(carry_in, BELOW),
    st.builds(write_outside, NAMES),
    st.builds(put_a_link, BELOW),
)


class Observed:
    """An inbox that is walked once, and then looked at where it rang."""

    def __init__(self, inbox: Path) -> None:
        self.inbox = inbox
        self.survey = Survey(inbox)
        self.bell = Hints()
        with self.bell.watching_all() as watch:
            self.survey.whole(watch)

    def look(self) -> set[str]:
        """Look at what rang; returns the folders that were listed."""
        heard = self.bell.heard()
        assert heard.is_all
        return self.survey.part(heard.folders, heard.anew, self.bell.watch)


def known(folders: dict[str, Folder]) -> dict[str, Any]:
    return {
        path: (folder.pictures, folder.unreadable, folder.others, set(folder.folders))
        for path, folder in folders.items()
    }


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@contextmanager
def observing(inbox: Path) -> Iterator[Observed]:
    observed = Observed(inbox)
    try:
        yield observed
    finally:
        observed.bell.close()


@settings(deadline=None)
@given(st.lists(st.lists(CHANGES, max_size=4), max_size=8))
def test_looks_at_what_rang_know_what_a_walk_finds(rounds: list[list[Change]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        (root / "in" / "day" / "deep").mkdir(parents=True)
        (root / "secret").mkdir()
        (root / "secret" / "s.jpg").touch()
        with observing(root / "in") as observed:
            for changes in rounds:
                for change in changes:
                    with suppress(OSError):  # there is nothing to be changed so
                        change(root)
                observed.look()
                walked = Survey(root / "in")
                walked.whole()
                assert known(observed.survey.folders) == known(walked.folders)


def test_a_folder_that_takes_the_number_of_one_that_went_is_watched(inbox: Path) -> None:
    (inbox / "day").mkdir()
    with observing(inbox) as observed:
        for _ in range(20):
            (inbox / "day").rmdir()
            (inbox / "day").mkdir()  # ext4 gives it the same inode number
            observed.look()
            (inbox / "day" / "a.jpg").touch()
            assert "day" in observed.look()
            (inbox / "day" / "a.jpg").unlink()


def count(monkeypatch: pytest.MonkeyPatch, name: str) -> list[object]:
    """The first argument of each call of an `os` function from now on."""
    called: list[object] = []
    real = getattr(os, name)

    def counted(*args: Any, **more: Any) -> Any:
        called.append(args[0])
        return real(*args, **more)

    monkeypatch.setattr(os, name, counted)
    return called


def test_a_pair_among_many_folders_costs_a_listing_of_its_own(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(500):
        (inbox / "many" / f"folder {number}").mkdir(parents=True)
    with observing(inbox) as observed:
        opened, listed = count(monkeypatch, "open"), count(monkeypatch, "scandir")
        (inbox / "cat.jpg").touch()
        assert observed.look() == {""}
        assert len(listed) == 1
        (inbox / "many" / "folder 7" / "cat.jpg").touch()
        assert observed.look() == {"many/folder 7"}
        assert len(listed) == 2
        assert len(opened) < 10


def test_a_walk_opens_each_folder_once_and_from_the_one_that_holds_it(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / Path(*["d"] * 40)).mkdir(parents=True)
    opened = count(monkeypatch, "open")
    scan(inbox)
    assert opened == [inbox, ".", *["d"] * 40]


def test_a_folder_that_is_watched_already_is_not_watched_anew(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        (inbox / str(number)).mkdir()
    with observing(inbox) as observed:
        added: list[str] = []
        monkeypatch.setattr(
            "inotify_simple.INotify.add_watch", lambda _self, path, _mask: added.append(path)
        )
        with observed.bell.watching_all() as watch:
            observed.survey.whole(watch)
        assert added == []


def test_what_has_not_changed_is_the_very_same_after_a_walk(inbox: Path) -> None:
    (inbox / "day").mkdir()
    for name in ("a.jpg", "b.jpg", "day/c.jpg"):
        (inbox / name).touch()
    survey = Survey(inbox)
    survey.whole()
    before = dict(survey.folders)
    (inbox / "b.jpg").write_bytes(b"x")
    survey.whole()
    assert survey.folders["day"].pictures is before["day"].pictures
    assert survey.folders[""].pictures is not before[""].pictures
    assert survey.folders[""].pictures["a.jpg"] is before[""].pictures["a.jpg"]


def test_a_name_is_judged_once(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.jpg", "b.gif", "c.txt"):
        (inbox / name).touch()
    survey = Survey(inbox)
    survey.whole()
    judged: list[str] = []
    monkeypatch.setattr("daemon.intake.scan.kind_of", judged.append)
    survey.whole()
    assert judged == []
    assert [entry.path for entry in survey.scan().pictures] == ["a.jpg"]


def test_a_walk_that_fails_forgets_nothing(inbox: Path) -> None:
    (inbox / "a.jpg").touch()
    survey = Survey(inbox)
    survey.whole()
    inbox.rename(inbox.parent / "away")
    with pytest.raises(FileNotFoundError):
        survey.whole()
    assert [entry.path for entry in survey.scan().pictures] == ["a.jpg"]


def test_what_only_went_rings_for_nobody_and_is_known_at_the_next_look(inbox: Path) -> None:
    (inbox / "a.jpg").touch()
    with observing(inbox) as observed:
        (inbox / "a.jpg").unlink()
        assert not observed.bell.answer()
        (inbox / "b.jpg").touch()
        assert observed.bell.answer()
        observed.look()
        assert [entry.path for entry in observed.survey.scan().pictures] == ["b.jpg"]


def test_lost_events_are_known(inbox: Path) -> None:
    with observing(inbox) as observed:
        (inbox / "a.jpg").touch()
        (inbox / "b.jpg").touch()
        flood(inbox / "a.jpg", inbox / "b.jpg")
        assert observed.bell.answer()
        assert not observed.bell.heard().is_all
        assert observed.bell.heard().is_all
