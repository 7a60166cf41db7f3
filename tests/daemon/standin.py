"""A worker that has done its job as soon as it gets it, for tests that need a worker very often.

The real one takes seconds to start.
"""

import io
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

from daemon.intake.pairing import Task
from daemon.supervisor.member import Worker
from daemon.worker.protocol import Done, Hello, Input, Job, Model, Problem, Produced

Answer = Callable[[Job, Sequence[int]], Done | Problem]

# Taken before anybody puts a fault in its way: the pipe to a worker lies on no disk.
_write = os.write

MODEL = Model(
    path="/models/tiny.pt",
    sha256="0" * 64,
    network="tiny",
    stage=None,
    width=None,
    precision="fp32",
    licence="none",
    trained=True,
    metrics=None,
)
HELLO = Hello(
    device="cpu", devices=("cpu",), models={"inpaint": MODEL}, torch_version="none", jobs_at_once=1
)
_INPUT = Input(sha256="0" * 64, bytes=1, width=1, height=1, mode="RGB", format="PNG")


class StandInCrew:
    """One worker, always there. `answer` does the job and says what came of it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._reports: list[Done | Problem] = []
        out, self._in = os.pipe()
        self.refusal: str | None = None
        self.is_reloading = False
        process = cast("subprocess.Popen[bytes]", SimpleNamespace(pid=0, stdout=io.FileIO(out)))
        nobody = socket.socket(socket.AF_UNIX)
        self.workers = [Worker("cpu", process, nobody, hello=HELLO)]

    def tend(self) -> None:
        """Nothing to start and nobody to kill."""

    def due(self) -> float:
        return float("inf")

    def refused_models(self) -> dict[tuple[Task, str], str]:
        """None: no folder has a model of its own."""
        return {}

    def sees_mended_model(self) -> bool:
        return False

    def room(self) -> int:
        return sum(worker.has_room for worker in self.workers)

    def freest(self) -> Worker | None:
        """The worker, when it is idle."""
        return next((worker for worker in self.workers if worker.has_room), None)

    def has_company(self, worker: Worker) -> bool:
        return bool(worker.jobs)

    def hand_out(
        self,
        worker: Worker,
        job: Job,
        descriptors: Sequence[int],
        *,
        alone: bool,  # noqa: ARG002 - it always is
    ) -> None:
        worker.jobs[job.job] = job.outputs
        self._reports.append(self._answer(job, descriptors))
        _write(self._in, b"!")

    def listen(self, worker: Worker) -> list[Done | Problem]:
        worker.out.read(1)
        worker.jobs.clear()
        return [self._reports.pop()]

    def dismiss(self, grace_s: float) -> None:  # noqa: ARG002 - it has ended already
        for worker in self.workers:
            worker.out.close()
            worker.ear.close()
        self.workers.clear()
        os.close(self._in)


def write_result(descriptors: Sequence[int], content: bytes) -> None:
    """Do a worker's work: what it gets is picture, mask, and an empty file for the result."""
    assert _write(descriptors[2], content) == len(content)


def done(job: Job) -> Done:
    """What a worker says that has written its result."""
    return Done(
        job=job.job,
        outputs=(Produced(held="result", suffix=".png"),),
        picture=_INPUT,
        companion=_INPUT,
        seconds={"read": 0.0},
    )


def problem(job: Job, reason: str, **facts: str | int | float) -> Problem:
    """What a worker says that has met a trouble of the list of reasons."""
    return Problem(job=job.job, reason=reason, facts=facts)
