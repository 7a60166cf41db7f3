"""What was left is settled, here and where was worked before; what can't be is said once."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rooms import Rooms
from structlog.testing import capture_logs
from test_jobs import MASK, PICTURE, claim, tree

from daemon.places import Place
from daemon.spool import jobs
from daemon.spool.holding import MountAway
from daemon.spool.layout import HIDDEN_WORK, Spool
from daemon.spool.record import Record
from daemon.supervisor import leftovers as module
from daemon.supervisor.hold import LONGEST_HOLD_S


@pytest.fixture
def rooms(spool: Spool) -> Rooms:
    return Rooms(spool)


def settled(rooms: Rooms, *known: Record) -> list[str]:
    """Settle all but the known ones; returns the jobs that are to be run."""
    names = frozenset(record.job for record in known)
    return [record.job for record in rooms.leftovers.settle(rooms.spool, names).to_run]


def break_archive(spool: Spool, record: Record) -> Path:
    """Leave a job whose originals can't be archived; returns what stands in their way."""
    (spool.work / record.job / "out" / "result").write_bytes(b"the result")
    spool.archive.rmdir()
    spool.archive.touch()
    with pytest.raises(OSError, match="archive"):
        jobs.publish_result(spool, record, [("result", ".png")], "a log")
    return spool.archive


def test_a_job_that_was_claimed_is_to_be_run_unless_it_is_known(rooms: Rooms) -> None:
    one, two = claim(rooms.spool, "one"), claim(rooms.spool, "two")
    assert settled(rooms, two) == [one.job]
    assert sorted(settled(rooms)) == sorted([one.job, two.job])
    assert rooms.leftovers.due == float("inf")


def test_a_job_that_is_stuck_is_said_once_and_keeps_no_other_from_running(rooms: Rooms) -> None:
    bad, good = claim(rooms.spool, "bad"), claim(rooms.spool, "good")
    in_the_way = break_archive(rooms.spool, bad)
    with capture_logs() as logs:
        for _ in range(3):
            assert settled(rooms) == [good.job]
            assert rooms.leftovers.is_stuck_here
            assert rooms.leftovers.due == rooms.clock() + LONGEST_HOLD_S
    said = [line["says"] for line in logs if line["event"] == "job_stuck"]
    assert rooms.leftovers.stuck is not None
    assert said == [rooms.leftovers.stuck.sentence]
    in_the_way.unlink()
    rooms.spool.archive.mkdir()
    assert settled(rooms) == [good.job]
    assert not rooms.leftovers.is_stuck_here
    assert rooms.leftovers.due == float("inf")
    assert set(tree(rooms.spool.archive)) == {"bad.jpg", "bad_mask.png"}


def test_a_job_whose_mount_is_away_is_said_once_and_is_in_nobodys_way(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = claim(rooms.spool, "one"), claim(rooms.spool, "other")
    away = True

    def require_rooms(spool: Spool, record: Record) -> None:
        if away and record.job == one.job:
            raise MountAway(spool.inbox / "scanner", "gone")

    monkeypatch.setattr(jobs, "require_rooms", require_rooms)
    with capture_logs() as logs:
        for _ in range(3):
            assert settled(rooms) == [other.job]
            assert not rooms.leftovers.is_stuck_here
            assert rooms.leftovers.due == rooms.clock() + LONGEST_HOLD_S
    (said,) = [line for line in logs if line["event"] == "job_stuck"]
    assert said["reason"] == "mount_away"
    rooms.leftovers.look_now()
    assert rooms.leftovers.due == rooms.clock()
    away = False
    assert sorted(settled(rooms)) == sorted([one.job, other.job])
    rooms.leftovers.look_now()
    assert rooms.leftovers.due == float("inf")


def test_what_may_have_lost_a_job_has_it_looked_for_at_once(rooms: Rooms) -> None:
    with pytest.raises(OSError, match="full"), rooms.leftovers.sought_if_it_fails():
        raise OSError("full")
    assert rooms.leftovers.due == rooms.clock()
    assert settled(rooms) == []
    assert rooms.leftovers.due == float("inf")


def elsewhere(spool: Spool) -> Spool:
    """A work folder that served when the inbox was a disk of its own."""
    (spool.inbox / HIDDEN_WORK).mkdir(mode=0o700)
    return replace(spool, work=spool.inbox / HIDDEN_WORK)


def test_a_job_of_another_work_folder_goes_back_to_the_inbox(rooms: Rooms) -> None:
    claim(elsewhere(rooms.spool))
    assert settled(rooms) == []
    assert tree(rooms.spool.inbox) == {"cat.jpg": PICTURE, "cat_mask.png": MASK}


def test_other_work_folders_are_seen_to_again_only_when_told_to(rooms: Rooms) -> None:
    other = elsewhere(rooms.spool)
    assert settled(rooms) == []
    claim(other)
    assert settled(rooms) == []
    assert not (rooms.spool.inbox / "cat.jpg").exists()
    rooms.leftovers.look_elsewhere()
    assert settled(rooms) == []
    assert (rooms.spool.inbox / "cat.jpg").exists()


def test_a_job_that_is_stuck_elsewhere_is_tried_until_it_is_settled(rooms: Rooms) -> None:
    other = elsewhere(rooms.spool)
    break_archive(other, claim(other))
    assert settled(rooms) == []
    assert rooms.leftovers.stuck is not None
    assert not rooms.leftovers.is_stuck_here
    rooms.spool.archive.unlink()
    rooms.spool.archive.mkdir()
    assert settled(rooms) == []
    assert rooms.leftovers.stuck is None
    assert set(tree(rooms.spool.archive)) == {"cat.jpg", "cat_mask.png"}


def test_what_may_be_left_is_seen_to_within_a_minute(rooms: Rooms) -> None:
    rooms.leftovers.look_soon()
    due = rooms.leftovers.due
    assert due == rooms.clock() + LONGEST_HOLD_S
    rooms.clock.now += 10
    rooms.leftovers.look_soon()
    assert rooms.leftovers.due == due


def test_a_work_folder_of_somebody_else_is_not_settled(rooms: Rooms) -> None:
    claim(rooms.spool)
    rooms.spool.work.chmod(0o777)
    with pytest.raises(PermissionError, match="others can write"):
        settled(rooms)
    shutil.rmtree(rooms.spool.work)


def test_files_that_no_job_knows_on_a_mount_are_told_once(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = Place(rooms.spool.inbox, "scanner/.retouchd-held/gone")
    monkeypatch.setattr(module, "remove_left_rooms", lambda _spool: [left])
    with capture_logs() as logs:
        settled(rooms)
        settled(rooms)
    assert [line["path"] for line in logs] == [str(left)]
