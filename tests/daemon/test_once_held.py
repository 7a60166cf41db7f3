"""When `retouchd once` gives up, and what the watchdog hears meanwhile.

The supervisor, its queue, inbox and spool are real, the worker stands in. No time passes but what
the supervisor sleeps.
"""

import os
import selectors
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from faulty import SleepersClock
from standin import StandInCrew, done, write_result
from structlog.testing import capture_logs

from daemon.intake.pairing import Pair
from daemon.settings import Settings, load_settings
from daemon.spool import jobs
from daemon.spool.layout import Spool, open_spool
from daemon.spool.record import Record
from daemon.supervisor import loop, systemd
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.loop import Supervisor
from daemon.supervisor.member import Worker
from daemon.worker.protocol import Done, Job

LONG_S = 60.0


class SlowCrew(StandInCrew):
    """One worker with room for three jobs; the first that it gets takes a minute."""

    def __init__(self, clock: SleepersClock) -> None:
        super().__init__(self._done)
        self._clock = clock
        self._ends_at = float("inf")
        self.workers[0].most_jobs = 3

    def due(self) -> float:
        """The moment at which the job is done, when there is something to be heard."""
        if self._clock() >= self._ends_at:
            self._ends_at = float("inf")
            os.write(self._in, b"!")
        return self._ends_at

    def hand_out(
        self, worker: Worker, job: Job, descriptors: Sequence[int], *, alone: bool
    ) -> None:
        super().hand_out(worker, job, descriptors, alone=alone)
        worker.out.read(1)
        self._ends_at = self._clock() + LONG_S

    def _done(self, job: Job, descriptors: Sequence[int]) -> Done:
        write_result(descriptors, b"a result")
        return done(job)


class Once:
    """Runs `once` on a spool until it ends by itself."""

    def __init__(self, settings: Settings, spool: Spool, clock: SleepersClock) -> None:
        self.settings, self.spool, self.clock = settings, spool, clock

    def run(self) -> tuple[float, list[str]]:
        """How many seconds it took, and the events that it logged."""
        began = self.clock()
        with capture_logs() as lines:
            supervisor = Supervisor(self.settings, self.spool, 0, until_idle=True, clock=self.clock)
            supervisor.run()
        for fd in (supervisor._wake_in, supervisor._wake_out):
            os.close(fd)
        supervisor._selector.close()
        return self.clock() - began, [line["event"] for line in lines]


@pytest.fixture
def once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Once:
    given = {"spool": tmp_path / "spool", "inpaint_model": "/models/tiny.pt", "events": False}
    settings = load_settings({**given, "quiet_period_s": 0})
    clock = SleepersClock()
    monkeypatch.setattr(loop, "Crew", lambda *_: SlowCrew(clock))
    monkeypatch.setattr(selectors, "DefaultSelector", clock.selector)
    return Once(settings, open_spool(settings), clock)


def drop(spool: Spool, *names: str) -> None:
    for name in names:
        (spool.inbox / f"{name}.jpg").write_bytes(b"a picture")
        (spool.inbox / f"{name}_mask.png").write_bytes(b"its mask")


def full(*_: object, **_named: object) -> None:
    raise OSError(28, "No space left on device")


def test_it_gives_up_soon_where_the_inbox_can_not_be_listed(
    once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inbox, "look", full)
    took, _ = once.run()
    assert took < 30


def test_it_lets_a_job_in_hand_come_to_its_end_though_the_next_can_not_be_claimed(
    once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(once.spool, "a")
    claim: Callable[..., Record | None] = jobs.claim_pair
    claims: list[str] = []

    def only_the_first(spool: Spool, pair: Pair, band: float | None) -> Record | None:
        claims.append(pair.picture.path)
        if len(claims) > 1:
            full()
        drop(spool, "b")
        return claim(spool, pair, band)

    monkeypatch.setattr(jobs, "claim_pair", only_the_first)
    monkeypatch.setattr("daemon.supervisor.job_queue.files.probe_rename", full)
    took, events = once.run()
    assert events.count("job_finished") == 1
    assert (once.spool.outbox / "a.png").exists()
    assert (once.spool.inbox / "b.jpg").exists()
    assert LONG_S <= took < LONG_S + 60
    assert set(claims[1:]) == {"b.jpg"}


def test_the_watchdog_hears_only_of_looks_that_came_to_their_end(
    once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    look = Inbox.look

    def noted(inbox: Inbox, held: Iterable[str] = ()) -> None:
        told.append("look begins")
        look(inbox, held)
        told.append("look ends")

    monkeypatch.setattr(Inbox, "look", noted)
    monkeypatch.setattr(systemd, "notify", lambda *lines: told.extend(lines))
    once.run()
    assert told[:3] == ["look begins", "look ends", systemd.WATCHDOG]
