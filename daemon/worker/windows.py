"""What a network makes of a photo of any size: it sees windows of it, as memory allows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.worker.bands import cut_out
from daemon.worker.filling import fill_holes
from daemon.worker.holes import window_side
from daemon.worker.inference import Network

Pixels = NDArray[np.uint8]

# Windows that a GPU is given at once; more make nothing faster, as on a CPU any but one.
MOST_IN_A_BATCH: Final = 16


def work(
    network: Network, rgb: Pixels, companion: Pixels, window_memory_bytes: int | None
) -> tuple[Pixels, tuple[str, ...]]:
    """A picture `[H,W,3]` without the holes of its mask `[H,W]`, or alpha `[H,W]` by its trimap.

    With it, what the log says of the windows. See `Network.pixels_at_once` for the memory. Raises
    what `Network.run_batch` does.
    """
    about = network.manifest
    most = network.pixels_at_once(window_memory_bytes)
    if about.task == "matting":
        matte = cut_out(rgb, companion, network.run, about.best_size, about.halo, most)
        return matte.alpha, matte.notes
    side = window_side(about.best_size, about.smallest_size, most)
    batch = 1 if network.device == "cpu" else min(MOST_IN_A_BATCH, max(1, most // side**2))
    filled = fill_holes(rgb, companion, network.run_batch, side, about.smallest_size, batch)
    return filled.picture, filled.notes
