"""What is no plain file of its own, in the inbox of the real daemon and in its other open folders.

One run meets it all; the pair beside it is done, and nothing else is opened, changed or removed.
"""

import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from driver import Site, hole, inverted, load, photo, save
from outside import Alarm, Outside, Seen, everything, seen
from test_jobs import drop

from daemon.places import Place
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs
from daemon.spool.layout import HIDDEN_WORK, Spool, locked, open_spool
from daemon.spool.putting_away import UNPLACED
from daemon.spool.recovery import recover

IS_ROOT = os.geteuid() == 0


@dataclass
class Met:
    """A run of `once` over an inbox of oddities, and what was seen of them before."""

    site: Site
    outside: Outside
    alarm: Alarm
    before: dict[str, Seen]
    shared: dict[Path, Seen]
    rung: list[str] = field(default_factory=list)
    has_immovable: bool = False
    ended: "subprocess.CompletedProcess[str] | None" = None


def fill(inbox: Path, outside: Outside) -> None:
    """Every kind of thing under the names of pairs; each would be one if it were two files."""
    for name in ("pipe", "socket", "folder", "link", "dangling", "loop", "itself", "inside"):
        save(hole(), inbox / f"{name}_mask.png")
    os.mkfifo(inbox / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(inbox / "socket.png"))
    (inbox / "folder.png").mkdir()
    (inbox / "link.png").symlink_to(outside.secret)
    (inbox / "dangling.png").symlink_to("nowhere.png")
    (inbox / "loop.png").symlink_to("pool.png")
    (inbox / "pool.png").symlink_to("loop.png")
    (inbox / "itself.png").symlink_to("itself.png")
    (inbox / "inside.png").symlink_to("good.png")
    (inbox / "masked.png").mkdir()
    (inbox / "masked_mask.png").symlink_to(outside.secret)
    (inbox / "to a folder outside").symlink_to(outside.folder)
    (inbox / "to a folder inside").symlink_to("day")
    (inbox / "up").symlink_to("..")
    (inbox / "root").symlink_to("/")
    (inbox / "here").symlink_to(".")
    if IS_ROOT:
        save(hole(), inbox / "device_mask.png")
        save(hole(), inbox / "block_mask.png")
        os.mknod(inbox / "device.png", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # zero, endless
        os.mknod(inbox / "block.png", stat.S_IFBLK | 0o666, os.makedev(7, 200))


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path) -> Iterator[Met]:
    root = tmp_path_factory.mktemp("odd")
    site = Site(root / "spool", {"RETOUCHD_INPAINT_MODEL": str(inpaint_model)})
    outside = Outside(root / "outside")
    fill(site.inbox, outside)
    # The outbox's name for the result of one pair leads out, and its folder for that of another.
    site.outbox.mkdir()
    (site.outbox / "taken.png").symlink_to(outside.secret)
    (site.outbox / "led away").symlink_to(outside.folder)
    before = everything(site.inbox)
    links = [path for path in site.inbox.iterdir() if not path.name.endswith("_mask.png")]
    for name in ("good", "day/good", "taken", "led away/cat", "case", "CASE", "day/firm"):
        save(photo(), site.inbox / f"{name}.png")
        save(hole(), site.inbox / f"{name}_mask.png")
    shared = hard_links(site, root)
    met = Met(site, outside, Alarm(*(p for p in links if not p.is_dir())), before, shared)
    with immovable(site.inbox / "day" / "firm.png") as met.has_immovable:
        met.ended = site.once()
    met.rung = met.alarm.rung()
    yield met
    met.alarm.close()
    outside.close()


@contextmanager
def immovable(path: Path) -> Iterator[bool]:
    """Let nobody rename a file, if this file system and our rights have that."""
    done = subprocess.run(["chattr", "+i", str(path)], capture_output=True)
    try:
        yield done.returncode == 0
    finally:
        subprocess.run(["chattr", "-i", str(path)], capture_output=True)


def hard_links(site: Site, root: Path) -> dict[Path, Seen]:
    """A pair of which each file has another name outside."""
    shared = {}
    for name, pixels in (("hard.png", photo()), ("hard_mask.png", hole())):
        other = save(pixels, root / "elsewhere" / name)
        other.chmod(0o604)
        os.utime(other, (1000, 1000))
        os.link(other, site.inbox / name)
        shared[other] = seen(other)
    return shared


def test_the_pairs_beside_them_are_done(met: Met) -> None:
    assert met.ended is not None
    for name in ("good", "day/good", "hard"):
        assert (load(met.site.outbox / f"{name}.png") == inverted(photo(), hole())).all()
    assert "stopped:" not in met.ended.stdout
    assert "queue_held" not in met.ended.stderr


def test_none_of_them_is_opened_or_changed(met: Met) -> None:
    assert met.rung == []
    after = everything(met.site.inbox)
    changed = {name for name, was in met.before.items() if name != "." and after.get(name) != was}
    assert changed == set()


def test_what_links_lead_to_is_neither_opened_nor_changed(met: Met) -> None:
    met.outside.check()


def test_a_result_goes_beside_a_link_of_its_name(met: Met) -> None:
    assert (met.site.outbox / "taken.png").readlink() == met.outside.secret
    assert (load(met.site.outbox / "taken.2.png") == inverted(photo(), hole())).all()


def test_a_pair_whose_folder_in_the_outbox_leads_out_fails_and_says_so(met: Met) -> None:
    reason = (met.site.failed / "led away" / "cat.png.reason.txt").read_text()
    assert "the outbox can't hold a file of the name led away/cat.png" in reason
    assert np.array_equal(load(met.site.failed / "led away" / "cat.png"), photo())


def test_the_other_name_of_a_file_keeps_content_mode_owner_and_time(met: Met) -> None:
    for path, was in met.shared.items():
        assert seen(path) == was
        assert path.samefile(met.site.archive / path.name)


def test_a_file_that_nobody_can_move_waits_and_says_so(met: Met) -> None:
    if not met.has_immovable:
        pytest.skip("needs a file system with immutable files, and root")
    assert met.ended is not None
    assert "waiting: day/firm.png: no permission for day/firm.png" in met.ended.stdout
    assert (load(met.site.inbox / "day" / "firm.png") == photo()).all()
    assert (load(met.site.inbox / "day" / "firm_mask.png") == hole()).all()


def test_names_that_differ_in_case_alone_are_not_guessed_between(met: Met) -> None:
    assert met.ended is not None
    for name in ("case.png", "CASE.png", "case_mask.png", "CASE_mask.png"):
        assert (met.site.inbox / name).exists()
        assert f"waiting: {name}: which of these belong together can't be told" in met.ended.stdout


def test_files_whose_other_is_none_wait_for_it(met: Met) -> None:
    assert met.ended is not None
    for name in ("pipe", "socket", "link", "dangling", "loop"):
        said = f"waiting: {name}_mask.png: the mask waits for its picture"
        assert said in met.ended.stdout


def test_a_hidden_work_folder_that_becomes_a_link_is_not_followed(
    tmp_path: Path, inpaint_model: Path
) -> None:
    """Where the inbox is a disk of its own the work folder lies in it, and anyone may rename it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other_disk:
        inbox = Path(other_disk) / "inbox"
        spool = open_spool(Settings(spool=tmp_path / "spool", inbox=inbox))
        assert spool.work == inbox / HIDDEN_WORK
        pair = drop(spool)
        outside = Outside(Path(other_disk) / "outside")
        (inbox / HIDDEN_WORK).rename(inbox / "taken")
        (inbox / HIDDEN_WORK).symlink_to(outside.root)
        with pytest.raises(PermissionError):
            jobs.claim_pair(spool, pair)
        with pytest.raises(PermissionError):
            recover(spool)
        with pytest.raises(NotADirectoryError), locked(spool):
            pass
        outside.check()
        outside.close()
        (inbox / HIDDEN_WORK).unlink()
        (inbox / "taken").rename(inbox / HIDDEN_WORK)
        assert jobs.claim_pair(spool, pair) is not None


@pytest.mark.parametrize("taken_by", ["a file", "a link"])
def test_where_even_the_place_for_what_has_no_place_is_taken_there_is_another(
    tmp_path: Path, spool: Spool, taken_by: str
) -> None:
    outside = Outside(tmp_path / "outside")
    for name in ("day", UNPLACED):
        if taken_by == "a link":
            (spool.failed / name).symlink_to(outside.folder)
        else:
            (spool.failed / name).write_bytes(b"mine")
    record = jobs.claim_pair(spool, drop(spool, "day/cat"))
    assert record is not None
    jobs.fail(spool, record, Trouble("mask_covers_everything"))
    there = spool.failed / f"{UNPLACED}.2" / record.job
    assert {path.name for path in there.iterdir()} == {
        *("picture", "companion", "picture.reason.txt")
    }
    outside.check()
    outside.close()


def test_a_folder_that_a_crash_left_without_its_mode_gets_it_below_one_with_set_group_id(
    spool: Spool,
) -> None:
    (spool.outbox / "day").mkdir(mode=0o700)
    assert stat.S_IMODE((spool.outbox / "day").stat().st_mode) == 0o2700
    files.make_folders(Place(spool.outbox, "day"), spool.ownership)
    assert stat.S_IMODE((spool.outbox / "day").stat().st_mode) == 0o2775


def test_the_alarm_of_these_tests_rings(tmp_path: Path) -> None:
    outside = Outside(tmp_path / "outside")
    os.mkfifo(tmp_path / "pipe")
    alarm = Alarm(tmp_path / "pipe")
    os.close(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK))
    assert [told.split()[0] for told in alarm.rung()] == ["open", "close_nowrite"]
    alarm.close()
    outside.secret.read_bytes()
    with pytest.raises(AssertionError):
        outside.check()
    outside.close()
