"""A spare worker beside a late job: it is there in time, and never in the way."""

import errno

import pytest
import standin
from puppets import CHILD_HOLDS_PIPE, JOB, LIMIT_S, START_S, Open, Theatre
from structlog.testing import capture_logs

from daemon.supervisor import crew as crew_module
from daemon.supervisor.dying import DYING_S
from daemon.supervisor.member import Death, Stage
from daemon.supervisor.spares import MOST_OF_LIMIT, RESERVE, RESERVE_S
from daemon.worker.protocol import Problem

LEAD_S = RESERVE * START_S + RESERVE_S
NEXT = JOB.model_copy(update={"job": "the next job"})
REFUSAL = Problem(job=None, reason="worker_will_not_start", facts={"detail": "no memory"})


# -- When it is started ----------------------------------------------------------------------------


def test_it_is_started_so_long_before_the_limit_as_a_start_takes_and_some(theatre: Theatre) -> None:
    worker = theatre.begin()
    at = theatre.now + LIMIT_S - LEAD_S
    assert theatre.crew.due() == at
    theatre.now = at - 0.1
    theatre.crew.tend()
    assert theatre.crew.workers == [worker]
    theatre.now = at
    theatre.crew.tend()
    assert [w.stage for w in theatre.crew.workers] == [Stage.SERVING, Stage.SPARE]
    theatre.crew.tend()
    assert len(theatre.puppets.started) == 2
    assert theatre.crew.due() == worker.deadline


def test_a_job_that_ends_early_gets_none(theatre: Theatre) -> None:
    worker = theatre.begin()
    theatre.now += LIMIT_S - LEAD_S - 0.1
    theatre.finish(worker)
    theatre.now += LIMIT_S
    theatre.crew.tend()
    assert theatre.crew.workers == [worker]
    assert theatre.crew.due() == float("inf")


def test_the_slowest_of_the_last_starts_counts(theatre: Theatre) -> None:
    for start_s in (10.0, 12.0, 4.0, 4.0):
        theatre.crew.tend()
        (worker,) = theatre.crew.workers
        theatre.ready(worker, after=start_s)
        theatre.puppets.of(worker).die()
        theatre.death_of(worker)
    theatre.ready(theatre.crew.workers[0], after=4.0)
    begun = theatre.now
    theatre.begin()
    assert theatre.crew.due() == begun + LIMIT_S - (RESERVE * 12.0 + RESERVE_S)


def test_no_job_gets_one_in_the_first_half_of_its_time(opened: Open) -> None:
    theatre = opened(limit_s=START_S)
    theatre.begin()
    assert theatre.crew.due() == theatre.now + MOST_OF_LIMIT * START_S


# -- When it is needed -----------------------------------------------------------------------------


def test_a_ready_one_serves_as_soon_as_the_late_worker_is_dead(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.ready(spare)
    assert not spare.is_idle
    death = theatre.kill_late(worker)
    assert death == Death("the job", "signal SIGKILL", was_late=True)
    assert theatre.crew.workers == [spare]
    assert spare.is_idle
    assert len(theatre.puppets.started) == 2


def test_one_that_is_not_ready_yet_serves_as_soon_as_it_is(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.kill_late(worker)
    assert theatre.crew.workers == [spare]
    assert not spare.is_idle
    theatre.ready(spare, after=1.0)
    assert spare.is_idle
    assert len(theatre.puppets.started) == 2


def test_it_serves_too_where_the_worker_died_of_something_else(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.ready(spare)
    theatre.puppets.of(worker).die()
    assert theatre.death_of(worker) == Death("the job", "signal SIGSEGV", was_late=False)
    assert theatre.crew.workers == [spare]
    assert spare.is_idle


def test_it_serves_too_where_the_worker_ran_out_of_memory(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.ready(spare)
    theatre.puppets.of(worker).say(standin.problem(JOB, "out_of_memory", detail="all gone"))
    theatre.crew.listen(worker)
    theatre.crew.tend()
    assert theatre.at(Stage.SERVING) == [spare]
    assert theatre.at(Stage.LEAVING) == [worker]


def test_the_next_job_that_takes_too_long_gets_one_again(theatre: Theatre) -> None:
    worker = theatre.begin()
    second = theatre.spare()
    theatre.ready(second)
    theatre.kill_late(worker)
    theatre.begin(NEXT)
    third = theatre.spare()
    assert third is not second
    theatre.ready(third)
    assert theatre.kill_late(second).job == "the next job"
    assert theatre.crew.workers == [third]


def test_a_killed_worker_that_does_not_die_keeps_its_place_for_a_moment_only(
    theatre: Theatre,
) -> None:
    # Its child holds the pipe open, as the kernel does while it takes a large process down.
    theatre.puppets.commands = [CHILD_HOLDS_PIPE]
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.ready(spare)
    theatre.now = worker.deadline
    theatre.crew.tend()
    assert not spare.is_idle
    assert not worker.is_idle
    assert theatre.crew.due() == theatre.now + DYING_S
    theatre.now += DYING_S
    theatre.crew.tend()
    assert spare.is_idle
    assert [*worker.jobs] == ["the job"]  # which is not tried again before it is let go
    assert theatre.crew.due() == float("inf")


def test_one_is_started_after_a_kill_as_ever_where_the_worker_does_not_die(
    theatre: Theatre,
) -> None:
    theatre.puppets.commands = [CHILD_HOLDS_PIPE]
    worker = theatre.begin()
    theatre.puppets.refuses = OSError(errno.ENOMEM, "Cannot allocate memory")
    theatre.now = worker.deadline
    theatre.crew.tend()
    theatre.puppets.refuses = None
    theatre.now += DYING_S
    theatre.crew.tend()
    assert [w.stage for w in theatre.crew.workers] == [Stage.LEAVING, Stage.SERVING]


# -- When it is not needed -------------------------------------------------------------------------


@pytest.mark.parametrize("is_ready", [True, False])
def test_it_is_sent_away_when_the_job_ends_in_time_after_all(
    theatre: Theatre, is_ready: bool
) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    if is_ready:
        theatre.ready(spare)
    theatre.finish(worker)
    assert worker.is_idle
    assert spare.process.wait(10) == -9
    with capture_logs() as logged:
        assert theatre.death_of(spare).job is None
    (ended,) = logged
    assert (ended["event"], ended["log_level"], ended["jobs"]) == ("worker_ended", "info", [])
    assert theatre.crew.workers == [worker]
    assert theatre.crew.refusal is None
    theatre.begin(NEXT)
    assert theatre.spare().process.poll() is None


def test_one_for_each_late_worker_and_the_other_s_stays(opened: Open) -> None:
    theatre = opened(device="cuda:0,cuda:1")
    theatre.crew.tend()
    first, second = theatre.crew.workers
    theatre.ready(first)
    theatre.ready(second, after=0)
    theatre.crew.hand_out(first, JOB, [])
    theatre.crew.hand_out(second, NEXT, [])
    theatre.now = theatre.crew.due()
    theatre.crew.tend()
    assert len(theatre.at(Stage.SPARE)) == 2
    theatre.finish(first)
    (kept,) = theatre.at(Stage.SPARE)
    theatre.kill_late(second)
    assert theatre.at(Stage.SERVING) == [first, kept]


# -- When it does not come up ----------------------------------------------------------------------


def test_one_that_refuses_to_start_is_no_trouble(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    with capture_logs() as logged:
        theatre.puppets.of(spare).say(REFUSAL)
        theatre.crew.listen(spare)
        theatre.puppets.of(spare).die()
        theatre.death_of(spare)
    assert [(each["event"], each["log_level"]) for each in logged] == [("worker_ended", "info")]
    assert logged[0]["why"] == "no memory"
    assert theatre.crew.refusal is None
    assert theatre.crew.workers == [worker]  # and it is not tried again and again
    theatre.kill_late(worker)
    (new,) = theatre.crew.workers
    assert new.stage is Stage.SERVING


def test_one_that_has_refused_does_not_take_a_place_while_it_dies(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.puppets.of(spare).say(REFUSAL)
    theatre.crew.listen(spare)
    theatre.kill_late(worker)
    (new,) = theatre.at(Stage.SERVING)
    assert new is not spare
    assert theatre.crew.refusal is None


def test_one_that_can_not_be_started_is_no_trouble(theatre: Theatre) -> None:
    worker = theatre.begin()
    theatre.puppets.refuses = OSError(errno.ENOMEM, "Cannot allocate memory")
    with capture_logs() as logged:
        theatre.now = theatre.crew.due()
        theatre.crew.tend()
    assert logged == []
    assert theatre.crew.refusal is None
    assert theatre.crew.due() == worker.deadline
    theatre.puppets.refuses = None
    theatre.kill_late(worker)
    assert len(theatre.at(Stage.SERVING)) == 1


def test_one_that_refuses_after_it_got_a_place_is_a_worker_like_any_other(
    theatre: Theatre,
) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.kill_late(worker)
    theatre.puppets.of(spare).say(REFUSAL)
    with capture_logs() as logged:
        theatre.crew.listen(spare)
        theatre.puppets.of(spare).die()
        theatre.death_of(spare)
    assert [each["event"] for each in logged] == ["model_refused", "worker_ended"]
    assert theatre.crew.refusal == "no memory"
    assert theatre.crew.due() == theatre.now + crew_module.FIRST_PAUSE_S


# -- Reload, another spool, the end ----------------------------------------------------------------


def test_a_reload_sends_it_away_and_brings_in_what_is_newer(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.ready(spare, after=1.0)
    with capture_logs() as logged:
        theatre.crew.reload()
        theatre.death_of(spare)
    assert [(each["event"], each["log_level"]) for each in logged] == [("worker_ended", "info")]
    assert theatre.crew.is_reloading
    (coming,) = theatre.at(Stage.COMING)
    assert theatre.crew.workers == [worker, coming]
    theatre.ready(coming, after=1.0)
    assert coming.is_idle
    assert theatre.at(Stage.LEAVING) == [worker]
    assert theatre.kill_late(worker).was_late
    assert theatre.crew.workers == [coming]


def test_none_is_started_while_a_reload_brings_one_in(theatre: Theatre) -> None:
    worker = theatre.begin()
    theatre.crew.reload()
    theatre.now += LIMIT_S - LEAD_S
    theatre.crew.tend()
    assert theatre.at(Stage.SPARE) == []
    assert theatre.crew.due() == worker.deadline
    (coming,) = theatre.at(Stage.COMING)
    theatre.puppets.of(coming).die()
    theatre.death_of(coming)
    assert len(theatre.at(Stage.SPARE)) == 1  # the reload was refused, and the job is late


def test_a_spare_is_no_reload(theatre: Theatre) -> None:
    theatre.begin()
    theatre.spare()
    assert not theatre.crew.is_reloading


def test_one_that_starts_after_a_move_belongs_to_the_new_spool(theatre: Theatre) -> None:
    theatre.begin()
    theatre.crew.work_in(theatre.spool, 77)
    theatre.spare()
    assert theatre.puppets.inherited[-1] == [77]


def test_the_end_ends_it_too(theatre: Theatre) -> None:
    worker = theatre.begin()
    spare = theatre.spare()
    theatre.crew.dismiss(grace_s=0)
    assert theatre.crew.workers == []
    assert worker.process.poll() == spare.process.poll() == -9
