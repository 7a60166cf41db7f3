"""Many small jobs in one run: nothing grows that should not.

300 jobs here; `make soak` has 20,000, and docs/soak.md their figures. Of the jobs one in four
cuts out, one in ten fails, and one picture in twenty waits for a mask that never comes.
"""

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import psutil
import pytest
from driver import Daemon, Site, inverted, load, photo, save, trimap

JOBS = int(os.environ.get("SOAK_JOBS", "300"))
# Dropped at once; each batch is waited for, looked at and measured.
BATCH = 20 if JOBS < 2000 else 200

# What may have been added between the first and the last fifth of a run, beyond what the
# allocator's own coming and going explains.
SUPERVISOR_GROWTH_BYTES = 6_000_000
WORKER_GROWTH_BYTES = 60_000_000
# Jobs in hand when it was looked at, and those that libvips starts the first time it needs them.
WORKER_GROWTH_THREADS = 8
# Claimed, started, finished, and a line now and then.
LOG_BYTES_PER_JOB = 2_500


@dataclass
class Samples:
    """Memory, descriptors and threads of one process over a run."""

    resident: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def take(self, pid: int) -> None:
        process = psutil.Process(pid)
        self.resident.append(process.memory_info().rss)
        self.descriptors.append(process.num_fds())
        self.threads.append(process.num_threads())


def growth(values: list[int]) -> float:
    """From the second fifth of a run, when all is warm, to the last."""
    fifth = max(1, len(values) // 5)
    return statistics.median(values[-fifth:]) - statistics.median(values[fifth : 2 * fifth])


class Tally:
    """Counts the events of a daemon, each once, however long its log gets."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._read = 0
        self.counts: Counter[str] = Counter()
        self.log_bytes = 0

    def ended(self) -> int:
        """Jobs that have ended so far."""
        for line in self._daemon.events[self._read :]:
            self._read += 1
            self.counts[line["event"]] += 1
            self.log_bytes += len(json.dumps(line))
        return self.counts["job_finished"] + self.counts["job_failed"]


class Feeder:
    """Drops pairs by rename, as an uploader that is done, and takes the results away."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._staging = site.root / "staging"
        mask = np.zeros((24, 32), np.uint8)
        mask[5:12, 8:20] = 255
        self._files = {
            "photo": photo(1, 32, 24),
            "mask": mask,
            "full": np.full((24, 32), 255, np.uint8),
            "trimap": trimap()[8:32, 15:47],
        }
        self._bytes = {
            name: save(pixels, self._staging / f"{name}.png").read_bytes()
            for name, pixels in self._files.items()
        }
        self._retouched = inverted(self._files["photo"], mask)

    def drop(self, number: int) -> None:
        kind = "trimap" if number % 4 == 1 else "full" if number % 10 == 2 else "mask"
        role = "trimap" if kind == "trimap" else "mask"
        if number % 20 == 3:
            self._put(f"orphan {number}.png", "photo")
        self._put(f"picture {number}_{role}.png", kind)
        self._put(f"picture {number}.png", "photo")

    def _put(self, name: str, content: str) -> None:
        (self._staging / name).write_bytes(self._bytes[content])
        (self._staging / name).rename(self._site.inbox / name)

    def take_away(self) -> tuple[int, int]:
        """Check and remove what was delivered; returns how many were retouched and cut out."""
        retouched = cut_out = 0
        for result in self._site.outbox.glob("*.png"):
            if result.name.endswith(".cutout.png"):
                cut_out += 1
            elif not result.name.endswith(".alpha.png"):
                retouched += 1
                assert (load(result) == self._retouched).all()
        for folder in (self._site.outbox, self._site.archive, self._site.failed):
            for path in folder.iterdir():
                path.unlink()
        for orphan in self._site.inbox.glob("orphan*"):
            orphan.unlink()
        return retouched, cut_out


@pytest.mark.timeout(120 + JOBS)
def test_a_long_run_grows_nowhere(both: Site, start: Callable[..., Daemon]) -> None:
    daemon = start(both, "--threads", "1", "--quiet-period-s", "0")
    hello = daemon.wait_for("worker_started")
    feeder, tally = Feeder(both), Tally(daemon)
    supervisor, worker = Samples(), Samples()
    dropped = retouched = cut_out = 0
    began = time.monotonic()
    while dropped < JOBS:
        for number in range(dropped, min(JOBS, dropped + BATCH)):
            feeder.drop(number)
        dropped = min(JOBS, dropped + BATCH)
        daemon.wait_until(lambda: tally.ended() >= dropped, f"{dropped} jobs to end")  # noqa: B023
        supervisor.take(daemon.pid)
        worker.take(hello["pid"])
        new = feeder.take_away()
        retouched, cut_out = retouched + new[0], cut_out + new[1]
    report(supervisor, worker, tally, time.monotonic() - began)
    cut_outs = len(range(1, JOBS, 4))
    failures = sum(n % 4 != 1 and n % 10 == 2 for n in range(JOBS))
    assert (retouched, cut_out) == (JOBS - cut_outs - failures, cut_outs)
    assert tally.counts["job_failed"] == failures
    assert tally.counts["worker_started"] == tally.counts["queue_held"] + 1 == 1
    assert both.jobs() == []
    for samples, most, most_threads in (
        (supervisor, SUPERVISOR_GROWTH_BYTES, 0),
        (worker, WORKER_GROWTH_BYTES, WORKER_GROWTH_THREADS),
    ):
        assert growth(samples.resident) < most
        assert growth(samples.descriptors) <= 0
        assert growth(samples.threads) <= most_threads
    assert tally.log_bytes / JOBS < LOG_BYTES_PER_JOB


def report(supervisor: Samples, worker: Samples, tally: Tally, seconds: float) -> None:
    """The figures, for docs/soak.md."""
    print(f"\n{JOBS} jobs in {seconds:.0f} s, {JOBS / seconds:.1f} a second")
    for name, samples in (("supervisor", supervisor), ("worker", worker)):
        print(
            f"{name}: {samples.resident[0] / 1e6:.1f} MB at first, {samples.resident[-1] / 1e6:.1f}"
            f" MB at last, growth {growth(samples.resident) / 1e6:+.2f} MB; descriptors "
            f"{samples.descriptors[0]} to {samples.descriptors[-1]}, threads "
            f"{samples.threads[0]} to {samples.threads[-1]}"
        )
    print(f"log: {tally.log_bytes / JOBS:.0f} bytes a job")
