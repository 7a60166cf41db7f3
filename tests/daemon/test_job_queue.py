"""Whose turn it is: who has waited for longest, be it a job or a pair."""

import os
import subprocess
from pathlib import Path

import pytest
from rooms import Rooms

from daemon.spool.layout import Spool
from daemon.supervisor.unclaimable import AGAIN_AFTER_S


@pytest.fixture
def rooms(spool: Spool) -> Rooms:
    return Rooms(spool)


def turns(rooms: Rooms) -> list[str]:
    """The pictures of all whose turn comes, in order."""
    found = []
    while (record := rooms.queue.next_record()) is not None:
        found.append(record.picture.path)
    return found


def test_there_is_no_turn_where_nothing_waits(rooms: Rooms) -> None:
    rooms.inbox.look()
    assert turns(rooms) == []
    assert len(rooms.queue) == 0


def test_a_pair_is_claimed_at_its_turn_and_no_sooner(rooms: Rooms) -> None:
    rooms.drop("cat", "dog")
    first = rooms.turn()
    assert first.picture.path == "cat.jpg"
    assert sorted(path.name for path in rooms.spool.inbox.iterdir()) == ["dog.jpg", "dog_mask.png"]


def test_a_job_of_an_earlier_run_comes_before_the_pairs(rooms: Rooms) -> None:
    old = rooms.claimed("old")
    rooms.drop("new")
    rooms.clock.now += 1
    rooms.queue.take_up(old)
    assert turns(rooms) == ["old.jpg", "new.jpg"]


def test_a_job_that_was_tried_comes_after_the_pairs_that_were_ready(rooms: Rooms) -> None:
    tried = rooms.claimed("tried")
    rooms.drop("ready")
    rooms.clock.now += 1
    rooms.queue.put_last(tried)
    assert turns(rooms) == ["ready.jpg", "tried.jpg"]


def test_a_job_that_was_tried_is_not_kept_waiting_by_pairs_that_came_later(rooms: Rooms) -> None:
    rooms.queue.put_last(rooms.claimed("tried"))
    rooms.clock.now += 1
    rooms.drop("late")
    assert turns(rooms) == ["tried.jpg", "late.jpg"]


def test_a_job_that_could_not_be_begun_stays_the_first(rooms: Rooms) -> None:
    records = [rooms.claimed(name) for name in ("one", "two")]
    for record in records:
        rooms.queue.take_up(record)
    rooms.queue.put_back(rooms.turn())
    assert turns(rooms) == ["one.jpg", "two.jpg"]


def test_a_pair_that_changed_is_not_claimed_and_the_next_has_its_turn(rooms: Rooms) -> None:
    rooms.drop("cat", "dog")
    (rooms.spool.inbox / "cat.jpg").write_bytes(b"more of it")
    assert not rooms.inbox.is_stale
    assert turns(rooms) == ["dog.jpg"]
    assert rooms.inbox.is_stale  # and so `once` does not end before it has looked again
    assert (rooms.spool.inbox / "cat.jpg").exists()


def test_a_pair_that_can_not_be_moved_is_left_alone_for_a_while(rooms: Rooms) -> None:
    rooms.drop("cat")
    picture = rooms.spool.inbox / "cat.jpg"
    immovable(picture)
    try:
        for _ in range(3):
            before = set(os.listdir(rooms.spool.inbox)), rooms.spool.work.stat().st_mtime_ns
            assert turns(rooms) == []
            rooms.clock.now += 10
            rooms.inbox.look()
        after = set(os.listdir(rooms.spool.inbox)), rooms.spool.work.stat().st_mtime_ns
        assert after == before  # no claim was tried again
        assert [waiting.report.key for waiting in rooms.inbox.waiting()] == ["permission"]
    finally:
        subprocess.run(["chattr", "-i", str(picture)], check=True)
    assert turns(rooms) == []
    rooms.clock.now += AGAIN_AFTER_S
    rooms.inbox.look()
    assert turns(rooms) == ["cat.jpg"]


def immovable(path: Path) -> None:
    tried = subprocess.run(["chattr", "+i", str(path)], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("no file can be made immovable here")


def test_a_pair_that_no_disk_takes_keeps_its_turn(rooms: Rooms) -> None:
    rooms.drop("cat")
    work = rooms.spool.work
    aside = work.rename(work.with_name("aside"))
    work.touch()
    with pytest.raises(OSError, match="work"):
        rooms.queue.next_record()
    work.unlink()
    aside.rename(work)
    assert turns(rooms) == ["cat.jpg"]
