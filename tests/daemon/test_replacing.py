"""A worker that leaves is gone in the end, and a place is filled once, whatever is in the way."""

import errno
import os
import time
from pathlib import Path

import psutil
import pytest
import standin
from puppets import CHILD_HOLDS_PIPE, JOB, LIMIT_S, Open, Theatre
from structlog.testing import capture_logs

from daemon.settings import Settings
from daemon.supervisor import starting
from daemon.supervisor.crew import FIRST_PAUSE_S
from daemon.supervisor.member import LEAVING_S, Death, Stage, Worker
from daemon.supervisor.starting import START_TIMEOUT_S
from daemon.worker import channel
from daemon.worker.protocol import Problem

NO_MEMORY = OSError(errno.ENOMEM, "Cannot allocate memory")
NO_PROCESS = OSError(errno.EAGAIN, "Resource temporarily unavailable")
REFUSAL = Problem(job=None, reason="worker_will_not_start", facts={"detail": "no such model"})
NO_DESCRIPTOR = 1 << 30


def reloaded(theatre: Theatre, after: float = 1.0) -> Worker:
    """Have the models loaded anew; returns the new worker, which is ready."""
    theatre.crew.reload()
    (coming,) = theatre.at(Stage.COMING)
    theatre.ready(coming, after=after)
    return coming


def idle(theatre: Theatre) -> Worker:
    theatre.crew.tend()
    (worker,) = theatre.crew.workers
    theatre.ready(worker)
    return worker


# -- Leaving ---------------------------------------------------------------------------------------


def test_one_that_a_reload_has_replaced_and_that_does_not_end_itself_is_killed(
    theatre: Theatre,
) -> None:
    old = idle(theatre)
    new = reloaded(theatre)
    assert old.ear.fileno() == -1
    assert theatre.crew.due() == theatre.now + LEAVING_S
    theatre.now += LEAVING_S - 0.1
    theatre.crew.tend()
    assert old.process.poll() is None
    theatre.now = theatre.crew.due()
    theatre.crew.tend()
    with capture_logs() as logged:
        assert theatre.death_of(old) == Death(None, "signal SIGKILL", was_late=True)
    assert [(each["event"], each["log_level"]) for each in logged] == [("worker_ended", "warning")]
    assert theatre.crew.workers == [new]
    assert theatre.crew.due() == float("inf")


def test_one_that_ran_out_of_memory_and_does_not_end_itself_is_killed(theatre: Theatre) -> None:
    worker = theatre.begin()
    theatre.puppets.of(worker).say(standin.problem(JOB, "out_of_memory", detail="all gone"))
    theatre.crew.listen(worker)
    theatre.crew.tend()
    theatre.now += LEAVING_S
    theatre.crew.tend()
    assert theatre.death_of(worker).job is None
    assert worker not in theatre.crew.workers


def test_one_that_holds_a_job_has_that_jobs_time_and_then_a_leavers(theatre: Theatre) -> None:
    old = theatre.begin()
    deadline = theatre.now + LIMIT_S
    reloaded(theatre)
    assert theatre.at(Stage.LEAVING) == [old]
    assert theatre.crew.due() == old.deadline == deadline
    theatre.now += LEAVING_S + 5
    theatre.crew.tend()
    assert old.process.poll() is None
    theatre.finish(old)
    assert theatre.crew.due() == theatre.now + LEAVING_S


def test_one_that_was_replaced_before_it_was_ready_does_not_stay_because_it_gets_ready(
    theatre: Theatre,
) -> None:
    theatre.crew.tend()
    (old,) = theatre.crew.workers
    reloaded(theatre)
    at = theatre.now + LEAVING_S
    theatre.ready(old, after=1.0)
    assert theatre.crew.due() == at
    theatre.now = at
    theatre.crew.tend()
    with capture_logs() as logged:
        theatre.death_of(old)
    assert logged[0]["why"] is None


def test_one_that_does_not_die_of_it_wakes_nobody_any_more(theatre: Theatre) -> None:
    theatre.puppets.commands = [CHILD_HOLDS_PIPE]
    old = idle(theatre)
    new = reloaded(theatre)
    theatre.now += LEAVING_S
    theatre.crew.tend()
    assert old.is_killed
    assert theatre.crew.due() == float("inf")
    assert new.is_idle


def test_at_the_end_all_together_have_the_grace_once(opened: Open) -> None:
    theatre = opened(device=",".join(f"cuda:{n}" for n in range(8)))
    theatre.crew.tend()
    processes = [worker.process for worker in theatre.crew.workers]
    began = time.monotonic()
    theatre.crew.dismiss(grace_s=1.0)  # puppets do not end themselves
    assert 1.0 <= time.monotonic() - began < 5.0
    assert [process.returncode for process in processes] == [-9] * 8
    assert theatre.crew.workers == []


# -- None can be started ---------------------------------------------------------------------------


def test_that_none_can_be_started_is_said_once_a_reason(theatre: Theatre) -> None:
    with capture_logs() as logged:
        for refusal in (NO_MEMORY, NO_MEMORY, NO_PROCESS, NO_PROCESS):
            theatre.puppets.refuses = refusal
            theatre.crew.tend()
            assert theatre.crew.workers == []
            assert theatre.crew.refusal == refusal.strerror
            assert theatre.now < theatre.crew.due() < float("inf")
            theatre.now = theatre.crew.due()
    assert logged == [
        {
            "event": "worker_not_started",
            "log_level": "error",
            "why": NO_MEMORY.strerror,
            "retry_s": FIRST_PAUSE_S,
        },
        {
            "event": "worker_not_started",
            "log_level": "error",
            "why": NO_PROCESS.strerror,
            "retry_s": 4 * FIRST_PAUSE_S,
        },
    ]


def test_it_is_said_again_when_one_was_started_in_between(theatre: Theatre) -> None:
    with capture_logs() as logged:
        for _ in range(2):
            theatre.puppets.refuses = NO_MEMORY
            theatre.crew.tend()
            theatre.puppets.refuses = None
            theatre.now = theatre.crew.due()
            worker = idle(theatre)
            theatre.puppets.of(worker).die()
            theatre.puppets.refuses = NO_MEMORY
            theatre.death_of(worker)
            theatre.now = theatre.crew.due()
    assert [each["event"] for each in logged].count("worker_not_started") == 3


def test_one_that_can_not_be_given_its_orders_has_not_started_and_leaves_nothing(
    tmp_path: Path, inpaint_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(spool=tmp_path / "spool", inpaint_model=inpaint_model)
    told: list[list[psutil.Process]] = []

    def fail(*_: object) -> None:
        told.append(psutil.Process().children())
        raise NO_MEMORY

    before, opened_before = psutil.Process().children(), os.listdir("/proc/self/fd")
    monkeypatch.setattr(channel, "send", fail)
    with pytest.raises(OSError, match="allocate"):
        starting.start_worker(settings, tmp_path, "cpu", [])
    assert len(told[0]) == len(before) + 1
    assert psutil.Process().children() == before
    assert os.listdir("/proc/self/fd") == opened_before


# -- One that can't be told of a job ---------------------------------------------------------------


def test_one_that_could_not_be_told_of_a_job_is_idle_and_gets_the_next(theatre: Theatre) -> None:
    worker = idle(theatre)
    with pytest.raises(OSError, match="Bad file descriptor"):
        theatre.crew.hand_out(worker, JOB, [NO_DESCRIPTOR])
    assert worker.is_idle
    assert theatre.crew.due() == float("inf")
    assert theatre.begin() is worker
    theatre.finish(worker)


def test_one_that_is_gone_takes_a_job_along(theatre: Theatre) -> None:
    worker = idle(theatre)
    theatre.puppets.of(worker).close_ear()
    theatre.puppets.of(worker).die()
    theatre.crew.hand_out(worker, JOB, [])
    assert theatre.death_of(worker).job == JOB.job


# -- A place for one that is on its way ------------------------------------------------------------


def test_a_free_place_waits_for_the_one_that_a_reload_brings_in(theatre: Theatre) -> None:
    old = theatre.begin()
    theatre.crew.reload()
    (coming,) = theatre.at(Stage.COMING)
    theatre.kill_late(old)
    assert theatre.crew.workers == [coming]
    assert theatre.crew.due() == coming.deadline
    theatre.ready(coming, after=1.0)
    assert theatre.crew.workers == [coming]
    assert coming.is_idle
    assert len(theatre.puppets.started) == 2


@pytest.mark.parametrize("does_refuse", [True, False])
def test_where_that_one_fails_the_place_is_filled_as_ever(
    theatre: Theatre, does_refuse: bool
) -> None:
    old = theatre.begin()
    theatre.crew.reload()
    (coming,) = theatre.at(Stage.COMING)
    theatre.kill_late(old)
    if does_refuse:
        theatre.puppets.of(coming).say(REFUSAL)
        theatre.crew.listen(coming)
    theatre.puppets.of(coming).die()
    theatre.death_of(coming)
    (new,) = theatre.crew.workers
    assert (new.stage, new is coming) == (Stage.SERVING, False)
    assert not theatre.crew.is_reloading


def test_one_on_its_way_that_is_late_and_does_not_die_keeps_no_place(theatre: Theatre) -> None:
    theatre.puppets.commands = [("cat",), CHILD_HOLDS_PIPE]
    old = theatre.begin()
    theatre.crew.reload()
    (coming,) = theatre.at(Stage.COMING)
    theatre.kill_late(old)
    theatre.now = coming.deadline
    theatre.crew.tend()
    (new,) = theatre.at(Stage.SERVING)
    assert new is not coming
    assert theatre.crew.due() == theatre.now + START_TIMEOUT_S


def test_of_two_on_one_device_that_one_leaves_whose_place_is_not_free(opened: Open) -> None:
    theatre = opened(device="cuda:0,cuda:0")
    theatre.crew.tend()
    first, second = theatre.crew.workers
    theatre.ready(first)
    theatre.ready(second)
    theatre.crew.reload()
    third, fourth = theatre.at(Stage.COMING)
    theatre.puppets.of(second).die()
    theatre.death_of(second)
    theatre.ready(third)
    assert theatre.at(Stage.SERVING) == [first, third]
    theatre.ready(fourth)
    assert theatre.at(Stage.SERVING) == [third, fourth]
    assert theatre.at(Stage.LEAVING) == [first]
    assert len(theatre.puppets.started) == 4
