"""How a job's run ends: what a worker says of it, or its death does, becomes the job's next state.

Trusts the crew to let through only answers to the job that a worker holds, and only complete ones.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.names import folded
from daemon.reasons import REASONS, Kind, Report
from daemon.settings import Settings
from daemon.spool import jobs
from daemon.spool.record import Record, State
from daemon.spool.together import all_together
from daemon.supervisor.attempts import Attempts
from daemon.supervisor.joblog import job_facts, job_log
from daemon.supervisor.member import Death, Worker
from daemon.supervisor.tally import Count
from daemon.supervisor.troubles import Troubles
from daemon.supervisor.workplace import Workplace
from daemon.worker.protocol import Done, Hello, Problem

log = structlog.get_logger()

# A name is cut to 255 bytes with its number and suffix. A character has four bytes at most.
_SURE_TO_STAY: Final = 40


@dataclass(frozen=True)
class Endings:
    """Publishes what was made, and hands over to `troubles` what was not."""

    settings: Settings
    workplace: Workplace
    attempts: Attempts
    troubles: Troubles
    count: Count
    _delivered: "dict[str, Future[Record | None]]" = field(default_factory=dict)

    def deliver(self, worker: Worker, everything: Sequence[Done | Problem | Death]) -> None:
        """Publish at once what several jobs have made; `answer` has then only to tell of each."""
        running, hello = self.attempts.running, worker.hello
        made = [each for each in everything if isinstance(each, Done) and each.job in running]
        if hello is None:
            return
        steps = [
            (
                _wanted_name(running[done.job]),
                partial(self._deliver, running[done.job], done, hello),
            )
            for done in made
        ]
        names = [done.job for done in made]
        self._delivered.update(zip(names, all_together(steps), strict=True))

    def answer(self, worker: Worker, heard: Done | Problem | Death) -> bool:
        """End the job that this is about; where it is about none that runs, nothing happens.

        True where a result was published, and so the world is well. Raises `OSError` or a `WORLD`
        trouble; where the job is in no queue then, it is found again by `Leftovers`.
        """
        if heard.job not in self.attempts.running or worker.hello is None:
            return False
        record = self.attempts.end(heard.job)
        match heard:
            case Done():
                # Until it is published no attempt counts: what may fail is the world.
                with self.attempts.forgiven_if_it_fails(record.job):
                    return self._publish(record, heard)
            case Problem(reason=reason, facts=facts):
                self._take_problem(record, Report(reason, facts))
            case Death():
                self.troubles.handle(record, self._report_of(heard))
        return False

    def _take_problem(self, record: Record, report: Report) -> None:
        if REASONS[report.key].kind is Kind.RETRY:
            self.troubles.handle(record, report)
            return
        # What is decided needs no other try: until it is on the disk, the world may fail.
        with self.attempts.forgiven_if_it_fails(record.job):
            self.troubles.handle(record, report)

    def _publish(self, record: Record, done: Done) -> bool:
        ended = self._delivered.pop(record.job).result()
        if ended is None:
            log.info(Event.PAIR_GIVEN_BACK, picture=record.picture.path, reason="not_quiet")
            return False
        record = ended
        if record.state is State.WORK:
            # What it says it made was not there, or a crash destroyed it.
            self.troubles.handle(record, Report("worker_died", {"detail": "its result was lost"}))
            return False
        if record.state is State.FAILED and record.report:
            self.troubles.report_settled(record)
            return False
        self._report_success(record, done)
        return True

    def _deliver(self, record: Record, done: Done, hello: Hello) -> Record | None:
        """The record of a job as it ended; None where the pair has changed and was given back."""
        spool = self.workplace.spool
        if not jobs.inputs_unchanged(spool, record):
            jobs.give_back(spool, record)
            return None
        outputs = [(produced.held, produced.suffix) for produced in done.outputs]
        told = (record, done, hello, spool.rules.of(record.picture.path).model(record.task))
        log_text, facts = job_log(*told), job_facts(*told)
        return jobs.publish_result(spool, record, outputs, log_text, facts)

    def _report_success(self, record: Record, done: Done) -> None:
        self.count.add_done()
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

    def _report_of(self, death: Death) -> Report:
        if death.was_late:
            return Report("timed_out", {"seconds": self.settings.job_timeout_s})
        return Report("worker_died", {"detail": death.detail})


def _wanted_name(record: Record) -> tuple[str, str]:
    """What the names of a job's results are sure to begin with, however a file system spells it.

    Not all of it: `cat` and `cat.2` may come to want the same names, and so may long ones, which
    are cut.
    """
    folder, name = os.path.split(folded(record.picture.path))
    return folder, name.partition(".")[0][:_SURE_TO_STAY]
