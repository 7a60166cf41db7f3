"""One thread runs the networks for all jobs: in the jobs' order, and on a GPU in batches.

The network is a stand-in that notes what it is given, so that its device can be called a GPU.
"""

import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from daemon.reasons import Trouble
from daemon.worker.batching import MOST_IN_A_BATCH, Turn, Turns
from daemon.worker.inference import Network, Pixels

SIZE = (4, 6)


@dataclass
class Notes:
    """A network that inverts, notes the first pixel of each picture, and refuses one of 13."""

    device: str
    room: int = 1 << 20
    cut_to: int | None = None
    batches: list[list[int]] = field(default_factory=list)

    def pixels_at_once(self, _memory: int | None) -> int:
        return self.room

    def run_batch(self, pictures: Pixels, _companions: Pixels) -> Pixels:
        firsts = [int(picture[0, 0, 0]) for picture in pictures]
        self.batches.append(firsts)
        if 13 in firsts:
            raise Trouble("model_raised", detail="thirteen")
        return 255 - pictures


def windows(*values: int, size: tuple[int, int] = SIZE) -> Pixels:
    return np.stack([np.full((*size, 3), value, np.uint8) for value in values])


class Jobs:
    """Jobs that ask for windows before any is served, then are served one after the other."""

    def __init__(self) -> None:
        self.turns = Turns(None)
        self._pool = ThreadPoolExecutor(32)

    def turn(self, network: Notes) -> Turn:
        return self.turns.at(cast("Network", network))

    def ask(self, turn: Turn, pictures: Pixels) -> Any:
        waiting = self.turns.waiting_count()
        answer = self._pool.submit(turn.run_batch, pictures, pictures[..., 0])
        while self.turns.waiting_count() == waiting:
            threading.Event().wait(0.001)
        return answer

    def serve(self) -> None:
        while self.turns.waiting_count():
            self.turns.serve_once()

    def close(self) -> None:
        self._pool.shutdown()


def test_an_error_holds_no_picture(jobs: Jobs) -> None:
    picture = windows(13)
    gone = weakref.ref(picture)
    turn = jobs.turn(Notes("cpu"))
    failed: list[str] = []

    def do(pictures: Pixels) -> None:
        try:
            turn.run_batch(pictures, pictures[..., 0])
        except Trouble as trouble:
            failed.append(trouble.sentence)

    thread = threading.Thread(target=do, args=(picture,))
    gc.disable()
    try:
        thread.start()
        jobs.turns.serve_once()
        thread.join()
        del picture, thread
        assert failed
        assert gone() is None
    finally:
        gc.enable()


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    yield jobs
    jobs.close()


def test_the_job_that_came_first_goes_first_however_late_it_asks(jobs: Jobs) -> None:
    network = Notes("cpu")
    first, second = jobs.turn(network), jobs.turn(network)
    jobs.ask(second, windows(2))
    jobs.ask(second, windows(3))
    jobs.ask(first, windows(1))
    jobs.serve()
    assert network.batches == [[1], [2], [3]]


def test_on_a_cpu_every_request_is_run_by_itself(jobs: Jobs) -> None:
    network = Notes("cpu")
    for value in (1, 2, 3):
        jobs.ask(jobs.turn(network), windows(value))
    jobs.serve()
    assert network.batches == [[1], [2], [3]]


def test_on_a_gpu_windows_of_one_size_share_a_batch_whatever_jobs_they_are_of(jobs: Jobs) -> None:
    network = Notes("cuda:0")
    asked = [windows(1), windows(2, size=(6, 4)), windows(3, 4), windows(5)]
    answers = [jobs.ask(jobs.turn(network), pictures) for pictures in asked]
    jobs.serve()
    assert network.batches == [[1, 3, 4, 5], [2]]
    for pictures, answer in zip(asked, answers, strict=True):
        assert np.array_equal(answer.result(10), 255 - pictures)


def test_networks_do_not_share_a_batch(jobs: Jobs) -> None:
    one, other = Notes("cuda:0"), Notes("cuda:0")
    for network in (one, other, one):
        jobs.ask(jobs.turn(network), windows(1))
    jobs.serve()
    assert (one.batches, other.batches) == ([[1, 1]], [[1]])


@pytest.mark.parametrize(
    ("room", "most"), [(1 << 20, MOST_IN_A_BATCH), (3 * SIZE[0] * SIZE[1], 3), (1, 1)]
)
def test_a_batch_is_as_large_as_memory_allows_and_pays(jobs: Jobs, room: int, most: int) -> None:
    network = Notes("cuda:0", room)
    for value in range(100, 120):
        jobs.ask(jobs.turn(network), windows(value))
    jobs.serve()
    assert max(len(batch) for batch in network.batches) == most
    assert [value for batch in network.batches for value in batch] == list(range(100, 120))


def test_trouble_of_one_picture_is_not_that_of_those_in_its_batch(jobs: Jobs) -> None:
    network = Notes("cuda:0")
    answers = [jobs.ask(jobs.turn(network), windows(value)) for value in (12, 13, 14)]
    jobs.serve()
    assert network.batches == [[12, 13, 14], [12], [13], [14]]
    assert np.array_equal(answers[0].result(10), 255 - windows(12))
    with pytest.raises(Trouble, match="thirteen"):
        answers[1].result(10)
    assert np.array_equal(answers[2].result(10), 255 - windows(14))


def test_a_lost_device_ends_the_one_who_serves(jobs: Jobs) -> None:
    network = Notes("cuda:0")
    network.run_batch = _lose_the_device  # type: ignore[assignment, method-assign]
    request = jobs.turns.ask(0, cast("Network", network), windows(1), windows(1)[..., 0])
    with pytest.raises(RuntimeError, match="CUDA error"):
        jobs.turns.serve_once()
    assert not request.answer.done()


def _lose_the_device(*_: object) -> Pixels:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_what_others_take_is_told_as_waiting(jobs: Jobs) -> None:
    turn = jobs.turn(Notes("cpu"))
    answer = jobs.ask(turn, windows(1))
    threading.Event().wait(0.2)
    jobs.serve()
    answer.result(10)
    assert turn.waited_s >= 0.2
