"""The supervisor: brings ready pairs to the workers and results to the outbox.

One loop in one thread; what several jobs do to the disk at once has threads for that moment
(`spool.together`). It never decodes a picture and never imports torch, so nothing that a picture
or a network can do reaches it.
"""

import errno
import os
import selectors
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from daemon.events import Event
from daemon.reasons import Report, Trouble, world_trouble
from daemon.settings import Settings
from daemon.spool.layout import Spool, SpoolInUseError
from daemon.spool.record import Record
from daemon.supervisor import signals
from daemon.supervisor.attempts import Attempts
from daemon.supervisor.crew import Crew
from daemon.supervisor.endings import Endings
from daemon.supervisor.hold import FIRST_HOLD_S, Hold, NoWorker
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.job_queue import JobQueue
from daemon.supervisor.leftovers import Leftovers
from daemon.supervisor.member import Worker
from daemon.supervisor.observer import Observer
from daemon.supervisor.pause import Pause
from daemon.supervisor.reload import Reload
from daemon.supervisor.snapshot import Snapshot
from daemon.supervisor.systemd import READY, STOPPING, Heart, StatusLine, notify
from daemon.supervisor.tally import Count, Summary
from daemon.supervisor.teller import Teller
from daemon.supervisor.troubles import Troubles
from daemon.supervisor.workplace import Workplace
from daemon.worker.protocol import Done, Job

log = structlog.get_logger()

# `once` does not wait for the world for ever: 1 + 2 + 4 + 8 s, then it says what is wrong.
_ONCE_TRIES: Final = 5
_NO_ROOT: Final = (
    "Run it as a user of its own, who may write in the spool's folders and nowhere else "
    "(docs/confinement.md)."
)
# The loop turns at least this often, so that the service manager's watchdog hears of it.
_LONGEST_SLEEP_S: Final = 5.0
# How soon `once` notices that nothing is left.
_ONCE_SLEEP_S: Final = 0.1


@dataclass
class Supervisor:
    """Works a spool until stopped, or until it is idle."""

    settings: Settings
    spool: Spool
    lock: int
    until_idle: bool = False
    on_change: Callable[[Snapshot], None] = lambda _snapshot: None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        settings, clock = self.settings, self.clock
        self._stop_at: float | None = None
        self._gave_up: Trouble | None = None
        self._looked = False  # whether the last look at the inbox went well
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._drain_wakes)
        self._inbox = Inbox(settings, self.spool.inbox, clock)
        if self._inbox.bell:
            self._selector.register(self._inbox.bell, selectors.EVENT_READ, self._inbox.answer_bell)
        self._workplace = Workplace(settings, self.spool, self.lock, self._inbox.root)
        self._crew = Crew(settings, self.spool, self.lock, clock)
        self._hold = Hold(clock)
        self._no_worker = NoWorker()
        self._reload = Reload()
        self._status = StatusLine(clock)
        self._heart = Heart(clock)
        self._count = Count()
        self._leftovers = Leftovers(settings, clock)
        self._attempts = Attempts(self._workplace)
        self._queue = JobQueue(settings, self._workplace, self._inbox, self._leftovers, clock)
        self._troubles = Troubles(
            settings, self._workplace, self._inbox, self._queue, self._attempts, self._count
        )
        self._endings = Endings(
            settings, self._workplace, self._attempts, self._troubles, self._count
        )
        self._pause = Pause(self.spool.books, clock)
        self._observer = Observer(
            inbox=self._inbox,
            queue=self._queue,
            attempts=self._attempts,
            count=self._count,
            crew=self._crew,
            hold=self._hold,
            leftovers=self._leftovers,
            pause=self._pause,
            clock=clock,
        )
        self._teller = Teller(self._observer, self.on_change, clock)

    def wake(self) -> None:
        """End the loop's sleep; safe from signal handlers."""
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
        self._reload.ask()
        self.wake()

    def run(self) -> Summary:
        """Work until stopped, or with `until_idle` until nothing is left to do."""
        log.info(Event.STARTED, spool=str(self.spool.inbox.parent), pid=os.getpid())
        if os.geteuid() == 0:
            log.warning(Event.RUNS_AS_ROOT, advice=_NO_ROOT)
        self._inbox.warn_of_missing()
        with signals.heard(self.stop, self.reload):
            try:
                self._recover()
                while not self._is_over():
                    self._turn()
            finally:
                self._end()
        log.info(Event.STOPPED, done=self._count.done, failed=self._count.failed)
        return self._count.summary(
            waiting=self._inbox.waiting(),
            held=self._hold.trouble or self._gave_up or self._leftovers.stuck,
            was_stopped=self._stop_at is not None,
        )

    def _end(self) -> None:
        notify(STOPPING)
        log.info(Event.STOPPING, running=list(self._attempts.running))
        self._inbox.close()
        self._crew.dismiss(grace_s=5.0)
        self._attempts.take_back_running()
        self._workplace.leave()
        self._teller.tell_last()

    def _turn(self) -> None:
        now = self.clock()
        self._pause.look(list(self._attempts.running))
        if self._crew.sees_mended_model():
            self._reload.ask()
        self._reload.see_to(self._crew, may_begin=self._stop_at is None)
        self._crew.tend()
        self._inbox.follow_models(self._crew.refused_models())
        for worker in self._crew.workers:
            if worker.out.fileno() not in self._selector.get_map():
                listen = partial(self._listen, worker)
                self._selector.register(worker.out, selectors.EVENT_READ, listen)
        if self._stop_at is None and now >= self._inbox.next_look:
            self._look()
        # Not before a look that is due has come to its end: who sees nothing any more is not well.
        self._heart.beat()
        if self._stop_at is None and not self._hold.forbids:
            self._work_on()
        self._tell()
        for key, _ in self._selector.select(self._sleep_s()):
            key.data()
        self._no_worker.note(self._observer.no_worker())

    def _look(self) -> None:
        try:
            held = [*self._attempts.running.values(), *self._queue.records()]
            # An empty mount point is no inbox that has become empty.
            self._workplace.spool.require_mounts()
            self._inbox.look(held=[record.picture.path for record in held])
        except Trouble as trouble:
            self._miss(trouble)
        except OSError as error:
            self._miss(world_trouble(error, self.spool.inbox))
        else:
            if not self._looked:
                self._hold.try_now()  # what was away is back
            self._looked = True
            if self._inbox.has_other_mounts:
                self._leftovers.look_now()
            self._follow_inbox()
        # Where the inbox is away, that is the world's trouble and not a start that failed. A reload
        # is over when the new models are ready, and no sooner.
        if self._reload.is_over:
            notify(READY)

    def _miss(self, trouble: Trouble) -> None:
        """Nothing could be seen of the inbox."""
        self._looked = False
        self._hold.begin(trouble, was_tried=True)
        self._inbox.next_look = self.clock() + FIRST_HOLD_S

    def _follow_inbox(self) -> None:
        """Work where the inbox is now. Jobs that lie on the disk of before come first.

        A lock that is held there may be that of our own workers, which leave when the disk does.
        """
        if self._attempts.running or self._queue:
            return
        before = self._workplace.lock
        try:
            has_moved = self._workplace.follow(self._inbox.root)
        except (OSError, SpoolInUseError) as error:
            met = error if isinstance(error, OSError) else OSError(errno.EBUSY, str(error))
            self._hold.begin(world_trouble(met, self.spool.inbox))
            return
        if has_moved:
            self._crew.work_in(self._workplace.spool, self._workplace.lock)
            self._recover()
        if self._workplace.lock != before:
            self._crew.reload()  # those that serve hold the lock of before, and so its disk

    def _recover(self) -> None:
        """Settle what an earlier run left; a trouble of the world holds the queue until it can."""
        self._leftovers.look_elsewhere()
        with self._hold.when_in_trouble(), self._leftovers.sought_if_it_fails():
            self._settle()

    def _settle(self) -> None:
        known = {record.job for record in self._queue.records()} | self._attempts.running.keys()
        found = self._leftovers.settle(self._workplace.spool, frozenset(known))
        self._count.add_done(found.finished)
        for record in found.failed:
            self._troubles.report_settled(record)
        stuck_here = self._leftovers.stuck if self._leftovers.is_stuck_here else None
        if stuck_here is not None and (self._hold.is_on or not self._looked):
            self._hold.begin(stuck_here)
        for record in found.to_run:
            self._troubles.take_up(record)
        if stuck_here is None:
            self._attempts.forget_forgiven()

    def _work_on(self) -> None:
        """Give the workers all jobs that they have room for; the world's troubles hold the queue.

        A queue that holds is tried with one job, which ends the hold when it finishes.
        """
        with self._hold.when_in_trouble(), self._leftovers.sought_if_it_fails():
            if self._hold.is_on:
                self._hold.postpone()
            if self._hold.is_on or self.clock() >= self._leftovers.due:
                self._settle()
            if self._pause.is_on:
                return  # what is with a worker is finished, and nothing else begun
            if not self._hold.is_on:
                self._queue.claim_ahead(self._crew.room())
            while worker := self._crew.freest():
                if self._hold.is_on and self._attempts.running:
                    return  # these try it already
                record = self._queue.next_record()
                if record is None:
                    break
                # One that has been tried gets its device for itself: if its worker dies again, or
                # lacks memory again, it is known of which job.
                if record.attempts and self._crew.has_company(worker):
                    self._queue.put_back(record)
                    break
                self._hand_out(worker, record)
            if worker and not self._attempts.running and not self._leftovers.is_stuck_here:
                self._release()

    def _hand_out(self, worker: Worker, record: Record) -> None:
        # It was claimed when there was a model for it.
        why = self._inbox.models.why_waiting(record.task, record.picture.path)
        if why is not None:
            self._troubles.refuse(record, why.trouble())
            return
        with ExitStack() as opened:
            try:
                begun = self._attempts.begun(record, worker.process.pid)
                order, descriptors = opened.enter_context(begun)
            except Trouble as trouble:
                self._troubles.refuse(record, trouble)
            except OSError:
                self._queue.put_back(record)
                raise
            else:
                self._send_out(worker, order, descriptors, alone=record.attempts > 0)

    def _send_out(self, worker: Worker, order: Job, descriptors: list[int], *, alone: bool) -> None:
        try:
            self._crew.hand_out(worker, order, descriptors, alone=alone)
        except OSError as error:  # the worker knows nothing of it
            self._troubles.handle(self._attempts.end(order.job), Report.of(world_trouble(error)))

    def _listen(self, worker: Worker) -> None:
        out = worker.out
        everything = self._crew.listen(worker)
        if worker not in self._crew.workers:
            self._selector.unregister(out)
        self._endings.deliver(worker, everything)
        # What was published was so before the world's troubles of the others are known of.
        for heard in sorted(everything, key=lambda each: not isinstance(each, Done)):
            self._inbox.mark_stale()
            with self._hold.when_in_trouble(), self._leftovers.sought_if_it_fails():
                if self._endings.answer(worker, heard):
                    self._release()

    def _release(self) -> None:
        if self._looked:
            self._hold.end()

    def _is_over(self) -> bool:
        if self._stop_at is not None:
            return not self._attempts.running or self.clock() >= self._stop_at
        if self.until_idle and self._pause.is_on:
            return not self._attempts.running
        if not self.until_idle or not self._looked:
            return self.until_idle and self._has_given_up()
        if self._has_given_up():
            return True
        if self._attempts.running or self._queue or self._hold.is_on or self._inbox.ready_count():
            return False
        if self.clock() >= self._leftovers.due:
            return False
        if self._inbox.is_stale:  # end on a fresh look, never on an old one
            self._inbox.hasten()
            return False
        return True

    def _has_given_up(self) -> bool:
        self._gave_up = None if self._crew.workers else self._observer.will_not_start()
        if self._gave_up is not None:
            return True
        return self._hold.times >= _ONCE_TRIES and not self._attempts.running

    def _tell(self) -> None:
        self._teller.tell()
        stuck, is_paused = self._leftovers.stuck, self._pause.is_on
        words = self._observer.tally().in_words(self._observer.holds(), stuck, is_paused=is_paused)
        self._status.show(words)

    def _sleep_s(self) -> float:
        now = self.clock()
        until = [now + _LONGEST_SLEEP_S, self._crew.due(), self._teller.due()]
        if self.until_idle and not self._attempts.running:
            until.append(now + _ONCE_SLEEP_S)
        if self._stop_at is not None:
            until.append(self._stop_at)
        else:
            until.append(self._inbox.next_look)
            until.append(self._hold.until if self._hold.is_on else self._leftovers.due)
        return max(0.0, min(until) - now)

    def _drain_wakes(self) -> None:
        os.read(self._wake_in, 1 << 16)
