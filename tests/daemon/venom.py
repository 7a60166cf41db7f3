"""What a poisonous picture does to the worker that opens it.

No file is known that kills the Pillow in use, so the holes in it are played: a worker that has
imported this looks for a mark in each picture that it opens, and does what the mark names. What is
done is real: real signals, a real wait that nothing in the process can end, memory that is really
taken. Two acts play what can't be had here: `is_ended_by_the_kernel` is the kernel's choice when
the whole machine is short of memory, and `loses_its_device` is a GPU's fault.
"""

import ctypes
import io
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

# Longer than any limit of a test, and not for ever: what a broken test leaves goes by itself.
_FOR_EVER_S = 600
_LONG_S = 10
_BITE_BYTES = 1 << 24
_MARK = re.compile(rb"poison: (\w+)\.")

# What a worker's interpreter runs when it starts, and the supervisor's does not.
SITECUSTOMIZE = """import sys
if "daemon.worker.main" in sys.orig_argv:
    import venom
    venom.spread()
"""


def lay(folder: Path) -> str:
    """Make a folder from which workers get this; returns what PYTHONPATH needs for it."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return os.pathsep.join([str(folder), str(Path(__file__).parent)])


def mark(act: str) -> str:
    """The text that a picture carries to have this done."""
    assert act in ACTS
    return f"poison: {act}."


def spread() -> None:
    """From now on, opening a marked picture in this process does what the mark says."""
    import PIL.Image

    opened = PIL.Image.open

    def bitten(file: io.BytesIO, **options: Any) -> PIL.Image.Image:
        found = _MARK.search(file.getvalue())
        if found:
            ACTS[found[1].decode()]()
        return opened(file, **options)

    PIL.Image.open = bitten  # type: ignore[assignment]


# -- Acts ------------------------------------------------------------------------------------------


def _reads_at_address_zero() -> None:
    ctypes.string_at(0)


def _aborts() -> None:
    os.abort()


def _is_ended_by_the_kernel() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _sleeps() -> None:
    time.sleep(_FOR_EVER_S)


def _takes_its_time() -> None:
    time.sleep(_LONG_S)


def _hangs_and_lets_nobody_else_run() -> None:
    """Wait in C without giving up the interpreter: no other thread of the worker runs again."""
    ctypes.PyDLL(None).sleep(_FOR_EVER_S)


def _eats_memory() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * _BITE_BYTES)


def _loses_its_device() -> None:
    """Every copy back from the device fails from now on, as after a real fault of a GPU's."""
    sys.modules["torch"].Tensor.cpu = _fail_on_the_device


def _fail_on_the_device(*_: object) -> NoReturn:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def _dies_of_its_foreground() -> None:
    """This job's colours are the death of the library that estimates them."""
    retouching: Any = sys.modules["daemon.worker.retouching"]
    retouching.estimate_foreground = lambda _picture, _alpha: ctypes.string_at(0)


ACTS: dict[str, Callable[[], None]] = {
    act.__name__.lstrip("_"): act
    for act in (
        _reads_at_address_zero,
        _aborts,
        _is_ended_by_the_kernel,
        _sleeps,
        _takes_its_time,
        _hangs_and_lets_nobody_else_run,
        _eats_memory,
        _loses_its_device,
        _dies_of_its_foreground,
    )
}
