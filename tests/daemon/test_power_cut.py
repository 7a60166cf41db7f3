"""The power goes before every single call that changes the disk; then the disk comes back.

The points are those of test_crash.py, the file system is a real one. What a kernel has not been
told to sync is lost, so what is tried here is whether it was told in time.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import Cut, Disk, why_no_disks
from test_crash import (
    CHANGING,
    Crash,
    Fuse,
    check_after_crash,
    check_at_the_end,
    go_on,
    is_creating,
    restart,
)
from test_jobs import MASK, PICTURE, tree

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan
from daemon.places import Place
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs
from daemon.spool.layout import Spool, open_spool
from daemon.spool.record import Record

Life = Callable[[Spool], None]

# Where the power goes again: at another call of the restart each time, most of which are shorter.
AGAIN_STRIDE = 7
LONGEST_RESTART = 60

pytestmark = pytest.mark.skipif(why_no_disks() is not None, reason=str(why_no_disks()))


class PowerFuse(Fuse):
    """Cuts the power at the n-th call, before it is made."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk = disk
        self.how = Cut.PLUG_PULLED

    def burn(self) -> None:
        if self.left == 0:
            self.disk.cut(self.how)
        super().burn()


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    """A disk with a spool in which a pair has lain for long."""
    disk = Disk(tmp_path_factory.mktemp("power"))
    with disk.powered():
        spool = opened(disk)
        folder = spool.inbox / "day 1"
        folder.mkdir()
        (folder / "cat.jpg").write_bytes(PICTURE)
        (folder / "cat_mask.png").write_bytes(MASK)
    disk.keep()
    return disk


@pytest.fixture
def fuse(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[PowerFuse]:
    fuse = PowerFuse(disk)
    for name in CHANGING:
        monkeypatch.setattr(os, name, fuse.wrap(getattr(os, name)))
    monkeypatch.setattr(os, "open", fuse.wrap(os.open, changes=is_creating))
    monkeypatch.setattr(files._libc, "renameat2", fuse.wrap(files._libc.renameat2))
    yield fuse
    fuse.left = 10**9


def opened(disk: Disk) -> Spool:
    return open_spool(Settings(spool=disk.path / "spool"))


def claim(spool: Spool) -> Record:
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    return record


def succeed(spool: Spool) -> None:
    go_on(spool, claim(spool))


def give_back(spool: Spool) -> None:
    jobs.give_back(spool, jobs.begin_attempt(spool, claim(spool)))


def fail(spool: Spool) -> None:
    record = jobs.begin_attempt(spool, claim(spool))
    jobs.fail(spool, record, Trouble("mask_covers_everything"))


def is_cut(disk: Disk, fuse: PowerFuse, live: Life, k: int) -> bool:
    """Live on the disk as it is; True where the power went, at the k-th call."""
    with disk.powered():
        spool = opened(disk)
        fuse.left, fuse.count = k, 0
        try:
            live(spool)
        except (Crash, OSError):  # what is still written on the way out meets a dead disk
            assert fuse.left < 0
        else:
            assert fuse.left >= 0
        finally:
            was_cut, fuse.left = fuse.left < 0, 10**9
    return was_cut


def survive(disk: Disk, fuse: PowerFuse, live: Life, *, again: bool = False) -> int:
    """Live once for every k, without power from the k-th call on; returns how often it was cut.

    With `again` the power goes a second time in the midst of what is then left to do.
    """
    cuts = 0
    for k in range(10**6):
        disk.renew()
        was_cut = is_cut(disk, fuse, live, k)
        if was_cut and again:
            cuts += is_cut(disk, fuse, restart, k * AGAIN_STRIDE % LONGEST_RESTART)
        with disk.powered():
            spool = opened(disk)
            check_after_crash(spool)
            restart(spool)
        with disk.powered():  # and what the restart did is on the disk as well
            check_at_the_end(spool)
            check_modes(spool)
        if not was_cut:
            assert fuse.count >= k
            return cuts
        cuts += 1
    raise AssertionError("it never ends")


def check_modes(spool: Spool) -> None:
    """What people see has the modes that were set, however it was cut off."""
    for root in (spool.outbox, spool.archive, spool.failed):
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        assert {path: oct(path.stat().st_mode & 0o7777) for path in folders} == dict.fromkeys(
            folders, "0o2775"
        )
    for path in spool.outbox.rglob("*.*"):
        assert oct(path.stat().st_mode & 0o7777) == "0o664", path


@pytest.mark.parametrize("how", list(Cut), ids=lambda how: how.name.lower().replace("_", " "))
@pytest.mark.parametrize("live", [succeed, give_back, fail], ids=lambda f: f.__name__)
def test_a_power_cut_before_any_call_loses_nothing_and_leaves_no_empty_result(
    disk: Disk, fuse: PowerFuse, live: Life, how: Cut, capfd: pytest.CaptureFixture[str]
) -> None:
    fuse.how = how
    survived = survive(disk, fuse, live)
    tell(capfd, f"{live.__name__}, {how.name}", survived)
    assert survived > 30


@pytest.mark.slow
@pytest.mark.parametrize("how", list(Cut), ids=lambda how: how.name.lower().replace("_", " "))
@pytest.mark.parametrize("live", [succeed, give_back, fail], ids=lambda f: f.__name__)
def test_a_power_cut_and_another_at_the_restart_lose_nothing(
    disk: Disk, fuse: PowerFuse, live: Life, how: Cut, capfd: pytest.CaptureFixture[str]
) -> None:
    fuse.how = how
    survived = survive(disk, fuse, live, again=True)
    tell(capfd, f"{live.__name__}, {how.name}, and again", survived)
    assert survived > 50


def tell(capfd: pytest.CaptureFixture[str], scenario: str, survived: int) -> None:
    """Print how many cuts were survived, also where tests run in parallel and pass."""
    with capfd.disabled():
        print(f"\n{scenario}: {survived} power cuts survived", file=sys.stderr)


def test_a_result_that_was_never_synced_is_found_out(
    disk: Disk, fuse: PowerFuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the tests above: a daemon that does not sync its results does not pass them."""
    sync = os.fsync

    def sync_all_but_results(fd: int) -> None:
        is_result = "/outbox/" in str(Path(f"/proc/self/fd/{fd}").readlink())
        if not is_result or stat.S_ISDIR(os.fstat(fd).st_mode):
            sync(fd)

    monkeypatch.setattr(os, "fsync", sync_all_but_results)
    fuse.how = Cut.JOURNAL_WRITTEN
    with pytest.raises(AssertionError, match=r"day 1/cat\.(log|png)"):
        survive(disk, fuse, succeed)


def test_the_disk_keeps_what_was_synced_and_nothing_else(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.keep()
    for how, left in ((Cut.PLUG_PULLED, {}), (Cut.JOURNAL_WRITTEN, {"unsynced": b""})):
        disk.renew()
        with disk.powered():
            for name in ("synced", "unsynced"):
                hidden = disk.path / ".new"
                with hidden.open("wb") as file:
                    file.write(b"content")
                    file.flush()
                    if name == "synced":
                        os.fsync(file.fileno())
                hidden.rename(disk.path / name)
                if name == "synced":
                    files.sync_folder(Place(disk.path))
            disk.cut(how)
        with disk.powered():
            assert tree(disk.path) == {"synced": b"content", **left}
