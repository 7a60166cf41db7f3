"""The crew in its own process: what its clock does to real workers."""

import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from clocks import Clock
from standin import HELLO, MODEL, done

from daemon.settings import Settings
from daemon.spool.layout import Spool, locked, open_spool
from daemon.supervisor.crew import Crew
from daemon.supervisor.dying import DYING_S
from daemon.supervisor.member import Death, Worker
from daemon.supervisor.starting import START_TIMEOUT_S
from daemon.worker.protocol import FolderModel, Job, Problem, Produced, Refused, line

OWN = MODEL.model_copy(update={"path": "/models/own.pt"})
REFUSED = Refused(task="inpaint", path=OWN.path, why="it is gone")
JOB = Job(job="the job", task="inpaint", role="mask", outputs=("result",))
RESULT = Produced(held="result", suffix=".png")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crew(tmp_path: Path, clock: Clock) -> Iterator[Crew]:
    settings = Settings(
        spool=tmp_path / "spool", inpaint_model=tiny.write_hanging(tmp_path / "hang.pt")
    )
    spool: Spool = open_spool(settings)
    with locked(spool) as lock:
        crew = Crew(settings, spool, lock, clock)
        yield crew
        crew.dismiss(grace_s=0)


def test_a_worker_that_never_gets_ready_is_ended_and_another_is_tried_later(
    crew: Crew, clock: Clock
) -> None:
    crew.tend()
    (worker,) = crew.workers
    with selectors.DefaultSelector() as selector:
        selector.register(worker.out, selectors.EVENT_READ)
        assert [crew.listen(worker) for _ in selector.select(8)] == []  # hangs in its first trial
        clock.now += START_TIMEOUT_S - 1
        crew.tend()
        assert worker.process.poll() is None
        clock.now += 1
        crew.tend()
        assert selector.select(60)
    heard = crew.listen(worker)
    assert [type(each) for each in heard] == [Death]
    assert crew.refusal == "it was not ready after 600 s"
    assert not Path(f"/proc/{worker.process.pid}").exists()
    crew.tend()
    assert crew.workers == []
    clock.now = crew.due()
    crew.tend()
    (another,) = crew.workers
    assert another.process.pid != worker.process.pid
    assert Path(f"/proc/{another.process.pid}").exists()


def possessed(crew: Crew, said: bytes, *, then: str = "time.sleep(600)") -> Worker:
    """A worker that an intruder holds: it says what he wants, through its own pipe."""
    program = f"import os, time; os.write(1, {said!r}); {then}"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    worker = Worker("cpu", process, socket.socket(), hello=HELLO, jobs={JOB.job: JOB.outputs})
    crew.workers.append(worker)
    return worker


@pytest.mark.parametrize(
    "said",
    [
        line(HELLO),
        line(Problem(job=None, reason="worker_will_not_start", facts={})),
        line(Problem(job="another", reason="disk_full", facts={})),
        line(done(JOB.model_copy(update={"job": "another"}))),
        line(done(JOB).model_copy(update={"outputs": ()})),
        line(done(JOB).model_copy(update={"outputs": (RESULT, RESULT)})),
        line(done(JOB).model_copy(update={"outputs": (Produced(held="alpha", suffix=".png"),)})),
        b"nonsense\n",
        b"nonsense\n" + line(done(JOB)),
    ],
    ids=[
        "a second hello",
        "that it can not start",
        "something of another job",
        "that another job is done",
        "that a job is done which makes nothing",
        "that a job is done which makes a thing twice",
        "that a job is done which makes something else",
        "nonsense",
        "nonsense, and then that the job is done",
    ],
)
def test_a_worker_that_says_what_no_sound_one_would_is_ended_and_keeps_its_time_limit(
    crew: Crew, said: bytes
) -> None:
    worker = possessed(crew, said)
    worker.deadline = 2000.0
    while not (heard := crew.listen(worker)):
        assert (list(worker.jobs), worker.deadline) == (["the job"], 2000.0)
    assert heard == [Death("the job", "signal SIGKILL", was_late=False)]


def test_a_worker_that_has_said_nonsense_is_never_believed_again(crew: Crew) -> None:
    worker = possessed(crew, b"nonsense\n")
    assert crew.listen(worker) == []
    assert list(worker.believed([line(done(JOB))], ["inpaint"])) == []


def test_a_worker_that_says_a_line_without_end_is_ended(crew: Crew) -> None:
    worker = possessed(crew, b"", then="os.write(1, b'x' * (1 << 22)); time.sleep(600)")
    while not (heard := crew.listen(worker)):
        assert len(worker.buffer) < 1 << 21
    assert heard == [Death("the job", "signal SIGKILL", was_late=False)]


def test_a_worker_that_makes_two_things_must_tell_them_apart(crew: Crew) -> None:
    made = (Produced(held="cutout", suffix=".png"), Produced(held="alpha", suffix=".png"))
    worker = possessed(crew, line(done(JOB).model_copy(update={"outputs": made})))
    worker.jobs[JOB.job] = ("cutout", "alpha")
    assert crew.listen(worker) == []
    assert worker.process.wait(10) == -9


def test_a_worker_that_has_done_its_job_is_believed_and_idle(crew: Crew) -> None:
    worker = possessed(crew, line(done(JOB)))
    assert crew.listen(worker) == [done(JOB)]
    assert worker.is_idle


def test_a_worker_that_is_killed_while_it_says_that_it_is_done_gets_no_other_job(
    crew: Crew, clock: Clock
) -> None:
    worker = possessed(crew, line(done(JOB)))
    with selectors.DefaultSelector() as selector:
        selector.register(worker.out, selectors.EVENT_READ)
        assert selector.select(10)  # it is done, and nobody has heard of it yet
    worker.deadline = clock.now
    worker.overstep()
    assert crew.listen(worker) == [done(JOB)]
    assert not worker.is_idle
    assert worker.limit == clock.now + DYING_S  # and where it does not die its place is free
    assert crew.listen(worker) == [Death(None, "signal SIGKILL", was_late=True)]


def test_an_idle_worker_that_says_something_is_ended_and_gets_no_other_job(crew: Crew) -> None:
    worker = possessed(crew, b"nonsense\n")
    worker.take_back(JOB.job, 0.0)
    assert worker.is_idle
    assert crew.listen(worker) == []
    assert not worker.is_idle


def test_a_worker_that_ends_by_a_signal_without_a_name_is_buried_like_any_other(
    crew: Crew,
) -> None:
    worker = possessed(crew, b"", then="os.kill(os.getpid(), 40)")
    assert crew.listen(worker) == [Death("the job", "signal 40", was_late=False)]


def test_a_hello_without_the_models_that_are_set_is_not_believed(crew: Crew) -> None:
    worker = possessed(crew, line(HELLO.model_copy(update={"models": {}})))
    worker.hello = None
    assert crew.listen(worker) == []
    assert worker.process.wait(10) == -9


@pytest.mark.parametrize(
    "says",
    [
        {},
        {"folder_models": {"inpaint": (OWN, OWN)}},
        {"folder_models": {"matting": (OWN,)}},
        {"folder_models": {"inpaint": (OWN,)}, "refused": (REFUSED,)},
    ],
    ids=["of none", "twice", "of another task", "of both kinds"],
)
def test_a_hello_that_does_not_say_once_of_each_folders_model_is_not_believed(
    crew: Crew, says: dict[str, Any]
) -> None:
    worker = possessed(crew, line(HELLO.model_copy(update=says)))
    worker.hello = None
    worker.asked = (FolderModel(task="inpaint", path=OWN.path),)
    assert crew.listen(worker) == []
    assert worker.process.wait(10) == -9


def test_a_worker_that_closes_its_pipe_and_lives_on_is_ended(crew: Crew) -> None:
    worker = possessed(crew, b"", then="os.close(1); time.sleep(600)")
    (death,) = crew.listen(worker)
    assert isinstance(death, Death)
    assert (death.job, death.detail) == ("the job", "signal SIGKILL")


def test_a_worker_that_ran_out_of_memory_is_replaced(crew: Crew) -> None:
    said = Problem(job="the job", reason="out_of_memory", facts={"detail": "all gone"})
    worker = possessed(crew, line(said), then="")
    assert crew.listen(worker) == [said]
    assert not worker.is_idle
    (death,) = crew.listen(worker)
    assert isinstance(death, Death)
    assert death.job is None
