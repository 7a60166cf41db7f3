"""An inbox with mounts inside it: each is judged by itself, and the rest is as if they were not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mounts import Mounts
from test_inbox import Watched

from daemon.supervisor import watch as module

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The folder behind a share: what is written here is seen there, and rings nowhere."""
    folder = tmp_path / "server"
    folder.mkdir()
    return folder


@pytest.fixture
def box(mounts: Mounts, server: Path, tmp_path: Path) -> Iterator[Watched]:
    """A local inbox with a share in its folder `scanner`."""
    mounts.bindfs(server, tmp_path / "inbox" / "scanner")
    watched = Watched(tmp_path / "inbox", events=True, quiet_period_s=None)
    yield watched
    watched.inbox.close()


def put(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"pixels")


def told(lines: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == event]


def test_the_log_says_once_for_each_mount_how_it_is_watched(box: Watched) -> None:
    lines = told(box.look(), "watching")
    keys = ("folder", "filesystem", "events", "interval_s", "quiet_period_s")
    assert [tuple(line[key] for key in keys) for line in lines] == [
        ("", "ext4", True, 10.0, 5.0),
        ("scanner", "fuse", False, 2.0, 10.0),
    ]
    assert told(box.look(after=10), "watching") == []


def test_a_share_is_listed_every_two_seconds_and_the_rest_where_it_rings(
    box: Watched, server: Path, listed: list[str]
) -> None:
    put(server / "day", "a.jpg")
    box.put("local/b.jpg")
    box.look()
    listed.clear()
    box.look(after=1)
    assert listed == []
    assert box.inbox.next_look == pytest.approx(box.clock.now + 1)
    box.look(after=1)
    assert listed == ["scanner", "day"]
    listed.clear()
    box.put("local/c.jpg")
    box.inbox.answer_bell()
    assert box.inbox.next_look <= box.clock.now + 0.1
    box.look(after=0.1)
    assert listed == ["local"]


def test_what_is_written_behind_the_back_of_a_share_is_taken_after_its_own_period(
    box: Watched, server: Path
) -> None:
    box.look()
    put(server / "new", "cat.jpg", "cat_mask.png")
    box.put("dog.jpg", "dog_mask.png")
    box.look(after=2)
    assert box.waiting() == {"dog.jpg": "not_quiet", "scanner/new/cat.jpg": "not_quiet"}
    seconds = {waiting.path: waiting.report.facts["seconds"] for waiting in box.inbox.waiting()}
    assert seconds == {"dog.jpg": 5, "scanner/new/cat.jpg": 10}
    box.look(after=5)
    assert box.taken() == ["dog.jpg"]
    for name in ("dog.jpg", "dog_mask.png"):
        (box.folder / name).unlink()
    box.look(after=4)
    assert box.taken() == []
    box.look(after=1)
    assert box.taken() == ["scanner/new/cat.jpg"]


def test_a_file_that_grows_on_a_share_is_not_taken_though_nothing_rings(
    box: Watched, server: Path
) -> None:
    put(server, "cat.jpg", "cat_mask.png")
    box.look()
    for _ in range(4):
        with (server / "cat.jpg").open("ab") as upload:
            upload.write(b"more")
        box.look(after=5)
        assert box.taken() == []
    box.look(after=5)
    assert box.taken() == []
    box.look(after=5)
    assert box.taken() == ["scanner/cat.jpg"]


def test_a_set_period_and_interval_hold_on_a_share_too(
    mounts: Mounts, server: Path, tmp_path: Path
) -> None:
    mounts.bindfs(server, tmp_path / "inbox" / "scanner")
    box = Watched(tmp_path / "inbox", events=True, quiet_period_s=3, scan_interval_s=30)
    try:
        terms = {(line["interval_s"], line["quiet_period_s"]) for line in box.look()}
        assert terms == {(30.0, 3.0)}
        put(server, "cat.jpg", "cat_mask.png")
        box.look(after=29)
        assert box.inbox.ready_count() == 0
        box.look(after=1)
        box.look(after=3)
        assert box.taken() == ["scanner/cat.jpg"]
    finally:
        box.inbox.close()


def test_a_disk_in_the_inbox_rings_by_itself(
    mounts: Mounts, tmp_path: Path, listed: list[str]
) -> None:
    mounts.tmpfs(tmp_path / "inbox" / "disk")
    box = Watched(tmp_path / "inbox", events=True, quiet_period_s=None)
    try:
        lines = told(box.look(), "watching")
        assert [(line["folder"], line["events"]) for line in lines] == [("", True), ("disk", True)]
        listed.clear()
        box.put("disk/cat.jpg", "disk/cat_mask.png")
        box.look(after=1)
        assert listed == ["disk"]
        box.look(after=5)
        assert box.taken() == ["disk/cat.jpg"]
    finally:
        box.inbox.close()


def test_a_mount_that_goes_and_comes_back_is_told_and_looked_at_anew(
    box: Watched, mounts: Mounts, server: Path
) -> None:
    put(server, "cat.jpg", "cat_mask.png")
    box.look()
    box.look(after=9)
    mounts.take_away(box.folder / "scanner")
    (line,) = told(box.look(after=2), "inbox_changed")
    assert (line["inbox"], line["filesystem"]) == (str(box.folder / "scanner"), "ext4")
    assert box.inbox.has_other_mounts
    assert box.inbox.ready_count() == 0
    box.look(after=60)
    assert not box.inbox.has_other_mounts
    mounts.bindfs(server, box.folder / "scanner")
    (line,) = told(box.look(after=10), "watching")
    assert (line["folder"], line["filesystem"]) == ("scanner", "fuse")
    assert box.inbox.has_other_mounts
    box.look(after=9)
    assert box.taken() == []
    box.look(after=1)
    assert box.taken() == ["scanner/cat.jpg"]


def test_a_disk_that_comes_in_place_of_another_of_its_kind_is_another(
    mounts: Mounts, tmp_path: Path
) -> None:
    one, two = mounts.tmpfs(tmp_path / "one"), mounts.tmpfs(tmp_path / "two")
    put(two / "day", "cat.jpg", "cat_mask.png")
    point = tmp_path / "inbox" / "scanner"
    mounts.bind(one, point)
    box = Watched(tmp_path / "inbox", events=True)
    try:
        box.look()
        box.look(after=10)
        assert not box.inbox.has_other_mounts
        mounts.take_away(point)
        mounts.bind(two, point)
        box.look(after=10)
        assert box.inbox.has_other_mounts
        box.look(after=5)
        assert box.taken() == ["scanner/day/cat.jpg"]
        box.look(after=10)
        assert not box.inbox.has_other_mounts
    finally:
        box.inbox.close()


@pytest.mark.parametrize("how", ["ro", "bind,ro"])
def test_pairs_on_a_read_only_disk_wait_until_it_is_writable_and_say_so(
    mounts: Mounts, tmp_path: Path, how: str
) -> None:
    disk = mounts.tmpfs(tmp_path / "inbox" / "scanner")
    put(disk, "cat.jpg", "cat_mask.png")
    box = Watched(tmp_path / "inbox", events=True)
    try:
        mounts.remount(disk, how)
        box.look()
        box.look(after=5)
        assert box.taken() == []
        assert box.waiting() == {"scanner/cat.jpg": "read_only"}
        mounts.remount(disk, how.replace("ro", "rw"))
        box.look(after=10)
        assert box.taken() == ["scanner/cat.jpg"]
    finally:
        box.inbox.close()


def test_a_disk_that_comes_is_noticed_by_the_next_walk_and_rings_from_then_on(
    mounts: Mounts, tmp_path: Path
) -> None:
    box = Watched(tmp_path / "inbox", events=True)
    try:
        box.put("disk/under.jpg", "disk/under_mask.png")
        box.look()
        assert box.inbox.ready_count() == 1
        mounts.tmpfs(box.folder / "disk")
        box.look(after=10)
        assert box.inbox.ready_count() == 0
        box.put("disk/cat.jpg", "disk/cat_mask.png")
        box.look(after=1)
        box.look(after=5)
        assert box.taken() == ["disk/cat.jpg"]
    finally:
        box.inbox.close()


def test_where_the_inbox_itself_is_deaf_all_of_it_is_walked(
    mounts: Mounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _path: "nfs4")
    mounts.tmpfs(tmp_path / "inbox" / "disk")
    box = Watched(tmp_path / "inbox", events=True, quiet_period_s=None)
    try:
        lines = told(box.look(), "watching")
        keys = ("folder", "events", "interval_s", "quiet_period_s")
        assert [tuple(line[key] for key in keys) for line in lines] == [
            ("", False, 2.0, 10.0),
            ("disk", False, 2.0, 5.0),
        ]
        box.put("disk/cat.jpg", "disk/cat_mask.png")
        box.look(after=2)
        box.look(after=5)
        assert box.taken() == ["disk/cat.jpg"]
    finally:
        box.inbox.close()
