"""What keeps the queue from going on is told in the same words; see test_same_words.py."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
from driver import Daemon, Site, hole, photo, save
from mounts import Mounts
from recipes import CALLS, HOLDING, WAITING, drop
from test_world import failing
from wording import Row, check, told_everywhere, wait_until_told

from daemon.people.questions import scene as scenes

Start = Callable[..., Daemon]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "WATCHED_S", 0.2)


# What holds the queue.


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path) -> Iterator[Daemon]:
    root = tmp_path_factory.mktemp("holding")
    site = Site(root / "spool", {"RETOUCHD_INPAINT_MODEL": str(inpaint_model)})
    daemon = told_everywhere(site).start("--scan-interval-s", "0.3")
    daemon.wait_for("worker_started")
    yield daemon
    daemon.stop()


def held(daemon: Daemon, reason: str, asked: str) -> None:
    """It holds; all tell of it; and it goes on when the fault is over."""
    daemon.wait_for("queue_held", reason=reason)
    row = Row(reason, asked, HOLDING)
    wait_until_told(daemon, row)
    check(daemon.site, daemon, row)


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("reason", CALLS)
def test_what_holds_the_queue_is_told_alike(reason: str, holding: Daemon) -> None:
    call, code, folder = CALLS[reason]
    before = len(holding.seen("queue_resumed"))
    with failing(holding.pid, call, code, holding.site.root / folder):
        drop(holding.site, f"{reason}.png")
        held(holding, reason, f"{reason}.png")
    holding.wait_for("queue_resumed", times=before + 1)
    holding.wait_for("job_finished", picture=f"{reason}.png")


def test_an_inbox_that_is_away(holding: Daemon) -> None:
    site = holding.site
    before = len(holding.seen("queue_resumed"))
    site.inbox.rename(site.root / "away")
    held(holding, "folder_missing", "cat.png")
    (site.root / "away").rename(site.inbox)
    holding.wait_for("queue_resumed", times=before + 1)


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_pair_that_may_not_be_taken(site: Site, start: Start) -> None:
    daemon = start(told_everywhere(site))
    daemon.wait_for("worker_started")
    with failing(daemon.pid, "mkdirat", "EACCES"):
        drop(site, "cat.png")
        row = Row("permission", "cat.png", WAITING)
        wait_until_told(daemon, row)
        check(site, daemon, row)
    # What was found is left behind, and told when the daemon is gone.
    daemon.stop()
    check(site, daemon, row)


@pytest.mark.slow
def test_a_worker_that_does_not_start(site: Site, start: Start) -> None:
    drop(site, "cat.png")
    site.environment["RETOUCHD_DEVICE"] = "cuda:7"
    daemon = start(told_everywhere(site))
    daemon.wait_for("worker_ended")
    row = Row("worker_will_not_start", "cat.png", HOLDING)
    wait_until_told(daemon, row)
    check(site, daemon, row)


@pytest.mark.slow
def test_a_mount_that_is_away(mounts: Mounts, site: Site, start: Start, tmp_path: Path) -> None:
    disk = mounts.tmpfs(tmp_path / "disk")
    mounts.bind(disk, site.inbox / "scanner")
    daemon = start(told_everywhere(site), "--scan-interval-s", "0.2")
    daemon.wait_for("worker_started")
    slow = photo()
    slow[0, 0] = tiny.SLOW_PIXEL
    drop(site, "scanner/slow.png", slow)
    pid = daemon.wait_for("job_started", picture="scanner/slow.png")["pid"]
    os.kill(pid, signal.SIGSTOP)
    mounts.take_away(site.inbox / "scanner")
    os.kill(pid, signal.SIGCONT)
    daemon.wait_for("job_stuck", reason="mount_away")
    row = Row("mount_away", "scanner/slow.png", HOLDING)
    wait_until_told(daemon, row)
    check(site, daemon, row)


@pytest.mark.slow
def test_a_folder_that_can_not_be_written_to(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    folder = site.inbox / "scanner"
    daemon = start(told_everywhere(site), "--scan-interval-s", "0.2")
    pid = daemon.wait_for("worker_started")["pid"]
    os.kill(pid, signal.SIGSTOP)
    half = save(photo(), tmp_path / "half.png").read_bytes()[:-1000]
    save(hole(), folder / "half_mask.png")
    (folder / "half.png").write_bytes(half)
    daemon.wait_for("job_started", picture="scanner/half.png")
    (tmp_path / "other").mkdir()
    mounts.remount(mounts.bind(tmp_path / "other", folder), "bind,ro")
    os.kill(pid, signal.SIGCONT)
    daemon.wait_for("job_stuck", reason="folder_closed")
    row = Row("folder_closed", "scanner/half.png", HOLDING)
    wait_until_told(daemon, row)
    check(site, daemon, row)
