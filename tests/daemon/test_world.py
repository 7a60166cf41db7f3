"""The real daemon in a world that really fails: it holds, says so once, and goes on by itself.

A full disk for an hour, and every single call that can fail, are in test_faults.py, where no time
passes. Here each fault is the kernel's own.
"""

import fcntl
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mounts as mounting
import numpy as np
import pytest
from driver import QUIET_S, Daemon, Pixels, Site, hole, inverted, load, photo, save
from mounts import Mounts
from tiny import SLOW_PIXEL

from daemon.spool.layout import HIDDEN_WORK

Start = Callable[..., Daemon]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount and trace")
# Long enough for the second and third try, after 1 s and 3 s.
A_WHILE_S = 3.3


@dataclass
class LaunchedSite(Site):
    """A spool whose daemon is started by way of another program."""

    launcher: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        return [*self.launcher, *super().command(*arguments)]


def drop(site: Site, name: str = "cat", picture: Pixels | None = None) -> None:
    """Put a pair into the inbox, whole from its first moment on."""
    save(photo() if picture is None else picture, site.inbox / f".{name}.png")
    save(hole(), site.inbox / f".{name}_mask.png")
    show(site, name)


def show(site: Site, name: str) -> None:
    """Give a hidden pair its name, which takes no space."""
    for file in (f"{name}.png", f"{name}_mask.png"):
        (site.inbox / f".{file}").rename(site.inbox / file)


def slow_photo() -> Pixels:
    pixels = photo()
    pixels[0, 0] = SLOW_PIXEL
    return pixels


def ready(site: Site, start: Start, *arguments: str) -> Daemon:
    """A daemon that waits for work."""
    daemon = start(site, *arguments)
    daemon.wait_for("worker_started")
    daemon.wait_for("watching")
    return daemon


def check_done(daemon: Daemon, site: Site, name: str = "cat", outbox: Path | None = None) -> None:
    """The pair is done, at its first attempt; nothing was lost and nobody was blamed."""
    folder = outbox or site.outbox
    # The result comes first; then the originals go to the archive, perhaps to another disk.
    daemon.wait_for("job_finished", picture=f"{name}.png")
    assert site.jobs() == []
    assert (load(folder / f"{name}.png") == inverted(photo(), hole())).all()
    assert "\nattempt:              1\n" in (folder / f"{name}.log").read_text()
    assert sorted(p.name for p in folder.iterdir()) == [f"{name}.log", f"{name}.png"]
    assert site.files("archive") == [f"{name}.png", f"{name}_mask.png"]
    assert [f for f in site.files("inbox") if ".retouchd-work/" not in f] == []
    assert site.files("failed") == []
    assert not daemon.seen("job_failed")
    assert {line["attempt"] for line in daemon.seen("job_started")} == {1}


def check_held(daemon: Daemon, reason: str, names: Path | None = None) -> None:
    """It holds for a while, and says so in one line, which names the place."""
    held = daemon.wait_for("queue_held")
    assert held["reason"] == reason
    if names is not None:
        assert str(names) in held["says"]
    time.sleep(A_WHILE_S)
    assert len(daemon.seen("queue_held")) == 1
    assert not daemon.seen("queue_resumed")


def check_resumed(daemon: Daemon) -> None:
    daemon.wait_for("queue_resumed")
    time.sleep(QUIET_S)
    assert len(daemon.seen("queue_held")) == len(daemon.seen("queue_resumed")) == 1
    assert len(daemon.seen("job_stuck")) <= 1


@needs_root
def test_an_outbox_without_inodes_holds_the_queue(mounts: Mounts, site: Site, start: Start) -> None:
    mounts.tmpfs(site.outbox, "size=1m,nr_inodes=16")
    daemon = ready(site, start)
    ballast = mounting.fill_inodes(site.outbox)
    drop(site)
    check_held(daemon, "disk_full", site.outbox)
    mounting.remove(ballast)
    check_resumed(daemon)
    check_done(daemon, site)


@needs_root
def test_a_result_that_was_refused_comes_though_another_job_ended_the_hold(
    mounts: Mounts, site: Site, start: Start
) -> None:
    """Two workers, as there are on two GPUs, or for a moment in a reload."""
    full = site.outbox / "full"
    full.mkdir(parents=True)
    mounts.tmpfs(full, "size=1m,nr_inodes=16")
    ballast = mounting.fill_inodes(full)
    site.inbox.mkdir(exist_ok=True)
    daemon = ready(site, start)
    (site.inbox / "full").mkdir()
    save(slow_photo(), site.inbox / "full" / "cat.png")
    save(hole(), site.inbox / "full" / "cat_mask.png")
    first = daemon.wait_for("job_started", picture="full/cat.png")["pid"]
    os.kill(first, signal.SIGSTOP)
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_for("reloaded")
    drop(site, "slow", slow_photo())
    second = daemon.wait_for("job_started", picture="slow.png")["pid"]
    os.kill(second, signal.SIGSTOP)
    os.kill(first, signal.SIGCONT)
    daemon.wait_for("queue_held")
    os.kill(second, signal.SIGCONT)
    daemon.wait_for("job_finished", picture="slow.png")
    mounting.remove(ballast)
    daemon.wait_for("job_finished", picture="full/cat.png")
    assert (load(full / "cat.png") == inverted(slow_photo(), hole())).all()
    assert site.jobs() == []


@needs_root
def test_a_disk_on_which_somebody_still_works_is_waited_for(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    """As where it comes back before workers of ours, who hold its lock, have left."""
    disk = mounts.tmpfs(tmp_path / "disk")
    (disk / HIDDEN_WORK).mkdir(mode=0o700)
    daemon = ready(site, start, "--scan-interval-s", "0.2")
    with (disk / HIDDEN_WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mounts.bind(disk, site.inbox)
        assert "another retouchd" in daemon.wait_for("queue_held")["says"]
        drop(site)
    daemon.wait_for("queue_resumed")
    daemon.wait_for("job_finished", picture="cat.png")
    assert (load(site.outbox / "cat.png") == inverted(photo(), hole())).all()


@needs_root
def test_a_full_disk_under_inbox_and_work_holds_the_queue(
    mounts: Mounts, site: Site, start: Start
) -> None:
    mounts.tmpfs(site.root)
    site.inbox.mkdir()
    daemon = ready(site, start)
    save(photo(), site.inbox / ".cat.png")
    save(hole(), site.inbox / ".cat_mask.png")
    ballast = mounting.fill(site.root)
    show(site, "cat")
    check_held(daemon, "disk_full", site.root)
    mounting.remove(ballast)
    check_resumed(daemon)
    check_done(daemon, site)


@needs_root
def test_a_full_archive_holds_the_queue_and_keeps_the_originals(
    mounts: Mounts, site: Site, start: Start
) -> None:
    mounts.tmpfs(site.archive, "size=64k")
    daemon = ready(site, start)
    ballast = mounting.fill(site.archive)
    drop(site)
    check_held(daemon, "disk_full", site.archive)
    assert len(list(site.work.rglob("in/picture"))) == 1
    mounting.remove(ballast)
    check_resumed(daemon)
    check_done(daemon, site)


@needs_root
def test_a_full_failed_folder_holds_the_queue_and_keeps_the_originals(
    mounts: Mounts, site: Site, start: Start
) -> None:
    mounts.tmpfs(site.failed, "size=1m,nr_inodes=16")
    daemon = ready(site, start)
    ballast = mounting.fill_inodes(site.failed)
    save(photo(), site.inbox / "cat.png")
    save(np.full((64, 96), 255, np.uint8), site.inbox / "cat_mask.png")
    check_held(daemon, "disk_full", site.failed)
    mounting.remove(ballast)
    check_resumed(daemon)
    daemon.wait_until(lambda: not site.jobs(), "the end of the job")
    assert site.files("failed") == ["cat.png", "cat.png.reason.txt", "cat_mask.png"]
    assert site.files("inbox") == site.files("outbox") == []
    assert {line["attempt"] for line in daemon.seen("job_started")} == {1}


@needs_root
@pytest.mark.skipif(not shutil.which("mkfs.btrfs"), reason="btrfs-progs is not installed")
def test_a_quota_that_is_used_up_holds_the_queue(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    disk = mounts.btrfs(tmp_path / "disk", tmp_path / "image")
    outbox = mounting.subvolume(disk / "outbox", "400k")
    site.environment["RETOUCHD_OUTBOX"] = str(outbox)
    daemon = ready(site, start)
    ballast = mounting.fill(outbox)
    drop(site)
    check_held(daemon, "quota", outbox)
    mounting.remove(ballast)
    os.sync()
    check_resumed(daemon)
    check_done(daemon, site, outbox=outbox)


@needs_root
def test_a_read_only_outbox_holds_the_queue_and_the_service_manager_hears_of_it(
    mounts: Mounts, site: Site, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts.tmpfs(site.outbox)
    # Bound by a short name: a socket's address holds 107 bytes.
    name = f"retouchd-world-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        site.environment["NOTIFY_SOCKET"] = f"@{name}"
        daemon = ready(site, start)
        mounts.remount(site.outbox, "ro")
        drop(site)
        check_held(daemon, "read_only", site.outbox)
        status = heard(manager, "STATUS=holding: ")
        assert "read-only" in status
        assert str(site.outbox) in status
        mounts.remount(site.outbox, "rw")
        check_resumed(daemon)
        check_done(daemon, site)
        heard(manager, "STATUS=1 done, 0 failed, nothing to do")


def heard(manager: socket.socket, beginning: str) -> str:
    """The first line that begins so; it may be told a moment after the log has it."""
    manager.settimeout(10)
    while True:
        for line in manager.recv(1 << 16).decode().splitlines():
            if line.startswith(beginning):
                return line


@needs_root
def test_nothing_is_written_into_the_empty_mount_point_of_an_outbox_that_is_away(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    disk = mounts.tmpfs(tmp_path / "disk")
    mounts.bind(disk, site.outbox)
    daemon = ready(site, start)
    mounts.take_away(site.outbox)
    drop(site)
    check_held(daemon, "folder_missing", site.outbox)
    assert list(site.outbox.iterdir()) == []
    mounts.bind(disk, site.outbox)
    check_resumed(daemon)
    check_done(daemon, site)


@needs_root
def test_an_inbox_whose_mount_is_away_is_offline_and_not_empty(
    mounts: Mounts, site: Site, start: Start, tmp_path: Path
) -> None:
    disk = mounts.tmpfs(tmp_path / "disk")
    mounts.bind(disk, site.inbox)
    daemon = ready(site, start, "--scan-interval-s", "0.5")
    save(photo(), site.inbox / "cat.png")
    time.sleep(2 * QUIET_S)
    mounts.take_away(site.inbox)
    check_held(daemon, "folder_missing", site.inbox)
    assert list(site.inbox.iterdir()) == []
    mounts.bind(disk, site.inbox)
    save(hole(), site.inbox / "cat_mask.png")
    check_resumed(daemon)
    check_done(daemon, site)


@needs_root
def test_an_inbox_behind_an_empty_mount_is_told_and_its_files_are_done_afterwards(
    mounts: Mounts, site: Site, start: Start
) -> None:
    daemon = ready(site, start, "--scan-interval-s", "0.5")
    save(photo(), site.inbox / "cat.png")
    time.sleep(2 * QUIET_S)
    mounts.tmpfs(site.inbox)
    daemon.wait_for("inbox_changed")
    time.sleep(1)
    mounts.take_away(site.inbox)
    daemon.wait_for("inbox_changed", times=2)
    save(hole(), site.inbox / "cat_mask.png")
    check_done(daemon, site)
    assert len(daemon.seen("inbox_changed")) == 2


def test_an_inbox_that_is_renamed_and_renamed_back_loses_nothing(site: Site, start: Start) -> None:
    daemon = ready(site, start, "--scan-interval-s", "0.5")
    drop(site, "slow", slow_photo())
    save(photo(), site.inbox / "cat.png")
    daemon.wait_for("job_started")
    site.inbox.rename(site.root / "away")
    check_held(daemon, "folder_missing", site.inbox)
    daemon.wait_until(lambda: (site.outbox / "slow.png").exists(), "the job that was running")
    assert site.files("away") == ["cat.png"]
    (site.root / "away").rename(site.inbox)
    save(hole(), site.inbox / "cat_mask.png")
    daemon.wait_for("job_finished", picture="cat.png")
    check_resumed(daemon)
    assert (load(site.outbox / "cat.png") == inverted(photo(), hole())).all()
    assert (load(site.outbox / "slow.png") == inverted(slow_photo(), hole())).all()
    assert site.files("inbox") == site.files("failed") == site.jobs() == []


@contextmanager
def failing(pid: int, call: str, code: str, at: Path | None = None) -> Iterator[None]:
    """In here every such call of the process fails, or each that is about this folder."""
    tracer = subprocess.Popen(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid)),
            *("-e", f"trace={call}", "-e", f"inject={call}:error={code}"),
            *(("-P", str(at)) if at else ()),
        ]
    )
    try:
        deadline = time.monotonic() + 30
        while f"TracerPid:\t{tracer.pid}\n" not in Path(f"/proc/{pid}/status").read_text():
            assert tracer.poll() is None, "strace can't trace here"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield
    finally:
        tracer.terminate()
        tracer.wait()


@needs_root
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        ("fsync", "EIO", "io_error"),
        ("renameat2", "ESTALE", "io_error"),
        ("openat", "EMFILE", "too_many_open_files"),
        ("sendmsg", "ENOBUFS", "io_error"),
        pytest.param("openat", "EIO", "io_error", marks=pytest.mark.slow),
        pytest.param("mkdirat", "EROFS", "read_only", marks=pytest.mark.slow),
    ],
)
def test_a_system_call_that_fails_for_a_while_costs_no_attempt(
    site: Site, start: Start, call: str, code: str, reason: str
) -> None:
    daemon = ready(site, start)
    with failing(daemon.pid, call, code):
        drop(site)
        check_held(daemon, reason, site.root)
    check_resumed(daemon)
    check_done(daemon, site)


def test_a_limit_of_open_files_holds_the_queue(site: Site, start: Start) -> None:
    daemon = ready(site, start)
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    drop(site)
    check_held(daemon, "too_many_open_files", site.root)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
    check_resumed(daemon)
    check_done(daemon, site)


def with_watches(site: Site, watches: int) -> LaunchedSite:
    """The same spool for a user who may set so many inotify watches."""
    limit = f"echo {watches} > /proc/sys/user/max_inotify_watches"
    launcher = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{limit} && exec "$@"', "sh"]
    if subprocess.run([*launcher, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    return LaunchedSite(site.root, site.environment, launcher)


@pytest.mark.parametrize("watches", [0, 3], ids=["none", "fewer than folders"])
def test_a_watch_limit_is_told_with_its_remedy(site: Site, start: Start, watches: int) -> None:
    for number in range(5):
        (site.inbox / str(number)).mkdir()
    daemon = ready(with_watches(site, watches), start)
    assert "max_user_watches" in daemon.wait_for("events_unavailable")["advice"]
    drop(site)
    check_done(daemon, site)
    assert not daemon.seen("queue_held")


def test_a_folder_for_which_no_watch_is_left_is_scanned(site: Site, start: Start) -> None:
    daemon = ready(with_watches(site, 2), start, "--scan-interval-s", "1")
    assert daemon.seen("watching", events=True)
    for number in range(5):
        save(photo(number), site.inbox / str(number) / "cat.png")
        save(hole(), site.inbox / str(number) / "cat_mask.png")
        time.sleep(0.1)
    daemon.wait_for("job_finished", times=5)
    assert not daemon.seen("queue_held")


def test_after_an_overflow_of_events_every_file_is_found(site: Site, start: Start) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 50_000:
        pytest.skip("the queue of events is too long here to be overflown in a test")
    daemon = ready(site, start, "--scan-interval-s", "5")
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        noise = site.inbox / "noise.tmp"
        for _ in range(most // 3 + 1):  # each makes three events at least
            noise.touch()
            noise.rename(site.inbox / "more noise.tmp")
            (site.inbox / "more noise.tmp").unlink()
        save(photo(), site.inbox / "new" / "cat.png")
        save(hole(), site.inbox / "new" / "cat_mask.png")
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    daemon.wait_for("job_finished", picture="new/cat.png")
    drop(site, "later")
    daemon.wait_for("job_finished", picture="later.png")


def finish_where_the_clock_has_jumped(daemon: Daemon, site: Site, by: timedelta) -> None:
    """Have pairs done until one was done at the new time: the faked clock is read once a second."""
    for number in range(20):
        drop(site, name := f"after {by} {number}".replace(":", "."))
        done = daemon.wait_for("job_finished", picture=f"{name}.png")
        time_there = datetime.fromisoformat(done["timestamp"])
        if abs(time_there - datetime.now(UTC) - by) < timedelta(hours=1):
            return
        time.sleep(0.5)
    raise AssertionError(f"the daemon's clock never jumped by {by}")


FAKETIME = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@pytest.mark.skipif(not FAKETIME, reason="faketime is not installed")
def test_a_clock_that_jumps_makes_nothing_late_and_nothing_early(
    site: Site, start: Start, tmp_path: Path
) -> None:
    wall = tmp_path / "wall clock"
    wall.write_text("+0")
    site.environment |= {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(wall),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    daemon = ready(site, start, "--scan-interval-s", "0.5")
    source = save(photo(), tmp_path / "source.png").read_bytes()
    (site.inbox / "cut.png").write_bytes(source[: len(source) // 2])
    save(hole(), site.inbox / "cut_mask.png")
    daemon.wait_for("pair_given_back", picture="cut.png")
    drop(site, "first")
    daemon.wait_for("job_finished", picture="first.png")
    drop(site, "slow", slow_photo())
    daemon.wait_for("job_started", picture="slow.png")
    wall.write_text("+6h")
    daemon.wait_for("job_finished", picture="slow.png")
    finish_where_the_clock_has_jumped(daemon, site, timedelta(hours=6))
    wall.write_text("-6h")
    finish_where_the_clock_has_jumped(daemon, site, timedelta(hours=-6))
    assert site.files("inbox") == ["cut.png", "cut_mask.png"]
    assert site.files("failed") == []
    assert not daemon.seen("queue_held")
    (site.inbox / "cut.png").write_bytes(source)
    daemon.wait_for("job_finished", picture="cut.png")
    assert {line["attempt"] for line in daemon.seen("job_started")} == {1}
