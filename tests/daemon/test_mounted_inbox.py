"""The real daemon on an inbox with mounts inside it, which go and come back."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from driver import Daemon, Site, hole, inverted, load, photo, save
from listings import files_below
from mounts import Mounts
from tiny import SLOW_PIXEL

from daemon.spool.layout import HIDDEN_ROOMS

Start = Callable[..., Daemon]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

OFTEN = ("--scan-interval-s", "0.3")


def drop(folder: Path, name: str = "cat") -> None:
    """Put a pair there, whole from its first moment on."""
    pixels = photo()
    if name == "slow":
        pixels[0, 0] = SLOW_PIXEL
    save(pixels, folder / f".{name}.png").rename(folder / f"{name}.png")
    save(hole(), folder / f".{name}_mask.png").rename(folder / f"{name}_mask.png")


def at(line: dict[str, Any]) -> float:
    """When a line was logged."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


@contextmanager
def stopped(daemon: Daemon, picture: str) -> Iterator[None]:
    """In here the worker that has begun this job stands still."""
    pid = daemon.wait_for("job_started", picture=picture)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def check_done(daemon: Daemon, site: Site, *names: str) -> None:
    """These pairs of the scanner are done, once each, and nobody was blamed for anything."""
    assert sorted(site.files("archive")) == sorted(
        f"scanner/{name}{tail}" for name in names for tail in (".png", "_mask.png")
    )
    assert (load(site.outbox / "scanner" / f"{names[0]}.png").shape) == photo().shape
    assert len(site.files("outbox")) == 2 * len(names)
    assert files_below(site.inbox) == site.files("failed") == site.jobs() == []
    for event in ("job_failed", "job_tried", "queue_held", "stray_set_aside"):
        assert not daemon.seen(event)
    assert {line["attempt"] for line in daemon.seen("job_started")} <= {1}


def test_pairs_on_a_disk_in_the_inbox_are_done(mounts: Mounts, site: Site, start: Start) -> None:
    disk = mounts.tmpfs(site.inbox / "scanner")
    daemon = start(site)
    daemon.wait_for("watching", folder="scanner", filesystem="tmpfs", events=True)
    daemon.wait_for("worker_started")
    drop(disk)
    daemon.wait_for("job_finished", picture="scanner/cat.png")
    assert (load(site.outbox / "scanner" / "cat.png") == inverted(photo(), hole())).all()
    check_done(daemon, site, "cat")
    assert os.listdir(disk / HIDDEN_ROOMS) == []


def test_a_disk_that_goes_while_its_job_is_in_work_keeps_that_job_waiting_and_no_other(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    disk = mounts.tmpfs(tmp_path / "disk")
    mounts.bind(disk, site.inbox / "scanner")
    daemon = start(site, *OFTEN)
    daemon.wait_for("worker_started")
    drop(site.inbox / "scanner", "slow")
    with stopped(daemon, "scanner/slow.png"):
        mounts.take_away(site.inbox / "scanner")
    stuck = daemon.wait_for("job_stuck", reason="mount_away")
    assert f"{site.inbox}/scanner is not mounted" in stuck["says"]
    assert len(files_below(disk)) == 2
    drop(site.inbox, "other")
    daemon.wait_for("job_finished", picture="other.png")
    assert not daemon.seen("queue_held")
    for path in (*site.archive.iterdir(), *site.outbox.iterdir()):
        path.unlink()
    mounts.bind(disk, site.inbox / "scanner")
    daemon.wait_for("job_finished", picture="scanner/slow.png")
    check_done(daemon, site, "slow")
    assert len(daemon.seen("job_stuck")) == 1


def test_a_job_outlives_a_restart_without_its_disk(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    disk = mounts.ext4(tmp_path / "disk", tmp_path / "image")
    mounts.bind(disk, site.inbox / "scanner")
    first = start(site, *OFTEN)
    first.wait_for("worker_started")
    drop(site.inbox / "scanner", "slow")
    with stopped(first, "scanner/slow.png"):
        mounts.take_away(site.inbox / "scanner")
        first.kill()
    daemon = start(site, *OFTEN)
    daemon.wait_for("job_stuck", reason="mount_away")
    drop(site.inbox, "other")
    daemon.wait_for("job_finished", picture="other.png")
    for path in (*site.archive.iterdir(), *site.outbox.iterdir()):
        path.unlink()
    daemon.stop()
    done = site.once()
    assert done.returncode == 1
    assert "is not mounted" in done.stdout
    again = start(site, *OFTEN)
    again.wait_for("job_stuck", reason="mount_away")
    mounts.bind(disk, site.inbox / "scanner")
    again.wait_for("job_finished", picture="scanner/slow.png")
    assert site.files("archive") == ["scanner/slow.png", "scanner/slow_mask.png"]
    assert files_below(site.inbox) == site.files("failed") == site.jobs() == []
    assert not again.seen("queue_held")


def test_pairs_on_a_disk_that_goes_before_they_are_claimed_are_done_when_it_is_back(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    disk = mounts.tmpfs(tmp_path / "disk")
    mounts.bind(disk, site.inbox / "scanner")
    daemon = start(site, *OFTEN, "--quiet-period-s", "2")
    daemon.wait_for("worker_started")
    drop(site.inbox / "scanner")
    time.sleep(1)
    mounts.take_away(site.inbox / "scanner")
    daemon.wait_for("inbox_changed", inbox=str(site.inbox / "scanner"))
    time.sleep(2)
    assert not daemon.seen("pair_claimed")
    mounts.bind(disk, site.inbox / "scanner")
    came = time.time()
    claimed = daemon.wait_for("pair_claimed")
    assert at(claimed) - came > 1.9
    daemon.wait_for("job_finished")
    check_done(daemon, site, "cat")


@pytest.mark.parametrize("by", ["bindfs", "sshfs"])
def test_a_share_in_a_local_inbox_has_its_own_quiet_period_and_is_found_without_events(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path, by: str
) -> None:
    server = tmp_path / "server"
    server.mkdir()
    if by == "bindfs":
        mounts.bindfs(server, site.inbox / "scanner")
    else:
        # By itself sshfs shows for 20 s what it has listed once.
        mounts.sshfs(server, site.inbox / "scanner", "-o", "dir_cache=no")
    site.environment["RETOUCHD_QUIET_PERIOD_S"] = ""
    daemon = start(site)
    local = daemon.wait_for("watching", folder="")
    share = daemon.wait_for("watching", folder="scanner")
    assert (local["events"], local["quiet_period_s"], local["interval_s"]) == (True, 5.0, 10.0)
    assert (share["events"], share["quiet_period_s"], share["interval_s"]) == (False, 10.0, 2.0)
    daemon.wait_for("worker_started")
    drop(server)
    drop(site.inbox, "local")
    dropped = time.time()
    assert 4.9 < at(daemon.wait_for("pair_claimed", picture="local.png")) - dropped < 9
    assert 9.9 < at(daemon.wait_for("pair_claimed", picture="scanner/cat.png")) - dropped < 16
    daemon.wait_for("job_finished", times=2)
    daemon.wait_until(lambda: not site.jobs(), "the end of both jobs")
    assert site.files("failed") == files_below(server) == os.listdir(server / HIDDEN_ROOMS) == []
    assert len(site.files("archive")) == 4
