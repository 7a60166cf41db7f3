"""What becomes of a job that met a trouble: its kind decides. See reasons.py for the kinds."""

import time
from dataclasses import dataclass

import structlog

from daemon.events import Event
from daemon.intake.pairing import Pair
from daemon.reasons import Kind, Report, Trouble
from daemon.settings import Settings
from daemon.spool import jobs
from daemon.spool.holding import JobWaits
from daemon.spool.putting_away import decide_to_fail, log_failure
from daemon.spool.record import Record
from daemon.supervisor.attempts import Attempts
from daemon.supervisor.folder_masks import blamed_on_mask
from daemon.supervisor.folder_models import no_model
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.job_queue import JobQueue
from daemon.supervisor.joblog import utc
from daemon.supervisor.tally import Count
from daemon.supervisor.workplace import Workplace

log = structlog.get_logger()


@dataclass(frozen=True)
class Troubles:
    """Drives a job that runs no more to failed/, back into the inbox, or into the queue again.

    Every method raises `OSError`, or a `WORLD` trouble, where the disk does not let it; where the
    job is in no queue then, it is found again by `Leftovers`.
    """

    settings: Settings
    workplace: Workplace
    inbox: Inbox
    queue: JobQueue
    attempts: Attempts
    count: Count

    def handle(self, record: Record, report: Report) -> None:
        """Do what the kind of a trouble asks for. Raises the world's, when the job is queued."""
        # A worker has descriptors and no names, so it can't tell where it met the world's trouble.
        place = self.workplace.spool.job(record.job)
        report = blamed_on_mask(record, report)
        trouble = report.trouble(attempts=record.attempts, path=place)
        match trouble.reason.kind:
            case Kind.FILE:
                self.fail(record, trouble)
            case Kind.WAIT:
                self._wait(record, trouble)
            case Kind.WORLD:
                self.attempts.forgive(record.job)
                self.queue.put_last(self._tell(record, trouble, uncount=True))
                raise trouble
            case Kind.RETRY if record.attempts >= self.settings.max_attempts:
                self.fail(self._tell(record, trouble), trouble)
            case Kind.RETRY:
                log.warning(Event.JOB_TRIED, job=record.job, why=trouble.sentence)
                self.queue.put_last(self._tell(record, trouble))

    def refuse(self, record: Record, trouble: Trouble) -> None:
        """Do with a pair that can't even be opened what the kind of its own trouble asks for."""
        if isinstance(trouble, JobWaits):
            raise trouble
        if record.mask_file is not None and trouble.reason.key == "folder_mask_unreadable":
            self.inbox.refuse_mask(record.mask_file, Report.of(trouble))
        if trouble.reason.kind is Kind.FILE:
            self.fail(record, trouble)
        else:
            self.give_back(record, trouble)

    def take_up(self, record: Record) -> None:
        """Queue a job that was found again, unless it has had its tries."""
        if self.settings.rules().of(record.picture.path).model(record.task) is None:
            self.give_back(record, no_model(record.task))
            return
        record = self.attempts.take_back_forgiven(record)
        # Where everything died in the middle of a try, it may well be the killer.
        detail = "with the whole daemon"
        trouble = Trouble("worker_died", attempts=record.attempts, detail=detail)
        if record.attempts > record.told:
            record = self._tell(record, trouble)
        if record.attempts >= self.settings.max_attempts:
            self.fail(record, trouble)
        else:
            self.queue.take_up(record)

    def give_back(self, record: Record, trouble: Trouble) -> None:
        """Put a pair back into the inbox, where it waits for what the trouble says.

        It is told when the pair lies there, so that who reads of it may copy it again, or when the
        world keeps it from there for now.
        """
        try:
            jobs.give_back(self.workplace.spool, record)
        finally:
            log.info(
                Event.PAIR_GIVEN_BACK,
                picture=record.picture.path,
                reason=trouble.reason.key,
                says=trouble.sentence,
                advice=trouble.advice,
            )

    def fail(self, record: Record, trouble: Trouble) -> None:
        """Give a job up; its pair goes to failed/.

        It is told when the pair is there, or when the world keeps it from there for now: who reads
        `job_failed` may go and look.
        """
        decided = decide_to_fail(self.workplace.spool, record, trouble)
        try:
            jobs.settle(self.workplace.spool, decided)
        finally:
            self.report_failure(record, trouble)
        self.count.forget(record.job)

    def report_settled(self, record: Record) -> None:
        """Count and log a job whose files the world kept from failed/ until now."""
        if not self.count.knows(record.job):
            trouble = record.report.trouble() if record.report else Trouble("vanished")
            self.report_failure(record, trouble)
        self.count.forget(record.job)

    def report_failure(self, record: Record, trouble: Trouble) -> None:
        """Count and log a job that was given up."""
        self.count.add_failed(record.job, record.picture.path, trouble.sentence)
        log_failure(record, trouble)

    def _wait(self, record: Record, trouble: Trouble) -> None:
        """What looks cut off waits in the inbox; what stays so for long is damaged.

        A folder's mask is no reason to give a picture up.
        """
        if record.mask_file is not None and trouble.reason.key == "folder_mask_unusable":
            self.inbox.refuse_mask(record.mask_file, Report.of(trouble))
            self.give_back(record, trouble)
            return
        told = {name: trouble.facts.get(name, "?") for name in ("role", "detail")}
        told["seconds"] = self.inbox.incomplete_s()
        cut_off = Trouble("incomplete", **told)
        if self.inbox.remember_incomplete(_pair_of(record), Report.of(cut_off)):
            self.give_back(record, cut_off)
        else:
            self.fail(record, Trouble("corrupt", **told))

    def _tell(self, record: Record, trouble: Trouble, *, uncount: bool = False) -> Record:
        line = f"{utc(time.time())} {trouble.sentence}"
        return jobs.tell(self.workplace.spool, record, line, uncount=uncount)


def _pair_of(record: Record) -> Pair:
    companion, marker = record.companion, record.marker
    return Pair(
        record.picture.entry,
        companion.entry if companion else None,
        record.role,
        record.task,
        record.picture.tail,
        companion.tail if companion else "",
        marker.entry if marker else None,
        marker.tail if marker else "",
        record.mask_file,
    )
