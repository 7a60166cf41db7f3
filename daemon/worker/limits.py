"""What a worker may take of the machine, and what it leaves behind when it dies.

Each is best effort: a system that refuses one has its own reasons, and nothing depends on it.
"""

import contextlib
import ctypes
import resource
import signal
from pathlib import Path
from typing import Final

_OOM_FIRST: Final = "1000"
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def die_first() -> None:
    """When memory runs out the kernel ends this process, and never the supervisor."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_FIRST)


def die_with_the_supervisor() -> None:
    """The kernel ends this process with the one that started it, whatever this one is doing.

    A decoder that hangs in C may hold the interpreter, and then no thread of ours hears anything.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def leave_no_core() -> None:
    """A crash leaves no image of the memory: what was in it are other people's pictures."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(most_bytes: int) -> None:
    """Beyond this, allocations fail: a `MemoryError` or torch's own, and no machine in distress."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most_bytes = min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
