"""What the service manager is told, where there is one.

The protocol is one datagram of `KEY=VALUE` lines to the socket that NOTIFY_SOCKET names; see
sd_notify(3). Without the variable nothing is sent.
"""

import os
import socket
from collections.abc import Callable
from typing import Final

READY: Final = "READY=1"
RELOADING: Final = "RELOADING=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"

# A service manager that does not listen is not waited for longer than this.
_PATIENCE_S: Final = 1.0
# Counts change with every job; a manager need not hear of each.
_STATUS_EVERY_S: Final = 0.5
# The loop turns at least every five seconds, and up to thousands of times in one.
_BEAT_EVERY_S: Final = 1.0


def notify(*lines: str) -> None:
    """Tell the service manager; trouble with it never becomes trouble with pictures."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_PATIENCE_S)
            sock.sendto("\n".join(lines).encode(), address)
    except OSError:
        return


class Heart:
    """Tells the service manager's watchdog that the inbox is looked at when it is time to.

    A daemon that waits for a disk or an inbox that is away looks in vain, and is well; one whose
    look never ends is not. `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next_at = float("-inf")

    def beat(self) -> None:
        """A look that was due has ended. Say so, unless it was said just now."""
        now = self._clock()
        if now >= self._next_at:
            notify(WATCHDOG)
            self._next_at = now + _BEAT_EVERY_S


class StatusLine:
    """The line that `systemctl status` shows. Told when it changes, once in a while.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shown = ""
        self._next_at = float("-inf")

    def show(self, text: str) -> None:
        """Show a text. A change that comes too soon is shown by the next call that is not."""
        now = self._clock()
        if text != self._shown and now >= self._next_at:
            notify(f"STATUS={text}")
            self._shown, self._next_at = text, now + _STATUS_EVERY_S
