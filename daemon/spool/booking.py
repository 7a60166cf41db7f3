"""Booking: the line in the book by which a job that has ended is remembered.

Written when all of a job is put away, and before its record goes: a crash in between writes it
again, and the book counts the last.
"""

import time

from daemon.reasons import Report
from daemon.spool.book import Book
from daemon.spool.entries import Ended, Outcome
from daemon.spool.layout import Spool
from daemon.spool.record import Record


def book_done(spool: Spool, record: Record) -> None:
    """Enter a job whose results are published. On return that is on the disk."""
    _enter(spool, record, "done")


def book_failed(spool: Spool, record: Record, report: Report, note: str) -> None:
    """Enter a job that was given up, and where in `failed` it is told why."""
    _enter(spool, record, "failed", report, note)


def _enter(
    spool: Spool,
    record: Record,
    outcome: Outcome,
    report: Report | None = None,
    note: str | None = None,
) -> None:
    is_done = outcome == "done"
    ended = Ended(
        job=record.job,
        outcome=outcome,
        ended_at=time.time(),
        claimed_at=record.claimed_at,
        task=record.task,
        role=record.role,
        picture=record.picture.path,
        companion=record.told_by,
        attempts=record.attempts,
        outputs=tuple(output.target for output in record.outputs) if is_done else (),
        facts=record.facts if is_done else None,
        report=report,
        note=note,
        story=record.story,
    )
    Book(spool.books).append(ended)
