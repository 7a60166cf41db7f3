"""Runs one call: a program of the administrator's, with a job's facts on its standard input.

Promises: it is started without a shell and holds nothing of the daemon's, the spool's lock least of
all; it is over when its time is, with all that it started; and what it says is one line to us.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import IO, Final

from daemon.reasons import one_line
from daemon.supervisor.dying import how_it_ended

# How soon a stop of the daemon is heard while a call runs.
_LISTEN_EVERY_S: Final = 0.1
# Mostly, one that says nothing more is about to end.
_NEARLY_OVER_S: Final = 0.01
# Of what it says, the end is kept: there programs say what went wrong.
_MOST_BYTES: Final = 1000
_MOST_SHOWN: Final = 300
_CHUNK_BYTES: Final = 1 << 16
# What hangs in the kernel does not die of a signal, and is not waited for.
_DYING_S: Final = 2.0
# What is systemd's and ours alone.
_NOT_THEIRS: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "INVOCATION_ID")


@dataclass(frozen=True)
class Called:
    """How a call ended: `how` is one line; `was_cut_short` where the daemon stopped meanwhile.
    `said` is the last line that a program wrote which ended by itself."""

    is_ok: bool
    how: str
    was_cut_short: bool = False
    said: str = field(default="", compare=False)


def call(
    command: Sequence[str],
    told: bytes,
    variables: Mapping[str, str],
    timeout_s: float,
    stopping: Event,
) -> Called:
    """Run a program to its end, or for `timeout_s` seconds, or until `stopping`."""
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_THEIRS}
    # No pipe, into which we would have to feed it, and no disk, which may be full.
    with os.fdopen(os.memfd_create("retouchd-hook"), "w+b") as stdin:
        stdin.write(told)
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**environment, **variables},
                cwd="/",  # the folder we were started in may be gone one day
                start_new_session=True,  # a group of its own, to be ended as one
            )
        except OSError as error:
            return Called(False, f"{command[0]}: {error.strerror}")
        except ValueError as error:  # a name that no environment can hold
            return Called(False, one_line(str(error)))
    assert process.stdout is not None  # noqa: S101 - it was asked for
    with process.stdout as output:
        return _followed(process, output, timeout_s, stopping)


def _followed(
    process: subprocess.Popen[bytes], output: IO[bytes], timeout_s: float, stopping: Event
) -> Called:
    deadline, said = time.monotonic() + timeout_s, _Said(output)
    try:
        while not _has_ended(process.pid):
            if stopping.is_set():
                return Called(False, "the daemon stopped", was_cut_short=True)
            if time.monotonic() >= deadline:
                return Called(
                    False, _joined(f"it was ended after {timeout_s:g} s", said.last_words())
                )
            said.listen(min(_LISTEN_EVERY_S, deadline - time.monotonic()))
    finally:
        _end_all_of(process)
    said.listen(0)
    code, words = process.returncode, said.last_words()
    return Called(code == 0, _joined(how_it_ended(code), words), said=words)


def _joined(how: str, words: str) -> str:
    return f"{how}: {words}" if words else how


def _has_ended(pid: int) -> bool:
    # Without reaping it: until that, no other process can get its number, nor the group's.
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, options) is not None


def _end_all_of(process: subprocess.Popen[bytes]) -> None:
    """End what is left of its group, be it what a program that has ended left running."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_DYING_S)


class _Said:
    """The end of what a program writes, read as it comes, so that it never waits for us."""

    def __init__(self, output: IO[bytes]) -> None:
        self._fd = output.fileno()
        self._end = b""
        self._is_over = False
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def listen(self, longest_s: float) -> None:
        """Take what it says within this time; returns at its first words."""
        if self._is_over:  # it has closed its mouth, and may run on
            time.sleep(min(longest_s, _NEARLY_OVER_S))
        elif self._poll.poll(longest_s * 1000):
            heard = os.read(self._fd, _CHUNK_BYTES)
            self._end = (self._end + heard)[-_MOST_BYTES:]
            self._is_over = not heard

    def last_words(self) -> str:
        """Its last line, harmless and cut; empty if it said nothing."""
        lines = [line for line in self._end.splitlines() if line.strip()]
        if not lines:
            return ""
        return one_line(lines[-1].decode("utf-8", "surrogateescape").strip())[:_MOST_SHOWN]
