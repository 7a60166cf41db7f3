"""A worker that has several jobs in hand: whose time runs, and who is to blame when it ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from puppets import JOB, LIMIT_S, Open, Theatre, opened_theatres
from rooms import Rooms

from daemon.settings import Settings
from daemon.spool.layout import Spool
from daemon.supervisor.member import Death, Stage, Worker
from daemon.worker.protocol import Job

FIRST, SECOND, THIRD, FOURTH = (
    JOB.model_copy(update={"job": name}) for name in ("first", "second", "third", "fourth")
)


@pytest.fixture
def theatres(
    tmp_path: Path, inpaint_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    yield from opened_theatres(tmp_path / "spool", inpaint_model, monkeypatch)


@pytest.fixture
def theatre(theatres: Open) -> Theatre:
    return theatres()


def busy(theatre: Theatre, *jobs: Job) -> Worker:
    """A worker with these jobs, handed out a second after each other."""
    worker = theatre.begin(jobs[0])
    for job in jobs[1:]:
        theatre.now += 1
        theatre.crew.hand_out(worker, job, [])
    return worker


def test_a_worker_has_room_for_as_many_as_it_says(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST, SECOND)
    assert theatre.crew.freest() is worker
    theatre.crew.hand_out(worker, THIRD, [])
    assert theatre.crew.freest() is None
    theatre.finish(worker, SECOND)
    assert theatre.crew.freest() is worker


def test_nothing_is_given_to_a_worker_that_does_a_job_alone(theatre: Theatre) -> None:
    theatre.crew.tend()
    (worker,) = theatre.crew.workers
    theatre.ready(worker)
    theatre.crew.hand_out(worker, FIRST, [], alone=True)
    assert theatre.crew.freest() is None
    theatre.finish(worker, FIRST)
    assert theatre.crew.freest() is worker


@pytest.mark.parametrize(
    ("jobs_at_once", "max_attempts", "most"), [(None, 3, None), (5, 3, 5), (None, 1, 1), (5, 1, 1)]
)
def test_where_there_is_but_one_try_nobody_is_put_beside_another(
    jobs_at_once: int | None, max_attempts: int, most: int | None
) -> None:
    assert Settings(jobs_at_once=jobs_at_once, max_attempts=max_attempts).most_jobs() == most


def test_time_runs_for_the_oldest_from_when_none_was_before_it(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST, SECOND, THIRD)
    begun = theatre.now - 2
    assert worker.deadline == begun + LIMIT_S
    theatre.now += 10
    theatre.finish(worker, THIRD)
    assert worker.deadline == begun + LIMIT_S
    theatre.now += 10
    theatre.finish(worker, FIRST)
    assert worker.deadline == theatre.now + LIMIT_S
    theatre.finish(worker, SECOND)
    assert worker.deadline == float("inf")


def test_each_oldest_job_that_takes_long_gets_a_spare_of_its_own(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST, SECOND)
    spare = theatre.spare()
    theatre.finish(worker, FIRST)
    assert spare.stage is Stage.LEAVING
    theatre.death_of(spare)
    assert theatre.spare() is not spare


def test_of_a_late_worker_only_the_oldest_job_is_to_blame(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST, SECOND, THIRD)
    theatre.now = worker.deadline
    theatre.crew.tend()
    assert theatre.crew.listen(worker) == [
        Death("third", "signal SIGKILL", was_late=False, is_blamed=False),
        Death("second", "signal SIGKILL", was_late=False, is_blamed=False),
        Death("first", "signal SIGKILL", was_late=True),
    ]


def test_of_a_worker_that_died_by_itself_any_job_may_be_to_blame(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST, SECOND, THIRD)
    theatre.finish(worker, SECOND)
    theatre.puppets.of(worker).die()
    assert theatre.crew.listen(worker) == [
        Death("first", "signal SIGSEGV", was_late=False),
        Death("third", "signal SIGSEGV", was_late=False),
    ]


def test_a_worker_that_is_replaced_ends_when_it_has_done_all_that_it_has_in_hand(
    theatre: Theatre,
) -> None:
    worker = busy(theatre, FIRST, SECOND)
    worker.retire(theatre.now)
    theatre.finish(worker, FIRST)
    assert worker.ear.fileno() >= 0
    theatre.finish(worker, SECOND)
    assert worker.ear.fileno() == -1


def test_the_one_with_the_fewest_jobs_gets_the_next(theatres: Open) -> None:
    theatre = theatres(device="cuda:0,cuda:1")
    theatre.crew.tend()
    one, other = theatre.crew.workers
    theatre.ready(one)
    theatre.ready(other)
    for job in (FIRST, SECOND, THIRD, FOURTH):
        worker = theatre.crew.freest()
        assert worker
        theatre.crew.hand_out(worker, job, [])
    assert (list(one.jobs), list(other.jobs)) == (["first", "third"], ["second", "fourth"])


def test_a_job_that_is_excused_is_the_next_again_and_has_lost_no_try(spool: Spool) -> None:
    rooms = Rooms(spool)
    record = rooms.tried(rooms.claimed())
    rooms.troubles.excuse(record)
    assert rooms.on_disk(record).attempts == 0
    assert "another picture" in rooms.on_disk(record).story[-1]
    assert rooms.turn().job == record.job
