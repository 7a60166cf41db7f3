"""Every event the daemon logs, by name, and how logs are written.

One line an event, for people or as JSON. docs/log.md lists the names with what they mean; a test
keeps the two equal. Values are escaped: a file name can't forge a line.
"""

import contextlib
import logging
import os
import sys
from enum import StrEnum
from typing import Literal, TextIO, cast

import structlog

from daemon.reasons import one_line


class Event(StrEnum):
    """The names. What each means and carries stands in docs/log.md."""

    STARTED = "started"
    RUNS_AS_ROOT = "runs_as_root"
    STOPPING = "stopping"
    STOPPED = "stopped"
    WATCHING = "watching"
    EVENTS_UNAVAILABLE = "events_unavailable"
    INBOX_CHANGED = "inbox_changed"
    FOLDER_SKIPPED = "folder_skipped"
    MATTING_FOLDER_MISSING = "matting_folder_missing"
    WORK_FOLDER_MOVED = "work_folder_moved"
    FILE_WAITS = "file_waits"
    PAIR_CLAIMED = "pair_claimed"
    PAIR_GIVEN_BACK = "pair_given_back"
    JOB_STARTED = "job_started"
    JOB_FINISHED = "job_finished"
    JOB_FAILED = "job_failed"
    JOB_TRIED = "job_tried"
    JOB_RECOVERED = "job_recovered"
    JOB_STUCK = "job_stuck"
    STRAY_SET_ASIDE = "stray_set_aside"
    FILES_LEFT_ON_MOUNT = "files_left_on_mount"
    NOTE = "note"
    QUEUE_HELD = "queue_held"
    QUEUE_RESUMED = "queue_resumed"
    PAUSED = "paused"
    RESUMED = "resumed"
    WORKER_STARTED = "worker_started"
    WORKER_NOT_STARTED = "worker_not_started"
    WORKER_ENDED = "worker_ended"
    WORKER_UNCONFINED = "worker_unconfined"
    RELOADING = "reloading"
    RELOADED = "reloaded"
    RELOAD_REFUSED = "reload_refused"
    MODEL_REFUSED = "model_refused"
    MODEL_UNTRAINED = "model_untrained"
    OWNER_NOT_SET = "owner_not_set"
    NOT_TOLD = "not_told"
    HOOK_FAILED = "hook_failed"
    HOOK_GIVEN_UP = "hook_given_up"


LogFormat = Literal["auto", "json", "text"]


def configure(log_format: LogFormat, level: str) -> None:
    """Send the log to standard error; `auto` writes for people where that is a terminal."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    as_text = log_format == "text" or (log_format == "auto" and is_terminal)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=is_terminal, pad_event_to=0)
        if as_text
        else structlog.processors.JSONRenderer(ensure_ascii=True)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Log())),
        cache_logger_on_first_use=False,
    )


def let_go() -> None:
    """Before the process ends: what the log could not take must not become its exit status."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


class _Log:
    """Standard error, whose own troubles (a full disk, a reader that left) end no daemon."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()


def _printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Names may hold bytes that are no UTF-8; a log line must be writable whatever they are."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = one_line(value)
    return event
