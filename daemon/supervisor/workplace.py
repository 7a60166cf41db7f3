"""The spool that is worked in just now. It becomes another when a disk is mounted on the inbox."""

from contextlib import ExitStack
from dataclasses import replace

from daemon.places import FolderId
from daemon.settings import Settings
from daemon.spool.layout import Spool, locked, open_spool


class Workplace:
    """`spool`, and the descriptor of its `lock`. `inbox` tells which folder it was opened on.

    The first lock is the caller's to let go. That of a later disk is let go when another is worked,
    so that the disk can be taken away, or by `leave`.
    """

    def __init__(self, settings: Settings, spool: Spool, lock: int, inbox: FolderId | None) -> None:
        self.spool = spool
        self.lock = lock
        self.settings = settings
        self._inbox = inbox
        self._folder = spool.jobs.folder_id()
        self._first = self._folder, lock
        self._taken = ExitStack()

    def follow(self, inbox: FolderId | None) -> bool:
        """Choose and lock the work folder anew where the inbox has become another folder.

        A disk that was mounted on it can't be reached by a rename from the folder of before. True
        where it was another. Raises `OSError`, and `SpoolInUseError` where another daemon works on
        that disk; nothing has changed then.
        """
        if inbox == self._inbox:
            return False
        # What was a mount at the start must be one still: see `require_mounts`.
        spool = replace(open_spool(self.settings), mounts=self.spool.mounts)
        self._lock(spool)
        self.spool, self._inbox = spool, inbox
        return True

    def leave(self) -> None:
        """Let go of the locks that were taken on the way."""
        self._taken.close()

    def _lock(self, spool: Spool) -> None:
        folder = spool.jobs.folder_id()
        if folder == self._folder:
            return
        taken, (first, lock) = ExitStack(), self._first
        if folder != first:
            lock = taken.enter_context(locked(spool))
        self._taken.close()
        self._folder, self._taken, self.lock = folder, taken, lock
