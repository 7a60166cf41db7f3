"""A Python whose imports are done: a process that has made them and forks at each start.

Starting Python, torch and PyMatting takes seconds, and a crash matrix starts daemons by the
thousand. A zygote imports once and waits at a socket; launcher.py is what asks it for children, and
what stands in for the interpreter.

What differs from a cold start: the modules are there already, and the child's parent is the zygote.
The rest is the program's own: its arguments, its descriptors under their numbers, its `main`, and
the interpreter's usual end.

While a file `SOCKET.strace` exists, the next child uses it up: it holds strace's options, one a
line, and the child does nothing before strace has attached to it (to its first thread alone).

As a program: `zygote.py SOCKET EXECUTABLE MODULE...`; EXECUTABLE is what the children take for
their interpreter.
"""

import contextlib
import fcntl
import gc
import importlib
import marshal
import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from launcher import LENGTH, STATUS, Request, receive

_MOST_FDS = 64
# Above every number that a program's descriptors have.
_OUT_OF_THE_WAY = 512


class Child:
    """A forked program, whoever asked for it, and the strace that follows it, if one does."""

    def __init__(self, pid: int, asker: socket.socket, tracer: "subprocess.Popen[bytes] | None"):
        self.pid = pid
        self.asker = asker
        self.tracer = tracer
        self.pidfd = os.pidfd_open(pid)

    def bury(self) -> None:
        """Tell the asker how it ended."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        if self.tracer is not None:
            self.tracer.communicate()
        with contextlib.suppress(OSError):  # the asker was killed
            self.asker.sendall(STATUS.pack(status))
        self.asker.close()


class Zygote:
    """Forks a child for each request. `children` by the descriptors to watch."""

    def __init__(self, address: str, executable: str) -> None:
        self._order = Path(f"{address}.strace")
        self._executable = executable
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen(_MOST_FDS)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> Request:
        """Fork children for ever; returns in each child, with what it is to run."""
        while True:
            for key, _ in self._selector.select():
                child = key.data
                if child is None:
                    request = self._begin()
                    if request is not None:
                        return request
                elif key.fd == child.pidfd:
                    self._selector.unregister(child.pidfd)
                    with contextlib.suppress(KeyError):
                        self._selector.unregister(child.asker)
                    child.bury()
                else:  # an asker that has gone
                    self._selector.unregister(child.asker)
                    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _begin(self) -> Request | None:
        asker, _ = self._listener.accept()
        try:
            head, fds, _, _ = socket.recv_fds(asker, LENGTH.size, _MOST_FDS)
            body = receive(asker, LENGTH.unpack(head)[0])
        except EOFError:
            asker.close()
            return None
        request = Request(*marshal.loads(body))  # noqa: S302 - from our own launcher
        gate, opener = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            self._become(request, fds, gate, asker)
            return request
        for fd in [*fds, gate]:
            os.close(fd)
        child = Child(pid, asker, self._trace(pid))
        os.close(opener)
        self._selector.register(child.pidfd, selectors.EVENT_READ, child)
        self._selector.register(asker, selectors.EVENT_READ, child)
        return None

    def _trace(self, pid: int) -> "subprocess.Popen[bytes] | None":
        try:
            options = self._order.read_text().splitlines()
        except FileNotFoundError:
            return None
        self._order.unlink()
        command = ["strace", *options, "-p", str(pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, bufsize=0)
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if b"attached" not in said:
            os.kill(pid, signal.SIGKILL)
            print(f"strace: {said!r}", file=sys.stderr)
        return tracer

    def _become(self, request: Request, fds: list[int], gate: int, asker: socket.socket) -> None:
        """In the child: take over what the program would have inherited, and wait to be let go."""
        self._selector.close()
        self._listener.close()
        asker.close()
        fds = [_moved(fd) for fd in fds]
        gate = _moved(gate)
        os.closerange(3, _OUT_OF_THE_WAY)
        for fd, number in zip(fds, request.fds, strict=True):
            os.dup2(fd, number)
            os.close(fd)
        os.environ.clear()
        os.environ.update(request.environment)
        os.chdir(request.folder)
        sys.executable = self._executable
        os.read(gate, 1)
        os.close(gate)


def _moved(fd: int) -> int:
    moved: int = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
    os.close(fd)
    return moved


def run(arguments: list[str]) -> NoReturn:
    """Do what `python ARGUMENTS` does, for `[OPTION...] -m MODULE ARGUMENT...`."""
    at = arguments.index("-m")
    module = importlib.import_module(arguments[at + 1])
    sys.argv = [str(module.__file__), *arguments[at + 2 :]]
    sys.exit(module.main())


def main() -> NoReturn:
    """Import, then serve."""
    address, executable, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # or each child's first collection would copy every page
    run(Zygote(address, executable).serve().arguments)


if __name__ == "__main__":
    main()
