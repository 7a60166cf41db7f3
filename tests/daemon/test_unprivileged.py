"""The whole daemon, workers too, as a user who may do nothing but work in its spool."""

import hashlib
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
UPLOADER = 12345
# What a service file gives with AmbientCapabilities=CAP_DAC_READ_SEARCH.
MAY_READ_ALL = "--inh-caps +dac_read_search --ambient-caps +dac_read_search"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


@dataclass
class Unprivileged(Site):
    """A spool of nobody's.

    A checkout, an environment and pytest's folders may lie where nobody can go. In a mount
    namespace of its own each of them is reached by its usual name, through folders open to all.
    `rights` are options of setpriv.
    """

    rights: str = ""

    def command(self, *arguments: str) -> list[str]:
        needed = [Path(sys.prefix), Path(sys.base_prefix), REPOSITORY, self.root.parent]
        script = [*_opened({path.resolve() for path in needed} - {Path("/usr")})]
        become = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {self.rights}"
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


def upload(site: Site, name: str) -> None:
    """A pair from another user of the share's group, whose umask leaves it to himself alone."""
    site.inbox.chmod(0o2775)
    for path, pixels in ((f"{name}.png", photo()), (f"{name}_mask.png", hole())):
        source = save(pixels, site.root.parent / path)
        become = ["setpriv", "--reuid", str(UPLOADER), "--regid", str(UPLOADER)]
        become += ["--groups", str(site.inbox.stat().st_gid)]
        with source.open("rb") as content:
            subprocess.run(
                [*become, "sh", "-c", 'umask 077; cat > "$0"', path],
                cwd=site.inbox,  # of which he need not know where it lies
                stdin=content,
                check=True,
            )
        about = (site.inbox / path).stat()
        assert (about.st_uid, about.st_gid) == (UPLOADER, site.inbox.stat().st_gid)
        assert about.st_mode & 0o777 == 0o600


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


def test_a_pair_whose_folder_became_anothers_waits_to_go_back_and_keeps_nobody_else_waiting(
    unprivileged: Unprivileged, start: Start
) -> None:
    spool = open_spool(Settings(spool=unprivileged.root))
    drop(unprivileged, "theirs/cat")
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    record = claim_pair(spool, pair)
    assert record is not None
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(unprivileged.root)], check=True)
    (unprivileged.work / record.job / "in" / "picture").chmod(0)
    folder = unprivileged.inbox / "theirs"
    folder.chmod(0o755)
    os.chown(folder, UPLOADER, UPLOADER)
    daemon = start(unprivileged)
    stuck = daemon.wait_for("job_stuck", reason="folder_closed")
    assert f"{folder} can't be written to (Permission denied)" in stuck["says"]
    drop(unprivileged, "dog")
    daemon.wait_for("job_finished", picture="dog.png")
    assert daemon.seen("queue_held") == []
    assert unprivileged.jobs() == [record.job]


def test_an_upload_that_its_owner_keeps_to_himself_waits_until_it_may_be_read(
    unprivileged: Unprivileged, start: Start
) -> None:
    daemon = start(unprivileged, "--scan-interval-s", "3600")
    daemon.wait_for("worker_started")
    upload(unprivileged, "cat")
    drop(unprivileged, "dog")
    daemon.wait_for("job_finished", picture="dog.png")
    assert unprivileged.files("inbox") == ["cat.png", "cat_mask.png"]
    assert daemon.seen("pair_claimed", picture="cat.png") == daemon.seen("queue_held") == []
    for name in ("cat.png", "cat_mask.png"):
        (unprivileged.inbox / name).chmod(0o640)
    daemon.wait_for("job_finished", picture="cat.png")
    assert (load(unprivileged.outbox / "cat.png") == inverted(photo(), hole())).all()
    about = (unprivileged.outbox / "cat.png").stat()
    assert (about.st_uid, about.st_mode & 0o777) == (NOBODY, 0o664)
    assert unprivileged.files("inbox") == []


def test_once_says_which_upload_may_not_be_read_and_what_to_do(
    unprivileged: Unprivileged,
) -> None:
    upload(unprivileged, "cat")
    done = unprivileged.once()
    assert done.returncode == 1
    assert "waiting: cat.png: cat.png may not be read by the user that runs retouchd." in (
        done.stdout
    )
    assert "chmod a+r" in done.stdout
    assert unprivileged.files("inbox") == ["cat.png", "cat_mask.png"]


@pytest.mark.parametrize("rights", ["root", MAY_READ_ALL], ids=["root", "may read all"])
def test_who_may_read_everything_does_an_upload_that_its_owner_keeps_to_himself(
    request: pytest.FixtureRequest, rights: str
) -> None:
    used: Site = request.getfixturevalue("site" if rights == "root" else "unprivileged")
    if isinstance(used, Unprivileged):
        used.rights = rights
    used.environment["RETOUCHD_FILE_MODE"] = "0640"
    os.chown(used.inbox, -1, NOBODY)
    upload(used, "cat")
    done = used.once("--group", str(NOBODY))
    assert done.returncode == 0, done.stdout + done.stderr
    assert used.files("outbox") == ["cat.log", "cat.png"]
    assert (load(used.outbox / "cat.png") == inverted(photo(), hole())).all()
    for result in used.outbox.iterdir():
        assert (result.stat().st_gid, result.stat().st_mode & 0o777) == (NOBODY, 0o640)
    # What was put away is still its owner's, and as private as he made it.
    for original in used.archive.iterdir():
        assert (original.stat().st_uid, original.stat().st_mode & 0o777) == (UPLOADER, 0o600)


def test_in_a_sticky_inbox_what_may_not_be_moved_waits_and_keeps_nobody_else_waiting(
    unprivileged: Unprivileged, start: Start
) -> None:
    unprivileged.rights = MAY_READ_ALL
    upload(unprivileged, "cat")
    os.chown(unprivileged.inbox, 0, NOBODY)
    unprivileged.inbox.chmod(0o3775)  # as in /tmp, only its owner may move a file away
    daemon = start(unprivileged)
    drop(unprivileged, "dog")
    daemon.wait_for("job_finished", picture="dog.png")
    assert unprivileged.files("inbox") == ["cat.png", "cat_mask.png"]
    assert daemon.seen("queue_held") == daemon.seen("pair_claimed", picture="cat.png") == []


def _closed_gallery(outbox: Path) -> None:
    gallery = outbox / "gallery"
    gallery.mkdir(mode=0o700)
    os.chown(gallery, UPLOADER, UPLOADER)


def _file_where_the_index_is_made_up(outbox: Path) -> None:
    # Where everybody may put files and remove only his own.
    os.chown(outbox, 0, 0)
    outbox.chmod(0o1777)
    name = hashlib.sha256(b"index.html").hexdigest()[:16]
    file = outbox / f".retouchd-{name}"
    file.write_text("mine")
    os.chown(file, UPLOADER, UPLOADER)


@pytest.mark.parametrize(
    ("put", "page"),
    [
        (_closed_gallery, "gallery/0001.html"),
        (_file_where_the_index_is_made_up, "index.html"),
    ],
)
def test_nobody_who_has_the_share_can_keep_all_pages_from_being_written(
    unprivileged: Unprivileged, start: Start, put: Callable[[Path], None], page: str
) -> None:
    unprivileged.environment["RETOUCHD_PAGES"] = "true"
    unprivileged.outbox.mkdir()
    os.chown(unprivileged.outbox, NOBODY, NOBODY)
    put(unprivileged.outbox)
    drop(unprivileged, "cat")
    daemon = start(unprivileged)
    daemon.wait_for("job_finished")
    others = {"index.html", "status.html", "gallery/0001.html"} - {page}
    daemon.wait_until(lambda: all((unprivileged.outbox / o).exists() for o in others), "the others")
    daemon.stop()
    assert "Not running" in (unprivileged.outbox / "status.html").read_text()
    assert not (unprivileged.outbox / page).exists()
    (told,) = daemon.seen("page_not_written")
    assert told["page"] == page
    assert "no permission for" in told["why"]
