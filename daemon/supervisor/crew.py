"""The workers: one process a device, started, watched, killed when late, replaced when dead.

Trusts: nothing a worker says beyond the checked messages. Promises: it is always known which job
a worker held when it died.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import structlog
from pydantic import ValidationError

import daemon
from daemon.events import Event
from daemon.settings import Settings
from daemon.spool.layout import Spool
from daemon.worker.protocol import Done, Hello, Job, Orders, Problem, from_worker, line

log = structlog.get_logger()

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
# A message is a page of text. A worker that sends more without a line end has gone wrong.
_MAX_LINE_BYTES: Final = 1 << 20


@dataclass
class Worker:
    """One worker process and what it is doing."""

    device: str
    process: subprocess.Popen[bytes]
    hello: Hello | None = None
    job: str | None = None
    deadline: float = float("inf")
    is_late: bool = False
    refusal: str | None = None
    buffer: bytearray = field(default_factory=bytearray)

    @property
    def is_idle(self) -> bool:
        """Ready for a job."""
        return self.hello is not None and self.job is None

    @property
    def out(self) -> IO[bytes]:
        """The pipe it reports on."""
        assert self.process.stdout is not None  # noqa: S101 - Popen was given a pipe
        return self.process.stdout


@dataclass(frozen=True)
class Death:
    """A worker ended: which job it held, how it ended, and whether it was killed for being late."""

    job: str | None
    detail: str
    was_late: bool


def start_worker(
    settings: Settings, work: Path, device: str, inherit: list[int]
) -> subprocess.Popen[bytes]:
    """Start a worker process and give it its orders. Raises `OSError`."""
    # -P: no module is ever taken from the folder we happen to run in.
    command = [sys.executable, "-P", "-m", "daemon.worker.main", str(work)]
    paths = [str(Path(daemon.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **_compiler_cache(work),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=inherit,
        env=environment,
        cwd="/",  # the folder we were started in may be gone one day
        process_group=0,  # a Ctrl-C at the terminal is the supervisor's to hear
    )
    orders = Orders(
        device=device,
        threads=settings.threads,
        models={task: str(path) for task, path in settings.models().items()},
        max_pixels=settings.max_pixels,
        output_format=settings.output_format,
        jpeg_quality=settings.jpeg_quality,
    )
    _send(process, orders)
    return process


def _compiler_cache(work: Path) -> dict[str, str]:
    """Where PyMatting keeps what it compiles, which takes most of a minute the first time.

    Beside its source where that is ours to write; else in the work folder, which is private: what
    lies in that cache is run.
    """
    source = importlib.util.find_spec("pymatting")
    folders = list(source.submodule_search_locations or ()) if source else []
    if folders and os.access(folders[0], os.W_OK, effective_ids=True):
        return {}
    return {"NUMBA_CACHE_DIR": str(work / ".cache")}


def _send(process: subprocess.Popen[bytes], message: Orders | Job) -> None:
    assert process.stdin is not None  # noqa: S101 - Popen was given a pipe
    try:
        process.stdin.write(line(message))
        process.stdin.flush()
    except BrokenPipeError:
        return  # it is dead; its silence on the other pipe will say so


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Close a worker's input, which ends it. What was still to be sent to a dead one is lost."""
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()


class Crew:
    """All workers. `clock` is monotonic, in seconds."""

    def __init__(
        self, settings: Settings, spool: Spool, lock: int, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._lock = lock
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._next_start = 0.0
        self._wanted = settings.devices()
        self.workers: list[Worker] = []
        self.refusal: str | None = None

    def tend(self) -> None:
        """Start the workers that are missing and kill those whose job has taken too long."""
        now = self._clock()
        for worker in self.workers:
            if now >= worker.deadline and not worker.is_late:
                worker.is_late = True
                worker.process.kill()
        missing = list(self._wanted)
        for worker in self.workers:
            if worker.device in missing:
                missing.remove(worker.device)
        if missing and now >= self._next_start:
            for device in missing:
                try:
                    process = start_worker(self._settings, self._spool.work, device, [self._lock])
                except OSError as error:
                    self._fall_back(error.strerror or str(error))
                    return
                self.workers.append(Worker(device, process))

    def due(self) -> float:
        """When `tend` should be called next."""
        late = min((w.deadline for w in self.workers if not w.is_late), default=float("inf"))
        return late if len(self.workers) == len(self._wanted) else min(late, self._next_start)

    def hand_out(self, worker: Worker, job: Job) -> None:
        """Give an idle worker a job. A worker that is just dying takes it along: see `Death`."""
        worker.job = job.job
        worker.deadline = self._clock() + self._settings.job_timeout_s
        _send(worker.process, job)

    def listen(self, worker: Worker) -> list[Hello | Done | Problem | Death]:
        """What a worker has to say; call it when its pipe is readable."""
        chunk = os.read(worker.out.fileno(), 1 << 16)
        if not chunk:
            return [self._bury(worker)]
        worker.buffer += chunk
        heard: list[Hello | Done | Problem | Death] = []
        *lines, rest = worker.buffer.split(b"\n")
        worker.buffer = bytearray(rest)
        if len(rest) > _MAX_LINE_BYTES:
            worker.process.kill()
        for text in lines:
            try:
                heard.append(self._hear(worker, from_worker.validate_json(bytes(text))))
            except ValidationError:
                worker.process.kill()  # whatever it is now, it is no worker of ours
                break
        return heard

    def dismiss(self, grace_s: float) -> None:
        """End all workers: politely, then not. Jobs they hold stay in work/."""
        for worker in self.workers:
            _hang_up(worker.process)
        for worker in self.workers:
            try:
                worker.process.wait(timeout=grace_s)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.out.close()
        self.workers.clear()

    def _hear(self, worker: Worker, message: Hello | Done | Problem) -> Hello | Done | Problem:
        match message:
            case Hello():
                worker.hello = message
                self._pause_s = FIRST_PAUSE_S
                self.refusal = None
                if self._wanted == ["auto"] and len(message.devices) > 1:
                    self._wanted = list(message.devices)
                worker.device = message.device if "auto" not in self._wanted else worker.device
                log.info(
                    Event.WORKER_STARTED,
                    pid=worker.process.pid,
                    device=message.device,
                    torch=message.torch_version,
                    models={task: Path(m.path).name for task, m in message.models.items()},
                )
            case Problem(job=None):
                worker.refusal = str(message.facts.get("detail", ""))
            case _:
                worker.job = None
                worker.deadline = float("inf")
        return message

    def _fall_back(self, why: str) -> None:
        """A worker did not come up: the next try waits longer each time."""
        self.refusal = why
        self._next_start = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _bury(self, worker: Worker) -> Death:
        code = worker.process.wait()
        detail = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        log.log(
            40 if worker.job or worker.hello is None else 30,
            Event.WORKER_ENDED,
            pid=worker.process.pid,
            device=worker.device,
            how=detail,
            job=worker.job,
            why=worker.refusal,
        )
        self.workers.remove(worker)
        worker.out.close()
        _hang_up(worker.process)
        if worker.hello is None:
            self._fall_back(worker.refusal or detail)
        return Death(worker.job, detail, worker.is_late)
