"""What a run shows: lines for people, scalars and pictures to look back on."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from models.training.drafts import named

BOARD = "board"  # TensorBoard's folder


class Board:
    """Keep a run's scalars in `scalars.jsonl` and, where it is installed, for TensorBoard.

    Pictures go to `pictures/STEP.png` too. With `shown` false nothing is written at all: the other
    devices of a group stay silent.
    """

    def __init__(self, folder: Path, *, shown: bool = True) -> None:
        self.folder = folder
        self.shown = shown
        self.started = time.monotonic()
        self._writer = _tensorboard(folder) if shown else None
        self._bar = _bar() if shown and sys.stderr.isatty() else None

    def __enter__(self) -> "Board":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.close()
        if self._writer:
            with named(self.folder / BOARD):
                self._writer.close()

    def say(self, text: str) -> None:
        """Tell people a sentence."""
        if self.shown:
            sys.stderr.write(f"{text}\n")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Keep a step's numbers."""
        if not self.shown:
            return
        seconds = round(time.monotonic() - self.started, 1)
        line = {"step": step, "seconds": seconds} | {k: round(v, 6) for k, v in values.items()}
        path = self.folder / "scalars.jsonl"
        with named(path), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._writer:
            with named(self.folder / BOARD):
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, pictures: Tensor) -> None:
        """Keep a row of pictures, `[N,3,H,W]` in 0..1."""
        if not self.shown:
            return
        row = pictures.float().clamp(0, 1).mul(255).byte().permute(0, 2, 3, 1).cpu().numpy()
        place = self.folder / "pictures"
        place.mkdir(exist_ok=True)
        path = place / f"{step:07d}.png"
        with named(path):
            Image.fromarray(np.concatenate(list(row), axis=1)).save(path)
        if self._writer:
            with named(self.folder / BOARD):
                self._writer.add_images("pictures", pictures.float().clamp(0, 1), step)

    def progress(
        self, step: int, steps: int, per_second: float, share: float, losses: dict[str, float]
    ) -> None:
        """Tell how far it is, how fast, and with what share of the device: a bar, or a line."""
        if not self.shown:
            return
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        text = f"{per_second:.1f} pictures/s, {share:.0%} of peak  {numbers}"
        if self._bar:
            self._bar.show(step, steps, text)
        else:
            sys.stderr.write(f"step {step}/{steps}  {text}\n")


class _Bar:
    """rich's progress bar, started when the first step is known."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def show(self, step: int, steps: int, text: str) -> None:
        self._progress.update(self._task, completed=step, total=steps, description=text)

    def close(self) -> None:
        self._progress.stop()


def _bar() -> _Bar | None:
    """A bar, or None where rich isn't installed: then lines do."""
    try:
        return _Bar()
    except ImportError:
        return None


def _tensorboard(folder: Path) -> Any:
    """TensorBoard's writer, or None: training runs where only torch is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / BOARD))
