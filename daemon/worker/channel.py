"""The worker's ear: a socket over which it gets messages, and with each job its open files.

One packet is one message. The worker's end is its standard input; when the supervisor's end closes,
the supervisor is gone.
"""

import os
import socket
from collections.abc import Sequence
from typing import Final

from daemon.worker.protocol import Job, Orders, to_worker

# Orders name two files and half a dozen folders. The kernel takes packets of 200 kB and more.
MAX_MESSAGE_BYTES: Final = 1 << 17
# Picture, companion and four outputs.
MAX_DESCRIPTORS: Final = 8


def connect() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end and the worker's. Nothing can be said on the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.shutdown(socket.SHUT_RD)
    ours.setblocking(False)
    return ours, theirs


def send(channel: socket.socket, message: Orders | Job, descriptors: Sequence[int] = ()) -> None:
    """Send a message; the worker gets descriptors of its own, so the caller closes these.

    Raises `OSError`; a `BrokenPipeError` where the worker is gone.
    """
    socket.send_fds(channel, [message.model_dump_json().encode()], descriptors)


def receive(channel: socket.socket) -> tuple[Orders | Job, list[int]] | None:
    """Wait for a message; None when the supervisor is gone.

    Where this process has too many files open, some of the descriptors are missing.
    """
    data, descriptors, _, _ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
    if not data:
        return None
    try:
        return to_worker.validate_json(data), descriptors
    except ValueError:
        for fd in descriptors:
            os.close(fd)
        raise
