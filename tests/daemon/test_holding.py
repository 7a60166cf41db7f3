"""Jobs whose originals lie on mounts in the inbox: held there, waited for when these are away."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mounts import Mounts, fill
from test_jobs import MASK, PICTURE, RESULT, claim, drop, produce, record_file, tree

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan
from daemon.places import Place
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import files, jobs, recovery
from daemon.spool.closed import FolderClosed
from daemon.spool.holding import MountAway, make_rooms, remove_left_rooms
from daemon.spool.layout import HIDDEN_ROOMS, HIDDEN_WORK, Spool, open_spool
from daemon.spool.record import Record, State, load

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

NAMES = {"scanner/cat.jpg", "scanner/cat_mask.png"}


class Scanner:
    """A disk that is mounted on the inbox's folder `scanner`, can be taken away, and comes back."""

    def __init__(self, mounts: Mounts, spool: Spool, disk: Path) -> None:
        self._mounts = mounts
        self._disk = mounts.tmpfs(disk)
        self.point = spool.inbox / "scanner"
        self.come()

    def come(self) -> None:
        self._mounts.bind(self._disk, self.point)

    def go(self) -> None:
        self._mounts.take_away(self.point)
        assert list(self.point.iterdir()) == []

    def held(self) -> dict[str, bytes]:
        """What lies in its hidden folder."""
        return tree(self._disk / HIDDEN_ROOMS)


@pytest.fixture
def scanner(mounts: Mounts, spool: Spool, tmp_path: Path) -> Scanner:
    return Scanner(mounts, spool, tmp_path / "disk")


def publish(spool: Spool, record: Record) -> Record:
    return jobs.publish_result(spool, record, produce(spool, record), "log")


def fail(spool: Spool, record: Record) -> None:
    jobs.fail(spool, record, Trouble("mask_covers_everything"))


def rooms(spool: Spool) -> list[Path]:
    """The folders of jobs on mounts."""
    return list(spool.inbox.rglob(f"{HIDDEN_ROOMS}/*"))


def check_ended(spool: Spool) -> None:
    assert rooms(spool) == []
    assert tree(spool.work) == {}
    assert recovery.recover(spool) == recovery.Recovered([], 0, [], None)


def test_a_pair_on_a_mount_is_held_there_and_the_record_says_so(
    spool: Spool, scanner: Scanner
) -> None:
    record = claim(spool, "scanner/cat")
    assert scanner.held() == {
        f"{record.job}/in/picture": PICTURE,
        f"{record.job}/in/companion": MASK,
    }
    assert (scanner.point / HIDDEN_ROOMS).stat().st_mode & 0o777 == 0o700
    assert load(spool, record.job) == record
    assert [original.mount for original in record.originals] == ["scanner", "scanner"]
    assert scan(spool.inbox).pictures == ()


def test_a_pair_on_a_mount_is_published_and_archived(spool: Spool, scanner: Scanner) -> None:
    record = publish(spool, claim(spool, "scanner/cat"))
    assert record.state is State.ARCHIVE
    assert tree(spool.outbox) == {"scanner/cat.png": RESULT, "scanner/cat.log": b"log"}
    assert tree(spool.archive) == {"scanner/cat.jpg": PICTURE, "scanner/cat_mask.png": MASK}
    assert scanner.held() == {}
    check_ended(spool)


def test_a_pair_on_a_mount_goes_to_failed_with_its_reason(spool: Spool, scanner: Scanner) -> None:
    fail(spool, claim(spool, "scanner/cat"))
    assert set(tree(spool.failed)) == NAMES | {"scanner/cat.jpg.reason.txt"}
    assert scanner.held() == {}
    check_ended(spool)


def test_a_pair_on_a_mount_is_given_back_as_it_was(spool: Spool, scanner: Scanner) -> None:
    pair = drop(spool, "scanner/cat")
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    jobs.give_back(spool, record)
    assert pair_up(scan(spool.inbox).pictures).pairs == (pair,)
    assert scanner.held() == {}
    check_ended(spool)


@pytest.mark.parametrize("kinds", ["tmpfs tmpfs", "tmpfs none", "none bind"])
def test_picture_and_mask_may_lie_on_different_mounts(
    mounts: Mounts, spool: Spool, tmp_path: Path, kinds: str
) -> None:
    for folder, kind in zip(("images", "masks"), kinds.split(), strict=True):
        if kind == "tmpfs":
            mounts.tmpfs(spool.inbox / folder)
        elif kind == "bind":  # the same file system, and yet no rename leads from one to the other
            (tmp_path / folder).mkdir()
            mounts.bind(tmp_path / folder, spool.inbox / folder)
    originals = {"images/day/cat.jpg": PICTURE, "masks/day/cat.png": MASK}
    for path, content in originals.items():
        (spool.inbox / path).parent.mkdir(parents=True)
        (spool.inbox / path).write_bytes(content)
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    for end in (jobs.give_back, publish):
        record = jobs.claim_pair(spool, pair)
        assert record is not None
        assert jobs.inputs_unchanged(spool, record)
        for fd in jobs.open_for_work(spool, record, []):
            os.close(fd)
        end(spool, record)
        check_ended(spool)
    assert tree(spool.archive) == originals


def test_originals_on_a_mount_are_deleted_where_that_is_wanted(
    mounts: Mounts, spool: Spool, tmp_path: Path
) -> None:
    spool = open_spool(Settings(spool=spool.inbox.parent, originals="delete"))
    scanner = Scanner(mounts, spool, tmp_path / "disk")
    record = claim(spool, "scanner/cat")
    scanner.go()
    with pytest.raises(MountAway):
        publish(spool, record)
    scanner.come()
    assert recovery.recover(spool).finished == 1
    assert tree(spool.inbox) == tree(spool.archive) == {}
    check_ended(spool)


def test_a_record_from_before_mounts_were_worked_is_read(spool: Spool) -> None:
    record = claim(spool)
    data = json.loads(record_file(spool, record).read_text())
    for name in ("picture", "companion"):
        assert data[name].pop("mount") == ""
    record_file(spool, record).write_text(json.dumps(data))
    assert load(spool, record.job) == record


@pytest.mark.parametrize("mount", ["elsewhere", "..", "/", "scann", 1, "\0"])
def test_a_record_that_names_a_mount_without_its_file_is_no_record(
    spool: Spool, scanner: Scanner, mount: object
) -> None:
    record = claim(spool, "scanner/cat")
    data = json.loads(record_file(spool, record).read_text())
    data["picture"]["mount"] = mount
    record_file(spool, record).write_text(json.dumps(data))
    with pytest.raises(ValueError, match="mount"):
        load(spool, record.job)
    assert len(scanner.held()) == 2


@pytest.mark.parametrize("end", [publish, fail, jobs.give_back], ids=lambda end: end.__name__)
def test_what_is_held_on_a_mount_that_is_away_is_not_believed_put_away(
    spool: Spool, scanner: Scanner, end: Callable[[Spool, Record], object]
) -> None:
    record, other = claim(spool, "scanner/cat"), claim(spool, "dog")
    scanner.go()
    with pytest.raises(MountAway, match="scanner is not mounted"):
        end(spool, record)
    for _ in range(2):  # as at every restart
        found = recovery.recover(spool)
        assert [each.job for each in found.to_run] == [other.job]
        assert found.stuck is None
        assert found.waits is not None
        remove_left_rooms(spool)
    assert list(scanner.point.iterdir()) == []
    assert set(scanner.held().values()) == {PICTURE, MASK}
    scanner.come()
    found = recovery.recover(spool)
    assert (found.stuck, found.waits) == (None, None)
    assert [each.job for each in found.to_run] == [other.job]
    where = {"publish": "archive", "fail": "failed", "give_back": "inbox"}[end.__name__]
    assert set(tree(spool.inbox.parent / where)) >= NAMES
    assert rooms(spool) == []


@pytest.mark.parametrize("end", [fail, jobs.give_back], ids=lambda end: end.__name__)
def test_a_pair_is_not_torn_apart_while_the_mount_of_one_of_them_is_away(
    mounts: Mounts, spool: Spool, tmp_path: Path, end: Callable[[Spool, Record], object]
) -> None:
    point = spool.inbox / "masks"
    mounts.bind(mounts.tmpfs(tmp_path / "disk"), point)
    (spool.inbox / "images").mkdir()
    (spool.inbox / "images/cat.jpg").write_bytes(PICTURE)
    (point / "cat.png").write_bytes(MASK)
    (pair,) = pair_up(scan(spool.inbox).pictures).pairs
    record = jobs.claim_pair(spool, pair)
    assert record is not None
    mounts.take_away(point)
    with pytest.raises(MountAway):
        end(spool, record)
    assert tree(spool.inbox) == tree(spool.failed) == {}
    assert (spool.work / record.job / "in" / "picture").read_bytes() == PICTURE


def test_a_job_waits_to_be_run_until_its_mount_is_back(spool: Spool, scanner: Scanner) -> None:
    record = claim(spool, "scanner/cat")
    scanner.go()
    with pytest.raises(MountAway):
        jobs.open_for_work(spool, record, ["result"])
    found = recovery.recover(spool)
    assert found.to_run == []
    assert found.waits is not None
    scanner.come()
    (again,) = recovery.recover(spool).to_run
    assert again == record
    assert publish(spool, again).state is State.ARCHIVE
    check_ended(spool)


def test_a_mount_that_goes_between_two_moves_leaves_the_second_for_later(
    spool: Spool, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = claim(spool, "scanner/cat")
    real = files.move

    def go_afterwards(source: Place, target: Place) -> None:
        real(source, target)
        scanner.go()

    monkeypatch.setattr(files, "move", go_afterwards)
    with pytest.raises(MountAway):
        publish(spool, record)
    monkeypatch.undo()
    assert set(tree(spool.archive)) == {"scanner/cat.jpg"}
    assert list(scanner.held().values()) == [MASK]
    scanner.come()
    assert recovery.recover(spool).finished == 1
    assert set(tree(spool.archive)) == NAMES
    check_ended(spool)


def test_a_disk_that_comes_back_under_another_number_is_the_same(
    mounts: Mounts, spool: Spool, tmp_path: Path
) -> None:
    mounts.ext4(spool.inbox / "scanner", tmp_path / "image")
    record = claim(spool, "scanner/cat")
    os.sync()
    before = (spool.inbox / "scanner").stat().st_dev
    shutil.copyfile(tmp_path / "image", tmp_path / "copy")
    mounts.ext4(tmp_path / "holds the number", tmp_path / "image")
    mounts.take_away(spool.inbox / "scanner")
    mounts.ext4(spool.inbox / "scanner", tmp_path / "copy")
    assert (spool.inbox / "scanner").stat().st_dev != before
    assert jobs.inputs_unchanged(spool, record)
    assert publish(spool, record).state is State.ARCHIVE


@pytest.mark.parametrize("how", ["theirs", "open", "a file", "a link"])
def test_a_hidden_folder_that_others_can_reach_into_is_not_used(
    spool: Spool, scanner: Scanner, tmp_path: Path, how: str
) -> None:
    pair = drop(spool, "scanner/cat")
    hidden = scanner.point / HIDDEN_ROOMS
    if how == "a file":
        hidden.touch()
    elif how == "a link":
        (tmp_path / "outside").mkdir(mode=0o700)
        hidden.symlink_to(tmp_path / "outside")
    else:
        hidden.mkdir()
        hidden.chmod(0o777 if how == "open" else 0o755)
        if how == "theirs":
            os.chown(hidden, 12345, 12345)
    with pytest.raises(OSError, match=HIDDEN_ROOMS):
        jobs.claim_pair(spool, pair)
    assert pair_up(scan(spool.inbox).pictures).pairs == (pair,)
    assert how != "a link" or list((tmp_path / "outside").iterdir()) == []
    assert tree(spool.work) == {}


def test_a_hidden_folder_that_somebody_exchanged_counts_as_away(
    spool: Spool, scanner: Scanner
) -> None:
    record = claim(spool, "scanner/cat")
    hidden = scanner.point / HIDDEN_ROOMS
    hidden.rename(scanner.point / ".aside")
    forged = hidden / record.job / "in"
    forged.mkdir(parents=True)
    os.chown(forged, 12345, 12345)
    with pytest.raises(MountAway):
        publish(spool, record)
    shutil.rmtree(hidden)
    (scanner.point / ".aside").rename(hidden)
    assert recovery.recover(spool).finished == 1
    assert set(tree(spool.archive)) == NAMES


def test_folders_that_a_crash_left_on_a_mount_go_and_what_holds_a_file_stays(
    spool: Spool, scanner: Scanner
) -> None:
    hidden = scanner.point / HIDDEN_ROOMS
    record = claim(spool, "scanner/cat")
    for name in ("left", "half", "full"):
        (hidden / name / "in").mkdir(parents=True)
    (hidden / "half" / "in").rmdir()
    (hidden / "full" / "in" / "picture").write_bytes(b"nobody's")
    (hidden / "lock").touch()
    assert [room.name for room in remove_left_rooms(spool)] == ["full"]
    assert sorted(path.name for path in hidden.iterdir()) == [record.job, "full", "lock"]
    assert scanner.held()["full/in/picture"] == b"nobody's"


def test_the_work_folder_of_a_mount_that_was_the_inbox_is_told_and_left_alone(
    spool: Spool, scanner: Scanner
) -> None:
    work = scanner.point / HIDDEN_WORK
    (work / "idle").mkdir(parents=True)
    assert remove_left_rooms(spool) == []
    (work / "job" / "in").mkdir(parents=True)
    assert remove_left_rooms(spool) == [Place(spool.inbox, "scanner") / HIDDEN_WORK]
    assert (work / "idle").is_dir()


def test_another_disk_in_the_place_of_a_mount_is_told_for_what_it_is(
    mounts: Mounts, spool: Spool, scanner: Scanner
) -> None:
    record = claim(spool, "scanner/cat")
    scanner.go()
    other = mounts.tmpfs(scanner.point)
    (other / HIDDEN_ROOMS).mkdir(mode=0o700)
    with pytest.raises(MountAway, match=f"mounted there knows nothing of job {record.job}"):
        publish(spool, record)
    assert recovery.recover(spool).waits is not None


@pytest.mark.parametrize("end", [publish, fail, jobs.give_back], ids=lambda end: end.__name__)
def test_a_share_that_becomes_read_only_keeps_only_its_own_job_waiting(
    mounts: Mounts, spool: Spool, scanner: Scanner, end: Callable[[Spool, Record], object]
) -> None:
    record, other = claim(spool, "scanner/cat"), claim(spool, "dog")
    mounts.remount(scanner.point, "ro")
    with pytest.raises(FolderClosed, match="scanner can't be written to"):
        end(spool, record)
    for _ in range(2):
        found = recovery.recover(spool)
        assert [each.job for each in found.to_run] == [other.job]
        assert (found.stuck, type(found.waits)) == (None, FolderClosed)
    assert set(scanner.held().values()) == {PICTURE, MASK}
    mounts.remount(scanner.point, "rw")
    assert [each.job for each in recovery.recover(spool).to_run] == [other.job]
    where = {"publish": "archive", "fail": "failed", "give_back": "inbox"}[end.__name__]
    assert set(tree(spool.inbox.parent / where)) >= NAMES
    assert rooms(spool) == []


def test_a_pair_whose_folder_has_become_a_full_disk_waits_to_go_back(
    mounts: Mounts, spool: Spool
) -> None:
    record = claim(spool, "scanner/cat")
    ballast = fill(mounts.tmpfs(spool.inbox / "scanner"))
    with pytest.raises(FolderClosed, match="No space left"):
        jobs.give_back(spool, record)
    ballast.unlink()
    assert recovery.recover(spool) == recovery.Recovered([], 0, [], None)
    assert set(tree(spool.inbox)) == NAMES


def test_what_is_met_in_no_folder_of_the_job_is_everybodys(
    spool: Spool, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = claim(spool, "scanner/cat")

    def refuse(source: Place, target: Place) -> None:
        raise PermissionError(errno.EACCES, "no", str(target))

    monkeypatch.setattr(files, "move", refuse)
    with pytest.raises(PermissionError):
        publish(spool, record)
    found = recovery.recover(spool)
    assert isinstance(found.stuck, PermissionError)
    assert found.waits is None


@pytest.mark.parametrize("end", [publish, fail, jobs.give_back], ids=lambda end: end.__name__)
def test_jobs_go_with_a_mount_whose_folder_was_renamed(
    mounts: Mounts, spool: Spool, end: Callable[[Spool, Record], object]
) -> None:
    point = mounts.tmpfs(spool.inbox / "site" / "scanner")
    record = claim(spool, "site/scanner/day/cat")
    waiting = claim(spool, "site/scanner/dog")
    mounts.rename(point.parent, spool.inbox / "site 2")
    with pytest.raises(MountAway):
        end(spool, record)
    found = recovery.recover(spool)
    assert (found.stuck, found.waits) == (None, None)
    (again,) = found.to_run
    assert again == load(spool, waiting.job)
    assert [each.path for each in again.inputs] == [
        "site 2/scanner/dog.jpg",
        "site 2/scanner/dog_mask.png",
    ]
    assert publish(spool, again).state is State.ARCHIVE
    where = {"publish": "archive", "fail": "failed", "give_back": "inbox"}[end.__name__]
    names = {f"site 2/scanner/day/{name}" for name in ("cat.jpg", "cat_mask.png")}
    assert set(tree(spool.inbox.parent / where)) >= names
    assert rooms(spool) == []


def test_only_the_mount_that_holds_a_jobs_folder_is_taken_for_the_one_that_is_away(
    mounts: Mounts, spool: Spool, scanner: Scanner
) -> None:
    record = claim(spool, "scanner/cat")
    scanner.go()
    forged = mounts.tmpfs(spool.inbox / "theirs") / HIDDEN_ROOMS / record.job / "in"
    forged.mkdir(parents=True)
    os.chown(forged, 12345, 12345)
    (mounts.tmpfs(spool.inbox / "other") / HIDDEN_ROOMS / "another" / "in").mkdir(parents=True)
    assert recovery.recover(spool).waits is not None
    assert load(spool, record.job) == record


def test_a_pair_that_changed_is_left_on_its_mount(spool: Spool, scanner: Scanner) -> None:
    pair = drop(spool, "scanner/cat")
    (scanner.point / "cat.jpg").write_bytes(b"more")
    assert jobs.claim_pair(spool, pair) is None
    assert set(tree(spool.inbox)) == NAMES
    check_ended(spool)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_mount_that_goes_in_the_midst_of_a_claim_is_waited_for_or_has_nothing_to_wait_for(
    spool: Spool, scanner: Scanner, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    pair = drop(spool, "scanner/cat")

    def go_just_now(spool: Spool, record: Record) -> None:
        if when == "before":
            scanner.go()
        make_rooms(spool, record)
        if when == "after":
            scanner.go()

    monkeypatch.setattr(jobs, "make_rooms", go_just_now)
    if when == "before":
        assert jobs.claim_pair(spool, pair) is None
        assert tree(spool.work) == {}
    else:
        with pytest.raises(MountAway):
            jobs.claim_pair(spool, pair)
        assert recovery.recover(spool).waits is not None
    scanner.come()
    assert recovery.recover(spool).to_run == []
    assert pair_up(scan(spool.inbox).pictures).pairs == (pair,)
    check_ended(spool)
