"""The real daemon where mounts come to lie elsewhere than when their jobs were claimed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Daemon, Site
from listings import files_below
from mounts import Mounts
from test_mounted_inbox import OFTEN, drop

Start = Callable[..., Daemon]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


def cut_power_in_the_midst(daemon: Daemon) -> str:
    """Everything dies while a job is in work; returns its picture."""
    begun = daemon.wait_for("job_started")
    os.kill(begun["pid"], signal.SIGSTOP)
    daemon.kill()
    os.kill(begun["pid"], signal.SIGKILL)
    return str(begun["picture"])


def test_a_share_that_becomes_the_inbox_keeps_what_is_held_on_it_until_it_is_back(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    share = mounts.tmpfs(tmp_path / "share", "size=8m")
    mounts.bind(share, site.inbox / "scanner")
    first = start(site, *OFTEN)
    first.wait_for("worker_started")
    drop(site.inbox / "scanner", "slow")
    cut_power_in_the_midst(first)
    mounts.take_away(site.inbox / "scanner")
    mounts.bind(share, site.inbox)
    daemon = start(site, *OFTEN)
    daemon.wait_for("job_stuck", reason="mount_away")
    drop(site.inbox, "other")
    daemon.wait_for("job_finished", picture="other.png")
    daemon.stop()
    assert not daemon.seen("stray_set_aside")
    mounts.take_away(site.inbox)
    mounts.bind(share, site.inbox / "scanner")
    again = start(site, *OFTEN)
    again.wait_for("job_finished", picture="scanner/slow.png")
    again.wait_until(lambda: site.jobs() == [], "the end of the job")
    assert "scanner/slow.png" in site.files("archive")
    assert site.files("failed") == []


def test_an_inbox_that_is_bound_into_itself_gets_a_job_of_before_the_crash_done(
    mounts: Mounts, site: Site, start: Start
) -> None:
    mounts.bind(site.inbox, site.inbox / "again")
    first = start(site, *OFTEN)
    first.wait_for("worker_started")
    drop(site.inbox, "slow")
    picture = cut_power_in_the_midst(first)
    daemon = start(site, *OFTEN)
    daemon.wait_for("job_finished", picture=picture)
    assert site.files("failed") == files_below(site.inbox) == []
