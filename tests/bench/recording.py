"""Which windows a photo is worked in: asked of the daemon's own code, with nothing computed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.worker.inference import Network
from daemon.worker.windows import work

Pixels = NDArray[np.uint8]


class RecordingNetwork(Network):
    """A network that notes the sizes it is given, and gives back what it was given."""

    def __init__(self, path: Path, task: str, device: str) -> None:
        self.shapes: list[tuple[int, int, int]] = []
        super().__init__(path, task, device)
        self.shapes.clear()

    def run_batch(self, pictures: Pixels, companions: Pixels) -> Pixels:
        self.shapes.append((companions.shape[0], companions.shape[1], companions.shape[2]))
        return companions.copy() if self.manifest.task == "matting" else pictures.copy()


@dataclass(frozen=True)
class Windows:
    """Batches `(B, height, width)` in the order in which the network sees them."""

    shapes: tuple[tuple[int, int, int], ...]

    @property
    def count(self) -> int:
        return sum(shape[0] for shape in self.shapes)

    @property
    def pixels(self) -> int:
        return sum(batch * height * width for batch, height, width in self.shapes)


def windows_of(path: Path, task: str, device: str, picture: Pixels, companion: Pixels) -> Windows:
    """The windows of a photo `[H,W,3]` with this mask or trimap `[H,W]`, at the usual settings."""
    network = RecordingNetwork(path, task, device)
    work(network, picture, companion, None)
    return Windows(tuple(network.shapes))
