"""An attacker swaps a file or folder between a check and its use, at every moment of a job's life.

Users may write in the inbox, the outbox, the archive and failed, so that is where the attacker is;
`work` is private. Whatever is swapped for whatever, and whenever: nothing outside is opened or
changed, no file is lost or overwritten, no call hangs, and no job is stuck.
"""

import ctypes
import errno
import hashlib
import logging
import os
import random
import shutil
import signal
import stat
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from attacker import PLANTED, Kind, Tripwire, kinds, put
from outside import PRECIOUS, Outside, seen
from test_jobs import MASK, PICTURE, RESULT, drop, saved

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan
from daemon.reasons import Report, Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs
from daemon.spool.book import FOLDER
from daemon.spool.layout import Spool, open_spool
from daemon.spool.record import Output, Record, State
from daemon.spool.recovery import recover

JOB = "20261122T000000-00000000"
LOG, EARLIER = b"log", b"the result of an earlier try"
SUFFIXES = {"log": "log", "result": "png"}
# No call may wait for anything; this is for a machine that is busy with others.
PATIENCE_S = 20


def succeed(spool: Spool) -> None:
    record = claimed(spool)
    if record:
        go_on(spool, record)


def give_back(spool: Spool) -> None:
    record = claimed(spool)
    if record:
        jobs.give_back(spool, record)


def fail(spool: Spool) -> None:
    record = claimed(spool)
    if record:
        jobs.fail(spool, record, Trouble("mask_covers_everything"))


def restart(spool: Spool) -> None:
    """What a daemon does that is started after a crash."""
    for record in recover(spool).to_run:
        go_on(spool, record)


def claimed(spool: Spool) -> Record | None:
    for pair in pair_up(scan(spool.inbox).pictures).pairs:
        record = jobs.claim_pair(spool, pair)
        if record:
            return jobs.begin_attempt(spool, record)
    return None


def go_on(spool: Spool, record: Record) -> None:
    opened = jobs.open_for_work(spool, record, ["result"])
    contents = [os.read(fd, 100) for fd in opened[:-1]]
    os.write(opened[-1], RESULT)
    for fd in opened:
        os.close(fd)
    if not jobs.inputs_unchanged(spool, record):
        jobs.give_back(spool, record)
        return
    assert not any(content.startswith(PRECIOUS) for content in contents)
    jobs.publish_result(spool, record, [("result", ".png")], LOG.decode())


def from_the_inbox(spool: Spool) -> None:
    drop(spool, "day/cat")


def in_the_midst_of_publishing(spool: Spool) -> None:
    """The log is published, and the result of an earlier try, which is to be replaced."""
    record = claim(spool)
    out, there = Path(str(spool.job(record.job))) / "out", spool.outbox / "day"
    there.mkdir()
    for name, content, published in (("log", LOG, LOG), ("result", RESULT, EARLIER)):
        (out / name).write_bytes(content)
        (there / f"cat.{SUFFIXES[name]}").write_bytes(published)
    outputs = tuple(
        Output(name, f".{suffix}", sha256(content), f"day/cat.{suffix}", replaces)
        for name, suffix, content, replaces in (
            ("log", "log", LOG, None),
            ("result", "png", RESULT, sha256(EARLIER)),
        )
    )
    saved(spool, record, state=State.OUTBOX, outputs=outputs)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def claim(spool: Spool) -> Record:
    record = jobs.claim_pair(spool, drop(spool, "day/cat"))
    assert record is not None
    return record


def in_the_midst_of(state: State) -> Callable[[Spool], None]:
    def prepare(spool: Spool) -> None:
        report = Report("corrupt") if state is State.FAILED else None
        saved(spool, claim(spool), state=state, report=report)

    return prepare


FOLDERS = ("inbox/day", "outbox/day", "archive/day", "failed/day")
FILES = (
    *("inbox/day/cat.jpg", "inbox/day/cat_mask.png"),
    *("outbox/day/cat.png", "outbox/day/cat.log"),
    *(f"outbox/day/.retouchd-{JOB}-{name}" for name in ("0", "1", "1-whole")),
    *("archive/day/cat.jpg", "archive/day/cat_mask.png"),
    f"archive/day/.retouchd-{JOB}-picture",
    *("failed/day/cat.jpg", "failed/day/cat_mask.png", "failed/day/cat.jpg.reason.txt"),
)
# Where a folder is wanted, all that is none is alike to the kernel.
FOR_FOLDERS: tuple[Kind, ...] = (
    *("nothing", "a file", "a folder", "a pipe", "a link outside", "a link to what was there"),
)


@dataclass(frozen=True)
class Life:
    """What a job has behind it, and what it lives through while the attacker looks on."""

    begin: Callable[[Spool], None]
    live: Callable[[Spool], None]
    archive_elsewhere: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """What is worth a swap: on another disk, what differs there."""
        roots = "archive" if self.archive_elsewhere else ("inbox", "outbox", "archive", "failed")
        return tuple(place for place in FOLDERS + FILES if place.startswith(roots))


LIVES = {
    "done": Life(from_the_inbox, succeed),
    "done, the archive on another disk": Life(from_the_inbox, succeed, archive_elsewhere=True),
    "given back": Life(from_the_inbox, give_back),
    "failed": Life(from_the_inbox, fail),
    "restarted while claimed": Life(in_the_midst_of(State.INBOX), restart),
    "restarted while published": Life(in_the_midst_of_publishing, restart),
    "restarted while failed": Life(in_the_midst_of(State.FAILED), restart),
}


@dataclass
class Trial:
    """A spool of its own, and the attacker's."""

    root: Path
    life: Life
    disk: Path
    outside: Outside
    planted: list[tuple[Kind, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shared = (self.disk if self.life.archive_elsewhere else self.root) / "shared"
        self.shared.write_bytes(b"has another name inside")
        self.attic = self.root / "attic"
        self.attic.mkdir()
        settings = Settings(spool=self.root / "spool")
        if self.life.archive_elsewhere:
            settings = Settings(spool=self.root / "spool", archive=self.disk / "archive")
        self.spool = open_spool(settings)
        self.life.begin(self.spool)

    def path(self, place: str) -> Path:
        root, _, below = place.partition("/")
        return Path(getattr(self.spool, root)) / below

    def act(self, place: str, kind: Kind) -> None:
        """Take away what lies at a place, and put something there, if its folder is there."""
        path = self.path(place)
        if not path.parent.is_dir() or path.parent.resolve() != path.parent:
            return  # through a link of his own he would reach what is outside himself
        was = self.attic / str(len(self.planted))
        if os.path.lexists(path):
            if place.startswith("archive") and self.life.archive_elsewhere:
                was = path.parent / f"taken {was.name}"
            path.rename(was)
        self.planted.append((kind, place))
        try:
            put(kind, path, was, self.outside, self.shared, for_folder=place in FOLDERS)
        except OSError as error:
            raise AssertionError("the attacker is no good") from error

    def live(self, wire: Tripwire, acts: Mapping[int, Callable[[], None]]) -> None:
        """Live while the attacker acts; then restart, with all that was planted left in place."""
        shared = seen(self.shared)
        with impatience():
            with wire.armed(acts), suppress(OSError, Trouble):
                self.life.live(self.spool)
            restart(self.spool)
            restart(self.spool)
        self.outside.check()
        assert seen(self.shared) == shared
        self.check()

    def check(self) -> None:
        assert [name for name in os.listdir(self.spool.work) if name not in ("lock", FOLDER)] == []
        found = Counter(content for _, content in self.files())
        for original in (PICTURE, MASK):
            # What the attacker takes away while it is copied to another disk is copied again.
            most = 1 + len(self.planted) if self.life.archive_elsewhere else 1
            assert 1 <= found[original] <= most, (original, self.listing())
        archived = [path for path, content in self.files() if content in (PICTURE, MASK)]
        if any(path.is_relative_to(self.spool.archive) for path in archived):
            assert found[RESULT] >= 1, self.listing()
        for kind, place in self.planted:
            # Under a hidden name of ours, or that of a note of ours, nobody else keeps anything.
            if kind in ("a file", "a folder") and ".retouchd" not in place:
                assert found[PLANTED] >= 1 or place.endswith("reason.txt"), self.listing()
        for path, _ in self.files():
            if path.name == "note":  # set-group-ID comes with the folder above
                mode = stat.S_IMODE(path.parent.stat().st_mode)
                assert mode & ~stat.S_ISGID == 0o755, f"{path.parent} has mode {mode:o}"

    def files(self) -> list[tuple[Path, bytes]]:
        """All regular files but what lies outside."""
        roots = {self.spool.inbox, self.spool.outbox, self.spool.archive, self.spool.failed}
        return [
            (path, path.read_bytes())
            for root in (*roots, self.attic, self.spool.work)
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink() and path.name != "lock"
            if path.parent.name != FOLDER
        ]

    def listing(self) -> str:
        return "\n".join(f"{path}: {content!r}" for path, content in self.files())


@contextmanager
def impatience() -> Iterator[None]:
    """A call that waits, as one that opens a pipe may, fails."""

    def give_up(*_: object) -> NoReturn:
        raise AssertionError("a call hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Tripwire:
    monkeypatch.setattr(jobs, "_new_name", lambda: JOB)
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent, cache_logger_on_first_use=False)
    return Tripwire(monkeypatch)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """A disk of its own, in memory, where one may mount it; else a folder on the usual disk."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True)
        try:
            yield Path(folder)
        finally:
            if mounted.returncode == 0:
                subprocess.run(["umount", folder], check=True)


@pytest.fixture
def trials(disk: Path) -> Iterator[Callable[[Life], Trial]]:
    """Makes trials, each anew, in memory: thousands of them sync a lot."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as root:
        outside = Outside(Path(root) / "outside")

        def make(life: Life) -> Trial:
            for folder in (Path(root) / "trial", disk / "archive"):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            return Trial(Path(root) / "trial", life, disk, outside)

        yield make
        outside.close()


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_a_swap_at_any_moment_reaches_nothing_outside_and_loses_nothing(
    wire: Tripwire,
    trials: Callable[[Life], Trial],
    life: Life,
    record_property: Callable[[str, object], None],
) -> None:
    quiet = trials(life)
    quiet.live(wire, {})
    moments = {place: wire.moments(quiet.path(place)) for place in life.places}
    swaps, lost = 0, []
    for place, number, kind in swaps_of(moments):
        trial = trials(life)
        try:
            trial.live(wire, {number: partial(trial.act, place, kind)})
        except (AssertionError, RuntimeError, ValueError, TypeError, KeyError) as error:
            lost.append(f"{place} -> {kind} before call {number}: {error!r}")
        swaps += bool(trial.planted)
    print(f"{swaps} swaps at {sum(map(len, moments.values()))} moments survived")
    record_property("swaps survived", swaps)
    assert not lost, f"{len(lost)} of {swaps}:\n" + "\n".join(lost[:30])
    assert swaps > 50


def swaps_of(moments: dict[str, list[int]]) -> Iterator[tuple[str, int, Kind]]:
    for place, numbers in moments.items():
        for number in numbers:
            for kind in kinds_for(place):
                yield place, number, kind


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_an_attacker_who_goes_on_and_on_reaches_nothing_outside_and_loses_nothing(
    wire: Tripwire, trials: Callable[[Life], Trial], life: Life
) -> None:
    """Four swaps in a life, at any moments."""
    trials(life).live(wire, {})
    calls = len(wire.calls)
    for seed in range(60):
        choice = random.Random(seed)
        trial = trials(life)
        acts = {
            choice.randrange(calls): partial(trial.act, place, choice.choice(kinds_for(place)))
            for place in choice.choices(life.places, k=4)
        }
        try:
            trial.live(wire, acts)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {trial.planted}") from error


def kinds_for(place: str) -> Sequence[Kind]:
    return FOR_FOLDERS if place in FOLDERS else kinds()


@pytest.mark.parametrize("content", [EARLIER, PLANTED], ids=["ours", "a user's"])
def test_where_names_cannot_be_exchanged_only_our_own_earlier_output_is_replaced(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    renameat2 = files._libc.renameat2

    def refuse(*arguments: int) -> int:
        # A mock: every file system here exchanges names.
        if arguments[-1] == files._RENAME_EXCHANGE:
            ctypes.set_errno(errno.EINVAL)
            return -1
        done: int = renameat2(*arguments)
        return done

    monkeypatch.setattr(files._libc, "renameat2", refuse)
    in_the_midst_of_publishing(spool)
    (spool.outbox / "day" / "cat.png").write_bytes(content)
    restart(spool)
    found = {path.name: path.read_bytes() for path in (spool.outbox / "day").iterdir()}
    ours = "cat.png" if content == EARLIER else "cat.2.png"
    assert found == {"cat.log": LOG, "cat.png": content, ours: RESULT}
