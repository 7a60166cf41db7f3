"""Hints only ring: for what tells of a change, once a round, and for what the round has seen."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.intake.hints import Hints
from daemon.intake.scan import scan


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def bell() -> Iterator[Hints]:
    hints = Hints()
    yield hints
    hints.close()


def look(bell: Hints, inbox: Path) -> None:
    bell.heard()
    with bell.watching_all() as watch:
        scan(inbox, watch)


def rings(bell: Hints) -> bool:
    """Whether it rings now; events are there when the call that made them returns."""
    return bool(select.select([bell], [], [], 0)[0])


def watches(bell: Hints) -> int:
    """How many inotify watches it has; see proc_pid_fdinfo(5)."""
    about = Path(f"/proc/self/fdinfo/{bell._inotify.fileno()}").read_text()
    return about.count("inotify wd:")


def write(inbox: Path) -> None:
    (inbox / "a.jpg").write_bytes(b"x")


def append(inbox: Path) -> None:
    with (inbox / "there.jpg").open("ab") as file:
        file.write(b"x")


def rename(inbox: Path) -> None:
    (inbox / "there.jpg").rename(inbox / "b.jpg")


def move_in(inbox: Path) -> None:
    (inbox.parent / "outside.jpg").rename(inbox / "c.jpg")


def move_folder_in(inbox: Path) -> None:
    (inbox.parent / "folder").rename(inbox / "folder")


def give_its_time(inbox: Path) -> None:
    """What Samba and rsync do last."""
    os.utime(inbox / "there.jpg", (1, 1))


def allow(inbox: Path) -> None:
    (inbox / "there.jpg").chmod(0o644)


@pytest.mark.parametrize(
    "change", [write, append, rename, move_in, move_folder_in, give_its_time, allow]
)
def test_what_can_make_a_file_ready_rings(
    bell: Hints, inbox: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    (inbox / "there.jpg").write_bytes(b"x")
    (tmp_path / "outside.jpg").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "d.jpg").write_bytes(b"x")
    look(bell, inbox)
    assert not rings(bell)
    change(inbox)
    assert rings(bell)


def test_a_file_in_a_folder_made_later_rings(bell: Hints, inbox: Path) -> None:
    look(bell, inbox)
    (inbox / "day 1").mkdir()
    assert rings(bell)
    look(bell, inbox)
    (inbox / "day 1" / "a.jpg").write_bytes(b"x")
    assert rings(bell)


def test_reading_and_listing_ring_for_nobody(bell: Hints, inbox: Path) -> None:
    (inbox / "a.jpg").write_bytes(b"x")
    (inbox / "day 1").mkdir()
    look(bell, inbox)
    (inbox / "a.jpg").read_bytes()
    look(bell, inbox)
    look(bell, inbox)
    assert not rings(bell)


def test_odd_names_ring_like_any(bell: Hints, inbox: Path) -> None:
    for name in (os.fsdecode(b"\xff.jpg"), "two\nlines.jpg", "👩‍👧.jpg", "a" * 251 + ".jpg"):
        look(bell, inbox)
        (inbox / name).write_bytes(b"x")
        assert rings(bell), name


def test_what_comes_while_the_round_goes_on_rings(bell: Hints, inbox: Path) -> None:
    """Nothing falls between the watching of a folder and its listing."""
    (inbox / "day 1").mkdir()

    def watch_and_write(fd: int, path: str) -> None:
        bell.watch(fd, path)
        if Path(f"/proc/self/fd/{fd}").readlink().name == "day 1":
            write(inbox / "day 1")

    bell.heard()
    with bell.watching_all():
        found = scan(inbox, watch_and_write)
    assert [entry.path for entry in found.pictures] == ["day 1/a.jpg"]
    assert rings(bell)


def test_a_thousand_changes_ring_once(bell: Hints, inbox: Path) -> None:
    look(bell, inbox)
    for number in range(1000):
        (inbox / f"{number}.jpg").touch()
        if number == 0:
            assert rings(bell)
            bell.answer()
        assert not rings(bell)
    look(bell, inbox)
    assert not rings(bell)  # what happened before the look, the look has seen
    write(inbox)
    assert rings(bell)


def test_a_folder_that_left_the_inbox_is_watched_no_more(
    bell: Hints, inbox: Path, tmp_path: Path
) -> None:
    (inbox / "day 1").mkdir()
    (inbox / "day 2").mkdir()
    look(bell, inbox)
    assert watches(bell) == 3
    (inbox / "day 1").rename(tmp_path / "day 1")
    (inbox / "day 2").rmdir()
    look(bell, inbox)
    assert watches(bell) == 1
    look(bell, inbox)
    write(tmp_path / "day 1")
    assert not rings(bell)


def test_a_folder_that_has_become_a_link_leads_no_watch_outside(
    bell: Hints, inbox: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (inbox / "day").symlink_to(outside)
    look(bell, inbox)
    assert watches(bell) == 1
    write(outside)
    assert not rings(bell)


def test_a_round_that_an_error_ends_forgets_no_folder(bell: Hints, inbox: Path) -> None:
    look(bell, inbox)
    with pytest.raises(RuntimeError), bell.watching_all():
        raise RuntimeError
    write(inbox)
    assert rings(bell)


def test_a_folder_that_cannot_be_watched_is_no_error_and_is_known(bell: Hints, inbox: Path) -> None:
    file = os.open(inbox.parent / "no folder", os.O_CREAT | os.O_RDONLY)
    with bell.watching_all() as watch:
        watch(file, "no folder")
    assert isinstance(bell.trouble, NotADirectoryError)
    os.close(file)
    look(bell, inbox)
    assert bell.trouble is None
    write(inbox)
    assert rings(bell)
