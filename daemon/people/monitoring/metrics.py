"""What monitoring is told: one file in Prometheus' text format, for node_exporter to pass on.

A file and no port: the service has no network, by design, and gets none for being watched.

No label holds a name of a file: reasons, tasks, steps, devices and models are few, and stay few for
as long as the daemon runs. What can happen is there from the start with 0, so that the first time
it happens is seen as a change.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from daemon import __version__
from daemon.people.monitoring.counts import TASKS, Counts, Spent
from daemon.people.monitoring.exposition import Family, Sample, exposed
from daemon.places import Place
from daemon.reasons import REASONS, Kind, Report
from daemon.spool import files
from daemon.spool.entries import Ended
from daemon.spool.files import Ownership
from daemon.supervisor.snapshot import Snapshot

# node_exporter runs as a user of its own.
_PUBLIC: Final = Ownership(file_mode=0o644)

_OUTCOMES: Final = ("done", "failed")


class MetricsFile:
    """Keeps the file up to date. `news` gives the jobs that have ended since it was asked last."""

    def __init__(self, path: Path, news: Callable[[], Iterable[Ended]]) -> None:
        whole = path.absolute()
        self._place = Place(whole.parent, whole.name)
        self._news = news
        self._counts = Counts()

    def update(self, snapshot: Snapshot) -> None:
        """Replace the file in one step. Raises `OSError`, and has it all the next time."""
        for ended in self._news():
            self._counts.add(ended)
        text = exposed(families(snapshot, self._counts))
        files.write_whole(self._place, text.encode(), _PUBLIC)


def families(snapshot: Snapshot, counts: Counts) -> Iterator[Family]:
    """All that is told, in the order in which it stands in the file."""
    says = "When all of this was so; some minutes ago, and the daemon is gone or hangs."
    yield _gauge("last_update_timestamp_seconds", says, snapshot.at)
    yield from _about_jobs(counts)
    yield from _about_inbox(snapshot)
    yield from _about_obstacles(snapshot)
    yield from _about_daemon(snapshot)
    yield _reasons()


def _about_jobs(counts: Counts) -> Iterator[Family]:
    finished = [
        Sample(counts.finished[task, outcome], {"task": task, "outcome": outcome})
        for task in TASKS
        for outcome in _OUTCOMES
    ]
    says = "Jobs that ended since the daemon's start."
    yield Family("retouchd_jobs_finished_total", "counter", says, finished)
    says = "Those that went to failed, by reason."
    failed = _by_reason(counts.failed, Kind.FILE, Kind.RETRY)
    yield Family("retouchd_jobs_failed_total", "counter", says, failed)
    says = "When the last job ended so, since the daemon's start."
    last = [Sample(at, {"outcome": outcome}) for outcome, at in counts.last_at.items()]
    yield Family("retouchd_last_finished_timestamp_seconds", "gauge", says, last)
    says = "From a pair's claim to its published result."
    jobs = [s for task, spent in counts.jobs.items() for s in _summed(spent, {"task": task})]
    yield Family("retouchd_job_duration_seconds", "summary", says, jobs)
    says = "Of that, in each step of the worker; wait is for its turn."
    steps = [
        sample
        for (task, step), spent in counts.steps.items()
        for sample in _summed(spent, {"task": task, "step": step})
    ]
    yield Family("retouchd_step_duration_seconds", "summary", says, steps)


def _about_inbox(snapshot: Snapshot) -> Iterator[Family]:
    running, settling = len(snapshot.running), snapshot.settling_count
    yield _gauge("jobs_running", "Jobs that a worker has in hand.", running)
    says = "Complete pairs that wait for nothing but their turn."
    yield _gauge("pairs_ready", says, max(0, snapshot.tally.ready - settling))
    says = "Complete pairs that must stay unchanged for a while yet."
    yield _gauge("pairs_settling", says, settling)
    says = "Since when the longest waiting of the ready pairs has been so; not there without one."
    yield _gauge("oldest_ready_timestamp_seconds", says, snapshot.oldest_ready_at)
    waiting = _by_reason(snapshot.waiting_for, Kind.WAIT, Kind.WORLD)
    says = "Files that stay in the inbox, by what they wait for."
    yield Family("retouchd_files_waiting", "gauge", says, waiting)


def _about_obstacles(snapshot: Snapshot) -> Iterator[Family]:
    held = _by_reason(_one(snapshot.holds), Kind.WORLD)
    says = "1 for the reason that keeps all work from going on."
    yield Family("retouchd_queue_held", "gauge", says, held)
    says = "Since when; not there while work goes on."
    yield _gauge("queue_held_since_timestamp_seconds", says, snapshot.holds_since)
    stuck = _by_reason(_one(snapshot.stuck), Kind.WORLD)
    says = "1 for the reason that keeps one job from being put away, while others go on."
    yield Family("retouchd_job_stuck", "gauge", says, stuck)
    yield _gauge("paused", "1 while people have paused it.", snapshot.is_paused)


def _about_daemon(snapshot: Snapshot) -> Iterator[Family]:
    yield _gauge("start_time_seconds", "When the daemon started.", snapshot.started_at)
    version = [Sample(1, {"version": __version__})]
    yield Family("retouchd_build_info", "gauge", "Which version it is.", version)
    says = "Devices with a worker that is ready."
    yield _gauge("devices_ready", says, len(snapshot.devices))
    serving = {
        (each.device, task): m for each in snapshot.devices for task, m in each.models.items()
    }
    models = [
        Sample(1, {"device": device, "task": task, "model": model})
        for (device, task), model in sorted(serving.items())
    ]
    own = {
        (each.device, of.task, of.folder): of.model
        for each in snapshot.devices
        for of in each.folders
        if of.model is not None
    }
    models += [
        Sample(1, {"device": device, "task": task, "model": model, "folder": folder})
        for (device, task, folder), model in sorted(own.items())
    ]
    yield Family("retouchd_model_info", "gauge", "Which model serves a task on a device.", models)


def _reasons() -> Family:
    """The words for the label `reason`, for whoever shows it: alerts say the same as the journal.

    With their gaps, for what would fill these are names of files and numbers without end.
    """
    words = [
        Sample(1, {"reason": key, "says": reason.says, "advice": reason.advice})
        for key, reason in REASONS.items()
    ]
    says = "The words for each reason; those in braces are filled in elsewhere."
    return Family("retouchd_reason_info", "gauge", says, words)


def _gauge(name: str, says: str, value: float | None) -> Family:
    samples = [] if value is None else [Sample(value)]
    return Family(f"retouchd_{name}", "gauge", says, samples)


def _one(report: Report | None) -> Mapping[str, int]:
    return {} if report is None else {report.key: 1}


def _by_reason(numbers: Mapping[str, int], *kinds: Kind) -> list[Sample]:
    """A sample for each reason of these kinds, and for what else there is a number for."""
    usual = dict.fromkeys((key for key, reason in REASONS.items() if reason.kind in kinds), 0)
    return [Sample(number, {"reason": key}) for key, number in {**usual, **numbers}.items()]


def _summed(spent: Spent, labels: Mapping[str, str]) -> list[Sample]:
    return [Sample(spent.total_s, labels, "_sum"), Sample(spent.count, labels, "_count")]
