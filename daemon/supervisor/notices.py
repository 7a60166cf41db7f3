"""What is wrong in the inbox, told once: folders that can't be listed, and files that wait."""

from collections.abc import Iterable
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.pairing import Waiting

log = structlog.get_logger()

# A single file is worth a line in the log once it has been alone for this long.
_TELL_AFTER_S: Final = 60.0


class Notices:
    """What has been told already. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._skipped: set[str] = set()
        self._waiting_since: dict[str, tuple[str, float, bool]] = {}

    def skipped(self, errors: tuple[OSError, ...]) -> None:
        """Log each folder that can't be listed, once for as long as it can't."""
        before = self._skipped
        self._skipped = {str(error.filename) for error in errors}
        for error in errors:
            if str(error.filename) not in before:
                log.warning(Event.FOLDER_SKIPPED, path=str(error.filename), why=error.strerror)

    def waiting(self, all_waiting: Iterable[Waiting], now: float) -> None:
        """Log each file that waits, once a reason, when it has waited for a while."""
        before = self._waiting_since
        self._waiting_since = {}
        for waiting in all_waiting:
            key = waiting.report.key
            if key == "not_quiet":
                continue
            known, since, is_told = before.get(waiting.path, (key, now, False))
            if known != key:
                since, is_told = now, False
            if not is_told and now - since >= _TELL_AFTER_S:
                _tell(waiting)
                is_told = True
            self._waiting_since[waiting.path] = (key, since, is_told)


def _tell(waiting: Waiting) -> None:
    trouble = waiting.report.trouble()
    log.info(
        Event.FILE_WAITS,
        path=waiting.path,
        reason=waiting.report.key,
        says=trouble.sentence,
        advice=trouble.advice,
    )
