"""What every figure is given: a folder for its files, networks, a device, threads, real daemons."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from findings import CannotMeasureError
from networks import Networks, Task

sys.path.append(str(Path(__file__).parents[1] / "daemon"))
from driver import Daemon as Daemon
from driver import Site as Site
from driver import save as save

# For one job; nothing waits so long when all is well.
PATIENCE_S: Final = 600.0
_LOOK_S: Final = 0.002


@dataclass(frozen=True)
class Workbench:
    """Where figures are measured. `folder` is theirs to fill; it is taken away at the end."""

    folder: Path
    device: str
    threads: int
    networks: Networks | None = None

    @property
    def is_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def need_networks(self) -> Networks:
        """Raises `CannotMeasureError` where there are none."""
        if self.networks is None:
            raise CannotMeasureError("No networks were exported, so nothing can run.")
        return self.networks

    def site(self, name: str, *tasks: Task, quiet_s: float = 0.0) -> Site:
        """A spool of its own for a daemon with these tasks' networks, on this device."""
        files = self.need_networks().files
        models = {f"RETOUCHD_{task.upper()}_MODEL": str(files[task]) for task in tasks}
        others = {
            "RETOUCHD_DEVICE": self.device,
            "RETOUCHD_THREADS": str(self.threads),
            "RETOUCHD_QUIET_PERIOD_S": str(quiet_s),
            "OMP_NUM_THREADS": str(self.threads),
        }
        return Site(self.folder / name, {**models, **others})


@dataclass(frozen=True)
class Job:
    """A job that went through a daemon: seconds from start to finish, and of each step."""

    started: float
    finished: float
    steps: dict[str, float]
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.finished - self.started

    @property
    def compute_s(self) -> float:
        """Decoding, networks, encoding: all steps but waiting for other jobs."""
        return sum(seconds for step, seconds in self.steps.items() if step != "wait")


@contextmanager
def running(site: Site) -> Iterator[Daemon]:
    """`retouchd run`, its worker ready; it is gone at the block's end."""
    daemon = site.start()
    try:
        try:
            daemon.wait_for("worker_started")
        except AssertionError as error:
            last = str(error).splitlines()[-1]
            raise CannotMeasureError(f"`retouchd run` did not get ready: {last}") from None
        yield daemon
    finally:
        daemon.stop()


def drop(site: Site, name: str, role: str, picture: Path, companion: Path) -> float:
    """Rename copies of a pair into the inbox, the picture last; returns when that was, Unix time.

    A renamed file is whole from its first moment there.
    """
    staged = site.root / "staging"
    staged.mkdir(exist_ok=True)
    for source in (companion, picture):
        shutil.copyfile(source, staged / source.name)
    (staged / companion.name).rename(site.inbox / f"{Path(name).stem}_{role}{companion.suffix}")
    now = time.time()
    (staged / picture.name).rename(site.inbox / name)
    return now


def finished(daemon: Daemon, name: str) -> Job:
    """Wait for a pair's end. Raises `CannotMeasureError` where it failed or never came."""
    deadline = time.monotonic() + PATIENCE_S
    while not daemon.seen("job_finished", picture=name):
        failed = daemon.seen("job_failed", picture=name)
        if failed or time.monotonic() > deadline:
            why = failed[-1]["says"] if failed else f"it did not end in {PATIENCE_S:.0f} s"
            raise CannotMeasureError(f"{name} could not be worked: {why}")
        time.sleep(_LOOK_S)
    end = daemon.seen("job_finished", picture=name)[-1]
    start = daemon.seen("job_started", picture=name)[-1]
    notes = tuple(line["note"] for line in daemon.seen("note", job=end["job"]))
    return Job(moment(start), moment(end), end.get("seconds", {}), notes)


def moment(logged: dict[str, Any]) -> float:
    """When an event was logged, as `time.time` has it."""
    return datetime.fromisoformat(logged["timestamp"]).timestamp()


def worker_peak_bytes(daemon: Daemon) -> int:
    """The most memory that the daemon's worker has held so far."""
    return peak_bytes(daemon.seen("worker_started")[-1]["pid"])


def peak_bytes(pid: int) -> int:
    """A process's resident high-water mark, libraries, weights and pictures together.

    Not `ru_maxrss`, which begins with the peak of whoever started the process.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    raise CannotMeasureError("This kernel does not tell a process's peak memory.")
