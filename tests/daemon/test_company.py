"""A worker that has several jobs in hand: whose time runs, and who is to blame when it ends."""

import select
from collections.abc import Callable, Iterator
from pathlib import Path

import poisons
import pytest
import standin
from driver import Daemon, hole, photo, save
from puppets import JOB, LIMIT_S, Open, Theatre, opened_theatres

from daemon.settings import Settings
from daemon.supervisor.member import Death, Stage, Worker
from daemon.worker.protocol import Job, Problem

FIRST, SECOND, THIRD, FOURTH = (
    JOB.model_copy(update={"job": name}) for name in ("first", "second", "third", "fourth")
)

TOO_LARGE: dict[str, str | int | float] = {
    "width": 4000,
    "height": 3000,
    "fits": 100,
    "need_gb": 9.0,
    "have_gb": 1.0,
    "device": "cpu",
}


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


@pytest.mark.parametrize(("is_late", "how"), [(False, "signal SIGSEGV"), (True, "signal SIGKILL")])
def test_of_a_worker_that_ended_any_job_may_be_to_blame(
    theatre: Theatre, is_late: bool, how: str
) -> None:
    worker = busy(theatre, FIRST, SECOND, THIRD)
    theatre.finish(worker, SECOND)
    if is_late:
        theatre.now = worker.deadline
        theatre.crew.tend()
    else:
        theatre.puppets.of(worker).die()
    assert theatre.crew.listen(worker) == [
        Death("first", how, is_late),
        Death("third", how, is_late),
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


def lacks(theatre: Theatre, worker: Worker, job: Job, reason: str) -> Problem:
    """What is heard of a worker that met want of memory."""
    facts = TOO_LARGE if reason == "too_large_for_memory" else {"detail": "none left"}
    theatre.puppets.of(worker).say(standin.problem(job, reason, **facts))
    (heard,) = theatre.crew.listen(worker)
    theatre.crew.tend()
    assert isinstance(heard, Problem)
    return heard


def test_one_that_leaves_for_want_of_memory_has_no_other_beside_it_before_its_jobs_are_done(
    theatre: Theatre,
) -> None:
    worker = busy(theatre, FIRST, SECOND, THIRD)
    lacks(theatre, worker, FIRST, "out_of_memory")
    assert theatre.crew.workers == [worker]
    assert theatre.crew.freest() is None
    theatre.finish(worker, SECOND)
    assert theatre.crew.workers == [worker]
    theatre.finish(worker, THIRD)
    (new,) = theatre.at(Stage.SERVING)
    theatre.ready(new)
    assert not theatre.crew.has_company(new)


def test_the_place_of_one_that_does_not_die_is_free_whatever_it_has_in_hand(
    theatre: Theatre,
) -> None:
    worker = busy(theatre, FIRST, SECOND)
    theatre.now = worker.deadline
    theatre.crew.tend()
    theatre.now = worker.limit
    theatre.crew.tend()
    assert worker.stage is Stage.LEAVING
    assert theatre.at(Stage.SERVING)


def test_what_is_too_large_while_another_worker_has_memory_is_tried_again(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST)
    assert lacks(theatre, worker, FIRST, "too_large_for_memory").reason == "too_large_for_memory"
    theatre.crew.hand_out(worker, SECOND, [])
    theatre.crew.reload()
    (new,) = theatre.at(Stage.COMING)
    theatre.ready(new)
    assert worker.stage is Stage.LEAVING
    assert theatre.crew.has_company(new)
    theatre.crew.hand_out(new, THIRD, [])
    heard = lacks(theatre, new, THIRD, "too_large_for_memory")
    assert heard.reason == "out_of_memory"
    assert "4000 x 3000 pixels" in str(heard.facts["detail"])


def test_one_that_said_in_time_that_it_is_done_is_heard_before_it_is_late(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST, SECOND)
    theatre.puppets.of(worker).say(standin.done(FIRST))
    assert select.select([worker.out], [], [], 10)[0]
    theatre.now = worker.deadline + 1
    theatre.crew.tend()
    assert not worker.is_killed
    assert [heard.job for heard in theatre.crew.listen(worker)] == ["first"]
    theatre.crew.tend()
    assert not worker.is_killed
    assert worker.deadline == theatre.now + LIMIT_S


def test_one_that_says_nothing_of_use_is_late_all_the_same(theatre: Theatre) -> None:
    worker = busy(theatre, FIRST)
    stdin = theatre.puppets.of(worker).process.stdin
    assert stdin
    theatre.now = worker.deadline
    for is_killed in (False, True):
        stdin.write(b"m")
        stdin.flush()
        assert select.select([worker.out], [], [], 10)[0]
        theatre.crew.tend()
        assert worker.is_killed == is_killed
        if not is_killed:
            assert theatre.crew.listen(worker) == []


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


def test_what_has_been_tried_gets_its_worker_for_itself(
    start: Callable[..., Daemon], tmp_path: Path
) -> None:
    site = poisons.site(tmp_path, poisons.write_moody(tmp_path / "moody.pt"))
    poisons.SEGFAULT.drop(site.inbox / "poison.png")
    for number in range(8):
        save(photo(number), site.inbox / f"{number}.png")
        save(hole(), site.inbox / f"{number}_mask.png")
    daemon = start(site)
    daemon.wait_for("job_failed", picture="poison.png")
    daemon.wait_for("job_finished", times=8)
    for ended in daemon.seen("worker_ended")[1:]:
        assert len(ended["jobs"]) == 1
    tries = [event["attempt"] for event in daemon.seen("job_started", picture="poison.png")]
    assert tries == [1, 2, 3]
    for number in range(8):
        tries = [event["attempt"] for event in daemon.seen("job_started", picture=f"{number}.png")]
        assert tries in ([1], [1, 2])
