"""Runs of the real daemon in which one process is killed at a system call of our choice.

strace kills at the entry of a call, so the call is not made. It counts each call's name for itself:
a point is a name and a number.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from driver import PATIENCE_S, REPOSITORY, Site
from launcher import Request, ask

Victim = Literal["supervisor", "worker"]

# What changes a disk or makes a change durable; of openat only what creates.
CALLS = (
    *("mkdir", "mkdirat", "open", "openat", "creat", "mknod", "mknodat"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("unlink", "unlinkat", "rmdir", "truncate", "ftruncate", "fallocate"),
    *("write", "pwrite64", "writev", "copy_file_range", "sendfile"),
    *("fsync", "fdatasync", "sync_file_range", "syncfs"),
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utimensat"),
)
# What a worker imports after its orders have come, and when its first pictures do.
_LATE = (
    *("daemon.worker.retouching", "pymatting.foreground.estimate_foreground_ml"),
    *(f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Ppm", "Png")),
)
_NAME = re.compile(r"(\w+)\(")
_KILLED = "+++ killed by SIGKILL +++"


@dataclass(frozen=True)
class Point:
    """The `number`-th call of a name, from 1."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name} {self.number}"


@dataclass(frozen=True)
class Run:
    """How a run ended, and the victim's calls; the last was not made if it `was_killed`."""

    status: int
    says: str
    calls: tuple[str, ...]
    was_killed: bool

    def creating(self) -> list[int]:
        """Which of the calls of openat create, counted from 1."""
        opens = [call for call in self.calls if call.startswith("openat(")]
        return [at for at, call in enumerate(opens, 1) if "O_CREAT" in call]

    def points(self) -> list[Point]:
        """Every call, in order."""
        numbers: Counter[str] = Counter()
        points = []
        for name in filter(None, map(_name, self.calls)):
            numbers[name] += 1
            points.append(Point(name, numbers[name]))
        return points

    def names(self) -> list[str]:
        """The calls' names, each once."""
        return sorted({point.name for point in self.points()})


class Stage:
    """Two zygotes: of the supervisor's imports, and of the worker's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._zygotes: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def open(self) -> Iterator["Stage"]:
        """Start both, and end both."""
        worker = self._root / "worker"
        launcher = Path(__file__).with_name("launcher.py")
        worker.write_text(
            f'#!/bin/sh\nexec {sys.executable} -I -S {launcher} {worker}.socket "$@"\n'
        )
        worker.chmod(0o755)
        try:
            self._start("worker", "daemon.worker.main", *_LATE)
            self._start("supervisor", "daemon.cli")
            self._wait()
            yield self
        finally:
            for zygote in self._zygotes:
                zygote.kill()
                zygote.wait()

    def run(self, site: Site, victim: Victim | None = None, point: Point | None = None) -> Run:
        """`retouchd once`. A victim's calls are recorded; with a point it is killed there."""
        trace, says = self._root / "trace", self._root / "says"
        trace.unlink(missing_ok=True)
        if victim:
            options = ["-o", str(trace), "-s", "0", "-e", f"trace={_set(CALLS)}"]
            # A worker does its jobs in threads. Each counts for itself, as strace sees it.
            options += ["-f"] if victim == "worker" else []
            if point:
                options += ["-e", f"inject={point.name}:signal=KILL:when={point.number}"]
            order = Path(f"{self._root / victim}.socket.strace")
            order.write_text("\n".join(options))
        with says.open("wb") as out, Path(os.devnull).open("rb") as nothing:
            held = [nothing.fileno(), out.fileno(), out.fileno()]
            arguments = site.command("once")[1:]
            request = Request(arguments, site.variables(), str(self._root), [0, 1, 2])
            status = ask(f"{self._root}/supervisor.socket", request, held)
        if victim:
            order.unlink(missing_ok=True)
        lines = trace.read_text().splitlines() if trace.exists() else []
        lines = [line.lstrip("0123456789 ") for line in lines]  # without the thread's number
        calls = tuple(line for line in lines if line[0].isalpha())
        text = says.read_text(errors="replace")
        return Run(os.waitstatus_to_exitcode(status), text, calls, _KILLED in lines)

    def _start(self, name: str, *modules: str) -> None:
        variables = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",  # or what is imported late would write files
            "OMP_NUM_THREADS": "1",
            # GNU's OpenMP, numba's first choice, does not survive a fork.
            "NUMBA_THREADING_LAYER": "workqueue",
            "NUMBA_NUM_THREADS": "1",
        }
        program = Path(__file__).with_name("zygote.py")
        address, executable = f"{self._root / name}.socket", str(self._root / "worker")
        command = [sys.executable, str(program), address, executable, *modules]
        self._zygotes.append(subprocess.Popen(command, env=variables))

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        for name in ("worker", "supervisor"):
            while not Path(f"{self._root / name}.socket").exists():
                assert time.monotonic() < deadline, f"the zygote of the {name} does not start"
                time.sleep(0.02)


def _name(call: str) -> str | None:
    found = _NAME.match(call)
    return found[1] if found else None


def _set(names: tuple[str, ...]) -> str:
    return ",".join(f"?{name}" for name in names)  # not every machine has every call
