"""The processes of servers and clients: started on free ports, and surely gone at the end."""

import contextlib
import math
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from feeding import LONGEST_PAUSE_S, SLOW_S

PATIENCE_S: Final = 30.0


class ProgramError(Exception):
    """A server or a client did not do what it was asked; the text has what it printed."""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def printed(*command: str) -> str:
    """What a program prints about itself, on either stream, whatever its exit status."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout


def do(command: Sequence[str], script: str | None = None) -> None:
    """Run a client to its end; `script` is its standard input."""
    done = subprocess.run(
        command,
        input=script or "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise ProgramError(f"{command[0]} ended with {done.returncode}: {done.stdout}")


class Server:
    """A server in the foreground, with all the processes that it forks."""

    def __init__(self, command: Sequence[str], log: Path, port: int) -> None:
        """Start it; return when it listens on the port. It prints into `log`."""
        self._name = command[0]
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],  # ends even where we are killed
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for(port)
        except ProgramError:
            self.stop()
            raise

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ProgramError(f"{self._name} does not listen: {self._log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and what it forked."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal_number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)


class ClientUpload:
    """An upload that is a client's process; with `slow_input` it is fed its input in pieces."""

    def __init__(self, command: Sequence[str], slow_input: Path | None = None) -> None:
        self._name = command[0]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if slow_input else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._thread: threading.Thread | None = None
        if slow_input:
            self._thread = threading.Thread(target=self._feed, args=[slow_input.read_bytes()])
            self._thread.start()

    def _feed(self, content: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            for piece in slow_pieces(content):
                pipe.write(piece)
                pipe.flush()

    def wait(self) -> None:
        """Return when the client has ended; raise with what it said where it failed."""
        try:
            status = self._process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProgramError(f"{self._name} does not end") from None
        said = self._end()
        if status:
            raise ProgramError(f"{self._name} ended with {status}: {said}")

    def kill(self) -> None:
        """SIGKILL, to the client and to what it started; nothing, where it has ended already."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=PATIENCE_S)
        self._end()

    def _end(self) -> str:
        if self._thread:
            self._thread.join()
        assert self._process.stderr is not None
        if self._process.stderr.closed:
            return ""
        with self._process.stderr as stream:
            return stream.read().decode(errors="replace")


def slow_pieces(content: bytes) -> Iterator[bytes]:
    """A file's content in pieces, with a wait after each, so that all take `SLOW_S`."""
    count = math.ceil(SLOW_S / LONGEST_PAUSE_S)
    for number in range(count):
        yield content[number * len(content) // count : (number + 1) * len(content) // count]
        time.sleep(SLOW_S / count)
