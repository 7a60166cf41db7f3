"""How worker processes are brought to their end, and how that is told."""

import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

# What is killed gives back its memory first, gigabytes perhaps, and the next job may want that. Who
# takes longer hangs in the kernel, in a driver's hands, and is not waited for.
DYING_S: Final = 2.0


def end_all(processes: Sequence[subprocess.Popen[bytes]], grace_s: float) -> None:
    """End processes: all together have `grace_s` seconds to end themselves, then they are killed.

    Returns `DYING_S` after that at the latest; one that does not die of it may be there still.
    """
    _await(processes, grace_s)
    for process in processes:
        process.kill()
    _await(processes, DYING_S)


def how_it_ended(code: int | None) -> str:
    """In words, from what `Popen.returncode` is."""
    if code is None:
        return "killed, and not gone yet"
    if code >= 0:
        return f"exit status {code}"
    known = -code in set(signal.Signals)  # most real-time signals have no name
    return f"signal {signal.Signals(-code).name if known else -code}"


def _await(processes: Sequence[subprocess.Popen[bytes]], longest_s: float) -> None:
    deadline = time.monotonic() + longest_s
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
