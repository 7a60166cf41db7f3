"""Artifacts that change under a running daemon: taken up by a reload or refused, no job lost."""

import os
import pty
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from driver import Daemon, Pixels, Site, hole, inverted, load, photo, save

Start = Callable[..., Daemon]
SLOW = np.array(tiny.SLOW_PIXEL, np.uint8)


@pytest.fixture
def changing(site: Site, tmp_path: Path) -> Site:
    """A spool whose model may be replaced."""
    site.environment["RETOUCHD_INPAINT_MODEL"] = str(tiny.write_inpaint(tmp_path / "model.pt"))
    return site


def model_of(site: Site) -> Path:
    return Path(site.environment["RETOUCHD_INPAINT_MODEL"])


def put_model(site: Site, new: Path) -> None:
    """Replace the artifact in one step, as who knows what he does."""
    new.replace(model_of(site))


def drop(site: Site, name: str, pixels: Pixels | None = None) -> None:
    save(photo() if pixels is None else pixels, site.inbox / f"{name}.png")
    save(hole(), site.inbox / f"{name}_mask.png")


def painted(grey: int) -> Pixels:
    return np.where(hole()[..., None] > 0, np.uint8(grey), photo())


def result_of(site: Site, name: str) -> Pixels:
    return load(site.outbox / f"{name}.png")


def test_a_reload_takes_up_a_new_model_and_loses_no_job(
    changing: Site, start: Start, tmp_path: Path
) -> None:
    daemon = start(changing)
    daemon.wait_for("worker_started")
    for number in range(30):
        drop(changing, f"before {number}")
    daemon.wait_for("job_finished", times=3)
    put_model(changing, tiny.write_painting(tmp_path / "new.pt", 77))
    os.kill(daemon.pid, signal.SIGHUP)
    for number in range(30):
        drop(changing, f"during {number}")
    daemon.wait_for("reloaded")
    for number in range(5):
        drop(changing, f"after {number}")
    daemon.wait_for("job_finished", times=65)
    for number in range(5):
        assert (result_of(changing, f"after {number}") == painted(77)).all()
    made = [result_of(changing, path.stem) for path in changing.outbox.glob("*.png")]
    assert len(made) == 65
    old = inverted(photo(), hole())
    assert all((each == old).all() or (each == painted(77)).all() for each in made)
    assert any((each == old).all() for each in made)
    assert daemon.seen("job_failed") == daemon.seen("job_tried") == []
    assert len(daemon.seen("job_started")) == 65
    (gone,) = daemon.seen("worker_ended")
    assert (gone["level"], gone["jobs"]) == ("info", [])


def test_a_job_that_runs_during_a_reload_is_finished_by_the_model_it_began_with(
    changing: Site, start: Start, tmp_path: Path
) -> None:
    daemon = start(changing)
    daemon.wait_for("worker_started")
    slow = photo()
    slow[0, 0] = SLOW
    drop(changing, "slow", slow)
    daemon.wait_for("job_started")
    put_model(changing, tiny.write_painting(tmp_path / "new.pt", 77))
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_for("job_finished")
    assert (result_of(changing, "slow") == inverted(slow, hole())).all()
    daemon.wait_for("reloaded")
    drop(changing, "next")
    daemon.wait_for("job_finished", times=2)
    assert (result_of(changing, "next") == painted(77)).all()


def _garbage(path: Path) -> Path:
    path.write_bytes(b"no artifact" * 100)
    return path


def _truncated(path: Path) -> Path:
    tiny.write_inpaint(path)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def _writable(path: Path) -> Path:
    tiny.write_inpaint(path).chmod(0o666)
    return path


def _foreign(path: Path) -> Path:
    return tiny.write_inpaint(path, contract="somebody else's")


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "garbage": (_garbage, "no complete TorchScript file"),
    "truncated": (_truncated, "no complete TorchScript file"),
    "writable by others": (_writable, "can be written by others"),
    "foreign": (_foreign, "not one this version understands"),
    "of the other task": (tiny.write_matting, "is a model for 'matting'"),
    "gives floats": (lambda path: tiny.write_lying(path, "floats"), "float32"),
    "gives a channel": (lambda path: tiny.write_lying(path, "channels"), "(1, 1, "),
    "gives two for one": (lambda path: tiny.write_lying(path, "batch"), "(2, 3, "),
    "is right only for squares": (
        lambda path: tiny.write_lying(path, "size", height=33),
        "instead of uint8",
    ),
    "gives another size": (lambda path: tiny.write_lying(path, "size"), "instead of uint8"),
}


def test_a_reload_refuses_what_is_no_model_and_keeps_the_one_in_use(
    changing: Site, start: Start, tmp_path: Path
) -> None:
    daemon = start(changing)
    daemon.wait_for("worker_started")
    for times, (name, (write, says)) in enumerate(REFUSED.items(), start=1):
        put_model(changing, write(tmp_path / "new.pt"))
        os.kill(daemon.pid, signal.SIGHUP)
        refused = daemon.wait_for("reload_refused", times=times)
        assert says in refused["why"], name
        daemon.wait_for("reloaded", times=times)
        drop(changing, name)
        daemon.wait_for("job_finished", times=times)
        assert (result_of(changing, name) == inverted(photo(), hole())).all()
    assert daemon.seen("queue_held") == daemon.seen("job_tried") == []
    assert len(daemon.seen("worker_started")) == 1


def test_a_model_that_lies_only_about_larger_pictures_fails_their_jobs_and_no_others(
    changing: Site, start: Start, tmp_path: Path
) -> None:
    put_model(changing, tiny.write_lying(tmp_path / "new.pt", "size", height=100))
    daemon = start(changing)
    save(photo(height=120), changing.inbox / "large.png")
    save(hole(height=120), changing.inbox / "large_mask.png")
    drop(changing, "small")
    failed = daemon.wait_for("job_failed")
    assert failed["reason"] == "model_raised"
    daemon.wait_for("job_finished")
    assert changing.files("outbox") == ["small.log", "small.png"]
    story = (changing.failed / "large.png.reason.txt").read_text()
    assert story.count("instead of uint8") == 4  # three tries, and the sentence on top


def test_a_model_swapped_without_a_reload_changes_nothing_until_the_worker_is_replaced(
    changing: Site, start: Start, tmp_path: Path
) -> None:
    daemon = start(changing)
    first = daemon.wait_for("worker_started")
    put_model(changing, tiny.write_painting(tmp_path / "new.pt", 77))
    drop(changing, "one")
    daemon.wait_for("job_finished")
    assert (result_of(changing, "one") == inverted(photo(), hole())).all()
    os.kill(first["pid"], signal.SIGKILL)
    daemon.wait_for("worker_started", times=2)
    drop(changing, "two")
    daemon.wait_for("job_finished", times=2)
    assert (result_of(changing, "two") == painted(77)).all()
    logs = [(changing.outbox / f"{name}.log").read_text() for name in ("one", "two")]
    hashes = [line.split()[-1] for log in logs for line in log.splitlines() if "model file" in line]
    assert len(set(hashes)) == 2


def test_a_reload_mends_a_daemon_whose_model_was_refused(
    changing: Site, start: Start, tmp_path: Path
) -> None:
    daemon = start(changing)
    first = daemon.wait_for("worker_started")
    model_of(changing).chmod(0o666)
    os.kill(first["pid"], signal.SIGKILL)
    daemon.wait_for("model_refused")
    drop(changing, "one")
    model_of(changing).chmod(0o644)
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_for("job_finished")


def test_the_service_manager_hears_of_a_reload(
    changing: Site, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"retouchd-reload-{os.getpid()}"
        manager.bind("\0" + name)
        manager.settimeout(60)
        changing.environment["NOTIFY_SOCKET"] = "@" + name
        daemon = start(changing)
        daemon.wait_for("worker_started")
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait_for("reloaded")
        heard: list[str] = []
        while not heard or "RELOADING=1" not in "\n".join(heard) or heard[-1] != "READY=1":
            heard.append(manager.recv(4096).decode())
        (begun,) = (text for text in heard if text.startswith("RELOADING=1"))
        assert begun.splitlines()[1].startswith("MONOTONIC_USEC=")
        during = heard[heard.index(begun) + 1 : -1]
        assert not any("READY=1" in text for text in during)


def test_a_terminal_that_goes_away_stops_the_daemon(changing: Site) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        changing.command("run"),
        env=changing.variables(),
        stdin=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    assert process.stderr
    for line in process.stderr:
        if '"watching"' in line:
            break
    process.send_signal(signal.SIGHUP)
    said = process.stderr.read()
    process.stderr.close()
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert '"stopped"' in said
    assert '"reloading"' not in said
