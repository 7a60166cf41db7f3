"""The work itself: from the files of a pair to the files of its result.

Importing this brings in all that decodes and computes, so a worker confines itself before.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final, NoReturn

from daemon.reasons import Trouble
from daemon.worker import companions, limits, pictures, previews, transparency, trimaps
from daemon.worker.batching import MOST_IN_A_BATCH, Turn, Turns
from daemon.worker.companions import Companion, Subject
from daemon.worker.confinement import Confinement
from daemon.worker.elbowroom import LARGE_FROM, Elbowroom
from daemon.worker.foreground import compile_it, estimate_foreground
from daemon.worker.inference import all_devices, set_threads
from daemon.worker.loading import load_networks
from daemon.worker.pictures import Picture
from daemon.worker.protocol import Done, Hello, Job, Orders, Produced
from daemon.worker.windows import work

# One that is read, one that the network works on, one that is written. A GPU is faster than all of
# that, and is kept busy by as many as may share a batch.
_CPU_JOBS: Final = 3
_GPU_JOBS: Final = MOST_IN_A_BATCH


@dataclass(frozen=True)
class Files:
    """A job's files: picture and companion to read; for each output, by name, an empty one.

    There is no companion where the picture's own transparency is its mask.
    """

    picture: BinaryIO
    companion: BinaryIO | None
    outputs: Mapping[str, BinaryIO]


@contextlib.contextmanager
def opened(job: Job, descriptors: Sequence[int]) -> Iterator[Files]:
    """A job's files, from what came with it. They are written out, and closed, at the end.

    Raises `Trouble` where some did not arrive, `OSError` where what was written can't be kept.
    """
    with contextlib.ExitStack() as stack:
        for fd in descriptors:
            stack.callback(os.close, fd)
        if len(descriptors) != job.inputs + len(job.outputs):
            raise Trouble("too_many_open_files", path="the worker")
        picture, *companion = (
            stack.enter_context(os.fdopen(fd, "rb", closefd=False))
            for fd in descriptors[: job.inputs]
        )
        outputs = {
            name: stack.enter_context(os.fdopen(fd, "r+b", closefd=False))
            for name, fd in zip(job.outputs, descriptors[job.inputs :], strict=True)
        }
        yield Files(picture, companion[0] if companion else None, outputs)


class Worker:
    """Does jobs with the networks of its orders: several at once, each in a thread of its own."""

    def __init__(self, orders: Orders, confinement: Confinement) -> None:
        """Load the networks. Raises `ArtifactError`."""
        set_threads(orders.threads)
        self._orders = orders
        self._confinement = confinement
        self.device = all_devices()[0] if orders.device == "auto" else orders.device
        if self.device == "cpu" and orders.memory_limit_bytes is not None:
            limits.limit_memory(orders.memory_limit_bytes)
        self._networks = load_networks(orders, self.device)
        if self._networks.have("matting"):
            compile_it()
        self._turns = Turns(orders.window_memory_bytes)
        self._elbowroom = Elbowroom()

    @property
    def jobs_at_once(self) -> int:
        """How many jobs it is to have in hand."""
        return self._orders.jobs_at_once or (_CPU_JOBS if self.device == "cpu" else _GPU_JOBS)

    def run_networks(self) -> NoReturn:
        """Run for ever what the jobs want run; see `Turns.serve`. For one thread, the main one."""
        self._turns.serve()

    def turn(self, job: Job) -> Turn:
        """The network of a job, which gets it before all jobs that come later."""
        return self._turns.at(self._networks.of(job))

    def do(self, job: Job, files: Files, network: Turn) -> Done:
        """Do one job; its outputs are written when this returns. Raises `Trouble`, `OSError`.

        Some other thread has to run the networks meanwhile.
        """
        seconds = {"wait": 0.0}
        with contextlib.ExitStack() as room:
            picture, companion, had_company = self._pair(job, files, seconds, room)
            network.require_size(*picture.size)
            try:
                done = self._retouched(job, files, network, picture, companion, seconds)
            except Trouble as trouble:
                if trouble.reason.key != "too_large_for_memory" or not had_company():
                    raise
                # Others had memory that it may have when it is tried again, alone.
                raise Trouble("out_of_memory", detail=trouble.sentence) from None
        seconds["wait"] = round(seconds["wait"] + network.waited_s, 4)
        seconds["network"] = round(max(0.0, seconds["network"] - network.waited_s), 4)
        return done.model_copy(update={"seconds": seconds})

    def _pair(
        self, job: Job, files: Files, seconds: dict[str, float], room: contextlib.ExitStack
    ) -> tuple[Picture, Companion | Subject, Callable[[], bool]]:
        """The decoded files, and in `room` what is to be left when they are needed no more.

        With them what tells whether other jobs were there meanwhile.
        """
        most = self._orders.max_pixels
        for limit in (min(LARGE_FROM, most), most):
            with contextlib.ExitStack() as entered:
                with _timed(seconds, "wait"):
                    taken = self._elbowroom.taken(alone=limit > LARGE_FROM)
                    had_company = entered.enter_context(taken)
                try:
                    with _timed(seconds, "read"):
                        pair = self._read_pair(job, files, limit)
                except Trouble as trouble:
                    if trouble.reason.key != "too_many_pixels" or limit == most:
                        raise
                else:
                    room.push(entered.pop_all())
                    return *pair, had_company
        raise AssertionError("the last limit returns or raises")

    def _read_pair(
        self, job: Job, files: Files, max_pixels: int
    ) -> tuple[Picture, Companion | Subject]:
        picture = pictures.read_picture(self._read(files.picture, "picture"), max_pixels)
        if files.companion is None:
            return transparency.read_hole(picture)
        data = self._read(files.companion, job.role)
        if job.role == "trimap":
            return picture, companions.read_trimap(data, picture, max_pixels)
        if job.task == "inpaint":
            return picture, companions.read_mask(data, picture, max_pixels)
        return picture, companions.read_subject(data, picture, max_pixels)

    def _retouched(
        self,
        job: Job,
        files: Files,
        network: Turn,
        picture: Picture,
        companion: Companion | Subject,
        seconds: dict[str, float],
    ) -> Done:
        outputs, png = [], self._orders.png_compression
        draw: Callable[[], pictures.Pixels]
        if isinstance(companion, Subject):
            assert job.trimap_band_percent is not None  # noqa: S101 - the message's own promise
            with _timed(seconds, "trimap"):
                companion = trimaps.trimap_from(companion, job.trimap_band_percent)
                pictures.write_plane(companion.values, files.outputs["trimap"], png)
            outputs.append(Produced(held="trimap", suffix=".trimap.png"))
        with _timed(seconds, "network"):
            result, seen = work(
                network, picture.rgb(), companion.values, self._orders.window_memory_bytes
            )
        if job.task == "inpaint":
            with _timed(seconds, "write"):
                suffix, notes = pictures.write_retouched(
                    picture,
                    result,
                    companion.values,
                    files.outputs["result"],
                    job.output_format or self._orders.output_format,
                    self._orders.jpeg_quality,
                    png,
                )
            outputs.append(Produced(held="result", suffix=suffix))
            draw = partial(
                previews.strip_of_retouched, picture, companion, result, was_clear=job.by_alpha
            )
        else:
            notes = ()
            with _timed(seconds, "foreground"):
                foreground = estimate_foreground(picture.rgb(), result)
            with _timed(seconds, "write"):
                pictures.write_cutout(picture, foreground, result, files.outputs["cutout"], png)
                pictures.write_plane(result, files.outputs["alpha"], png)
            outputs += [
                Produced(held="cutout", suffix=".cutout.png"),
                Produced(held="alpha", suffix=".alpha.png"),
            ]
            draw = partial(previews.strip_of_cutout, picture, companion, foreground, result)
        previewed = None
        if "preview" in files.outputs:
            with _timed(seconds, "preview"):
                height, width = previews.panel_size(picture)
                pictures.write_preview(draw(), files.outputs["preview"])
            previewed = width, height
            # Published before the others: what people wait for comes last.
            outputs.insert(0, Produced(held="preview", suffix=".preview.jpg"))
        return Done(
            job=job.job,
            outputs=tuple(outputs),
            picture=picture.read,
            companion=companion.read,
            seconds=seconds,
            notes=(*picture.notes, *companion.notes, *seen, *notes),
            preview=previewed,
        )

    def hello(self) -> Hello:
        """What this worker runs on and with."""
        return Hello(
            device=self.device,
            devices=all_devices(),
            torch_version=sys.modules["torch"].__version__,
            jobs_at_once=self.jobs_at_once,
            confinement=self._confinement.holds,
            unconfined=self._confinement.lacks,
            models=self._networks.told(),
            folder_models=self._networks.told_of_folders(),
            refused=tuple(self._networks.refused),
        )

    def _read(self, file: BinaryIO, role: str) -> bytes:
        """A file's content; one that is too large is refused before it takes any memory."""
        size = os.fstat(file.fileno()).st_size
        if size > self._orders.max_file_bytes:
            limit = self._orders.max_file_bytes
            raise Trouble("too_many_bytes", role=role, bytes=size, max_bytes=limit)
        file.seek(0)  # it may be read again, with more room
        return file.read(size)


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = round(seconds.get(step, 0.0) + time.perf_counter() - start, 4)
