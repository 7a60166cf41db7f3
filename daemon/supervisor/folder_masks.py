"""The masks of folders: whether each can be used now, and whose fault it is where one can't.

Such a mask is no user's drop. What is wrong with it is wrong for every picture of its folder, so
that these wait, and none of them goes to `failed/` for it. Only a size that differs is between the
two: there the picture may be the odd one.
"""

import os
from collections.abc import Callable
from typing import Final, NamedTuple

from daemon.intake.scan import Identity
from daemon.reasons import Report, Trouble, one_line
from daemon.spool.jobs import open_mask
from daemon.spool.record import Record

AGAIN_AFTER_S: Final = 300.0

# What a worker says of a mask alone, and so without a role.
_OF_MASKS: Final = ("mask_covers_everything", "mask_without_edge")


class _Refused(NamedTuple):
    """A mask as it was when a worker could not use it, and when it is worth another try."""

    report: Report
    identity: Identity | None
    again_at: float


class FolderMasks:
    """The book of those that are in use. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, Report | None] = {}
        self._refused: dict[str, _Refused] = {}

    def look_anew(self) -> None:
        """What was seen of them counts no more."""
        self._seen.clear()

    def why_waiting(self, mask: str | None) -> Report | None:
        """What pictures with this mask wait for; None where it can be used, or is none."""
        if mask is None:
            return None
        if mask not in self._seen:
            self._seen[mask] = self._judged(mask)
        return self._seen[mask]

    def refuse(self, mask: str, report: Report) -> None:
        """Let its pictures wait: until the next look, or, where it was read in vain, until it is
        another file, or for a while."""
        self._seen[mask] = report
        if report.key == "folder_mask_unusable":
            identity, _ = _looked_at(mask)
            self._refused[mask] = _Refused(report, identity, self._clock() + AGAIN_AFTER_S)

    def _judged(self, mask: str) -> Report | None:
        identity, report = _looked_at(mask)
        refused = self._refused.get(mask)
        if refused is not None and refused.identity == identity:
            if self._clock() < refused.again_at:
                return refused.report
            del self._refused[mask]
        return report


def blamed_on_mask(record: Record, report: Report) -> Report:
    """A worker's report, in the words for a folder's mask where that is what is wrong."""
    mask = record.mask_file
    is_of_mask = report.facts.get("role") == "mask" or report.key in _OF_MASKS
    if mask is None or not is_of_mask:
        return report
    if report.key == "size_mismatch":
        sizes = {name: fact for name, fact in report.facts.items() if name != "role"}
        return Report("folder_mask_size", {**sizes, "mask": one_line(mask)})
    detail = report.trouble(seconds=0).sentence
    return Report("folder_mask_unusable", {"mask": one_line(mask), "detail": detail})


def _looked_at(mask: str) -> tuple[Identity | None, Report | None]:
    """Which file it is now, or why it can't be read."""
    try:
        fd = open_mask(mask)
    except Trouble as trouble:
        return None, Report.of(trouble)
    try:
        return Identity.of(os.fstat(fd)), None
    finally:
        os.close(fd)
