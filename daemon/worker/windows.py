"""What a network makes of a photo of any size: it sees windows of it, as memory allows.

Where memory turns out to be short, the windows shrink; at last the CPU takes what a GPU has no room
for. Each such try begins the picture anew: it happens seldom, and half a picture is in no state to
be gone on with in windows of another size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from daemon.artifact import Manifest
from daemon.reasons import Trouble
from daemon.worker.bands import cut_out
from daemon.worker.batching import batch_of
from daemon.worker.filling import fill_holes
from daemon.worker.holes import window_side

Pixels = NDArray[np.uint8]

_WANT_OF_MEMORY: Final = ("out_of_memory", "too_large_for_memory")


class Runs(Protocol):
    """A network, or a job's turn at it; see `Network`."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def device(self) -> str: ...
    @property
    def cut_to(self) -> int | None: ...
    def pixels_at_once(self, window_memory_bytes: int | None) -> int: ...
    def run_batch(self, pictures: Pixels, companions: Pixels) -> Pixels: ...
    def on_cpu(self) -> "Runs | None": ...


def work(
    network: Runs, rgb: Pixels, companion: Pixels, window_memory_bytes: int | None
) -> tuple[Pixels, tuple[str, ...]]:
    """A picture `[H,W,3]` without the holes of its mask `[H,W]`, or alpha `[H,W]` by its trimap.

    With it, what the log says of the windows, and of memory where it was short. See
    `Network.pixels_at_once` for the memory. Raises what `Network.run_batch` does; for want of
    memory only where the CPU has none for the smallest windows either.
    """
    trouble: Trouble | None = None
    for attempt in _attempts(network, window_memory_bytes, companion.size):
        try:
            result, notes = attempt.work(rgb, companion)
        except Trouble as met:
            if met.reason.key not in _WANT_OF_MEMORY:
                raise
            trouble = met.with_traceback(None)  # which holds what was in use
        else:
            return result, (*notes, *attempt.notes(network.device))
    assert trouble is not None  # noqa: S101 - there is an attempt, and it did not return
    try:
        raise trouble
    finally:
        del trouble  # they would hold each other, and the picture


@dataclass
class _Attempt:
    """A network, and windows of a `side` it likes, or of `most` pixels where that is larger."""

    network: Runs
    side: int
    most: int
    is_smaller: bool
    cut_to: int | None = None

    def work(self, rgb: Pixels, companion: Pixels) -> tuple[Pixels, tuple[str, ...]]:
        """See the module's `work`."""
        about = self.network.manifest
        if about.task == "matting":
            matte = cut_out(rgb, companion, self._run, self.side, about.halo, self.most)
            return matte.alpha, matte.notes
        batch = batch_of(self.network.device, self.side**2, self.most)
        least = about.smallest_size
        filled = fill_holes(rgb, companion, self._run_batch, self.side, least, batch)
        return filled.picture, filled.notes

    def notes(self, device: str) -> tuple[str, ...]:
        """What the log says of the want of memory on a device."""
        notes = []
        if self.network.device != device:
            notes.append(f"worked on the CPU, for want of memory on {device}")
        if self.is_smaller:
            notes.append(f"in windows smaller than usual, for want of memory on {self._where}")
        if self.cut_to is not None:
            notes.append(f"in batches of {self.cut_to}, for want of memory on {self._where}")
        return tuple(notes)

    @property
    def _where(self) -> str:
        device = self.network.device
        return "the CPU" if device == "cpu" else device

    def _run(self, picture: Pixels, companion: Pixels) -> Pixels:
        result: Pixels = self._run_batch(picture[None], companion[None])[0]
        return result

    def _run_batch(self, pictures: Pixels, companions: Pixels) -> Pixels:
        made = self.network.run_batch(pictures, companions)
        cut_to = self.network.cut_to
        if cut_to is not None:
            self.cut_to = min(cut_to, self.cut_to or cut_to)
        return made


def _attempts(
    network: Runs, window_memory_bytes: int | None, picture_pixels: int
) -> Iterator[_Attempt]:
    """The usual windows, then such of half the pixels and so on; then the same on the CPU."""
    about = network.manifest
    most = network.pixels_at_once(window_memory_bytes)
    if about.task == "matting":
        side = about.best_size
        # No window is larger than the picture, and none has to be smaller than the best.
        most = max(side * side, min(most, picture_pixels))
    else:
        side = window_side(about.best_size, about.smallest_size, most)
    yield _Attempt(network, side, most, is_smaller=False)
    least = max(about.smallest_size, about.best_size // 2)
    pixels = most if about.task == "matting" else side * side
    while (pixels := pixels // 2) >= least * least:
        yield _Attempt(network, min(side, isqrt(pixels)), pixels, is_smaller=True)
    on_cpu = network.on_cpu()
    if on_cpu is not None:
        yield from _attempts(on_cpu, window_memory_bytes, picture_pixels)
