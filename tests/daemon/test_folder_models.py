"""Models of folders in the real daemon: each picture by its folder's, and one that is no good."""

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from driver import Daemon, Pixels, Site, hole, inverted, load, photo, save
from test_folder_masks import logged, settle

from daemon.people.state import read_state

Start = Callable[..., Daemon]


def painted(grey: int) -> Pixels:
    return np.where(hole()[..., None] > 0, np.uint8(grey), photo())


def drop(site: Site, *names: str) -> None:
    for name in names:
        save(photo(), site.inbox / f"{name}.png")
        save(hole(), site.inbox / f"{name}_mask.png")


def own(folder: str, model: Path, task: str = "inpaint") -> str:
    return f'[folders."{folder}"]\n{task}_model = "{model}"\n'


def result(site: Site, name: str) -> Pixels:
    return load(site.outbox / f"{name}.png")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return tiny.write_painting(tmp_path / "faces.pt", 70)


@pytest.fixture
def dust(tmp_path: Path) -> Path:
    return tiny.write_painting(tmp_path / "dust.pt", 200)


def test_each_picture_is_worked_by_the_model_of_its_nearest_folder(
    site: Site, faces: Path, dust: Path, inpaint_model: Path
) -> None:
    settle(
        site,
        own("portraits", faces)
        + own("portraits/scans", dust)
        + own("portraits/plain", inpaint_model),  # that of all, named anew
    )
    meant = {
        "cat": inverted(photo(), hole()),
        "portraits/cat": painted(70),
        "Portraits/day 1/cat": painted(70),
        "portraits/scans/cat": painted(200),
        "portraits/plain/cat": inverted(photo(), hole()),
    }
    for name in meant:  # so many at once that a worker has several models' jobs in hand
        drop(site, *(f"{name} {number}" for number in range(3)))
    done = site.once()
    assert done.returncode == 0, done.stderr
    for name, pixels in meant.items():
        assert all((result(site, f"{name} {n}") == pixels).all() for n in range(3)), name
    (started,) = logged(done.stderr, "worker_started")
    assert (started["models"], started["folder_models"]) == (
        {"inpaint": inpaint_model.name},
        ["faces.pt", "dust.pt"],
    )
    check_told(site, faces, inpaint_model)


def check_told(site: Site, faces: Path, inpaint_model: Path) -> None:
    """The log beside a result, and the book, name the model that was used."""
    for name, model in (("portraits/cat 0", faces), ("cat 0", inpaint_model)):
        sha = hashlib.sha256(model.read_bytes()).hexdigest()
        assert f"{model.name}  sha256 {sha}" in (site.outbox / f"{name}.log").read_text()
        told = site.run("history", f"./{name}.png", "--json").stdout.splitlines()
        booked = {job["picture"]: job for job in map(json.loads, told)}
        assert booked[f"{name}.png"]["facts"]["model_sha256"] == sha


def test_a_folder_may_have_a_model_where_there_is_none_for_all(
    site: Site, faces: Path, tmp_path: Path
) -> None:
    del site.environment["RETOUCHD_INPAINT_MODEL"]
    settle(site, own("portraits", faces))
    drop(site, "portraits/cat", "cat")
    done = site.once()
    assert done.returncode == 1
    assert (result(site, "portraits/cat") == painted(70)).all()
    assert site.files("inbox") == ["cat.png", "cat_mask.png"]
    assert "no inpainting model is configured" in done.stdout + done.stderr


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda _path: None, "there is no such file"),
    "of the other task": (tiny.write_matting, "is a model for 'matting'"),
    "writable by others": (
        lambda path: tiny.write_painting(path, 1).chmod(0o666),
        "can be written by others",
    ),
    "no model": (lambda path: path.write_bytes(b"no artifact" * 100), "no complete TorchScript"),
    "gives floats": (lambda path: tiny.write_lying(path, "floats"), "float32"),
}


def test_a_folder_whose_model_is_no_good_waits_and_the_others_go_on(
    site: Site, faces: Path, tmp_path: Path
) -> None:
    text = own("portraits", faces)
    for name, (write, _) in BAD.items():
        write(tmp_path / f"{name}.pt")
        text += own(name, tmp_path / f"{name}.pt")
    settle(site, text)
    drop(site, "cat", "portraits/cat", *(f"{name}/cat" for name in BAD))
    done = site.once()
    assert done.returncode == 1  # what waits should have been done
    assert (result(site, "cat") == inverted(photo(), hole())).all()
    assert (result(site, "portraits/cat") == painted(70)).all()
    assert len(site.files("inbox")) == 2 * len(BAD)
    assert site.files("failed") == []
    state = read_state(site.work)
    assert state is not None
    waiting = {each.path: each.report for each in state.waiting}
    refused = [line["why"] for line in logged(done.stderr, "model_refused")]
    for (name, (_, says)), why in zip(BAD.items(), refused, strict=True):
        report = waiting[f"{name}/cat.png"]
        assert report.key == "folder_model_unusable"
        assert says in str(report.facts["detail"])
        assert why.startswith(f'folders."{name}".inpaint_model: ')
        assert says in why
    check_bad_told(site)


def check_bad_told(site: Site) -> None:
    """`why` says what the pictures wait for, and `check` what is wrong and with which folder."""
    asked = site.run("why", "gone/cat.png").stdout
    assert "the model of its folder can't be used" in asked
    found = [line for line in site.run("check").stdout.splitlines() if "_model " in line]
    for name, (_, says) in BAD.items():
        (line,) = [line for line in found if f'folders."{name}".inpaint_model' in line]
        assert line.startswith("BAD") == (name != "gives floats")  # that takes a trial
        assert says in line or name == "gives floats"


def test_a_model_that_costs_the_worker_its_start_is_left_out(
    site: Site, start: Start, tmp_path: Path
) -> None:
    """It hangs in its first trial, and that is cut short."""
    settle(site, own("portraits", tiny.write_hanging(tmp_path / "hangs.pt")))
    drop(site, "cat", "portraits/cat")
    daemon = start(site)
    (child,) = wait_for_child(daemon)
    os.kill(child, signal.SIGKILL)  # as the kernel does where memory is short, or time after 600 s
    daemon.wait_for("job_finished", picture="cat.png")
    refused = daemon.wait_for("model_refused")
    assert (
        "is left out: a worker that was to load it did not start (signal SIGKILL)"
        in (refused["why"])
    )
    assert "portraits/cat.png" in site.files("inbox")
    tiny.write_painting(tmp_path / "new.pt", 70).replace(tmp_path / "hangs.pt")
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_for("job_finished", picture="portraits/cat.png")
    assert (result(site, "portraits/cat") == painted(70)).all()


def test_a_reload_takes_up_a_folders_new_model_and_refuses_one_that_is_no_good(
    site: Site, start: Start, faces: Path, tmp_path: Path
) -> None:
    settle(site, own("portraits", faces) + own("late", tmp_path / "late.pt"))
    daemon = start(site)
    daemon.wait_for("worker_started")
    drop(site, "late/one")
    faces.write_bytes(b"no artifact")
    os.kill(daemon.pid, signal.SIGHUP)
    refused = daemon.wait_for("reload_refused")
    assert "faces.pt: is no complete TorchScript file" in refused["why"]
    drop(site, "portraits/one")
    daemon.wait_for("job_finished", picture="portraits/one.png")
    assert (result(site, "portraits/one") == painted(70)).all()  # by the one in use
    assert "late/one.png" in site.files("inbox")
    tiny.write_painting(faces, 90)
    tiny.write_painting(tmp_path / "late.pt", 30)
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_for("job_finished", picture="late/one.png")
    drop(site, "portraits/two")
    daemon.wait_for("job_finished", picture="portraits/two.png")
    assert (result(site, "late/one") == painted(30)).all()
    assert (result(site, "portraits/two") == painted(90)).all()


def test_a_folders_model_that_was_missing_is_taken_up_by_itself(
    site: Site, start: Start, tmp_path: Path
) -> None:
    """Where it lies on a disk that was mounted late."""
    settle(site, own("late", tmp_path / "late.pt"))
    drop(site, "late/cat")
    daemon = start(site)
    daemon.wait_for("worker_started")
    tiny.write_painting(tmp_path / "late.pt", 30)
    daemon.wait_for("job_finished", picture="late/cat.png")
    assert (result(site, "late/cat") == painted(30)).all()
    assert len(daemon.seen("reloading")) == 1


def test_a_job_that_is_found_after_a_restart_is_worked_by_the_model_of_the_settings_then(
    site: Site, start: Start, faces: Path, dust: Path, tmp_path: Path
) -> None:
    """And where that can't be used, it goes back."""
    settle(site, own("portraits", tiny.write_inpaint(tmp_path / "slow.pt")))
    slow = photo()
    slow[0, 0] = tiny.SLOW_PIXEL
    for name in ("a", "b"):
        drop(site, f"portraits/{name}")
        save(slow, site.inbox / f"portraits/{name}.png")
    first = start(site)
    first.wait_for("job_started", times=2)
    os.kill(first.pid, signal.SIGKILL)
    first.stop()
    settle(site, own("portraits", dust))
    second = start(site)
    second.wait_for("job_finished", times=2)
    assert (result(site, "portraits/a") == np.where(hole()[..., None] > 0, 200, slow)).all()


def test_a_job_whose_model_can_not_be_used_after_a_restart_goes_back(
    site: Site, start: Start, faces: Path, tmp_path: Path
) -> None:
    settle(site, own("portraits", tiny.write_inpaint(tmp_path / "slow.pt")))
    slow = photo()
    slow[0, 0] = tiny.SLOW_PIXEL
    drop(site, "portraits/a")
    save(slow, site.inbox / "portraits/a.png")
    first = start(site)
    first.wait_for("job_started")
    os.kill(first.pid, signal.SIGKILL)
    first.stop()
    settle(site, own("portraits", tmp_path / "gone.pt"))
    second = start(site)
    given_back = second.wait_for("pair_given_back")
    assert given_back["reason"] == "folder_model_unusable"
    assert site.files("inbox") == ["portraits/a.png", "portraits/a_mask.png"]


def wait_for_child(daemon: Daemon) -> list[int]:
    """The workers that have begun to load."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children")
    daemon.wait_until(lambda: bool(children.read_text().split()), "a worker")
    return [int(pid) for pid in children.read_text().split()]
