"""An attempt is on the disk before it is made, and counts unless the world cut it short."""

import os
import shutil

import pytest
from rooms import Rooms

from daemon.reasons import Trouble
from daemon.spool import jobs
from daemon.spool.layout import Spool


@pytest.fixture
def rooms(spool: Spool) -> Rooms:
    return Rooms(spool)


def test_an_attempt_is_on_the_disk_before_the_worker_has_the_files(rooms: Rooms) -> None:
    record = rooms.claimed()
    with rooms.attempts.begun(record, pid=1) as (order, descriptors):
        assert rooms.on_disk(record).attempts == 1
        assert rooms.attempts.running[record.job].attempts == 1
        assert (order.job, order.outputs) == (record.job, ("result",))
        assert len(descriptors) == 3  # picture, mask, result
    for fd in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_job_whose_picture_vanished_does_not_run(rooms: Rooms) -> None:
    record = rooms.claimed()
    (rooms.spool.work / record.job / "in" / "picture").unlink()
    with pytest.raises(Trouble) as met, rooms.attempts.begun(record, pid=1):
        pass
    assert met.value.reason.key == "vanished"
    assert rooms.attempts.running == {}
    assert rooms.on_disk(record).attempts == 0


def test_a_job_whose_folder_is_gone_is_no_fault_of_the_pair(rooms: Rooms) -> None:
    record = rooms.claimed()
    shutil.rmtree(rooms.spool.work / record.job)
    with pytest.raises(FileNotFoundError), rooms.attempts.begun(record, pid=1):
        pass
    assert rooms.attempts.running == {}


def test_an_attempt_that_the_world_cut_short_does_not_count_when_the_job_is_found_again(
    rooms: Rooms,
) -> None:
    record = rooms.tried(rooms.claimed())
    with pytest.raises(OSError, match="full"), rooms.attempts.forgiven_if_it_fails(record.job):
        raise OSError("full")
    assert rooms.attempts.take_back_forgiven(rooms.on_disk(record)).attempts == 0


def test_an_attempt_that_ended_well_or_badly_counts(rooms: Rooms) -> None:
    record = rooms.tried(rooms.claimed())
    with rooms.attempts.forgiven_if_it_fails(record.job):
        pass
    assert rooms.attempts.take_back_forgiven(rooms.on_disk(record)).attempts == 1


def test_an_attempt_that_the_disk_has_taken_back_is_not_taken_back_twice(rooms: Rooms) -> None:
    record = rooms.tried(rooms.claimed())
    rooms.attempts.forgive(record.job)
    jobs.tell(rooms.spool, record, "the disk was full", uncount=True)
    assert rooms.attempts.take_back_forgiven(rooms.on_disk(record)).attempts == 0


def test_the_next_attempt_is_not_forgiven_with_the_last(rooms: Rooms) -> None:
    record = rooms.claimed()
    rooms.attempts.forgive(record.job)
    record = rooms.tried(record)
    assert rooms.attempts.take_back_forgiven(record).attempts == 1


def test_a_stop_takes_back_the_attempts_that_it_cuts_short(rooms: Rooms) -> None:
    record = rooms.claimed()
    with rooms.attempts.begun(record, pid=1):
        rooms.attempts.take_back_running()
    assert rooms.on_disk(record).attempts == 0
    assert rooms.on_disk(record).story == ("cut short by a stop",)
