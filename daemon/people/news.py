"""What has been entered in the book since somebody looked last."""

from contextlib import suppress

from daemon.spool.book import Book, Mark
from daemon.spool.entries import Ended


class News:
    """Gives each job that ends from now on once, the oldest first; after a crash perhaps twice."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._mark: Mark | None = None
        with suppress(OSError):  # asked for again when it is wanted
            self._mark = book.since(None)[1]

    def __call__(self) -> list[Ended]:
        """The jobs that have ended since the last call. Raises `OSError`, and forgets nothing."""
        added, self._mark = self._book.since(self._mark)
        return added
