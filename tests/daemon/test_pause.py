"""A pause: what is in hand is finished, nothing else begun, and a restart changes nothing of it."""

import errno
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clocks import Clock
from driver import PATIENCE_S, Daemon, Site, hole, photo, save
from structlog.testing import capture_logs

from daemon.people.state import read_state
from daemon.places import Place
from daemon.spool.pausing import FLAG, pause, paused_since, resume
from daemon.supervisor.pause import Pause
from daemon.supervisor.tally import Tally


def put_pair(site: Site, name: str) -> None:
    save(hole(), site.inbox / f"{name}_mask.png")
    save(photo(), site.inbox / f"{name}.png")


def test_a_pause_is_a_file_on_the_disk_until_it_ends(tmp_path: Path) -> None:
    assert paused_since(tmp_path) is None
    assert pause(tmp_path)
    since = paused_since(tmp_path)
    assert since is not None
    assert abs(time.time() - since) < 5
    assert not pause(tmp_path)
    assert paused_since(tmp_path) == since
    assert (tmp_path / FLAG).read_text().startswith("paused at 2")
    assert resume(tmp_path)
    assert not resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [-(2**40), 2**40, 2**58])
def test_a_pause_with_a_time_that_can_not_be_is_since_its_file_got_that(at: int) -> None:
    # In memory, where a file may have any time.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as work:
        pause(Path(work))
        os.utime(Path(work, FLAG), (at, at))
        since = paused_since(Path(work))
        assert since is not None
        assert since == 0 if at < 0 else abs(time.time() - since) < 60
        assert resume(Path(work))


def test_a_folder_in_the_place_of_the_pause_is_taken_away_or_named(tmp_path: Path) -> None:
    (tmp_path / FLAG).mkdir()
    (tmp_path / FLAG / "mine").touch()
    with pytest.raises(OSError, match="it is a folder, and not empty; move it away") as met:
        resume(tmp_path)
    assert met.value.filename == str(tmp_path / FLAG)
    (tmp_path / FLAG / "mine").unlink()
    assert resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_pause_is_seen_within_a_second_and_logged_once(tmp_path: Path) -> None:
    clock = Clock()
    seen = Pause(tmp_path, clock)
    with capture_logs() as lines:
        seen.look()
        pause(tmp_path)
        seen.look()
        assert not seen.is_on
        clock.now += 1
        seen.look(["j1"])
        assert seen.is_on
        clock.now += 1
        seen.look()
        resume(tmp_path)
        clock.now += 1
        seen.look()
    assert not seen.is_on
    assert [line["event"] for line in lines] == ["paused", "resumed"]
    assert lines[0]["running"] == ["j1"]


def test_where_a_pause_can_not_be_seen_all_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_place: Place) -> os.stat_result:
        raise OSError(errno.EIO, "no disk")

    clock = Clock()
    seen = Pause(tmp_path, clock)
    pause(tmp_path)
    seen.look()
    monkeypatch.setattr(Place, "about", fail)
    clock.now += 1
    seen.look()
    assert seen.is_on


def test_the_status_line_says_that_it_is_paused_before_all_else() -> None:
    words = Tally(3, 1, 1, 7).in_words(is_paused=True)
    assert words.startswith("paused, until retouchd resume: 3 done, 1 failed, 1 in work")


def test_a_paused_daemon_takes_nothing_until_it_is_resumed_though_it_is_restarted(
    site: Site, start: Callable[..., Daemon]
) -> None:
    daemon = start(site)
    daemon.wait_for("worker_started")
    done = site.run("pause")
    assert (done.returncode, done.stdout) == (
        0,
        "retouchd: paused: what is in hand is finished, and nothing else begun until retouchd "
        "resume.\n",
    )
    daemon.wait_for("paused", running=[])
    put_pair(site, "cat")
    daemon.wait_until(
        lambda: bool((at := read_state(site.work)) and at.is_paused and at.ready),
        "a pair that waits in a pause",
    )
    told = site.run("status")
    assert told.returncode == 0
    assert f"running (pid {daemon.pid}), paused" in told.stdout
    assert "until retouchd resume" in told.stdout
    daemon.stop()
    again = start(site)
    again.wait_for("paused")
    again.wait_for("worker_started")
    again.wait_until(
        lambda: bool((at := read_state(site.work)) and at.pid == again.pid and at.ready),
        "the pair still waits",
    )
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]
    assert site.jobs() == []
    assert not again.seen("pair_claimed")
    assert site.run("resume").stdout == "retouchd: resumed: work goes on.\n"
    again.wait_for("resumed")
    again.wait_for("job_finished")
    assert site.files("outbox") == ["cat.log", "cat.png"]


def test_a_job_in_hand_is_finished_in_a_pause(site: Site, start: Callable[..., Daemon]) -> None:
    site.environment["RETOUCHD_JOBS_AT_ONCE"] = "1"
    for number in range(8):
        save(photo(number, 1500, 1200), site.inbox / f"{number}.png")
        save(hole(1500, 1200), site.inbox / f"{number}_mask.png")
    daemon = start(site)
    daemon.wait_for("job_started")
    pause(site.work)
    paused = daemon.wait_for("paused")
    for job in paused["running"]:
        daemon.wait_for("job_finished", job=job)
    time.sleep(1.0)
    started, finished = daemon.seen("job_started"), daemon.seen("job_finished")
    assert len(started) == len(finished) < 8
    assert site.jobs() == []
    resume(site.work)
    daemon.wait_for("job_finished", times=8)


def test_once_begins_nothing_in_a_pause_and_says_so(site: Site) -> None:
    put_pair(site, "cat")
    site.work.mkdir(mode=0o700)
    assert site.run("pause").stdout.endswith("No daemon runs just now.\n")
    assert "paused already" in site.run("pause").stdout
    done = site.once()
    assert done.returncode == 1
    assert "paused since" in done.stderr
    assert "Run retouchd resume first." in done.stderr
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]
    assert site.run("resume").returncode == 0
    assert "it was not paused" in site.run("resume").stdout
    assert site.once().returncode == 0


def test_once_ends_when_a_pause_comes_in_its_midst(site: Site) -> None:
    for number in range(30):
        save(photo(number, 1500, 1200), site.inbox / f"{number}.png")
        save(hole(1500, 1200), site.inbox / f"{number}_mask.png")
    site.environment["RETOUCHD_JOBS_AT_ONCE"] = "1"
    running = subprocess.Popen(
        site.command("once"),
        env=site.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not site.files("outbox"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pause(site.work)
    out, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1
    assert "paused since" in err
    assert 1 <= len(list(site.outbox.glob("*.png"))) < 30
    assert " done, 0 failed" in out
    assert site.jobs() == []
