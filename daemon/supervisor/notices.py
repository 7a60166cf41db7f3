"""What is wrong in the inbox, told once: folders that can't be listed, and files that wait."""

from collections.abc import Iterable
from typing import Final

import structlog

from daemon.events import Event
from daemon.intake.pairing import Waiting

log = structlog.get_logger()

# A single file is worth a line in the log once it has been alone for this long.
_TELL_AFTER_S: Final = 60.0
# A hundred thousand lines at once would keep everybody waiting for seconds.
_MOST_LINES_A_LOOK: Final = 200


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
        """Log each file that waits, once a reason, when it has waited for a while.

        Where many have, only some are told at a look, and the others later.
        """
        before = self._waiting_since
        self._waiting_since = {}
        lines = 0
        for waiting in all_waiting:
            key = waiting.report.key
            if key == "not_quiet":
                continue
            known = before.get(waiting.path)
            if known is None or known[0] != key:
                known = (key, now, False)
            elif not known[2] and now - known[1] >= _TELL_AFTER_S and lines < _MOST_LINES_A_LOOK:
                _tell(waiting)
                lines += 1
                known = (key, known[1], True)
            self._waiting_since[waiting.path] = known


def _tell(waiting: Waiting) -> None:
    trouble = waiting.report.trouble()
    log.info(
        Event.FILE_WAITS,
        path=waiting.path,
        reason=waiting.report.key,
        says=trouble.sentence,
        advice=trouble.advice,
    )
