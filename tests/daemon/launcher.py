"""Stands in for the Python interpreter where a zygote has done the imports (see zygote.py).

Hands its arguments, environment, folder and descriptors to the zygote, waits for the child that is
forked there, and ends as that child ended, by its exit status or by its signal. Killing the
launcher kills the child. Imports only what is quick to import.

As a program: `launcher.py SOCKET ARGUMENT...`.
"""

import contextlib
import marshal
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple, NoReturn

LENGTH = struct.Struct("I")
STATUS = struct.Struct("i")


class Request(NamedTuple):
    """A start: the interpreter's arguments, and what a process inherits; `fds` are numbers."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    fds: list[int]


def ask(
    address: str, request: Request, held: list[int], after: Callable[[], None] = lambda: None
) -> int:
    """Have a child forked and wait for it; returns its wait status. `after` follows the hand-over.

    `held` are our descriptors; the child has them under the request's numbers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        body = marshal.dumps(tuple(request))
        socket.send_fds(connection, [LENGTH.pack(len(body))], held)
        connection.sendall(body)
        after()
        (status,) = STATUS.unpack(receive(connection, STATUS.size))
    return int(status)


def receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes. Raises `EOFError`."""
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError("the other side has gone")
        data += chunk
    return data


def launch(address: str, arguments: list[str]) -> NoReturn:
    """Be the interpreter with these arguments."""
    fds = _open_fds()

    def let_go() -> None:  # a pipe that the child closes must not stay open here
        for fd in fds:
            os.close(fd)

    folder = os.getcwd()  # noqa: PTH109 - pathlib takes time to import
    request = Request(arguments, dict(os.environ), folder, fds)
    status = ask(address, request, fds, let_go)
    if os.WIFSIGNALED(status):
        with contextlib.suppress(OSError):  # SIGKILL has no handler to reset
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _open_fds() -> list[int]:
    fds = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them
            os.fstat(int(name))
            fds.append(int(name))
    return sorted(fds)


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
