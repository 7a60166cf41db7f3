"""The whole daemon, workers too, as a user who may do nothing but work in its spool."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from driver import REPOSITORY, Daemon, Site, hole, inverted, load, photo, save, trimap

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan
from daemon.settings import Settings
from daemon.spool.jobs import claim_pair
from daemon.spool.layout import open_spool

Start = Callable[..., Daemon]
NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


@dataclass
class Unprivileged(Site):
    """A spool of nobody's.

    A checkout, an environment and pytest's folders may lie where nobody can go. In a mount
    namespace of its own each of them is reached by its usual name, through folders open to all.
    """

    def command(self, *arguments: str) -> list[str]:
        needed = [Path(sys.prefix), Path(sys.base_prefix), REPOSITORY, self.root.parent]
        script = [*_opened({path.resolve() for path in needed} - {Path("/usr")})]
        become = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"
        script.append(f"cd / && exec {become} {shlex.join(super().command(*arguments))}")
        return ["unshare", "--mount", "sh", "-ec", "\n".join(script)]


def _opened(paths: set[Path]) -> list[str]:
    """Shell lines that make paths reachable for all, under their own names."""
    stash = "/run/retouchd-test-stash"
    lines = [f"mkdir -p {stash}", f"mount -t tmpfs none {stash}"]
    for number, path in enumerate(sorted(paths)):
        lines += [
            f"mkdir {stash}/{number}",
            f"mount --bind {shlex.quote(str(path))} {stash}/{number}",
        ]
    closed = {
        next(folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001)
        for path in paths
        if any(not folder.stat().st_mode & 0o001 for folder in path.parents)
    }
    lines += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(folder))}" for folder in closed]
    for number, path in enumerate(sorted(paths)):
        name = shlex.quote(str(path))
        lines += [f"mkdir -p {name}", f"mount --bind {stash}/{number} {name}"]
    return lines


@pytest.fixture
def unprivileged(tmp_path: Path, inpaint_model: Path) -> Unprivileged:
    place = tmp_path / "place"
    place.mkdir()
    site = Unprivileged(
        place / "spool",
        {
            "RETOUCHD_INPAINT_MODEL": shutil.copy(str(inpaint_model), str(place)),
            "HOME": "/nonexistent",
        },
    )
    for folder in (site.root.parent, site.root, site.inbox):
        os.chown(folder, NOBODY, NOBODY)
    return site


def drop(site: Site, name: str, role: str = "mask") -> None:
    save(photo(), site.inbox / f"{name}.png")
    save(hole() if role == "mask" else trimap(), site.inbox / f"{name}_{role}.png")
    for path in site.inbox.glob(f"{name}*"):
        path.chmod(0o664)
        os.chown(path, NOBODY, NOBODY)


def test_a_user_without_rights_does_it_all(unprivileged: Unprivileged, start: Start) -> None:
    daemon = start(unprivileged)
    drop(unprivileged, "cat")
    hello = daemon.wait_for("worker_started")
    daemon.wait_for("job_finished")
    for pid in (daemon.pid, hello["pid"]):
        ids = psutil.Process(pid).uids()
        assert (ids.real, ids.effective, ids.saved) == (NOBODY, NOBODY, NOBODY)
        status = Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
    assert len(hello["confinement"]) == 2
    assert daemon.seen("runs_as_root") == daemon.seen("worker_unconfined") == []
    assert (load(unprivileged.outbox / "cat.png") == inverted(photo(), hole())).all()
    for result in unprivileged.outbox.iterdir():
        about = result.stat()
        assert (about.st_uid, about.st_mode & 0o777) == (NOBODY, 0o664)


@pytest.mark.slow
def test_a_user_without_rights_cuts_out_with_what_was_compiled_for_him(
    unprivileged: Unprivileged, start: Start, matting_model: Path
) -> None:
    model = shutil.copy(str(matting_model), str(unprivileged.root.parent))
    unprivileged.environment["RETOUCHD_MATTING_MODEL"] = model
    daemon = start(unprivileged)
    drop(unprivileged, "dog", "trimap")
    daemon.wait_for("worker_started")  # most of a minute
    daemon.wait_for("job_finished")
    assert "dog.cutout.png" in unprivileged.files("outbox")
    assert (unprivileged.work / ".cache").stat().st_uid == NOBODY


def test_a_right_that_is_taken_away_holds_the_queue_until_it_is_back(
    unprivileged: Unprivileged, start: Start
) -> None:
    daemon = start(unprivileged)
    drop(unprivileged, "before")
    daemon.wait_for("job_finished")
    subprocess.run(["chown", "root:root", str(unprivileged.outbox)], check=True)
    unprivileged.outbox.chmod(0o755)
    drop(unprivileged, "cat")
    held = daemon.wait_for("queue_held")
    assert held["reason"] == "permission"
    assert str(unprivileged.outbox) in held["says"]
    os.chown(unprivileged.outbox, NOBODY, NOBODY)
    daemon.wait_for("queue_resumed")
    assert (load(unprivileged.outbox / "cat.png") == inverted(photo(), hole())).all()
    assert "attempt:              1" in (unprivileged.outbox / "cat.log").read_text()
    assert daemon.seen("job_tried") == []


def test_who_runs_it_as_root_is_told(site: Site, start: Start) -> None:
    daemon = start(site)
    said = daemon.wait_for("runs_as_root")
    assert said["level"] == "warning"
    assert "user of its own" in said["advice"]


def test_a_claimed_file_that_may_not_be_read_waits_and_keeps_nobody_else_waiting(
    unprivileged: Unprivileged, start: Start
) -> None:
    spool = open_spool(Settings(spool=unprivileged.root))
    drop(unprivileged, "cat")
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    record = claim_pair(spool, pair)
    assert record is not None
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(unprivileged.root)], check=True)
    (unprivileged.work / record.job / "in" / "picture").chmod(0)
    daemon = start(unprivileged)
    back = daemon.wait_for("pair_given_back")
    assert back["reason"] == "unreadable"
    drop(unprivileged, "dog")
    daemon.wait_for("job_finished", picture="dog.png")
    assert daemon.seen("queue_held") == []
    assert unprivileged.files("inbox") == ["cat.png", "cat_mask.png"]
