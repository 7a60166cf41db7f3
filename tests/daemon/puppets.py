"""Workers that say what a test has them say, and start in no time.

They are real processes, with real pipes and sockets, so they can be killed and can die. The real
worker takes seconds to start, and by the system's clock.
"""

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import standin

from daemon.settings import Settings
from daemon.spool.layout import locked, open_spool
from daemon.supervisor import crew as crew_module
from daemon.supervisor.crew import Crew
from daemon.supervisor.member import Death, Stage, Worker
from daemon.worker import channel
from daemon.worker.protocol import Done, Hello, Job, Problem, line

START_S = 10.0
LIMIT_S = 100.0
JOBS_AT_ONCE = 3
JOB = Job(job="the job", task="inpaint", role="mask", outputs=("result",))
# Holds its pipe open when it is killed, as the kernel does while it takes a large process down. Its
# child ends by itself soon after the test.
CHILD_HOLDS_PIPE = ("sh", "-c", "sleep 5 & exec cat")


class Puppet:
    """One such worker: `cat`, which says what it is told."""

    def __init__(self, *command: str) -> None:
        self.ear, self._theirs = channel.connect()
        self.process = subprocess.Popen(
            command or ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def say(self, message: Hello | Done | Problem = standin.HELLO) -> None:
        assert self.process.stdin
        self.process.stdin.write(line(message))
        self.process.stdin.flush()

    def die(self) -> None:
        """As one whose picture killed its decoder."""
        self.process.send_signal(signal.SIGSEGV)

    def close_ear(self) -> None:
        """As one that is gone, and not yet seen to be."""
        self._theirs.close()

    def close(self) -> None:
        self._theirs.close()
        self.ear.close()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class Puppets:
    """Starts puppets in the real workers' stead, and remembers them in the order of their start."""

    def __init__(self) -> None:
        self.started: list[Puppet] = []
        self.inherited: list[list[int]] = []
        self.refuses: OSError | None = None
        self.commands: list[tuple[str, ...]] = []  # of the next ones that are not to be `cat`

    def start(
        self, _settings: Settings, _work: Path, _device: str, inherit: list[int], **_how: Any
    ) -> tuple[subprocess.Popen[bytes], socket.socket]:
        if self.refuses is not None:
            raise self.refuses
        puppet = Puppet(*(self.commands.pop(0) if self.commands else ()))
        self.started.append(puppet)
        self.inherited.append(inherit)
        return puppet.process, puppet.ear

    def of(self, worker: Worker) -> Puppet:
        (found,) = (puppet for puppet in self.started if puppet.process is worker.process)
        return found

    def close(self) -> None:
        for puppet in self.started:
            puppet.close()


class Theatre:
    """A crew of puppets, and its clock."""

    def __init__(self, settings: Settings) -> None:
        self.now = 1000.0
        self.puppets = Puppets()
        self.spool = open_spool(settings)
        self.lock = locked(self.spool)
        self.crew = Crew(settings, self.spool, self.lock.__enter__(), lambda: self.now)

    def close(self) -> None:
        self.crew.dismiss(grace_s=0)
        self.puppets.close()
        self.lock.__exit__(None, None, None)

    def ready(self, worker: Worker, after: float = START_S) -> None:
        """Let a worker say that it is, so long after now."""
        self.now += after
        about = {"device": worker.device, "jobs_at_once": JOBS_AT_ONCE}
        self.puppets.of(worker).say(standin.HELLO.model_copy(update=about))
        assert self.crew.listen(worker) == []
        assert worker.hello
        self.crew.tend()

    def begin(self, job: Job = JOB) -> Worker:
        """Let a ready worker have a job."""
        if not self.crew.workers:
            self.crew.tend()
            self.ready(self.crew.workers[0])
        (worker,) = (worker for worker in self.crew.workers if worker.is_idle)
        self.crew.hand_out(worker, job, [])
        self.crew.tend()
        return worker

    def finish(self, worker: Worker, job: Job = JOB) -> None:
        self.puppets.of(worker).say(standin.done(job))
        assert [type(heard) for heard in self.crew.listen(worker)] == [Done]
        self.crew.tend()

    def spare(self) -> Worker:
        """Let the time come at which the running job gets a spare."""
        self.now = self.crew.due()
        self.crew.tend()
        (spare,) = self.at(Stage.SPARE)
        return spare

    def at(self, stage: Stage) -> list[Worker]:
        return [worker for worker in self.crew.workers if worker.stage is stage]

    def death_of(self, worker: Worker) -> Death:
        """Hear that a worker has ended, and do what comes next."""
        (death,) = self.crew.listen(worker)
        assert isinstance(death, Death)
        self.crew.tend()
        return death

    def kill_late(self, worker: Worker) -> Death:
        """Let a worker's time be over."""
        self.now = worker.deadline
        self.crew.tend()
        return self.death_of(worker)


Open = Callable[..., Theatre]


def opened_theatres(spool: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """What a fixture yields: opens a theatre, which is closed when the test is over."""
    theatres: list[Theatre] = []

    def begin(limit_s: float = LIMIT_S, device: str = "cpu") -> Theatre:
        settings = Settings(spool=spool, inpaint_model=model, job_timeout_s=limit_s, device=device)
        theatres.append(Theatre(settings))
        monkeypatch.setattr(crew_module, "start_worker", theatres[-1].puppets.start)
        return theatres[-1]

    yield begin
    for theatre in theatres:
        theatre.close()
