"""What the signals of a service manager, or of a terminal, ask for."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def heard(stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on each SIGTERM and SIGINT, and `reload` on SIGHUP; before and after, as it was.

    On a terminal SIGHUP says that the terminal is gone, and stops too.
    """
    on_terminal = os.isatty(0) or os.isatty(2)

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not on_terminal:
            reload()
        else:
            stop()

    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
