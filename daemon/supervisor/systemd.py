"""What the service manager is told, where there is one.

The protocol is one datagram of `KEY=VALUE` lines to the socket that NOTIFY_SOCKET names; see
sd_notify(3). Without the variable nothing is sent.
"""

import os
import socket
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"

# A service manager that does not listen is not waited for longer than this.
_PATIENCE_S: Final = 1.0


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
