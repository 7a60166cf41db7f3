"""The supervisor: brings ready pairs to the workers and results to the outbox, and keeps books.

One thread, one loop. It never decodes a picture and never imports torch, so nothing that a picture
or a network can do reaches it.
"""

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from types import FrameType
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.hints import Hints
from daemon.intake.pairing import Pair, Waiting
from daemon.places import Place
from daemon.reasons import REASONS, Kind, Report, Trouble, world_trouble
from daemon.settings import Settings
from daemon.spool import files, jobs
from daemon.spool.layout import Spool, locked, open_spool
from daemon.spool.record import Record, State, held
from daemon.spool.recovery import recover, recover_elsewhere
from daemon.supervisor.crew import Crew, Death, Worker
from daemon.supervisor.hold import FIRST_HOLD_S, LONGEST_HOLD_S, Hold
from daemon.supervisor.inbox import Inbox, no_model
from daemon.supervisor.joblog import job_log
from daemon.supervisor.systemd import READY, RELOADING, STOPPING, WATCHDOG, StatusLine, notify
from daemon.worker.protocol import Done, Hello, Job, Problem, outputs_of

log = structlog.get_logger()

# `once` does not wait for the world for ever: 1 + 2 + 4 + 8 s, then it says what is wrong.
_ONCE_TRIES: Final = 5
_NO_ROOT: Final = (
    "Run it as a user of its own, who may write in the spool's folders and nowhere else "
    "(docs/confinement.md)."
)
# Failures that are remembered by name. A daemon runs for years, and its log has them all.
_MOST_LISTED: Final = 1000
# The loop turns at least this often, so that the service manager's watchdog hears of it.
_LONGEST_SLEEP_S: Final = 5.0
# How soon `once` notices that nothing is left.
_ONCE_SLEEP_S: Final = 0.1


@dataclass(frozen=True)
class Tally:
    """How far the work has come: pairs done, failed, in work, and ready or settling."""

    done: int = 0
    failed: int = 0
    running: int = 0
    ready: int = 0


@dataclass(frozen=True)
class Summary:
    """How a run ended. Of many failures only the last are listed."""

    done: int
    failures: int
    failed: tuple[tuple[str, str], ...]
    waiting: tuple[Waiting, ...]
    held: Trouble | None
    was_stopped: bool


@dataclass
class _Queued:
    """A claimed job to be run (again), and since when it has waited."""

    record: Record
    since: float


class _Reload(Enum):
    NONE = "none"
    WANTED = "wanted"
    RUNS = "runs"


@dataclass
class Supervisor:
    """Works a spool until stopped, or until it is idle."""

    settings: Settings
    spool: Spool
    lock: int
    until_idle: bool = False
    on_change: Callable[[Tally], None] = lambda _tally: None
    clock: Callable[[], float] = time.monotonic
    _queue: deque[_Queued] = field(default_factory=deque)
    _running: dict[str, Record] = field(default_factory=dict)
    _forgiven: set[str] = field(default_factory=set)
    _settle_again_at: float = float("inf")
    _stuck: Trouble | None = None
    _elsewhere: OSError | Trouble | None = None
    _is_stuck_here: bool = False
    _gave_up: Trouble | None = None
    _reload: _Reload = _Reload.NONE
    _done: int = 0
    _failures: int = 0
    _failed: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_MOST_LISTED))
    _stop_at: float | None = None
    _looked: bool = False  # whether the last look at the inbox went well

    def __post_init__(self) -> None:
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._hold = Hold(self.clock)
        self._status = StatusLine(self.clock)
        self._inbox = Inbox(self.settings, self.spool.inbox, self.clock)
        self._opened_on = self._inbox.root
        self._locks = ExitStack()
        self._held = {_inode(self.spool): self.lock}
        self._crew = Crew(self.settings, self.spool, self.lock, self.clock)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        if self._inbox.bell:
            self._selector.register(self._inbox.bell, selectors.EVENT_READ, self._inbox.bell)

    def wake(self) -> None:
        """End the loop's sleep; safe from any thread and from signal handlers."""
        try:
            os.write(self._wake_out, b"!")
        except BlockingIOError:
            return  # the pipe is full of reasons to wake already

    def stop(self) -> None:
        """Claim nothing more; finish what runs, within the time that the settings give it."""
        grace = 0.0 if self._stop_at is not None else self.settings.stop_timeout_s
        self._stop_at = self.clock() + grace
        self.wake()

    def reload(self) -> None:
        """Load the models anew; the work goes on with those in use until the new ones are ready."""
        self._reload = _Reload.WANTED
        self.wake()

    def run(self) -> Summary:
        """Work until stopped, or with `until_idle` until nothing is left to do."""
        log.info(Event.STARTED, spool=str(self.spool.inbox.parent), pid=os.getpid())
        if os.geteuid() == 0:
            log.warning(Event.RUNS_AS_ROOT, advice=_NO_ROOT)
        self._inbox.warn_of_missing()
        with _signals(self.stop, self.reload):
            try:
                self._recover()
                while not self._is_over():
                    self._turn()
            finally:
                notify(STOPPING)
                log.info(Event.STOPPING, running=list(self._running))
                self._inbox.close()
                self._crew.dismiss(grace_s=5.0)
                self._forgive_running()
                self._locks.close()
        log.info(Event.STOPPED, done=self._done, failed=self._failures)
        return Summary(
            self._done,
            self._failures,
            tuple(self._failed),
            tuple(self._inbox.waiting()),
            self._hold.trouble or self._gave_up or self._stuck,
            self._stop_at is not None,
        )

    def _turn(self) -> None:
        now = self.clock()
        self._see_to_reload()
        self._crew.tend()
        for worker in self._crew.workers:
            if worker.out.fileno() not in self._selector.get_map():
                self._selector.register(worker.out, selectors.EVENT_READ, worker)
        if self._stop_at is None:
            if now >= self._inbox.next_look:
                self._look()
            if not self._hold.forbids:
                self._work_on()
        self._tell()
        for key, _ in self._selector.select(self._sleep_s()):
            if isinstance(key.data, Worker):
                self._listen(key.data)
            elif isinstance(key.data, Hints):
                key.data.answer()
                self._inbox.hasten()
            else:
                self._drain_wakes()

    def _see_to_reload(self) -> None:
        if self._reload is _Reload.WANTED and self._stop_at is None:
            # systemd wants the time, to tell this reload from an earlier one.
            notify(RELOADING, f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            log.info(Event.RELOADING)
            self._crew.reload()
            self._reload = _Reload.RUNS
        elif self._reload is _Reload.RUNS and not self._crew.is_reloading:
            notify(READY)
            log.info(Event.RELOADED)
            self._reload = _Reload.NONE

    def _look(self) -> None:
        try:
            held = [*self._running.values(), *(queued.record for queued in self._queue)]
            self.spool.require_mounts()  # an empty mount point is no inbox that has become empty
            self._inbox.look(held=[record.picture.path for record in held])
        except Trouble as trouble:
            self._miss(trouble)
            return
        except OSError as error:
            self._miss(world_trouble(error, self.spool.inbox))
            return
        if not self._looked:
            self._hold.try_now()  # what was away is back
        self._looked = True
        self._follow_inbox()
        # A reload is over when the new models are ready, and no sooner.
        notify(*([READY] if self._reload is _Reload.NONE else []), WATCHDOG)

    def _follow_inbox(self) -> None:
        """Choose the work folder anew where the inbox has become another folder.

        A disk that was mounted on it can't be reached by a rename from the folder of before. Jobs
        that lie there come first; while they can't be worked, nothing changes. Raises
        `SpoolInUseError` where another daemon works on that disk.
        """
        root = self._inbox.root
        if root == self._opened_on or self._running or self._queue:
            return
        try:
            # What was a mount at the start must be one still: see `require_mounts`.
            spool = replace(open_spool(self.settings), mounts=self.spool.mounts)
            place = _inode(spool)
            if place not in self._held:
                self._held[place] = self._locks.enter_context(locked(spool))
        except OSError as error:
            self._hold.begin(world_trouble(error))
            return
        self._opened_on, self.spool = root, spool
        self._crew.work_in(spool, self._held[place])
        self._recover()

    def _miss(self, trouble: Trouble) -> None:
        """Nothing could be seen of the inbox."""
        self._looked = False
        self._hold.begin(trouble)
        self._inbox.next_look = self.clock() + FIRST_HOLD_S

    def _work_on(self) -> None:
        """Give every idle worker a job; the world's troubles hold the queue.

        A queue that holds is tried with one job, which ends the hold when it finishes.
        """
        with self._hold.when_in_trouble():
            if self._hold.is_on:
                self._hold.postpone()
            if self._hold.is_on or self.clock() >= self._settle_again_at:
                self._recover_unfinished()
            for worker in self._crew.workers:
                record = self._next_record() if worker.is_idle else None
                if record is not None:
                    self._hand_out(worker, record)
                    if self._hold.is_on:
                        return
            if not self._running and not self._is_stuck_here:
                self._release()

    def _next_record(self) -> Record | None:
        """The job or the pair that has waited for longest, claimed."""
        while True:
            ready = self._inbox.ready_since()
            if self._queue and (ready is None or self._queue[0].since <= ready):
                return self._queue.popleft().record
            pair = self._inbox.take()
            if pair is None:
                return self._queue.popleft().record if self._queue else None
            try:
                record = jobs.claim_pair(self.spool, pair, self.settings.trimap_band_percent)
            except OSError as error:
                if not self._inbox.set_aside(pair, error, others_go=self._can_claim()):
                    self._inbox.put_back(pair)
                    raise
                # What it moved may still lie in work/, where giving it back failed too.
                self._settle_again_at = min(self._settle_again_at, self.clock() + LONGEST_HOLD_S)
                continue
            if record is not None:
                log.info(
                    Event.PAIR_CLAIMED,
                    job=record.job,
                    task=record.task,
                    picture=pair.picture.path,
                    companion=pair.companion.path,
                )
                return record
            self._inbox.hasten()

    def _can_claim(self) -> bool:
        """Whether a file of our own goes from the inbox to the work folder."""
        try:
            self.spool.require_ours()
            files.probe_rename(Place(self.spool.inbox), self.spool.jobs)
        except OSError:
            return False
        return True

    def _hand_out(self, worker: Worker, record: Record) -> None:
        order = _order(record)
        with ExitStack() as opened:
            try:
                descriptors = jobs.open_for_work(self.spool, record, order.outputs)
                for fd in descriptors:
                    opened.callback(os.close, fd)
                record = jobs.begin_attempt(self.spool, record)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and self._has_vanished(record):
                    self._fail(record, Trouble("vanished"))
                    return
                if isinstance(error, PermissionError) and self._is_forbidden(record):
                    self._return(record, Trouble("unreadable", path=record.picture.path))
                    return
                self._queue.appendleft(_Queued(record, 0.0))
                raise
            self._running[record.job] = record
            log.info(
                Event.JOB_STARTED,
                job=record.job,
                picture=record.picture.path,
                attempt=record.attempts,
                pid=worker.process.pid,
            )
            self._crew.hand_out(worker, order, descriptors)

    def _has_vanished(self, record: Record) -> bool:
        """Whether the job is there, and a file of its pair is not: no disk's fault."""
        places = [held(self.spool, record, original) for original in record.originals]
        return self.spool.job(record.job).is_folder() and not all(p.is_there() for p in places)

    def _is_forbidden(self, record: Record) -> bool:
        """Whether a file of the pair itself may not be read, whatever else may."""
        for original in record.originals:
            try:
                os.close(files.open_regular(held(self.spool, record, original)))
            except PermissionError:
                return True
            except OSError:
                return False
        return False

    def _return(self, record: Record, trouble: Trouble) -> None:
        """Put a pair back into the inbox, where it waits for what the trouble says."""
        log.info(
            Event.PAIR_GIVEN_BACK,
            picture=record.picture.path,
            reason=trouble.reason.key,
            says=trouble.sentence,
        )
        jobs.give_back(self.spool, record)

    def _listen(self, worker: Worker) -> None:
        out = worker.out
        for heard in self._crew.listen(worker):
            if isinstance(heard, Death):
                self._selector.unregister(out)
            self._inbox.mark_stale()
            with self._hold.when_in_trouble():
                self._answer(worker, heard)

    def _answer(self, worker: Worker, heard: Hello | Done | Problem | Death) -> None:
        match heard:
            case Hello(models=models):
                for task, model in models.items():
                    if not model.trained:
                        log.warning(Event.MODEL_UNTRAINED, task=task, model=model.path)
            case Done(job=job) if job in self._running and not _is_complete(
                self._running[job], heard
            ):
                worker.process.kill()  # no worker of ours any more
                detail = "its answer was no answer to this job"
                self._handle(self._running.pop(job), Report("worker_died", {"detail": detail}))
            case Done(job=job) if job in self._running and worker.hello:
                # Until it is published the attempt does not count: what may fail is the world.
                self._forgiven.add(job)
                self._finish(self._running.pop(job), heard, worker.hello)
                self._forgiven.discard(job)
            case Problem(job=None, facts=facts):
                log.error(Event.MODEL_REFUSED, why=facts.get("detail"))
            case Problem(job=str(job)) if job in self._running:
                # What is decided needs no other try: until it is on the disk, the world may fail.
                if REASONS[heard.reason].kind is not Kind.RETRY:
                    self._forgiven.add(job)
                self._handle(self._running.pop(job), Report(heard.reason, heard.facts))
                self._forgiven.discard(job)
            case Death(job=str(job)) if job in self._running:
                self._handle(self._running.pop(job), self._report_of(heard))
            case _:
                return

    def _finish(self, record: Record, done: Done, hello: Hello) -> None:
        if not jobs.inputs_unchanged(self.spool, record):
            log.info(Event.PAIR_GIVEN_BACK, picture=record.picture.path, reason="not_quiet")
            jobs.give_back(self.spool, record)
            return
        outputs = [(produced.held, produced.suffix) for produced in done.outputs]
        record = jobs.publish_result(self.spool, record, outputs, job_log(record, done, hello))
        if record.state is State.WORK:
            # What it says it made was not there, or a crash destroyed it.
            self._handle(record, Report("worker_died", {"detail": "its result was lost"}))
            return
        if record.state is State.FAILED and record.report:
            self._report_failure(record, record.report.trouble())
            return
        self._done += 1
        self._release()
        for note in done.notes:
            log.info(Event.NOTE, job=record.job, picture=record.picture.path, note=note)
        log.info(
            Event.JOB_FINISHED,
            job=record.job,
            picture=record.picture.path,
            outputs=[output.target for output in record.outputs],
            seconds=done.seconds,
            picture_sha256=done.picture.sha256,
            companion_sha256=done.companion.sha256,
        )

    def _handle(self, record: Record, report: Report) -> None:
        """Do what the kind of a trouble asks for."""
        # A worker has descriptors and no names, so it can't tell where it met the world's trouble.
        place = self.spool.job(record.job)
        trouble = report.trouble(attempts=record.attempts, path=place)
        match trouble.reason.kind:
            case Kind.FILE:
                self._fail(record, trouble)
            case Kind.WAIT:
                self._give_back(record, trouble)
            case Kind.WORLD:
                self._forgiven.add(record.job)  # for where the disk does not take the next line
                self._requeue(jobs.tell(self.spool, record, _story(trouble), uncount=True))
                raise trouble
            case Kind.RETRY if record.attempts >= self.settings.max_attempts:
                self._fail(jobs.tell(self.spool, record, _story(trouble)), trouble)
            case Kind.RETRY:
                log.warning(Event.JOB_TRIED, job=record.job, why=trouble.sentence)
                self._requeue(jobs.tell(self.spool, record, _story(trouble)))

    def _give_back(self, record: Record, trouble: Trouble) -> None:
        """What looks cut off waits in the inbox; what stays so for long is damaged."""
        pair = Pair(
            record.picture.entry,
            record.companion.entry,
            record.role,
            record.task,
            record.picture.tail,
            record.companion.tail,
        )
        detail = f"the {trouble.facts.get('role', 'pair')}: {trouble.facts.get('detail', '?')}"
        limit = self._inbox.incomplete_s()
        if not self._inbox.remember_incomplete(pair, detail):
            facts = {**trouble.facts, "seconds": limit}
            self._fail(record, Trouble("corrupt", **facts))
            return
        self._return(record, trouble)

    def _fail(self, record: Record, trouble: Trouble) -> None:
        try:
            jobs.fail(self.spool, record, trouble)
        finally:  # what the world delays now is done by the next `recover`
            self._report_failure(record, trouble)

    def _report_failure(self, record: Record, trouble: Trouble) -> None:
        self._failures += 1
        self._failed.append((record.picture.path, trouble.sentence))
        log.error(
            Event.JOB_FAILED,
            job=record.job,
            picture=record.picture.path,
            reason=trouble.reason.key,
            says=trouble.sentence,
            advice=trouble.advice,
        )

    def _requeue(self, record: Record) -> None:
        self._queue.append(_Queued(record, self.clock()))

    def _report_of(self, death: Death) -> Report:
        if death.was_late:
            return Report("timed_out", {"seconds": self.settings.job_timeout_s})
        return Report("worker_died", {"detail": death.detail})

    def _recover(self) -> None:
        """Settle what an earlier run left; a trouble of the world holds the queue until it can."""
        with self._hold.when_in_trouble():
            self._elsewhere = recover_elsewhere(self.spool, self.settings)
            self._recover_unfinished()

    def _recover_unfinished(self) -> None:
        known = frozenset(self._running) | {queued.record.job for queued in self._queue}
        to_run, stuck = recover(self.spool, except_for=known)
        # One job that can't be settled keeps nobody else from being served.
        if self._elsewhere is not None:
            self._elsewhere = recover_elsewhere(self.spool, self.settings)
        is_stuck = stuck is not None or self._elsewhere is not None
        self._settle_again_at = self.clock() + LONGEST_HOLD_S if is_stuck else float("inf")
        self._note_stuck(stuck, self._elsewhere)
        for record in to_run:
            if record.task not in self.settings.models():
                self._return(record, no_model(record.task))
                continue
            if record.job in self._forgiven:
                record = replace(record, attempts=record.attempts - 1)
            # Where everything died in the middle of a try, it may well be the killer.
            trouble = Trouble(
                "worker_died", attempts=record.attempts, detail="with the whole daemon"
            )
            if record.attempts > record.told:
                record = jobs.tell(self.spool, record, _story(trouble))
            if record.attempts >= self.settings.max_attempts:
                self._fail(record, trouble)
            else:
                self._queue.append(_Queued(record, 0.0))
        self._forgiven.clear()

    def _note_stuck(
        self, stuck: OSError | Trouble | None, elsewhere: OSError | Trouble | None
    ) -> None:
        before = self._stuck
        self._is_stuck_here = stuck is not None
        met = stuck or elsewhere
        self._stuck = world_trouble(met) if isinstance(met, OSError) else met
        if self._stuck is None:
            return
        if before is None or before.sentence != self._stuck.sentence:
            log.error(
                Event.JOB_STUCK,
                reason=self._stuck.reason.key,
                says=self._stuck.sentence,
                advice=self._stuck.advice,
            )
        if self._is_stuck_here and (self._hold.is_on or not self._looked):
            self._hold.begin(self._stuck)

    def _forgive_running(self) -> None:
        """Jobs cut short by a polite stop are not to blame: take their attempt back."""
        for record in self._running.values():
            try:
                jobs.tell(self.spool, record, "cut short by a stop", uncount=True)
            except OSError as error:
                log.warning(Event.NOTE, job=record.job, note=f"attempt not taken back: {error}")

    def _release(self) -> None:
        if self._looked:
            self._hold.end()

    def _is_over(self) -> bool:
        if self._stop_at is not None:
            return not self._running or self.clock() >= self._stop_at
        if not self.until_idle or not self._looked:
            return self.until_idle and self._has_given_up()
        if self._has_given_up():
            return True
        if self._running or self._queue or self._hold.is_on or self._inbox.ready_count():
            return False
        if self._inbox.is_stale:  # end on a fresh look, never on an old one
            self._inbox.hasten()
            return False
        return True

    def _has_given_up(self) -> bool:
        if self._crew.refusal is not None and not self._crew.workers:
            self._gave_up = Trouble("worker_will_not_start", detail=self._crew.refusal)
            return True
        return self._hold.times >= _ONCE_TRIES

    def _tell(self) -> None:
        waiting = self._inbox.ready_count() + len(self._queue)
        tally = Tally(self._done, self._failures, len(self._running), waiting)
        self.on_change(tally)
        self._status.show(self._in_words(tally))

    def _in_words(self, tally: Tally) -> str:
        if self._hold.trouble is not None:
            return f"holding: {self._hold.trouble.sentence} {self._hold.trouble.advice}"
        counts = f"{tally.done} done, {tally.failed} failed"
        if self._crew.refusal is not None and not any(w.hello for w in self._crew.workers):
            trouble = Trouble("worker_will_not_start", detail=self._crew.refusal)
            return f"holding: {trouble.sentence} {trouble.advice}"
        if self._stuck is not None:
            return f"{counts}; one job is stuck: {self._stuck.sentence} {self._stuck.advice}"
        if tally.running or tally.ready:
            return f"{counts}, {tally.running} in work, {tally.ready} waiting their turn"
        return f"{counts}, nothing to do"

    def _sleep_s(self) -> float:
        now = self.clock()
        until = [now + _LONGEST_SLEEP_S, self._crew.due()]
        if self.until_idle and not self._running:
            until.append(now + _ONCE_SLEEP_S)
        if self._stop_at is not None:
            until.append(self._stop_at)
        else:
            until.append(self._inbox.next_look)
            until.append(self._hold.until if self._hold.is_on else self._settle_again_at)
        return max(0.0, min(until) - now)

    def _drain_wakes(self) -> None:
        os.read(self._wake_in, 1 << 16)
        self._inbox.hasten()


def _is_complete(record: Record, done: Done) -> bool:
    """Whether a worker has made what such a job makes, each once."""
    names = [output.held for output in done.outputs]
    suffixes = {output.suffix for output in done.outputs}
    wanted = outputs_of(record.task, record.role)
    return sorted(names) == sorted(wanted) and len(suffixes) == len(wanted)


def _inode(spool: Spool) -> tuple[int, int]:
    """Which folder a spool's jobs lie in, by whatever name."""
    with spool.jobs.opened() as fd:
        about = os.fstat(fd)
    return about.st_dev, about.st_ino


def _order(record: Record) -> Job:
    return Job(
        job=record.job,
        task=record.task,
        role=record.role,
        outputs=outputs_of(record.task, record.role),
        trimap_band_percent=record.trimap_band_percent,
    )


def _story(trouble: Trouble) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {trouble.sentence}"


@contextmanager
def _signals(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Stop politely on SIGTERM and SIGINT, at once on the second; reload on SIGHUP.

    On a terminal SIGHUP says that the terminal is gone, and stops too.
    """
    on_terminal = os.isatty(0) or os.isatty(2)

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not on_terminal:
            reload()
        else:
            stop()

    heard = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
