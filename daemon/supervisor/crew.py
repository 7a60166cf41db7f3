"""The workers: one process a device, started, watched, killed when late, replaced when dead.

Trusts: nothing a worker says beyond the checked messages. Promises: it is always known which job
a worker held when it died.
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Final

import psutil
import structlog
from pydantic import ValidationError

import daemon
from daemon.events import Event
from daemon.settings import Settings
from daemon.spool.layout import Spool
from daemon.worker import channel
from daemon.worker.protocol import Done, Hello, Job, Orders, Problem, from_worker

log = structlog.get_logger()

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
# A start may compile PyMatting and read gigabytes from a slow disk. A model that hangs at its first
# trial, or a driver that does, is not waited for any longer.
START_TIMEOUT_S: Final = 600.0
# Of the machine's memory, for a worker on its CPU; the rest is for whoever else is there.
_MEMORY_SHARE: Final = 0.9
# A worker that ends closes its pipe before it takes torch down; one that does not end is ended.
_LAST_WORDS_S: Final = 5.0
# A message is a page of text. A worker that sends more without a line end has gone wrong.
_MAX_LINE_BYTES: Final = 1 << 20


class _NotItsTurnError(Exception):
    """A worker has said what a sound one would not say at this moment."""


class Stage(Enum):
    """Where a worker stands: a reload brings new ones in beside those that serve."""

    COMING = "coming"
    SERVING = "serving"
    LEAVING = "leaving"


@dataclass
class Worker:
    """One worker process and what it is doing."""

    device: str
    process: subprocess.Popen[bytes]
    ear: socket.socket
    hello: Hello | None = None
    job: str | None = None
    deadline: float = float("inf")
    is_late: bool = False
    refusal: str | None = None
    stage: Stage = Stage.SERVING
    buffer: bytearray = field(default_factory=bytearray)

    @property
    def is_idle(self) -> bool:
        """Ready for a job."""
        return self.hello is not None and self.job is None and self.stage is Stage.SERVING

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
    settings: Settings, work: Path, device: str, inherit: list[int], *, compile_first: bool = True
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker process and give it its orders; it ends when the socket is closed.

    `compile_first` is for the first worker of a run. Raises `OSError`.
    """
    # -P: no module is ever taken from the folder we happen to run in.
    command = [sys.executable, "-P", "-m", "daemon.worker.main"]
    paths = [str(Path(daemon.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        # Never in a work folder inside the inbox: what lies in that cache is run.
        **_compiler_cache(settings.folders()["work"]),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    ours, theirs = channel.connect()
    try:
        with theirs:
            process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                pass_fds=inherit,
                env=environment,
                cwd="/",  # the folder we were started in may be gone one day
                process_group=0,  # a Ctrl-C at the terminal is the supervisor's to hear
            )
    except OSError:
        ours.close()
        raise
    _send(ours, _orders(settings, work, device, compile_first))
    return process, ours


def _orders(settings: Settings, work: Path, device: str, compile_first: bool) -> Orders:
    memory = (
        _MEMORY_SHARE * psutil.virtual_memory().total
        if settings.worker_memory_gb is None
        else settings.worker_memory_gb * 1e9
    )
    return Orders(
        device=device,
        threads=settings.threads,
        models={task: str(path) for task, path in settings.models().items()},
        max_pixels=settings.max_pixels,
        max_file_bytes=settings.max_file_bytes(),
        output_format=settings.output_format,
        jpeg_quality=settings.jpeg_quality,
        confine=settings.confine,
        keep_out=tuple(os.fsencode(path) for path in {work, *settings.folders().values()}),
        compile_first=compile_first,
        memory_limit_bytes=int(memory),
        window_memory_bytes=settings.window_memory_bytes(),
    )


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


def _send(ear: socket.socket, message: Orders | Job, descriptors: Sequence[int] = ()) -> None:
    # Where it does not get there the worker is dead, which its silence will say, or hears nothing
    # any more, and its deadline will come.
    with suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
        channel.send(ear, message, descriptors)


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
        self._is_compiled = False

    def work_in(self, spool: Spool, lock: int) -> None:
        """Workers that start from now on belong to this spool, and hold its lock."""
        self._spool, self._lock = spool, lock

    def tend(self) -> None:
        """Start the workers that are missing and kill those whose job has taken too long."""
        now = self._clock()
        for worker in self.workers:
            if now >= worker.deadline and not worker.is_late:
                worker.is_late = True
                worker.process.kill()
        missing = list(self._wanted)
        for worker in self._serving():
            if worker.device in missing:
                missing.remove(worker.device)
        if missing and now >= self._next_start:
            for device in missing:
                try:
                    self._start(device, Stage.SERVING)
                except OSError as error:
                    self._fall_back(error.strerror or str(error))
                    return

    def due(self) -> float:
        """When `tend` should be called next."""
        late = min((w.deadline for w in self.workers if not w.is_late), default=float("inf"))
        return late if len(self._serving()) == len(self._wanted) else min(late, self._next_start)

    def reload(self) -> None:
        """Load the models anew, in new workers. Those that serve go on until the new ones can.

        Where the new ones can't, because a model is refused, those that serve stay.
        """
        self._next_start = 0.0  # a model that was refused may be right now
        for worker in self.workers:
            if worker.stage is Stage.COMING:
                worker.process.kill()  # what it loaded is not the newest any more
                worker.stage = Stage.LEAVING
        for worker in self._serving():
            try:
                self._start(worker.device, Stage.COMING)
            except OSError as error:
                log.error(Event.RELOAD_REFUSED, why=error.strerror or str(error))

    @property
    def is_reloading(self) -> bool:
        """Whether new workers are on their way in."""
        return any(worker.stage is Stage.COMING for worker in self.workers)

    def _serving(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.stage is Stage.SERVING]

    def _start(self, device: str, stage: Stage) -> None:
        process, ear = start_worker(
            self._settings,
            self._spool.work,
            device,
            [self._lock],
            compile_first=not self._is_compiled,
        )
        deadline = self._clock() + START_TIMEOUT_S
        self.workers.append(Worker(device, process, ear, deadline=deadline, stage=stage))

    def _replace(self, new: Worker) -> None:
        """A worker that came in by a reload is ready: the one it replaces does no more jobs."""
        new.stage = Stage.SERVING
        for worker in self._serving():
            if worker is not new and worker.device == new.device:
                worker.stage = Stage.LEAVING
                if worker.job is None:
                    worker.ear.close()  # which ends it
                return

    def hand_out(self, worker: Worker, job: Job, descriptors: Sequence[int]) -> None:
        """Give an idle worker a job and its files: picture, companion, outputs as the job has them.

        The caller closes the descriptors. A worker that is just dying takes the job along: see
        `Death`.
        """
        worker.job = job.job
        worker.deadline = self._clock() + self._settings.job_timeout_s
        _send(worker.ear, job, descriptors)

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
            except (ValidationError, _NotItsTurnError):
                worker.process.kill()  # whatever it is now, it is no worker of ours
                break
        return heard

    def dismiss(self, grace_s: float) -> None:
        """End all workers: politely, then not. Jobs they hold stay in work/."""
        for worker in self.workers:
            worker.ear.close()  # which ends it
        for worker in self.workers:
            try:
                worker.process.wait(timeout=grace_s)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.out.close()
        self.workers.clear()

    def _hear(self, worker: Worker, message: Hello | Done | Problem) -> Hello | Done | Problem:
        if not self._is_its_turn(worker, message):
            raise _NotItsTurnError
        match message:
            case Hello():
                worker.hello = message
                worker.deadline = float("inf")
                self._is_compiled = True
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
                    confinement=list(message.confinement),
                )
                if message.unconfined and self._settings.confine != "no":
                    log.warning(Event.WORKER_UNCONFINED, why=message.unconfined)
                if worker.stage is Stage.COMING:
                    self._replace(worker)
            case Problem(job=None):
                worker.refusal = str(message.facts.get("detail", ""))
            case _:
                worker.job = None
                worker.deadline = float("inf")
                if isinstance(message, Problem) and message.reason == "out_of_memory":
                    # What is left of its memory would be too little for the next picture.
                    worker.stage = Stage.LEAVING
                if worker.stage is Stage.LEAVING:
                    worker.ear.close()
        return message

    def _is_its_turn(self, worker: Worker, message: Hello | Done | Problem) -> bool:
        """Whether a sound worker could say this now. One that an intruder holds says anything."""
        match message:
            case Hello(models=models):
                return worker.hello is None and models.keys() == self._settings.models().keys()
            case Problem(job=None):
                return worker.hello is None
            case _:
                return worker.job is not None and message.job == worker.job

    def _fall_back(self, why: str) -> None:
        """A worker did not come up: the next try waits longer each time."""
        self.refusal = why
        self._next_start = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _bury(self, worker: Worker) -> Death:
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(_LAST_WORDS_S)
        worker.process.kill()  # it may have closed its pipe and live on
        code = worker.process.wait()
        detail = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if worker.is_late and worker.hello is None:
            worker.refusal = f"it was not ready after {START_TIMEOUT_S:.0f} s"
        log.log(
            20
            if worker.stage is Stage.LEAVING and not worker.job
            else 40
            if worker.job or worker.hello is None
            else 30,
            Event.WORKER_ENDED,
            pid=worker.process.pid,
            device=worker.device,
            how=detail,
            job=worker.job,
            why=worker.refusal,
        )
        self.workers.remove(worker)
        worker.out.close()
        worker.ear.close()
        if worker.stage is Stage.COMING:
            log.error(Event.RELOAD_REFUSED, why=worker.refusal or detail)
        elif worker.hello is None and worker.stage is Stage.SERVING:
            self._fall_back(worker.refusal or detail)
        return Death(worker.job, detail, worker.is_late)
