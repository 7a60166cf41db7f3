"""Whose turn it is at the networks: one thread runs them, for all jobs that the worker has in hand.

While it does, the other jobs are decoded and encoded, each in a thread of its own. The job that
came first goes first, so that none waits for those behind it. On a GPU, which gains from it,
windows of equal size that wait together are run together, whatever jobs they are of.
"""

import itertools
import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from daemon.artifact import Manifest
from daemon.reasons import Trouble
from daemon.worker.inference import Network

Pixels = NDArray[np.uint8]

# Windows that a GPU is given at once; more make nothing faster.
MOST_IN_A_BATCH: Final = 16


def batch_of(device: str, window_pixels: int, most_pixels: int) -> int:
    """How many windows of so many pixels are run at once, where `most_pixels` fit, or one does.

    On a CPU one: more make nothing faster there.
    """
    return 1 if device == "cpu" else max(1, min(MOST_IN_A_BATCH, most_pixels // window_pixels))


class _Answer(NamedTuple):
    """What was made; the moment at which the network was free; see `Network.run_batch`."""

    made: Pixels
    began: float
    cut_to: int | None


@dataclass(order=True)
class _Request:
    """Windows of one size that a job wants worked. Those of an earlier `turn` sort first."""

    turn: int
    number: int
    network: Network = field(compare=False)
    pictures: Pixels = field(compare=False)
    companions: Pixels = field(compare=False)
    answer: "Future[_Answer]" = field(compare=False, default_factory=Future)

    def fits_to(self, other: "_Request") -> bool:
        """Whether both can be run at once."""
        is_alike = self.companions.shape[1:] == other.companions.shape[1:]
        return self.network is other.network and is_alike


class Turns:
    """Runs what the jobs ask for, in the order in which the jobs came."""

    def __init__(self, window_memory_bytes: int | None) -> None:
        """See `Network.pixels_at_once` for what the memory is."""
        self._window_memory_bytes = window_memory_bytes
        self._waiting: queue.PriorityQueue[_Request] = queue.PriorityQueue()
        self._turns = itertools.count()
        self._numbers = itertools.count()

    def at(self, network: Network) -> "Turn":
        """A network for a job that begins now."""
        return Turn(network, self, next(self._turns))

    def ask(self, turn: int, network: Network, pictures: Pixels, companions: Pixels) -> _Request:
        """Line up; the request is answered when its turn has come."""
        request = _Request(turn, next(self._numbers), network, pictures, companions)
        self._waiting.put(request)
        return request

    def waiting_count(self) -> int:
        """How many requests wait."""
        return self._waiting.qsize()

    def serve(self) -> NoReturn:
        """Run for ever. What ends the process is raised: see `Network.run_batch`."""
        while True:
            self.serve_once()

    def serve_once(self) -> None:
        """Wait for somebody, and run what is asked for, with all that may be run with it."""
        self._serve(self._next())

    def _serve(self, together: Sequence[_Request]) -> None:
        began = time.perf_counter()
        try:
            results = _run(together)
        except Trouble as trouble:
            if len(together) > 1:  # it may be the trouble of one of them alone
                for request in together:
                    self._serve([request])
            else:
                # A traceback holds what was in use, and whoever waits for this answer too.
                together[0].answer.set_exception(trouble.with_traceback(None))
        else:
            for request, made in zip(together, results, strict=True):
                request.answer.set_result(_Answer(made, began, request.network.cut_to))

    def _next(self) -> list[_Request]:
        first = self._waiting.get()
        together, others = [first], []
        room = self._most_like(first) - len(first.companions)
        while room > 0:
            try:
                request = self._waiting.get_nowait()
            except queue.Empty:
                break
            count = len(request.companions)
            if request.fits_to(first) and count <= room:
                together.append(request)
                room -= count
            else:
                others.append(request)
        for request in others:
            self._waiting.put(request)
        return together

    def _most_like(self, request: _Request) -> int:
        _, height, width = request.companions.shape
        most = request.network.pixels_at_once(self._window_memory_bytes)
        return batch_of(request.network.device, height * width, most)


@dataclass
class Turn:
    """A network as a job sees it. `waited_s` is how long others have had it meanwhile.

    `cut_to` is of the last call; see `Network.run_batch`.
    """

    _network: Network
    _turns: Turns
    _turn: int
    waited_s: float = 0.0
    cut_to: int | None = None

    @property
    def manifest(self) -> Manifest:
        """What the network says of itself."""
        return self._network.manifest

    @property
    def device(self) -> str:
        """What it runs on, by torch's name."""
        return self._network.device

    def require_size(self, width: int, height: int) -> None:
        """See `Network.require_size`."""
        self._network.require_size(width, height)

    def pixels_at_once(self, window_memory_bytes: int | None) -> int:
        """See `Network.pixels_at_once`."""
        return self._network.pixels_at_once(window_memory_bytes)

    def on_cpu(self) -> "Turn | None":
        """See `Network.on_cpu`; it is this job's turn there too."""
        network = self._network.on_cpu()
        return None if network is None else Turn(network, self._turns, self._turn)

    def run_batch(self, pictures: Pixels, companions: Pixels) -> Pixels:
        """Wait for one's turn and run; see `Network.run_batch`."""
        asked = time.perf_counter()
        request = self._turns.ask(self._turn, self._network, pictures, companions)
        try:
            answer = request.answer.result()
        finally:
            del request  # an error would hold it, as it holds the error, and both the picture
        self.waited_s += answer.began - asked
        self.cut_to = answer.cut_to
        return answer.made


def _run(together: Sequence[_Request]) -> list[Pixels]:
    """What the network makes of each of them."""
    network = together[0].network
    if len(together) == 1:
        return [network.run_batch(together[0].pictures, together[0].companions)]
    made = network.run_batch(
        np.concatenate([request.pictures for request in together]),
        np.concatenate([request.companions for request in together]),
    )
    return list(_split(made, [len(request.companions) for request in together]))


def _split(made: Pixels, counts: Sequence[int]) -> Iterator[Pixels]:
    start = 0
    for count in counts:
        yield made[start : start + count]
        start += count
