"""The workers: one process a device, started, watched, killed when late, replaced when dead.

Promises: it is always known which jobs a worker held when it died; and while one is being replaced,
by a reload or because its job takes too long, the one before works on (see `spares`).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.pairing import Task
from daemon.reasons import Report, one_line
from daemon.settings import Settings
from daemon.spool.layout import Spool
from daemon.supervisor.dying import end_all
from daemon.supervisor.folder_models import Key, Wanted
from daemon.supervisor.member import Death, Stage, Worker
from daemon.supervisor.spares import Spares, is_on_its_way, not_needed, spare_for
from daemon.supervisor.starting import START_TIMEOUT_S, start_worker
from daemon.worker.protocol import Done, Hello, Job, Model, Problem

log = structlog.get_logger()

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


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
        self._spares = Spares(settings.job_timeout_s)
        self._folder_models = Wanted(settings)
        self.workers: list[Worker] = []
        self.refusal: str | None = None
        self._told_why: str | None = None  # none could be started, since the last that was
        self._is_compiled = False

    def work_in(self, spool: Spool, lock: int) -> None:
        """Workers that start from now on belong to this spool, and hold its lock."""
        self._spool, self._lock = spool, lock

    def tend(self) -> None:
        """Kill those whose time is over, fill the places that are free, see to the spares."""
        now = self._clock()
        for worker in self.workers:
            if now >= worker.limit and not worker.gets_a_hearing():
                if worker.hello is None and worker.stage is not Stage.LEAVING:
                    worker.refusal = f"it was not ready after {START_TIMEOUT_S:.0f} s"
                worker.overstep()
        try:
            self._fill_places(now)
        except OSError as error:
            self._note_not_started(error.strerror or str(error))
        self._see_to_spares(now)

    def due(self) -> float:
        """When `tend` should be called next."""
        moments = [worker.limit for worker in self.workers]
        moments += [self._spares.due(worker, self.workers) for worker in self.workers]
        if self._free_places():
            moments.append(self._next_start)
        return min(moments, default=float("inf"))

    def reload(self) -> None:
        """Load the models anew, in new workers. Those that serve go on until the new ones can.

        Where the new ones can't, because a model is refused, those that serve stay.
        """
        self._next_start = 0.0  # a model that was refused may be right now
        for worker in self.workers:
            if worker.stage in (Stage.COMING, Stage.SPARE):
                worker.send_away()  # what it loaded is not the newest any more
        for worker in self._serving():
            try:
                self._start(worker.device, Stage.COMING)
            except OSError as error:
                log.error(Event.RELOAD_REFUSED, why=error.strerror or str(error))

    @property
    def is_reloading(self) -> bool:
        """Whether new workers are on their way in."""
        return any(w.stage is Stage.COMING and not w.is_killed for w in self.workers)

    def refused_models(self) -> Mapping[Key, str]:
        """The models of folders that those who serve can't use, and why."""
        return self._folder_models.refused(self._serving())

    def sees_mended_model(self) -> bool:
        """Whether a folder's model that was refused is another file by now: time for a reload."""
        return self._folder_models.is_mended(self._clock())

    def room(self) -> int:
        """How many more jobs all workers may be given now."""
        with_room = [worker for worker in self.workers if worker.has_room]
        return sum(worker.most_jobs - len(worker.jobs) for worker in with_room)

    def freest(self) -> Worker | None:
        """The worker with the fewest jobs in hand, where one has room for another."""
        with_room = [worker for worker in self.workers if worker.has_room]
        return min(with_room, key=lambda worker: len(worker.jobs), default=None)

    def has_company(self, worker: Worker) -> bool:
        """Whether its device has jobs in hand, be it by one that leaves when they are done."""
        return any(
            other.jobs and not other.is_killed
            for other in self.workers
            if other.device == worker.device
        )

    def hand_out(
        self, worker: Worker, job: Job, descriptors: Sequence[int], *, alone: bool = False
    ) -> None:
        """Give a worker that has room a job and its files: picture, companion, outputs as it has.

        It gets no other beside one that is to be done `alone`. The caller closes the descriptors. A
        worker that is just dying takes the job along: see `Death`. Raises `OSError` where the
        machine lacks what handing over takes; the worker knows nothing of the job then.
        """
        worker.give(job, descriptors, self._next_deadline(), alone=alone)

    def listen(self, worker: Worker) -> Sequence[Done | Problem | Death]:
        """What a worker has to say of a job; call it when its pipe is readable."""
        lines = worker.read()
        if lines is None:
            return self._bury(worker)
        heard: list[Done | Problem | Death] = []
        for message in worker.believed(lines, self._settings.models().keys()):
            match message:
                case Hello():
                    self._welcome(worker, message)
                case Problem(job=None, facts=facts):
                    self._note_refusal(worker, str(facts.get("detail", "")))
                case _:
                    self._note_end(worker, message)
                    heard.append(self._judged_alone(worker, message))
        return heard

    def dismiss(self, grace_s: float) -> None:
        """End all workers: `grace_s` seconds politely, then not. Jobs they hold stay in work/."""
        for worker in self.workers:
            worker.ear.close()  # which ends it
        end_all([worker.process for worker in self.workers], grace_s)
        for worker in self.workers:
            worker.close()
        self.workers.clear()

    def _serving(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.stage is Stage.SERVING]

    def _free_places(self) -> list[str]:
        """The devices that have no worker and are getting none, each as often as it lacks one."""
        free = list(self._wanted)
        for worker in self.workers:
            # What leaves for want of memory leaves none for another before its jobs are done.
            is_finishing = worker.stage is Stage.LEAVING and worker.jobs and not worker.is_killed
            is_taken = worker.stage is Stage.SERVING or is_on_its_way(worker) or is_finishing
            if is_taken and worker.device in free:
                free.remove(worker.device)
        return free

    def _fill_places(self, now: float) -> None:
        for device in self._free_places():
            spare = spare_for(device, self.workers)
            if spare is not None:
                spare.stage = Stage.SERVING
            elif now >= self._next_start:
                self._start(device, Stage.SERVING)

    def _see_to_spares(self, now: float) -> None:
        for worker in self._serving():
            if now >= self._spares.due(worker, self.workers):
                worker.is_guarded = True
                with suppress(OSError):  # then all is as if there were no spares
                    self._start(worker.device, Stage.SPARE)
        for spare in not_needed(self.workers):
            spare.send_away()

    def _start(self, device: str, stage: Stage) -> None:
        asked = self._folder_models.of_a_new_one(self._serving() if stage is Stage.COMING else None)
        process, ear = start_worker(
            self._settings,
            self._spool.work,
            device,
            [self._lock],
            compile_first=not self._is_compiled,
            folder_models=asked,
        )
        new = Worker(device, process, ear, began=self._clock(), stage=stage, asked=asked)
        new.deadline = new.began + START_TIMEOUT_S
        self.workers.append(new)
        self._told_why = None

    def _replace(self, new: Worker) -> None:
        """A worker that came in by a reload is ready: the one it replaces does no more jobs.

        Where that one has died, it has replaced it already.
        """
        new.stage = Stage.SERVING
        serving = [worker for worker in self._serving() if worker.device == new.device]
        if len(serving) > max(1, self._wanted.count(new.device)):
            next(worker for worker in serving if worker is not new).retire(self._clock())

    def _next_deadline(self) -> float:
        return self._clock() + self._settings.job_timeout_s

    def _note_end(self, worker: Worker, message: Done | Problem) -> None:
        worker.take_back(str(message.job), self._next_deadline())
        # What is left of its memory would be too little for the next picture.
        is_short = isinstance(message, Problem) and message.reason == "out_of_memory"
        if is_short or worker.stage is Stage.LEAVING:
            worker.retire(self._clock())

    def _judged_alone(self, worker: Worker, message: Done | Problem) -> Done | Problem:
        """What needs more memory than there is may have it when no other worker has it."""
        if isinstance(message, Done) or message.reason != "too_large_for_memory":
            return message
        if not any(w is not worker and w.device == worker.device for w in self.workers):
            return message
        trouble = Report(message.reason, message.facts).trouble()
        facts = {"detail": trouble.sentence}
        return message.model_copy(update={"reason": "out_of_memory", "facts": facts})

    def _note_refusal(self, worker: Worker, why: str) -> None:
        worker.refusal = why
        # That one can't start which nobody waits for is no trouble.
        if worker.stage not in (Stage.SPARE, Stage.LEAVING):
            log.error(Event.MODEL_REFUSED, why=why)

    def _welcome(self, worker: Worker, hello: Hello) -> None:
        worker.hello = hello
        if worker.is_sound and worker.stage is not Stage.LEAVING:
            worker.deadline = float("inf")
        self._spares.learn(self._clock() - worker.began)
        self._is_compiled = True
        self._pause_s = FIRST_PAUSE_S
        self.refusal = None
        if self._wanted == ["auto"] and len(hello.devices) > 1:
            self._wanted = list(hello.devices)
        worker.device = hello.device if "auto" not in self._wanted else worker.device
        worker.most_jobs = hello.jobs_at_once
        log.info(
            Event.WORKER_STARTED,
            pid=worker.process.pid,
            device=hello.device,
            torch=hello.torch_version,
            models={task: Path(m.path).name for task, m in hello.models.items()},
            folder_models=[Path(each.path).name for _, each in _of_folders(hello)],
            confinement=list(hello.confinement),
        )
        if hello.unconfined and self._settings.confine != "no":
            log.warning(Event.WORKER_UNCONFINED, why=hello.unconfined)
        for task, model in (*hello.models.items(), *_of_folders(hello)):
            if not model.trained:
                log.warning(Event.MODEL_UNTRAINED, task=task, model=model.path)
        self._heed_folders(worker, hello)
        if is_on_its_way(worker):
            self._replace(worker)

    def _heed_folders(self, worker: Worker, hello: Hello) -> None:
        if worker.asked:
            self._folder_models.take_in_again()
        for own, why in self._folder_models.wrong(hello):
            if worker.stage not in (Stage.SPARE, Stage.LEAVING):
                log.error(Event.MODEL_REFUSED, why=one_line(f"{own.setting}: {why}"))

    def _note_not_started(self, why: str) -> None:
        """Not even a process was to be had. Said once for each reason, not at each try."""
        retry_s = self._pause_s
        self._fall_back(why)
        if why != self._told_why:
            self._told_why = why
            log.error(Event.WORKER_NOT_STARTED, why=why, retry_s=retry_s)

    def _fall_back(self, why: str) -> None:
        """A worker did not come up: the next try waits longer each time."""
        self.refusal = why
        self._next_start = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _note_not_up(self, worker: Worker, how: str) -> None:
        """One that had words for it lacks what all need; else it may be a folder's model."""
        if worker.asked and (worker.refusal is None or worker.is_late):
            self._folder_models.leave_out(worker.refusal or how)
        else:  # where it went without them, they were not to blame
            self._folder_models.take_in_again()
            self._fall_back(worker.refusal or how)

    def _bury(self, worker: Worker) -> list[Death]:
        how = worker.end()
        log.log(
            _level_of(worker),
            Event.WORKER_ENDED,
            pid=worker.process.pid,
            device=worker.device,
            how=how,
            jobs=list(worker.jobs),
            why=worker.refusal,
        )
        self.workers.remove(worker)
        if worker.stage is Stage.COMING:
            log.error(Event.RELOAD_REFUSED, why=worker.refusal or how)
        elif worker.hello is None and worker.stage is Stage.SERVING:
            self._note_not_up(worker, how)
        return _deaths(worker, how)


def _deaths(worker: Worker, how: str) -> list[Death]:
    """What the end of a worker is to each of its jobs, or to none.

    It may have been any of them: where it was late too, for one that hangs can hold up the others.
    """
    jobs: list[str | None] = [*worker.jobs] or [None]
    return [Death(job, how, worker.is_late) for job in jobs]


def _of_folders(hello: Hello) -> list[tuple[Task, Model]]:
    return [(task, model) for task, all_of in hello.folder_models.items() for model in all_of]


def _level_of(worker: Worker) -> int:
    """How much the end of a worker matters, as logging counts."""
    if not worker.jobs and worker.stage is Stage.LEAVING:
        return logging.WARNING if worker.is_late else logging.INFO
    if not worker.jobs and worker.stage is Stage.SPARE:
        return logging.INFO
    return logging.ERROR if worker.jobs or worker.hello is None else logging.WARNING
