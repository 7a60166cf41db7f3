"""What the worker may do: decode, compute, and use the files it was handed. The kernel sees to it.

The worker decodes strangers' files, and decoders have had holes through which a picture became a
program. Whatever runs in the worker after `confine` reads code and models, and writes to what it
holds open; it opens no file of the spool, starts no program, talks to nobody and signals nobody.
Landlock keeps it from files (`allowed_files`), seccomp from everything else (`denied_calls`).

Binds this thread and those it starts: call it before anything that starts threads is imported.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.worker.protocol import Orders


@dataclass(frozen=True)
class Confinement:
    """What confines this process, by name, and what could not be had and why."""

    holds: tuple[str, ...]
    lacks: str | None = None


class ConfinementError(Exception):
    """The settings require what can't be had here."""


def confine(orders: Orders) -> Confinement:
    """Give up all rights that the work does not need; there is no way back.

    Raises `ConfinementError` where the orders require what this system does not offer.
    """
    if orders.confine == "no":
        return Confinement((), "switched off by confine = no")
    models = [Path(path) for path in orders.models.values()]
    # A worker that refuses one of these works on, and a folder is all that lies in it.
    models += [Path(m.path) for m in orders.folder_models if os.path.isfile(m.path)]  # noqa: PTH113
    keep_out = [Path(os.fsdecode(folder)) for folder in orders.keep_out]
    found: list[tuple[str, Callable[[], str]]] = []
    holds: list[str] = []
    lacks: list[str] = []
    # Both are loaded before either is in force: to load them takes rights.
    for name, find in (("Landlock", partial(_landlock, models, keep_out)), ("seccomp", _seccomp)):
        with _noting(lacks, name):
            found.append((name, find()))
    for name, put_into_force in found:
        with _noting(lacks, name):
            holds.append(put_into_force())
    # No program can be started, so let none be found: libraries that look for one do without it.
    os.environ["PATH"] = ""
    if lacks and orders.confine == "require":
        raise ConfinementError(
            f"it can't be confined wholly ({'; '.join(lacks)}), and confine = require asks for "
            "that. See docs/confinement.md, or set confine = auto."
        )
    return Confinement(tuple(holds), "; ".join(lacks) or None)


def _landlock(models: Sequence[Path], keep_out: Sequence[Path]) -> Callable[[], str]:
    from daemon.worker.allowed_files import restrict_files

    return partial(restrict_files, models, keep_out)


def _seccomp() -> Callable[[], str]:
    from daemon.worker.denied_calls import deny_calls

    return deny_calls


@contextmanager
def _noting(lacks: list[str], name: str) -> Iterator[None]:
    """What can't be had, be it the library or the kernel, is a lack and no end."""
    try:
        yield
    except (ImportError, OSError, RuntimeError) as error:
        text = error.strerror if isinstance(error, OSError) else None
        lacks.append(f"{name}: {text or error}")
