"""Events only wake: what tells of a change rings, what does not stays silent."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from watchdog.events import FileDeletedEvent

from daemon.intake import hints
from daemon.intake.hints import Hints, filesystem_of, hears_events

PATIENCE_S = 10.0


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def bell(inbox: Path) -> Iterator[threading.Event]:
    """Rings when the inbox's watcher wakes somebody."""
    rung = threading.Event()
    watcher = Hints(inbox, rung.set)
    watcher.start()
    yield rung
    watcher.stop()


def settled(bell: threading.Event, inbox: Path) -> None:
    """Wait until the watcher has heard all that came before: events arrive in order."""
    (inbox / "marker").touch()
    assert bell.wait(PATIENCE_S)
    while bell.wait(0.15):
        bell.clear()


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


@pytest.mark.parametrize("change", [write, append, rename, move_in, move_folder_in])
def test_what_can_make_a_file_ready_wakes(
    inbox: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    (inbox / "there.jpg").write_bytes(b"x")
    (tmp_path / "outside.jpg").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "d.jpg").write_bytes(b"x")
    rung = threading.Event()
    watcher = Hints(inbox, rung.set)
    watcher.start()
    try:
        change(inbox)
        assert rung.wait(PATIENCE_S)
    finally:
        watcher.stop()


def test_a_file_in_a_folder_made_later_wakes(bell: threading.Event, inbox: Path) -> None:
    (inbox / "day 1").mkdir()
    settled(bell, inbox)
    (inbox / "day 1" / "a.jpg").write_bytes(b"x")
    assert bell.wait(PATIENCE_S)


def test_reading_and_listing_wake_nobody(bell: threading.Event, inbox: Path) -> None:
    (inbox / "a.jpg").write_bytes(b"x")
    settled(bell, inbox)
    for _ in range(20):
        (inbox / "a.jpg").read_bytes()
        os.listdir(inbox)
    assert not bell.wait(0.3)


def test_odd_names_wake_like_any(bell: threading.Event, inbox: Path) -> None:
    for name in (os.fsdecode(b"\xff.jpg"), "two\nlines.jpg", "👩‍👧.jpg", "a" * 251 + ".jpg"):
        settled(bell, inbox)
        (inbox / name).write_bytes(b"x")
        assert bell.wait(PATIENCE_S), name


def test_a_watcher_is_alive_until_it_is_stopped(inbox: Path) -> None:
    watcher = Hints(inbox, lambda: None)
    assert not watcher.alive()
    watcher.start()
    assert watcher.alive()
    watcher.stop()
    assert not watcher.alive()


def test_stopping_what_never_began_is_harmless(inbox: Path) -> None:
    Hints(inbox, lambda: None).stop()


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    watcher = Hints(tmp_path / "gone", lambda: None)
    with pytest.raises(FileNotFoundError):
        watcher.start()
    watcher.stop()


def test_the_handler_does_nothing_but_wake() -> None:
    woken: list[None] = []
    hints._Handler(lambda: woken.append(None)).on_any_event(FileDeletedEvent("gone"))
    assert woken == [None]


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "unknown"])
def test_local_file_systems_tell_of_changes(kind: str) -> None:
    assert hears_events(kind)


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fuse.rclone", "fuse"]
)
def test_file_systems_that_others_write_to_do_not(kind: str) -> None:
    assert not hears_events(kind)


def mounted(*mounts: tuple[str, str]) -> Callable[..., list[SimpleNamespace]]:
    return lambda **_: [SimpleNamespace(mountpoint=point, fstype=kind) for point, kind in mounts]


def test_the_innermost_mount_tells_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path.resolve()
    monkeypatch.setattr(
        psutil,
        "disk_partitions",
        mounted(("/", "ext4"), (str(folder), "nfs4"), (f"{folder}2", "cifs")),
    )
    assert filesystem_of(folder / "inbox") == "nfs4"
    assert filesystem_of(folder.parent) == "ext4"


def test_an_automounted_share_is_what_was_mounted_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = str(tmp_path.resolve())
    monkeypatch.setattr(
        psutil, "disk_partitions", mounted(("/", "ext4"), (point, "autofs"), (point, "cifs"))
    )
    assert filesystem_of(tmp_path) == "cifs"


def test_a_hidden_mount_table_gives_an_unknown_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", mounted())
    assert filesystem_of(tmp_path) == "unknown"


def test_a_link_is_followed_to_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path.resolve() / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    monkeypatch.setattr(psutil, "disk_partitions", mounted(("/", "ext4"), (str(real), "nfs")))
    assert filesystem_of(tmp_path / "link") == "nfs"
