"""The jobs that are being tried, and which of their attempts are not to count against them.

An attempt is on the disk before it is made. One that the world cut short is taken back there, or,
where the disk takes nothing more, when the job is found again.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import structlog

from daemon.events import Event
from daemon.reasons import Trouble
from daemon.spool import files, jobs
from daemon.spool.layout import Spool
from daemon.spool.record import Record, held
from daemon.supervisor.workplace import Workplace
from daemon.worker.protocol import Job, outputs_of

log = structlog.get_logger()


class Attempts:
    """`running` holds the jobs that are with a worker, by their names, and `since` when each
    attempt began, in seconds since 1970."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self.running: dict[str, Record] = {}
        self.since: dict[str, float] = {}
        self._forgiven: set[str] = set()

    @contextmanager
    def begun(self, record: Record, pid: int) -> Iterator[tuple[Job, list[int]]]:
        """Count an attempt at a job, by the worker `pid`; yields its order and its open files.

        Raises a `Trouble` where the pair itself can't be opened, and `OSError` where nothing can;
        the job does not run then, and no attempt counts.
        """
        spool, order = self._workplace.spool, self._order(record)
        with ExitStack() as opened:
            try:
                descriptors = jobs.open_for_work(spool, record, order.outputs)
                for fd in descriptors:
                    opened.callback(os.close, fd)
                record = jobs.begin_attempt(spool, record)
            except OSError as error:
                raise _trouble_of_its_own(spool, record, error) or error from None
            self._forgiven.discard(record.job)
            self.running[record.job] = record
            self.since[record.job] = time.time()
            log.info(
                Event.JOB_STARTED,
                job=record.job,
                picture=record.picture.path,
                attempt=record.attempts,
                pid=pid,
            )
            yield order, descriptors

    def end(self, job: str) -> Record:
        """The record of a job that runs no more."""
        self.since.pop(job, None)
        return self.running.pop(job)

    def forgive(self, job: str) -> None:
        """Count the attempt no more, should the disk take no word of how it ended."""
        self._forgiven.add(job)

    @contextmanager
    def forgiven_if_it_fails(self, job: str) -> Iterator[None]:
        """What raises in here is the world's doing, and the attempt does not count."""
        self.forgive(job)
        yield
        self._forgiven.discard(job)

    def forget_forgiven(self) -> None:
        """All that was forgiven has been settled."""
        self._forgiven.clear()

    def take_back_forgiven(self, record: Record) -> Record:
        """The record of a job that was found again, without an attempt that was forgiven."""
        is_untold = record.attempts > record.told
        if is_untold and record.job in self._forgiven:
            return replace(record, attempts=record.attempts - 1)
        return record

    def _order(self, record: Record) -> Job:
        previews = self._workplace.settings.previews
        if record.outputs:
            # A repeat makes what the first try made, under the names that were chosen for that.
            previews = any(output.held == "preview" for output in record.outputs)
        rules = self._workplace.spool.rules.of(record.picture.path)
        return Job(
            job=record.job,
            task=record.task,
            role=record.role,
            outputs=outputs_of(record.task, record.role, previewed=previews),
            trimap_band_percent=record.trimap_band_percent,
            by_alpha=record.source == "alpha",
            output_format=rules.output_format,
            model=rules.model(record.task),
        )

    def take_back_running(self) -> None:
        """Jobs cut short by a polite stop are not to blame: take their attempts back."""
        for record in [self.end(job) for job in list(self.running)]:
            try:
                jobs.tell(self._workplace.spool, record, "cut short by a stop", uncount=True)
            except OSError as error:
                log.warning(Event.NOTE, job=record.job, note=f"attempt not taken back: {error}")


def _trouble_of_its_own(spool: Spool, record: Record, error: OSError) -> Trouble | None:
    if isinstance(error, FileNotFoundError) and _has_vanished(spool, record):
        return Trouble("vanished")
    if isinstance(error, PermissionError) and _is_forbidden(spool, record):
        return Trouble("unreadable", path=record.picture.path)
    return None


def _has_vanished(spool: Spool, record: Record) -> bool:
    """Whether the job is there, and a file of its pair is not: no disk's fault."""
    places = [held(spool, record, original) for original in record.inputs]
    return spool.job(record.job).is_folder() and not all(p.is_there() for p in places)


def _is_forbidden(spool: Spool, record: Record) -> bool:
    """Whether a file of the pair itself may not be read, whatever else may."""
    for original in record.inputs:
        try:
            os.close(files.open_regular(held(spool, record, original)))
        except PermissionError:
            return True
        except OSError:
            return False
    return False
