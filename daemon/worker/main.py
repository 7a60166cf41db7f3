"""The worker process: takes jobs from standard input, does them, reports on standard output.

It may die at any time, and it ends itself when the supervisor does. It reads `in/` and writes
`out/` of the job it was given, and knows of no other folder.
"""

import contextlib
import io
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

import numpy as np

from daemon.artifact import ArtifactError
from daemon.reasons import Trouble, world_trouble
from daemon.worker import companions, pictures, trimaps
from daemon.worker.companions import Companion, Subject
from daemon.worker.inference import (
    Network,
    Pixels,
    all_devices,
    is_poisoned,
    set_threads,
)
from daemon.worker.pictures import Picture
from daemon.worker.protocol import (
    Done,
    Hello,
    Job,
    Model,
    Orders,
    Problem,
    Produced,
    line,
    to_worker,
)

_CHUNK_BYTES: Final = 1 << 16


class Worker:
    """Does jobs, one after the other, with the networks of its orders."""

    def __init__(self, work: Path, orders: Orders) -> None:
        """Load the networks. Raises `ArtifactError`."""
        set_threads(orders.threads)
        self._work = work
        self._orders = orders
        self.device = all_devices()[0] if orders.device == "auto" else orders.device
        self.networks = {
            task: Network(Path(path), task, self.device) for task, path in orders.models.items()
        }
        if "matting" in self.networks:
            _estimate_foreground(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))

    def do(self, job: Job) -> Done:
        """Do one job; its outputs are in `out/` when this returns. Raises `Trouble`, `OSError`."""
        folder = self._work / job.job
        seconds: dict[str, float] = {}
        limit = self._orders.max_pixels
        network = self.networks[job.task]
        with _timed(seconds, "read"):
            picture = pictures.read_picture(folder / "in" / "picture", limit)
            companion = _read_companion(job, folder / "in" / "companion", picture, limit)
        network.require_memory(*picture.size)
        outputs = []
        if isinstance(companion, Subject):
            assert job.trimap_band_percent is not None  # noqa: S101 - the message's own promise
            with _timed(seconds, "trimap"):
                companion = trimaps.trimap_from(companion, job.trimap_band_percent)
                pictures.write_plane(companion.values, folder / "out" / "trimap")
            outputs.append(Produced(held="trimap", suffix=".trimap.png"))
        with _timed(seconds, "network"):
            result = network.run(picture.rgb(), companion.values)
        if job.task == "inpaint":
            with _timed(seconds, "write"):
                suffix, notes = pictures.write_retouched(
                    picture,
                    result,
                    companion.values,
                    folder / "out" / "result",
                    self._orders.output_format,
                    self._orders.jpeg_quality,
                )
            outputs.append(Produced(held="result", suffix=suffix))
        else:
            notes = ()
            with _timed(seconds, "foreground"):
                foreground = _estimate_foreground(picture.rgb(), result)
            with _timed(seconds, "write"):
                pictures.write_cutout(picture, foreground, result, folder / "out" / "cutout")
                pictures.write_plane(result, folder / "out" / "alpha")
            outputs += [
                Produced(held="cutout", suffix=".cutout.png"),
                Produced(held="alpha", suffix=".alpha.png"),
            ]
        return Done(
            job=job.job,
            outputs=tuple(outputs),
            picture=picture.read,
            companion=companion.read,
            seconds=seconds,
            notes=(*picture.notes, *companion.notes, *notes),
        )

    def hello(self) -> Hello:
        """What this worker runs on and with."""
        return Hello(
            device=self.device,
            devices=all_devices(),
            torch_version=sys.modules["torch"].__version__,
            models={
                task: Model(
                    path=str(network.path),
                    sha256=network.sha256,
                    **network.manifest.model_dump(include=set(Model.model_fields) - {"path"}),
                )
                for task, network in self.networks.items()
            },
        )


def _read_companion(job: Job, path: Path, picture: Picture, limit: int) -> Companion | Subject:
    if job.role == "trimap":
        return companions.read_trimap(path, picture, limit)
    if job.task == "inpaint":
        return companions.read_mask(path, picture, limit)
    return companions.read_subject(path, picture, limit)


def _estimate_foreground(picture: Pixels, alpha: Pixels) -> Pixels:
    """Foreground colours `[H,W,3]` behind a matte `[H,W]`; the picture's own where it is opaque.

    Multi-level estimation (Germer et al. 2020, arXiv 2006.14970), by PyMatting.
    """
    if alpha.size == 1:  # no neighbour to estimate from
        return picture
    # Imported here: it compiles itself, and who only fills holes should not wait for it.
    from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml

    estimated = estimate_foreground_ml(picture / 255.0, alpha / 255.0)
    colours = np.clip(np.rint(estimated * 255), 0, 255).astype(np.uint8)
    return np.where((alpha == 255)[..., None], picture, colours)


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - start, 4)


def _answer(worker: Worker, job: Job) -> Done | Problem:
    try:
        return worker.do(job)
    except Trouble as met:
        trouble = met
    except MemoryError:
        trouble = Trouble("out_of_memory", detail="the machine's memory")
    except FileNotFoundError:
        trouble = Trouble("vanished")
    except OSError as error:
        trouble = world_trouble(error)
    return Problem(job=job.job, reason=trouble.reason.key, facts=trouble.facts)


def _read_lines(lines: "queue.SimpleQueue[bytes]") -> NoReturn:
    """Pass lines on; when the supervisor is gone, so is this process, in the midst of a job too."""
    # Not by way of sys.stdin: its lock, held by this thread, would abort a main thread that ends.
    rest = b""
    while chunk := os.read(0, _CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for text in whole:
            lines.put(text)
    os._exit(0)


def _claim_stdout() -> BinaryIO:
    """Keep standard output for messages: whatever a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # it is a log now
    return out


def main() -> int:
    """Run until the supervisor closes our standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to hear
    out = _claim_stdout()
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()
    orders = to_worker.validate_json(lines.get())
    if not isinstance(orders, Orders):
        raise TypeError("the first message must be the orders")
    try:
        worker = Worker(Path(os.fsdecode(os.fsencode(sys.argv[1]))), orders)
    except ArtifactError as error:
        trouble = Trouble("worker_will_not_start", detail=error)
        out.write(line(Problem(job=None, reason=trouble.reason.key, facts=trouble.facts)))
        return 1
    out.write(line(worker.hello()))
    while True:
        job = to_worker.validate_json(lines.get())
        if isinstance(job, Job):
            try:
                out.write(line(_answer(worker, job)))
            except RuntimeError as error:
                if not is_poisoned(error):
                    raise
                print(f"retouchd worker: the device is lost: {error}", file=sys.stderr)  # noqa: T201
                return 70


if __name__ == "__main__":
    sys.exit(main())
