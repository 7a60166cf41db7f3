"""An inbox on a mount that others write to: what the daemon makes of it, and of a server that goes.

The rows of the table show that pictures come through such mounts; here are the waits between, and
the outages.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from driver import Daemon, Site, hole, inverted, load, photo, save
from fuse_mounts import SSHFS_OPTIONS, FuseMount, SshServer
from listings import files_below
from mount_feeders import bindfs
from tiny import SLOW_PIXEL
from waiting import moment

from daemon.spool.layout import HIDDEN_WORK

pytestmark = pytest.mark.feeders

# As documented for network mounts; nothing is set here.
QUIET_S, INTERVAL_S = 10.0, 2.0
# What a loaded machine may add to them.
SLACK_S = 3.0
SHORT_QUIET_S = 0.5


@dataclass
class Far:
    """A spool whose inbox is a mount, and the folder behind it, into which the tests write."""

    site: Site
    folder: Path
    daemon: Daemon

    def drop(self, name: str, seed: int) -> float:
        """Write a pair behind the mount's back; returns when that was over."""
        save(hole(), self.folder / f"{name}_mask.png")
        save(photo(seed), self.folder / f"{name}.png")
        return time.time()

    def expect(self, name: str, seed: int) -> None:
        """Wait for a pair's result, which must be the right one."""
        self.daemon.wait_for("job_finished", picture=f"{name}.png")
        assert (load(self.site.outbox / f"{name}.png") == inverted(photo(seed), hole())).all()

    def check_over(self, *names: str) -> None:
        """There is one result of each, and nothing is left, nor blamed on any of them."""
        pictures = [f"{name}.png" for name in names]
        assert [name for name in self.site.files("outbox") if name.endswith(".png")] == pictures
        self.daemon.wait_until(lambda: _left(self.folder) == set(), "the end of all jobs")
        assert self.site.files("failed") == []
        finished = self.daemon.seen("job_finished")
        assert sorted(event["picture"] for event in finished) == pictures
        assert {event["attempt"] for event in self.daemon.seen("job_started")} == {1}


def _left(folder: Path) -> set[str]:
    """Files, but for the lock that the daemon keeps in its work folder."""
    return set(files_below(folder)) - {f"{HIDDEN_WORK}/lock"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """An SSH server that can go and come back."""
    (tmp_path / "ssh").mkdir()
    server = SshServer(tmp_path / "ssh")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mounted(tmp_path: Path, network: Path) -> Iterator[Callable[..., Far]]:
    """Mounts a folder on an inbox, and starts a daemon there."""
    mounts: list[FuseMount] = []
    daemons: list[Daemon] = []

    def begin(
        command: Callable[[Path, Path], Sequence[str]], quiet_s: float | None = None, **more: str
    ) -> Far:
        folder = tmp_path / "far"
        folder.mkdir()
        quiet = "" if quiet_s is None else str(quiet_s)
        settings = {"RETOUCHD_INPAINT_MODEL": str(network), "RETOUCHD_QUIET_PERIOD_S": quiet}
        site = Site(tmp_path / "spool", settings | more)
        mounts.append(FuseMount(command(folder, site.inbox), site.inbox, tmp_path / "log"))
        daemons.append(site.start())
        return Far(site, folder, daemons[-1])

    yield begin
    for daemon in daemons:
        daemon.stop()
    for mount in mounts:
        mount.stop()


@pytest.mark.parametrize("kind", ["fuse", "fuse.sshfs"], ids=["bindfs", "sshfs"])
def test_a_pair_written_behind_a_mount_is_found_by_the_scan_and_waits_as_on_a_network(
    kind: str, server: SshServer, mounted: Callable[..., Far]
) -> None:
    far = mounted(bindfs if kind == "fuse" else server.sshfs)
    told = far.daemon.wait_for("watching")
    assert (told["filesystem"], told["events"]) == (kind, False)
    assert (told["quiet_period_s"], told["interval_s"]) == (QUIET_S, INTERVAL_S)
    work = far.daemon.wait_for("work_folder_moved")["work"]
    assert work == str(far.site.inbox / HIDDEN_WORK)
    far.daemon.wait_for("worker_started")
    written = far.drop("cat", 1)
    claimed = moment(far.daemon.wait_for("pair_claimed", picture="cat.png"))
    assert QUIET_S <= claimed - written <= QUIET_S + INTERVAL_S + SLACK_S
    far.expect("cat", 1)
    far.check_over("cat")


def test_pairs_that_wait_on_sshfs_outlast_its_server(
    server: SshServer, mounted: Callable[..., Far]
) -> None:
    far = mounted(server.sshfs, SHORT_QUIET_S)
    far.daemon.wait_for("worker_started")
    save(photo(1), far.folder / "cat.png")  # its mask comes while nobody can see it
    save(photo(2), far.folder / "dog.png")
    time.sleep(INTERVAL_S + SHORT_QUIET_S)
    server.stop()
    held = far.daemon.wait_for("queue_held")
    assert held["says"] and held["advice"]
    save(hole(), far.folder / "cat_mask.png")
    server.start()
    save(hole(), far.folder / "dog_mask.png")
    far.daemon.wait_for("queue_resumed", after=held["reason"])
    far.expect("cat", 1)
    far.expect("dog", 2)
    far.check_over("cat", "dog")


def test_a_job_in_work_on_sshfs_outlasts_its_server(
    server: SshServer, mounted: Callable[..., Far]
) -> None:
    far = mounted(server.sshfs, SHORT_QUIET_S)
    worker = far.daemon.wait_for("worker_started")["pid"]
    slow = photo(3)
    slow[0, 0] = SLOW_PIXEL
    save(hole(), far.folder / "slow_mask.png")
    save(slow, far.folder / "slow.png")
    far.daemon.wait_for("job_started", picture="slow.png")
    server.stop()
    held = far.daemon.wait_for("queue_held")
    os.kill(worker, 0)  # the same worker goes on
    server.start()
    far.daemon.wait_for("queue_resumed", after=held["reason"])
    far.daemon.wait_for("job_finished", picture="slow.png")
    assert (load(far.site.outbox / "slow.png") == inverted(slow, hole())).all()
    far.check_over("slow")


def test_a_server_that_says_nothing_any_more_holds_the_queue_and_loses_nothing(
    server: SshServer, mounted: Callable[..., Far]
) -> None:
    kept = [option for option in SSHFS_OPTIONS if option[0] not in "SC"]
    options = [*kept, "ServerAliveInterval=1", "ServerAliveCountMax=1", "ConnectTimeout=1"]
    far = mounted(lambda a, b: server.sshfs(a, b, options), SHORT_QUIET_S)
    far.daemon.wait_for("worker_started")
    far.drop("cat", 1)
    far.expect("cat", 1)
    server.signal(signal.SIGSTOP)
    try:
        held = far.daemon.wait_for("queue_held")
    finally:
        server.signal(signal.SIGCONT)
    far.daemon.wait_for("queue_resumed", after=held["reason"])
    far.drop("dog", 2)
    far.expect("dog", 2)
    far.check_over("cat", "dog")


def test_a_picture_cut_off_on_sshfs_is_tried_once_and_goes_to_failed_when_it_stays_so(
    server: SshServer, mounted: Callable[..., Far]
) -> None:
    far = mounted(server.sshfs, SHORT_QUIET_S, RETOUCHD_INCOMPLETE_S="12")
    far.daemon.wait_for("worker_started")
    save(hole(), far.folder / "half_mask.png")
    whole = save(photo(4), far.folder / ".half.png")
    whole.write_bytes(whole.read_bytes()[:-1000])
    whole.rename(far.folder / "half.png")
    failed = far.daemon.wait_for("job_failed", picture="half.png")
    assert failed["reason"] == "corrupt"
    # Once when it was quiet, and once more before it was given up.
    assert len(far.daemon.seen("job_started")) == 2
    assert files_below(far.folder) == [f"{HIDDEN_WORK}/lock"]
    assert far.site.files("failed") == ["half.png", "half.png.reason.txt", "half_mask.png"]


def test_sshfs_with_hard_links_as_it_has_them_by_default(
    server: SshServer, mounted: Callable[..., Far]
) -> None:
    """A rename that replaces nothing is a link and an unlink there; a link is a file of its own."""
    options = [option for option in SSHFS_OPTIONS if option != "disable_hardlink"]
    far = mounted(lambda a, b: server.sshfs(a, b, options), SHORT_QUIET_S)
    far.daemon.wait_for("worker_started")
    far.drop("cat", 1)
    far.daemon.wait_for("job_finished", picture="cat.png")
    far.expect("cat", 1)
    far.check_over("cat")
