"""The real daemon where something is mounted, unmounted or renamed around a job in work."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Daemon, Site
from listings import files_below
from mounts import Mounts
from test_mounted_inbox import OFTEN, drop, stopped

Start = Callable[..., Daemon]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


def test_nothing_is_worked_in_the_mount_point_of_a_spool_whose_disk_is_gone(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    assert site.once().returncode == 0  # makes folders in what is to be the mount point
    disk = mounts.tmpfs(tmp_path / "disk", "size=8m")
    mounts.bind(disk, site.root)
    daemon = start(site, *OFTEN)
    daemon.wait_for("worker_started")
    drop(site.inbox, "one")
    daemon.wait_for("job_finished", picture="one.png")
    mounts.take_away(site.root)
    drop(site.inbox, "two")
    held = daemon.wait_for("queue_held", reason="folder_missing")
    assert held["says"] == f"{site.root} is not there."
    time.sleep(2)
    assert site.files("outbox") == site.files("archive") == site.jobs() == []
    mounts.bind(disk, site.root)
    drop(site.inbox, "three")
    daemon.wait_for("job_finished", picture="three.png")
    assert not daemon.seen("pair_claimed", picture="two.png")


def test_a_read_only_disk_over_a_folder_keeps_only_the_job_waiting_that_goes_back_there(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    folder, whole = site.inbox / "scanner", tmp_path / "whole"
    for path in (folder, whole):
        path.mkdir(parents=True)
    drop(whole)
    daemon = start(site, *OFTEN)
    pid = daemon.wait_for("worker_started")["pid"]
    os.kill(pid, signal.SIGSTOP)
    half = folder / ".cat.png"
    half.write_bytes((whole / "cat.png").read_bytes()[:-1000])
    half.rename(folder / "cat.png")
    (whole / "cat_mask.png").rename(folder / "cat_mask.png")
    daemon.wait_for("job_started")
    mounts.remount(mounts.bind(tmp_path / "whole", folder), "bind,ro")
    os.kill(pid, signal.SIGCONT)
    stuck = daemon.wait_for("job_stuck", reason="folder_closed")
    assert stuck["says"].startswith(f"{folder} can't be written to (Read-only")
    drop(site.inbox, "other")
    daemon.wait_for("job_finished", picture="other.png")
    assert not daemon.seen("queue_held")
    mounts.take_away(folder)
    daemon.wait_until(lambda: (folder / "cat.png").exists(), "the pair's return")
    assert site.files("failed") == []


def test_a_job_goes_with_the_share_whose_folder_is_renamed_while_it_is_in_work(
    mounts: Mounts, site: Site, start: Start
) -> None:
    share = mounts.tmpfs(site.inbox / "site" / "scanner")
    daemon = start(site, *OFTEN)
    daemon.wait_for("worker_started")
    drop(share, "slow")
    with stopped(daemon, "site/scanner/slow.png"):
        mounts.rename(site.inbox / "site", site.inbox / "site 2")
    daemon.wait_for("job_finished", picture="site 2/scanner/slow.png")
    daemon.wait_until(lambda: site.jobs() == [], "the end of the job")
    assert files_below(site.inbox) == site.files("failed") == []
