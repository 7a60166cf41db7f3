"""A crash before every single call that changes the disk, and the restart after it.

Simulated: the call raises what nothing catches, so the order of calls is what is tried here. What a
kernel keeps of unsynced data is not.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mounts import Mounts
from test_jobs import MARKER, MASK, PICTURE, RESULT, produce, recover, tree

from daemon.folders import FolderRules, Rules
from daemon.intake.grouping import Groups
from daemon.intake.scan import Survey
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs
from daemon.spool.book import Book
from daemon.spool.entries import Facts
from daemon.spool.holding import remove_left_rooms
from daemon.spool.layout import HIDDEN_ROOMS, Spool, open_spool
from daemon.spool.record import Record

FACTS = Facts(4, 3, {"read": 0.5}, "tiny, fp32", "ab" * 32, "cpu")
CHANGING = ("replace", "rename", "link", "unlink", "fsync", "fchmod", "mkdir", "rmdir")


class Crash(BaseException):
    """No `except` of the daemon's catches this, as none catches a power cut."""


@dataclass(frozen=True)
class Layout:
    """Where a pair is dropped, with its marker if it has one, and which folders are mounts."""

    picture: str = "day 1/cat.jpg"
    companion: str = "day 1/cat_mask.png"
    marker: str = ""
    mounts: tuple[str, ...] = ()

    @property
    def results(self) -> dict[str, bytes]:
        """What the outbox holds in the end."""
        base = self.picture.removesuffix(".jpg")
        return {f"{base}.png": RESULT, f"{base}.log": b"log"}

    def drop(self, spool: Spool) -> None:
        contents = {self.picture: PICTURE, self.companion: MASK}
        if self.marker:
            contents[self.marker] = MARKER
        for path, content in contents.items():
            (spool.inbox / path).parent.mkdir(parents=True, exist_ok=True)
            (spool.inbox / path).write_bytes(content)


PLAIN = Layout()
MARKED = Layout(marker="day 1/cat.jpg.done")


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


def claim(spool: Spool) -> Record:
    survey = Survey(spool.inbox, with_markers=True)
    survey.whole()
    is_marked = any(folder.markers for folder in survey.folders.values())
    (pair,) = Groups(rules=FolderRules(Rules(done_marker=is_marked))).pair_up(survey.folders).pairs
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    return record


def succeed(spool: Spool) -> None:
    go_on(spool, claim(spool))


def go_on(spool: Spool, record: Record) -> None:
    record = jobs.begin_attempt(spool, record)
    jobs.publish_result(spool, record, produce(spool, record), "log", FACTS)


def give_back(spool: Spool) -> None:
    jobs.give_back(spool, jobs.begin_attempt(spool, claim(spool)))


def fail(spool: Spool) -> None:
    record = jobs.begin_attempt(spool, claim(spool))
    jobs.fail(spool, record, Trouble("mask_covers_everything"))


def places(spool: Spool) -> tuple[list[str], list[str], list[str]]:
    """In which of the spool's folders the picture, the mask and the marker are."""
    roots = {"inbox": spool.inbox, "work": spool.work, "archive": spool.archive}
    roots["failed"] = spool.failed
    found: dict[bytes, list[str]] = {PICTURE: [], MASK: [], MARKER: []}
    for name, root in roots.items():
        for path, content in tree(root).items():
            if content in found:
                found[content].append("work" if HIDDEN_ROOMS in path else name)
    return found[PICTURE], found[MASK], found[MARKER]


def check_after_crash(spool: Spool, layout: Layout = PLAIN) -> None:
    """Each of the files is in exactly one place, and what the outbox shows is whole.

    From a mount in the inbox it is copied, and is in two for as long as that takes. A marker goes
    when the result is there, and no sooner.
    """
    picture, mask, marker = places(spool)
    is_delivered = layout.results.keys() <= tree(spool.outbox).keys()
    assert len(marker) == bool(layout.marker) or (is_delivered and marker == [])
    for found in (picture, mask):
        is_being_copied = layout.mounts and found[:1] == ["work"]
        assert len(found) == 1 or (len(found) == 2 and is_being_copied), found
    for name, content in tree(spool.outbox).items():
        assert Path(name).name.startswith(".") or content in (RESULT, b"log"), name


def check_at_the_end(spool: Spool, layout: Layout = PLAIN) -> None:
    assert jobs_left(spool) == []
    assert list(spool.inbox.rglob(f"{HIDDEN_ROOMS}/*")) == []
    check_after_crash(spool, layout)
    outbox = tree(spool.outbox)
    picture, mask, marker = places(spool)
    assert picture == mask
    assert len(picture) == 1
    assert marker == (picture if layout.marker and picture != ["archive"] else [])
    if picture == ["archive"]:
        assert outbox == layout.results
    else:
        assert outbox == {}
        assert picture[0] in ("inbox", "failed")
    if picture == ["failed"]:
        assert f"{layout.picture}.reason.txt" in tree(spool.failed)
    check_book(spool, layout, picture[0])
    dropped = [layout.picture, layout.companion, *([layout.marker] if marker else [])]
    assert sorted(files_of_users(spool)) == sorted(dropped)


def check_book(spool: Spool, layout: Layout, home: str) -> None:
    """The book tells of a job that has ended, once and with all that is known, and of no other."""
    told = [
        (each.picture, each.outcome, set(each.outputs), each.facts, each.note)
        for each in Book(spool.books).newest()
    ]
    note = f"{layout.picture}.reason.txt"
    assert (
        told
        == {
            "archive": [(layout.picture, "done", layout.results.keys(), FACTS, None)],
            "failed": [(layout.picture, "failed", set(), None, note)],
            "inbox": [],
        }[home]
    )


def files_of_users(spool: Spool) -> list[str]:
    """The users' files under the names by which they now lie there, and no hidden ones beside."""
    roots = (spool.inbox, spool.archive, spool.failed)
    return [path for root in roots for path in tree(root) if not path.endswith(".reason.txt")]


def jobs_left(spool: Spool) -> list[str]:
    return [name for name in os.listdir(spool.work) if name[0] != "."]


def restart(spool: Spool) -> None:
    for record in recover(spool):
        go_on(spool, record)
    remove_left_rooms(spool)


def wipe(folder: Path) -> None:
    """Remove all that is in it but mount points."""
    for above, folders, names in os.walk(folder, topdown=False):
        for name in names:
            (Path(above) / name).unlink()
        for name in folders:
            with suppress(OSError):
                (Path(above) / name).rmdir()


def survive(
    root: Path, fuse: Fuse, live: Callable[[Spool], None], second: bool, layout: Layout = PLAIN
) -> int:
    """Live once for every k, crashing at the k-th call; returns how many crashes were survived."""
    survived = 0
    for k in range(10**6):
        wipe(root)
        spool = open_spool(Settings(spool=root))
        layout.drop(spool)
        fuse.left, fuse.count = k, 0
        try:
            live(spool)
        except Crash:
            survived += 1
        else:
            assert fuse.count == k
            return survived
        fuse.left = 10**9
        check_after_crash(spool, layout)
        if second:
            # Half-way through what is left to do, everything dies again.
            shutil.copytree(root, root.with_name("copy"), dirs_exist_ok=False)
            fuse.count = 0
            restart(spool)
            half = fuse.count // 2
            wipe(root)
            shutil.copytree(root.with_name("copy"), root, dirs_exist_ok=True)
            shutil.rmtree(root.with_name("copy"))
            fuse.left = half
            try:
                restart(spool)
            except Crash:
                survived += 1
            fuse.left = 10**9
            check_after_crash(spool, layout)
        restart(spool)
        check_at_the_end(spool, layout)
        restart(spool)
        check_at_the_end(spool, layout)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("second", [False, True], ids=["once", "and again at the restart"])
@pytest.mark.parametrize("live", [succeed, give_back, fail], ids=lambda f: f.__name__)
def test_a_crash_before_any_call_loses_nothing_and_makes_no_twin(
    tmp_path: Path, fuse: Fuse, live: Callable[[Spool], None], second: bool
) -> None:
    survived = survive(tmp_path / "spool", fuse, live, second)
    print(f"{live.__name__}: {survived} crashes survived")
    assert survived > 30


@pytest.mark.parametrize("live", [succeed, give_back, fail], ids=lambda f: f.__name__)
def test_a_crash_before_any_call_keeps_a_marker_with_its_pair(
    tmp_path: Path, fuse: Fuse, live: Callable[[Spool], None]
) -> None:
    survived = survive(tmp_path / "spool", fuse, live, False, MARKED)
    print(f"{live.__name__}, marked: {survived} crashes survived")
    assert survived > 30


BOTH_ON_ONE = Layout(mounts=("day 1",))
ONE_ON_EACH = Layout("images/cat.jpg", "masks/cat.png", mounts=("images", "masks"))
ONLY_MASK = Layout("images/cat.jpg", "masks/cat.png", mounts=("masks",))


@pytest.mark.parametrize(
    ("live", "layout"),
    [
        (succeed, BOTH_ON_ONE),
        (give_back, BOTH_ON_ONE),
        (fail, BOTH_ON_ONE),
        (succeed, ONE_ON_EACH),
        (give_back, ONLY_MASK),
    ],
    ids=lambda value: value.__name__ if callable(value) else ", ".join(value.mounts),
)
def test_crashes_with_mounts_in_the_inbox_lose_nothing_and_leave_no_folder(
    mounts: Mounts,
    tmp_path: Path,
    fuse: Fuse,
    live: Callable[[Spool], None],
    layout: Layout,
) -> None:
    root = tmp_path / "spool"
    for folder in layout.mounts:
        mounts.tmpfs(root / "inbox" / folder)
    survived = survive(root, fuse, live, True, layout)
    print(f"{live.__name__} over {layout.mounts}: {survived} crashes survived")
    assert survived > 40
