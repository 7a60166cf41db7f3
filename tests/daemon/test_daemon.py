"""`retouchd run`, the real daemon with its real worker, as its users meet it."""

import hashlib
import os
import random
import subprocess
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from driver import (
    PATIENCE_S,
    QUIET_S,
    Daemon,
    Pixels,
    Site,
    hole,
    inverted,
    load,
    photo,
    save,
    trimap,
)
from PIL import Image
from tiny import SLOW_PIXEL

from daemon.spool.layout import HIDDEN_ROOMS

Start = Callable[..., Daemon]

PAIRS = 50


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def slow_photo(seed: int = 0) -> Pixels:
    """A photo that keeps the tiny network busy for some seconds."""
    pixels = photo(seed)
    pixels[0, 0] = SLOW_PIXEL
    return pixels


def fifty_pairs(staging: Path) -> dict[str, tuple[Path, Path, str]]:
    """Pairs of all kinds, by the result's path: picture and companion to copy, and the task."""
    names = ["cat", "Größe", "\N{CAT FACE} party", "with  spaces", "a.b.c", "Ångström"]
    pairs = {}
    for number in range(PAIRS):
        base = f"{names[number % len(names)]} {number}"
        picture_base = unicodedata.normalize("NFD" if number % 3 == 0 else "NFC", base)
        companion_base = unicodedata.normalize("NFC" if number % 2 else "NFD", base)
        picture_suffix = (".png", ".tif", ".bmp", ".webp", ".PNG")[number % 5]
        companion_suffix = (".png", ".bmp", ".tiff")[number % 3]
        task = "trimap" if number % 7 == 3 else "mask"
        folder = ("", "day 1/", "a/b/c/d/")[number % 3]
        if number % 2:
            picture = f"{folder}images/{picture_base}{picture_suffix}"
            companion = f"{folder}{task}s/{companion_base.upper()}{companion_suffix}"
        else:
            mark = "_.-"[number % 3]
            picture = f"{folder}{picture_base}{picture_suffix}"
            companion = f"{folder}{companion_base}{mark}{task}{companion_suffix}"
        save_exact(photo(number), staging / picture)
        save_exact(trimap() if task == "trimap" else hole(), staging / companion)
        result = str(Path(picture).parent / picture_base)
        result += ".alpha.png" if task == "trimap" else ".png"
        pairs[str(Path(result))] = (Path(picture), Path(companion), task)
    assert len(pairs) == PAIRS
    return pairs


def save_exact(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, lossless=True)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--scan-interval-s", "3600"), id="events"),
        pytest.param(("--no-events", "--scan-interval-s", "0.5"), id="no events"),
    ],
)
def test_fifty_pairs_in_any_order_give_fifty_results(
    both: Site, start: Start, tmp_path: Path, options: tuple[str, ...]
) -> None:
    pairs = fifty_pairs(tmp_path / "staging")
    daemon = start(both, *options)
    daemon.wait_for("worker_started")
    drops = [path for picture, companion, _ in pairs.values() for path in (picture, companion)]
    random.Random(7).shuffle(drops)
    for path in drops:
        target = both.inbox / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((tmp_path / "staging" / path).read_bytes())
        time.sleep(random.Random(str(path)).uniform(0, 0.03))
    daemon.wait_until(lambda: len(daemon.seen("job_finished")) >= PAIRS, "fifty results")
    time.sleep(3 * QUIET_S)  # time for a twin to appear, if there were one
    assert both.files("inbox") == both.files("failed") == both.jobs() == []
    assert len(daemon.seen("pair_claimed")) == PAIRS
    results = {name for name in both.files("outbox") if not name.endswith((".log", ".cutout.png"))}
    assert results == set(pairs)
    assert len(both.files("archive")) == 2 * PAIRS
    for number, (result, (_, _, task)) in enumerate(pairs.items()):
        made = load(both.outbox / result)
        if task == "mask":
            assert (made == inverted(photo(number), hole())).all(), result
        else:
            assert (made == np.where(trimap() == 128, 100, trimap())).all(), result
    assert daemon.stop() == 0


def test_a_file_written_slowly_is_read_whole(site: Site, start: Start) -> None:
    daemon = start(site, "--quiet-period-s", "1")
    save(hole(), site.inbox / "cat_mask.png")
    source = save(photo(), site.root / "source.png")
    data = source.read_bytes()
    steps = 14
    with (site.inbox / "cat.png").open("wb", buffering=0) as file:
        for at in range(steps):  # 3.5 s, over three quiet periods
            file.write(data[at * len(data) // steps : (at + 1) * len(data) // steps])
            time.sleep(0.25)
            assert not daemon.seen("pair_claimed")
    finished = daemon.wait_for("job_finished")
    assert finished["picture_sha256"] == sha256(source)
    assert len(daemon.seen("pair_claimed")) == 1
    assert (load(site.outbox / "cat.png") == inverted(photo(), hole())).all()


def test_a_writer_that_pauses_for_longer_than_the_quiet_period_loses_nothing(
    site: Site, start: Start
) -> None:
    daemon = start(site)
    save(hole(), site.inbox / "cat_mask.png")
    source = save(photo(), site.root / "source.png")
    data = source.read_bytes()
    with (site.inbox / "cat.png").open("wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        daemon.wait_for("pair_given_back")  # it was tried, found cut off, and returned
        file.write(data[len(data) // 2 :])
    finished = daemon.wait_for("job_finished")
    assert finished["picture_sha256"] == sha256(source)
    assert site.files("outbox") == ["cat.log", "cat.png"]
    assert site.files("inbox") == site.files("failed") == []
    assert sha256(site.archive / "cat.png") == sha256(source)


def test_an_upload_that_is_made_at_its_final_size_is_read_whole(site: Site, start: Start) -> None:
    daemon = start(site)
    save(hole(), site.inbox / "cat_mask.png")
    source = save(photo(), site.root / "source.png")
    data = source.read_bytes()
    with (site.inbox / "cat.png").open("wb", buffering=0) as file:
        file.truncate(len(data))
        daemon.wait_for("pair_given_back")
        file.write(data)
    assert daemon.wait_for("job_finished")["picture_sha256"] == sha256(source)


def test_a_truncated_file_waits_until_it_is_whole(site: Site, start: Start) -> None:
    daemon = start(site)
    source = save(photo(), site.root / "source.jpg")
    (site.inbox / "cat.jpg").write_bytes(source.read_bytes()[:-2])  # only its end marker is missing
    save(hole(), site.inbox / "cat_mask.png")
    daemon.wait_for("pair_given_back", reason="incomplete")
    time.sleep(4 * QUIET_S)
    assert site.files("inbox") == ["cat.jpg", "cat_mask.png"]
    assert site.files("outbox") == site.files("failed") == []
    assert len(daemon.seen("pair_claimed")) == 1  # it is not tried again while nothing changes
    (site.inbox / "cat.jpg").write_bytes(source.read_bytes())
    assert daemon.wait_for("job_finished")["picture_sha256"] == sha256(source)


def test_a_file_of_no_bytes_is_not_yet_there(site: Site, start: Start) -> None:
    daemon = start(site)
    (site.inbox / "cat.png").touch()
    save(hole(), site.inbox / "cat_mask.png")
    time.sleep(4 * QUIET_S)
    assert not daemon.seen("pair_claimed")
    save(photo(), site.inbox / "cat.png")
    daemon.wait_for("job_finished")


def test_a_folder_moved_in_whole_is_found_with_all_its_files(site: Site, start: Start) -> None:
    daemon = start(site, "--scan-interval-s", "3600")
    daemon.wait_for("watching")
    outside = site.root / "outside" / "shoot"
    for number in range(3):
        save(photo(number), outside / "images" / "deep" / f"{number}.png")
        save(hole(), outside / "masks" / "deep" / f"{number}.png")
    outside.rename(site.inbox / "shoot")
    daemon.wait_for("job_finished", times=3)
    assert len([f for f in site.files("outbox") if f.endswith(".png")]) == 3


def test_a_temporary_file_counts_from_its_renaming_on(site: Site, start: Start) -> None:
    daemon = start(site)
    source = save(photo(), site.root / "source.png")
    save(hole(), site.inbox / "cat_mask.png")
    for name in (".cat.png.Xy12", "cat.png.part"):
        (site.inbox / name).write_bytes(source.read_bytes()[:1000])
    time.sleep(4 * QUIET_S)
    assert not daemon.seen("pair_claimed")
    (site.inbox / "cat.png.part").write_bytes(source.read_bytes())
    (site.inbox / "cat.png.part").rename(site.inbox / "cat.png")
    assert daemon.wait_for("job_finished")["picture_sha256"] == sha256(source)
    assert site.files("inbox") == [".cat.png.Xy12"]


def test_a_killed_worker_is_replaced_and_its_job_done_once(site: Site, start: Start) -> None:
    daemon = start(site)
    save(slow_photo(), site.inbox / "slow.png")
    save(hole(), site.inbox / "slow_mask.png")
    started = daemon.wait_for("job_started")
    time.sleep(0.3)
    os.kill(started["pid"], 9)
    daemon.wait_for("worker_ended", how="signal SIGKILL")
    finished = daemon.wait_for("job_finished")
    assert daemon.seen("job_started")[-1]["attempt"] == 2
    assert finished["job"] == started["job"]
    assert site.files("outbox") == ["slow.log", "slow.png"]
    assert site.files("inbox") == site.files("failed") == site.jobs() == []
    assert (load(site.outbox / "slow.png") == inverted(slow_photo(), hole())).all()
    assert "the worker process died on it" in (site.outbox / "slow.log").read_text()


def test_a_job_that_killed_the_worker_three_times_goes_to_failed(site: Site, start: Start) -> None:
    daemon = start(site)
    save(slow_photo(), site.inbox / "slow.png")
    save(hole(), site.inbox / "slow_mask.png")
    for attempt in (1, 2, 3):
        started = daemon.wait_for("job_started", attempt=attempt)
        os.kill(started["pid"], 9)
    daemon.wait_for("job_failed", reason="worker_died")
    reason = (site.failed / "slow.png.reason.txt").read_text()
    assert "died on it 3 times" in reason
    save(photo(), site.inbox / "next.png")  # and work goes on
    save(hole(), site.inbox / "next_mask.png")
    daemon.wait_for("job_finished", picture="next.png")


def test_a_job_that_takes_too_long_is_cut_short_three_times_and_fails(
    site: Site, start: Start
) -> None:
    site.environment["RETOUCHD_JOB_TIMEOUT_S"] = "0.2"
    daemon = start(site)
    save(slow_photo(), site.inbox / "slow.png")
    save(hole(), site.inbox / "slow_mask.png")
    daemon.wait_for("job_failed", reason="timed_out")
    assert "longer than 0.2 s, 3 times" in (site.failed / "slow.png.reason.txt").read_text()


def test_a_killed_supervisor_loses_nothing_and_makes_no_twin(site: Site, start: Start) -> None:
    daemon = start(site)
    for name in ("one", "two"):
        save(slow_photo(), site.inbox / f"{name}.png")
        save(hole(), site.inbox / f"{name}_mask.png")
    started = daemon.wait_for("job_started")
    time.sleep(0.3)
    daemon.kill()
    assert site.jobs()  # one, or both, in the worker's hand
    second = start(site)
    second.wait_for("job_finished", times=2)
    assert second.seen("job_recovered", job=started["job"])
    assert site.files("outbox") == ["one.log", "one.png", "two.log", "two.png"]
    assert site.files("archive") == ["one.png", "one_mask.png", "two.png", "two_mask.png"]
    assert site.files("inbox") == site.files("failed") == site.jobs() == []
    assert not psutil.pid_exists(started["pid"]), "the first worker outlived its supervisor"


def test_a_polite_stop_finishes_the_running_job(site: Site, start: Start) -> None:
    daemon = start(site)
    save(slow_photo(), site.inbox / "slow.png")
    save(hole(), site.inbox / "slow_mask.png")
    daemon.wait_for("job_started")
    assert daemon.stop() == 0
    assert site.files("outbox") == ["slow.log", "slow.png"]
    assert site.jobs() == []


def test_a_stop_that_cannot_wait_blames_no_job(site: Site, start: Start) -> None:
    daemon = start(site, "--stop-timeout-s", "0")
    save(slow_photo(), site.inbox / "slow.png")
    save(hole(), site.inbox / "slow_mask.png")
    daemon.wait_for("job_started")
    assert daemon.stop() == 0
    second = start(site)
    assert second.wait_for("job_started")["attempt"] == 1
    second.wait_for("job_finished")


def test_only_one_daemon_works_a_spool(site: Site, start: Start) -> None:
    start(site).wait_for("watching")
    second = site.once()
    assert second.returncode == 1
    assert "another retouchd works on" in second.stderr


def test_a_new_inbox_at_the_same_path_is_watched_again(site: Site, start: Start) -> None:
    daemon = start(site, "--scan-interval-s", "0.5")
    daemon.wait_for("watching")
    site.inbox.rename(site.root / "away")
    daemon.wait_for("queue_held", reason="folder_missing")
    site.inbox.mkdir()
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    daemon.wait_for("job_finished")
    assert daemon.seen("inbox_changed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is soon full")
def test_a_full_disk_holds_the_queue_and_blames_no_job(
    site: Site, start: Start, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)], check=True)
    try:
        (small / "ballast").write_bytes(b"x" * 60_000)
        site.environment["RETOUCHD_OUTBOX"] = str(small / "outbox")
        daemon = start(site)
        save(photo(), site.inbox / "cat.png")
        save(hole(), site.inbox / "cat_mask.png")
        held = daemon.wait_for("queue_held")
        assert held["reason"] == "disk_full"
        assert site.files("failed") == []
        (small / "ballast").unlink()
        daemon.wait_for("queue_resumed")
        assert sorted(p.name for p in (small / "outbox").iterdir()) == ["cat.log", "cat.png"]
        assert (load(small / "outbox" / "cat.png") == inverted(photo(), hole())).all()
        assert site.jobs() == site.files("inbox") == []
        assert len(daemon.seen("job_started")) == 1
        daemon.stop()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_supervisor_stays_small_with_5000_pairs_waiting(site: Site, start: Start) -> None:
    picture = save(photo(), site.root / "source.png").read_bytes()
    mask = save(hole(), site.root / "source_mask.png").read_bytes()
    for number in range(5000):
        folder = site.inbox / f"folder {number % 50}"
        folder.mkdir(exist_ok=True)
        (folder / f"picture number {number}.png").write_bytes(picture)
        (folder / f"picture number {number}_mask.png").write_bytes(mask)
    daemon = start(site, "--quiet-period-s", "5")
    daemon.wait_for("job_finished", times=5)
    about = psutil.Process(daemon.pid).memory_info()
    maps = Path(f"/proc/{daemon.pid}/maps").read_text()
    assert "libtorch" not in maps
    peak = peak_rss(daemon.pid)
    print(f"resident {about.rss / 2**20:.0f} MiB, peak {peak / 2**20:.0f} MiB")
    assert peak < 120 * 10**6


def peak_rss(pid: int) -> int:
    """The most memory a process has had resident, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_hint_during_a_scan_is_not_lost(site: Site, start: Start) -> None:
    daemon = start(site, "--scan-interval-s", "3600", "--quiet-period-s", "0")
    daemon.wait_for("watching")
    stop = threading.Event()

    def disturb() -> None:
        number = 0
        while not stop.is_set():
            (site.inbox / f"noise {number % 50}.png").write_bytes(b"")
            number += 1

    noise = threading.Thread(target=disturb)
    noise.start()
    try:
        for number in range(10):
            save(photo(number), site.inbox / f"{number}.png")
            save(hole(), site.inbox / f"{number}_mask.png")
    finally:
        stop.set()
        noise.join()
    daemon.wait_for("job_finished", times=10)


def test_one_name_that_has_no_place_holds_no_queue(site: Site, start: Start) -> None:
    daemon = start(site)
    daemon.wait_for("watching")
    (site.outbox / "cat.png").write_bytes(b"a file where a folder would have to be")
    save(photo(), site.inbox / "cat.png" / "one.png")
    save(hole(), site.inbox / "cat.png" / "one_mask.png")
    daemon.wait_for("job_failed", reason="unplaceable")
    save(photo(), site.inbox / "two.png")
    save(hole(), site.inbox / "two_mask.png")
    daemon.wait_for("job_finished", picture="two.png")
    assert not daemon.seen("queue_held")
    assert "cat.png/one.png.reason.txt" in site.files("failed")


def test_a_worker_that_dies_while_it_is_idle_costs_nothing(site: Site, start: Start) -> None:
    daemon = start(site)
    os.kill(daemon.wait_for("worker_started")["pid"], 9)
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    daemon.wait_for("job_finished")
    assert daemon.stop() == 0


def test_once_that_is_interrupted_is_no_success(site: Site) -> None:
    save(slow_photo(), site.inbox / "slow.png")
    save(hole(), site.inbox / "slow_mask.png")
    for number in range(3):
        save(photo(number), site.inbox / f"{number}.png")
        save(hole(), site.inbox / f"{number}_mask.png")
    once = subprocess.Popen(
        site.command("once"), env=site.variables(), stderr=subprocess.PIPE, text=True
    )
    assert once.stderr
    while "job_started" not in once.stderr.readline():
        pass
    once.send_signal(2)
    once.communicate(timeout=60)
    assert once.returncode == 1
    assert len(site.files("outbox") + site.files("inbox")) == 2 + 6


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_pairs_on_a_mount_that_can_hold_none_keep_no_others_waiting(
    site: Site, start: Start
) -> None:
    nested = site.inbox / "nested"
    nested.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(nested)], check=True)
    try:
        (nested / HIDDEN_ROOMS).mkdir()
        os.chown(nested / HIDDEN_ROOMS, 12345, 12345)
        for number in range(4):
            save(photo(), nested / f"{number}.png")
            save(hole(), nested / f"{number}_mask.png")
        daemon = start(site)
        daemon.wait_for("worker_started")
        for number in range(2):
            save(photo(), site.inbox / f"later {number}.png")
            save(hole(), site.inbox / f"later {number}_mask.png")
        daemon.wait_for("job_finished", times=2)
        assert not daemon.seen("queue_held")
        assert len(list(nested.iterdir())) == 8 + 1
        daemon.stop()
        done = site.once()
        assert done.returncode == 1
        assert "its files can't be held in nested while they are worked (it belongs" in done.stdout
        assert f"a hidden folder of its own, {HIDDEN_ROOMS}, that" in done.stdout
        (nested / HIDDEN_ROOMS).rmdir()
        assert site.once().returncode == 0
        assert len(site.files("archive")) == 12
    finally:
        subprocess.run(["umount", str(nested)], check=True)


def test_a_log_that_nobody_can_take_ends_no_daemon(site: Site) -> None:
    with Path("/dev/full").open("w") as full:
        daemon = subprocess.Popen(site.command("run"), env=site.variables(), stderr=full)
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    deadline = time.monotonic() + 60
    while site.files("outbox") != ["cat.log", "cat.png"]:
        assert daemon.poll() is None, "the daemon has ended"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    daemon.terminate()
    assert daemon.wait(timeout=60) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a file system")
def test_a_disk_that_is_mounted_on_the_inbox_later_is_worked_without_a_restart(
    site: Site, start: Start
) -> None:
    daemon = start(site)
    drop_pair(site, "before")
    daemon.wait_for("job_finished")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(site.inbox)], check=True)
    try:
        drop_pair(site, "mounted")
        daemon.wait_for("job_finished", times=2)
        assert daemon.seen("work_folder_moved")
        assert not daemon.seen("queue_held")
    finally:  # the work folder on it is in use
        subprocess.run(["umount", "--lazy", str(site.inbox)], check=True)
    drop_pair(site, "after")
    daemon.wait_for("job_finished", times=3)
    daemon.stop()
    results = {"before.png", "mounted.png", "after.png"}
    assert results <= set(site.files("outbox"))
    assert site.jobs() == []


def drop_pair(site: Site, name: str) -> None:
    save(photo(), site.inbox / f"{name}.png")
    save(hole(), site.inbox / f"{name}_mask.png")


def test_standard_streams_that_are_closed_become_no_lock_and_no_pipe(site: Site) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *site.command("run")]
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    with subprocess.Popen(closed, env=site.variables()) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not (site.outbox / "cat.png").exists():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            streams = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)]
        finally:
            process.terminate()
    assert streams == 3 * [Path("/dev/null")]
    assert process.returncode == 0
