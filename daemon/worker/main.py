"""The worker process: gets jobs at its standard input, does them, reports on standard output.

Each job has a thread of its own, in which its files are decoded and encoded; the main thread runs
the networks for all of them.

It may die at any time, and it ends itself when the supervisor does. It decodes strangers' files, so
it gives up its rights before it imports what decodes (see `confinement`). It is given open files
and knows of no folder.
"""

import io
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NoReturn

from daemon.artifact import ArtifactError
from daemon.reasons import Trouble, world_trouble
from daemon.worker import channel, limits
from daemon.worker.confinement import Confinement, ConfinementError, confine
from daemon.worker.protocol import Done, Hello, Job, Orders, Problem, line

if TYPE_CHECKING:
    from daemon.worker.batching import Turn
    from daemon.worker.retouching import Worker

_Received = tuple[Orders | Job, list[int]]

LOCATORS: Final = "daemon.worker.compiled.InGivenFolder,daemon.worker.compiled.BesideItsSource"
# CUDA has device files that are missing made by a program, which a confined process can't start.
_NVIDIA: Final = Path("/proc/driver/nvidia")
_START_CUDA: Final = "import ctypes; ctypes.CDLL('libcuda.so.1').cuInit(0)"
# How often what runs before is looked at; the supervisor's end is noticed at once.
_LOOK_MS: Final = 100


def _answer(
    worker: "Worker", job: Job, descriptors: Sequence[int], network: "Turn"
) -> Done | Problem:
    from daemon.worker.retouching import opened

    try:
        with opened(job, descriptors) as files:
            return worker.do(job, files, network)
    except Trouble as met:
        return _problem(job, met)
    except MemoryError:
        return _problem(job, Trouble("out_of_memory", detail="the machine's memory"))
    except OSError as error:
        return _problem(job, world_trouble(error))


def _problem(job: Job, trouble: Trouble) -> Problem:
    return Problem(job=job.job, reason=trouble.reason.key, facts=trouble.facts)


def _listen(ear: socket.socket, received: "queue.SimpleQueue[_Received]") -> NoReturn:
    """Pass messages on; when the supervisor is gone, so is this process, in mid-job too."""
    while message := channel.receive(ear):
        received.put(message)
    os._exit(0)


def _claim_stdout() -> BinaryIO:
    """Keep standard output for messages: whatever a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # it is a log now
    return out


def _prepare(ear: socket.socket, orders: Orders) -> None:
    """Do what a confined process no longer can. Raises `ConfinementError`."""
    limits.die_first()
    limits.leave_no_core()
    if orders.confine == "no":
        return
    os.environ["NUMBA_CACHE_LOCATOR_CLASSES"] = LOCATORS
    os.environ["CUDA_CACHE_DISABLE"] = "1"  # compiled kernels would be kept in the home folder
    if orders.device != "cpu" and _NVIDIA.exists():
        _python(ear, "-c", _START_CUDA)
    tasks = {*orders.models, *(each.task for each in orders.folder_models)}
    compiles = "matting" in tasks and orders.compile_first
    if compiles and _python(ear, "-m", "daemon.worker.foreground") != 0:
        raise ConfinementError(
            "what a confined worker needs compiled can't be compiled and kept; why stands in the "
            "log above"
        )


def _python(ear: socket.socket, *arguments: str) -> int:
    """Run Python to its end, or to the supervisor's. Returns the exit status."""
    command = [sys.executable, "-P", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    hangup = select.poll()
    hangup.register(ear, 0)
    while process.poll() is None:
        if hangup.poll(_LOOK_MS):
            process.kill()
            process.wait()
            os._exit(0)
    return process.returncode


def _work(
    orders: Orders,
    confinement: Confinement,
    received: "queue.SimpleQueue[_Received]",
    out: BinaryIO,
) -> int:
    from daemon.worker.inference import is_poisoned
    from daemon.worker.retouching import Worker

    # Of what is damaged. Who mutes them for a moment, as decoding does, mutes them for all threads.
    warnings.simplefilter("ignore")
    worker = Worker(orders, confinement)
    voice, turns = Voice(out), threading.Lock()
    # Now, and not with each job: where memory is short, a thread that is started may never be.
    for _ in range(worker.jobs_at_once):
        at_work = (worker, received, turns, voice)
        threading.Thread(target=_do_jobs, args=at_work, daemon=True).start()
    voice.say(worker.hello())
    try:
        worker.run_networks()
    except RuntimeError as error:
        if not is_poisoned(error):
            raise
        print(f"retouchd worker: the device is lost: {error}", file=sys.stderr)  # noqa: T201
        return 70


class Voice:
    """Says one message after the other, whoever speaks."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def say(self, message: Hello | Done | Problem) -> None:
        """Returns when it is in the pipe."""
        with self._lock:
            self._out.write(line(message))


def _do_jobs(
    worker: "Worker",
    received: "queue.SimpleQueue[_Received]",
    turns: threading.Lock,
    voice: Voice,
) -> NoReturn:
    """Do one job after the other, beside others who do the same."""
    while True:
        with turns:  # the jobs have their turns in the order in which they came
            job, descriptors = received.get()
            if not isinstance(job, Job):
                continue
            network = worker.turn(job)
        voice.say(_answer(worker, job, descriptors, network))


def _end_all(what: threading.ExceptHookArgs) -> NoReturn:
    """What must not happen in a thread ends the process, as it does in the main one."""
    threading.__excepthook__(what)
    sys.stderr.flush()
    os._exit(1)


def main() -> int:
    """Run until the supervisor closes its end of our standard input."""
    # Ctrl-C, and a service manager that asks all processes of a service to stop, are the
    # supervisor's to hear: it lets the job in hand come to its end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.excepthook = _end_all
    out = _claim_stdout()
    ear = socket.socket(fileno=0)
    first = channel.receive(ear)
    if first is None:
        return 0
    orders, _ = first
    if not isinstance(orders, Orders):
        raise TypeError("the first message must be the orders")
    received: queue.SimpleQueue[_Received] = queue.SimpleQueue()
    try:
        _prepare(ear, orders)
        # After what it starts itself has ended; a supervisor that has gone by now is noticed below.
        limits.die_with_the_supervisor()
        confinement = confine(orders)
        # From here on, as what confines this thread confines those that it starts.
        threading.Thread(target=_listen, args=(ear, received), daemon=True).start()
        return _work(orders, confinement, received, out)
    except (ArtifactError, ConfinementError) as error:
        trouble = Trouble("worker_will_not_start", detail=error)
        out.write(line(Problem(job=None, reason=trouble.reason.key, facts=trouble.facts)))
        return 1


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # jobs that are being decoded end with it
