"""A crash before every single call that changes the disk, and the restart after it.

Simulated: the call raises what nothing catches, so the order of calls is what is tried here. What a
kernel keeps of unsynced data is not.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_jobs import MARKER, MASK, PICTURE, RESULT, drop, drop_marked, produce, recover, tree

from daemon.intake.pairing import Pair
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs
from daemon.spool.layout import Spool, open_spool
from daemon.spool.record import Record

Drop = Callable[[Spool, str], Pair]
Life = Callable[[Spool, Drop], None]

CHANGING = ("replace", "rename", "link", "unlink", "fsync", "fchmod", "mkdir", "rmdir")


class Crash(BaseException):
    """No `except` of the daemon's catches this, as none catches a power cut."""


class Fuse:
    """Counts the calls that change the disk; burns at the n-th, and stays burnt."""

    def __init__(self) -> None:
        self.left = 10**9
        self.count = 0

    def burn(self) -> None:
        self.count += 1
        self.left -= 1
        if self.left < 0:
            raise Crash

    def wrap(
        self, function: Callable[..., Any], changes: Callable[..., bool] = lambda *_: True
    ) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if changes(*arguments):
                self.burn()
            return function(*arguments, **options)

        return call


def is_creating(_path: object, flags: int, *_more: object) -> bool:
    """Folders are opened on the way to every file; that changes nothing."""
    return bool(flags & os.O_CREAT)


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuse]:
    fuse = Fuse()
    for name in CHANGING:
        monkeypatch.setattr(os, name, fuse.wrap(getattr(os, name)))
    monkeypatch.setattr(os, "open", fuse.wrap(os.open, changes=is_creating))
    monkeypatch.setattr(files._libc, "renameat2", fuse.wrap(files._libc.renameat2))
    yield fuse
    fuse.left = 10**9


def succeed(spool: Spool, put: Drop = drop) -> None:
    record = jobs.claim_pair(spool, put(spool, "day 1/cat"))
    assert record is not None
    go_on(spool, record)


def go_on(spool: Spool, record: Record) -> None:
    record = jobs.begin_attempt(spool, record)
    jobs.publish_result(spool, record, produce(spool, record), "log")


def give_back(spool: Spool, put: Drop = drop) -> None:
    record = jobs.claim_pair(spool, put(spool, "day 1/cat"))
    assert record is not None
    jobs.give_back(spool, jobs.begin_attempt(spool, record))


def fail(spool: Spool, put: Drop = drop) -> None:
    record = jobs.claim_pair(spool, put(spool, "day 1/cat"))
    assert record is not None
    jobs.fail(spool, jobs.begin_attempt(spool, record), Trouble("mask_covers_everything"))


def places(spool: Spool) -> tuple[list[str], list[str], list[str]]:
    """In which of the spool's folders the picture, the mask and the marker are."""
    roots = {"inbox": spool.inbox, "work": spool.work, "archive": spool.archive}
    roots["failed"] = spool.failed
    found: dict[bytes, list[str]] = {PICTURE: [], MASK: [], MARKER: []}
    for name, root in roots.items():
        for content in tree(root).values():
            if content in found:
                found[content].append(name)
    return found[PICTURE], found[MASK], found[MARKER]


def check_after_crash(spool: Spool, *, is_marked: bool = False) -> None:
    """Each of the files is in exactly one place, and what the outbox shows is whole.

    A marker goes when the result is there, and no sooner.
    """
    picture, mask, marker = places(spool)
    assert len(picture) == len(mask) == 1
    is_delivered = "day 1/cat.png" in tree(spool.outbox)
    assert len(marker) == is_marked or (is_delivered and marker == [])
    for name, content in tree(spool.outbox).items():
        assert Path(name).name.startswith(".") or content in (RESULT, b"log"), name


def check_at_the_end(spool: Spool, *, is_marked: bool = False) -> None:
    assert jobs_left(spool) == []
    check_after_crash(spool, is_marked=is_marked)
    outbox = tree(spool.outbox)
    picture, mask, marker = places(spool)
    assert picture == mask
    assert marker == (picture if is_marked and picture != ["archive"] else [])
    if picture == ["archive"]:
        assert outbox == {"day 1/cat.png": RESULT, "day 1/cat.log": b"log"}
    else:
        assert outbox == {}
        assert picture[0] in ("inbox", "failed")
    if picture == ["failed"]:
        assert "day 1/cat.jpg.reason.txt" in tree(spool.failed)


def jobs_left(spool: Spool) -> list[str]:
    return [name for name in os.listdir(spool.work) if name[0] != "."]


def restart(spool: Spool) -> None:
    for record in recover(spool):
        go_on(spool, record)


def survive(root: Path, fuse: Fuse, live: Life, put: Drop = drop, *, second: bool = False) -> int:
    """Live once for every k, crashing at the k-th call; returns how many crashes were survived."""
    is_marked = put is drop_marked
    survived = 0
    for k in range(10**6):
        shutil.rmtree(root, ignore_errors=True)
        spool = open_spool(Settings(spool=root))
        put(spool, "day 1/cat")
        fuse.left, fuse.count = k, 0
        try:
            live(spool, put)
        except Crash:
            survived += 1
        else:
            assert fuse.count == k
            return survived
        fuse.left = 10**9
        check_after_crash(spool, is_marked=is_marked)
        if second:
            # Half-way through what is left to do, everything dies again.
            shutil.copytree(root, root.with_name("copy"), dirs_exist_ok=False)
            fuse.count = 0
            restart(spool)
            half = fuse.count // 2
            shutil.rmtree(root)
            root.with_name("copy").rename(root)
            fuse.left = half
            try:
                restart(spool)
            except Crash:
                survived += 1
            fuse.left = 10**9
            check_after_crash(spool, is_marked=is_marked)
        restart(spool)
        check_at_the_end(spool, is_marked=is_marked)
        restart(spool)
        check_at_the_end(spool, is_marked=is_marked)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("second", [False, True], ids=["once", "and again at the restart"])
@pytest.mark.parametrize("live", [succeed, give_back, fail], ids=lambda f: f.__name__)
def test_a_crash_before_any_call_loses_nothing_and_makes_no_twin(
    tmp_path: Path, fuse: Fuse, live: Life, second: bool
) -> None:
    survived = survive(tmp_path / "spool", fuse, live, second=second)
    print(f"{live.__name__}: {survived} crashes survived")
    assert survived > 30


@pytest.mark.parametrize("live", [succeed, give_back, fail], ids=lambda f: f.__name__)
def test_a_crash_before_any_call_keeps_a_marker_with_its_pair(
    tmp_path: Path, fuse: Fuse, live: Life
) -> None:
    survived = survive(tmp_path / "spool", fuse, live, drop_marked)
    print(f"{live.__name__}, marked: {survived} crashes survived")
    assert survived > 30
