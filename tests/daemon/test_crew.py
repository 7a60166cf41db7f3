"""The crew in its own process: what its clock does to real workers."""

import selectors
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from daemon.settings import Settings
from daemon.spool.layout import Spool, locked, open_spool
from daemon.supervisor.crew import START_TIMEOUT_S, Crew, Death


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crew(tmp_path: Path, clock: Clock) -> Iterator[Crew]:
    settings = Settings(
        spool=tmp_path / "spool", inpaint_model=tiny.write_hanging(tmp_path / "hang.pt")
    )
    spool: Spool = open_spool(settings)
    with locked(spool) as lock:
        crew = Crew(settings, spool, lock, clock)
        yield crew
        crew.dismiss(grace_s=0)


def test_a_worker_that_never_gets_ready_is_ended_and_another_is_tried_later(
    crew: Crew, clock: Clock
) -> None:
    crew.tend()
    (worker,) = crew.workers
    with selectors.DefaultSelector() as selector:
        selector.register(worker.out, selectors.EVENT_READ)
        assert [crew.listen(worker) for _ in selector.select(8)] == []  # hangs in its first trial
        clock.now += START_TIMEOUT_S - 1
        crew.tend()
        assert worker.process.poll() is None
        clock.now += 1
        crew.tend()
        assert selector.select(60)
    heard = crew.listen(worker)
    assert [type(each) for each in heard] == [Death]
    assert crew.refusal == "it was not ready after 600 s"
    assert not Path(f"/proc/{worker.process.pid}").exists()
    crew.tend()
    assert crew.workers == []
    clock.now = crew.due()
    crew.tend()
    (another,) = crew.workers
    assert another.process.pid != worker.process.pid
    assert Path(f"/proc/{another.process.pid}").exists()
