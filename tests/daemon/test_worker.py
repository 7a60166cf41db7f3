"""The worker as a real process: messages and open files over its socket, answers over its pipe."""

import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import samples
import tiny
import torch
from driver import PATIENCE_S, REPOSITORY
from PIL import Image

from daemon.worker import channel
from daemon.worker.foreground import estimate_foreground
from daemon.worker.protocol import Done, Hello, Job, Orders, Problem, from_worker, outputs_of
from daemon.worker.trimaps import draw_trimap

PHOTO = np.asarray(samples.photo())
HOLE = samples.hole()
BANDS = samples.bands()
MAX_FILE_BYTES = 1_000_000
# Enough for torch, its threads and a small picture.
MEMORY_LIMIT_BYTES = 1_000_000_000
EARLY = Job(job="early", task="inpaint", role="mask", outputs=("result",))


class WorkerProcess:
    """A worker as the supervisor sees it."""

    def __init__(self, work: Path, first: Orders | Job) -> None:
        self.work = work
        self.ear, theirs = channel.connect()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "daemon.worker.main"],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )
        self.errors: list[bytes] = []
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        channel.send(self.ear, first)

    def _read(self) -> None:
        assert self.process.stdout
        for text in self.process.stdout:
            self._lines.put(text)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr
        self.errors.extend(self.process.stderr)

    def hear(self) -> Hello | Done | Problem:
        """The next message; every line that comes must be one."""
        text = self._lines.get(timeout=PATIENCE_S)
        assert text is not None, b"".join(self.errors).decode()
        return from_worker.validate_json(text)

    def hear_nothing_more(self) -> None:
        assert self._lines.get(timeout=PATIENCE_S) is None

    def do(
        self,
        picture: bytes,
        companion: bytes,
        role: Literal["mask", "trimap"] = "mask",
        job: str = "job",
    ) -> Done | Problem:
        """Put a pair into a job's folder and have it done."""
        self.begin(picture, companion, role, job=job)
        heard = self.hear()
        assert not isinstance(heard, Hello)
        return heard

    def begin(
        self,
        picture: bytes,
        companion: bytes,
        role: Literal["mask", "trimap"] = "mask",
        band: float | None = None,
        job: str = "job",
    ) -> None:
        self.lay(picture, companion, job)
        task: Literal["inpaint", "matting"] = (
            "inpaint" if role == "mask" and not band else "matting"
        )
        order = Job(
            job=job,
            task=task,
            role=role,
            outputs=outputs_of(task, role),
            trimap_band_percent=band,
        )
        self.send(order, self.files(order))

    def lay(self, picture: bytes, companion: bytes, job: str) -> None:
        for name in ("in", "out"):
            (self.work / job / name).mkdir(parents=True, exist_ok=True)
        (self.work / job / "in" / "picture").write_bytes(picture)
        (self.work / job / "in" / "companion").write_bytes(companion)

    def files(self, order: Job) -> list[int]:
        """Descriptors as the supervisor opens them."""
        folder = self.work / order.job
        inputs = [os.open(folder / "in" / name, os.O_RDONLY) for name in ("picture", "companion")]
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        return inputs + [os.open(folder / "out" / name, flags, 0o600) for name in order.outputs]

    def send(self, order: Job, descriptors: list[int]) -> None:
        """Send a job with these descriptors, which are closed here."""
        try:
            channel.send(self.ear, order, descriptors)
        finally:
            for fd in descriptors:
                os.close(fd)

    def result(self, held: str, job: str = "job") -> samples.Pixels:
        return samples.decoded_png((self.work / job / "out" / held).read_bytes())

    def end(self) -> int:
        self.ear.close()
        status: int = self.process.wait(timeout=PATIENCE_S)
        for reader in self._readers:
            reader.join(timeout=PATIENCE_S)
        assert self.process.stdout
        assert self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def orders(**models: Path) -> Orders:
    return Orders.model_validate(
        {
            "device": "cpu",
            "threads": 1,
            "models": {task: str(path) for task, path in models.items()},
            "max_pixels": samples.MAX_PIXELS,
            "max_file_bytes": MAX_FILE_BYTES,
            "output_format": "png",
            "jpeg_quality": 95,
            "confine": "auto",
            "keep_out": (),
            "compile_first": "matting" in models,
            "memory_limit_bytes": None,
        }
    )


Start = Callable[[Orders | Job], WorkerProcess]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Start]:
    """Starts workers that are gone when the test is."""
    started: list[WorkerProcess] = []

    def start(given: Orders | Job) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path, given))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.end()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path, matting_model: Path
) -> Iterator[WorkerProcess]:
    """One worker that can do both tasks, for all tests that leave it running."""
    given = orders(inpaint=inpaint_model, matting=matting_model)
    worker = WorkerProcess(tmp_path_factory.mktemp("work"), given)
    hello = worker.hear()
    assert isinstance(hello, Hello)
    assert set(hello.models) == {"inpaint", "matting"}
    yield worker
    assert worker.process.poll() is None, "it did not outlive the tests"
    assert worker.end() == 0


def png(pixels: samples.Pixels) -> bytes:
    return samples.encoded(Image.fromarray(pixels), "PNG")


# -- Jobs ------------------------------------------------------------------------------------------


def test_mask_job_leaves_the_retouched_picture_in_out(shared: WorkerProcess) -> None:
    done = shared.do(png(PHOTO), png(HOLE))
    assert isinstance(done, Done)
    assert [(o.held, o.suffix) for o in done.outputs] == [("result", ".png")]
    expected = np.where(HOLE[..., None] > 0, 255 - PHOTO, PHOTO)
    assert np.array_equal(shared.result("result"), expected)
    assert set(done.seconds) == {"wait", "read", "network", "write"}
    assert (done.picture.width, done.companion.mode) == (samples.WIDTH, "L")


@pytest.mark.parametrize("name", ["tiff 16 deflate", "png 16 interlaced"])
def test_deep_picture_is_read_and_written_by_a_confined_worker(
    shared: WorkerProcess, name: str
) -> None:
    done = shared.do(samples.deep_sample(name), png(HOLE))
    assert isinstance(done, Done)
    assert done.picture.mode == "RGB, 16 bits"
    file = (shared.work / "job" / "out" / "result").read_bytes()
    result = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    assert result is not None
    assert np.array_equal(result[..., ::-1][HOLE == 0], samples.fine_photo()[HOLE == 0])


def test_trimap_job_leaves_alpha_and_cutout_in_out(shared: WorkerProcess) -> None:
    done = shared.do(png(PHOTO), png(BANDS), "trimap")
    assert isinstance(done, Done)
    outputs = {(o.held, o.suffix) for o in done.outputs}
    assert outputs == {("cutout", ".cutout.png"), ("alpha", ".alpha.png")}
    alpha = np.where(BANDS == 128, 100, BANDS)
    assert np.array_equal(shared.result("alpha"), alpha)
    cutout = shared.result("cutout")
    assert np.array_equal(cutout[..., 3], alpha)
    assert np.array_equal(cutout[BANDS == 255][:, :3], PHOTO[BANDS == 255])
    assert "foreground" in done.seconds


def test_mask_that_becomes_a_trimap_leaves_the_trimap_in_out_too(shared: WorkerProcess) -> None:
    shared.begin(png(PHOTO), png(HOLE), band=5)
    done = shared.hear()
    assert isinstance(done, Done)
    assert [(o.held, o.suffix) for o in done.outputs] == [
        ("trimap", ".trimap.png"),
        ("cutout", ".cutout.png"),
        ("alpha", ".alpha.png"),
    ]
    trimap = draw_trimap(HOLE > 0, np.zeros_like(HOLE > 0), band=3).values
    assert set(np.unique(trimap)) == {0, 128, 255}
    assert np.array_equal(shared.result("trimap"), trimap)
    assert np.array_equal(shared.result("alpha"), np.where(trimap == 128, 100, trimap))
    assert done.notes == (
        "the trimap was made from the mask, with an unknown band of 3 pixels on either side of "
        "its edge (5 % of the picture's shorter side)",
    )
    assert "trimap" in done.seconds


@pytest.mark.parametrize(("value", "shade"), [(0, "white"), (255, "black"), (7, "black")])
def test_mask_without_an_edge_becomes_no_trimap(
    shared: WorkerProcess, value: int, shade: str
) -> None:
    shared.begin(png(PHOTO), png(np.full_like(HOLE, value)), band=5)
    problem = shared.hear()
    assert isinstance(problem, Problem)
    assert (problem.reason, problem.facts) == ("mask_without_edge", {"shade": shade})


def test_cutout_holds_the_foregrounds_colours_and_not_the_photos(shared: WorkerProcess) -> None:
    # A green thing before a blue wall, mixed 100 to 155 in the band: the truth is known.
    green, blue = np.array([20, 200, 40]), np.array([30, 40, 220])
    alpha = np.where(BANDS == 128, 100, BANDS)[..., None] / 255
    composite = np.rint(alpha * green + (1 - alpha) * blue).astype(np.uint8)
    assert isinstance(shared.do(png(composite), png(BANDS), "trimap"), Done)
    band = BANDS == 128
    cutout = shared.result("cutout")[..., :3].astype(int)
    error = np.abs(cutout[band] - green).mean()
    photos_error = np.abs(composite[band].astype(int) - green).mean()
    assert error < photos_error / 4
    assert np.array_equal(cutout[BANDS == 255], composite[BANDS == 255])


def test_notes_of_picture_and_mask_reach_the_supervisor(shared: WorkerProcess) -> None:
    done = shared.do(samples.sample("tiff cmyk"), png(np.zeros_like(HOLE)))
    assert isinstance(done, Done)
    assert done.notes == (
        "converted from CMYK to RGB without a colour profile",
        "the mask marks nothing, so the picture is unchanged",
    )


@pytest.mark.parametrize(
    ("picture", "companion", "reason"),
    [
        (b"GIF89a" + bytes(40), png(HOLE), "not_a_picture"),
        (samples.sample("jpeg")[:-100], png(HOLE), "incomplete"),
        (png(PHOTO), png(HOLE)[:-20], "incomplete"),
        (png(PHOTO), png(HOLE[:-1]), "size_mismatch"),
        (png(PHOTO), png(np.full_like(HOLE, 255)), "mask_covers_everything"),
        (samples.deep("TIFF", colour=True, dtype="float32"), png(HOLE), "deep_colour"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_pair_is_a_problem_and_the_worker_goes_on(
    shared: WorkerProcess, picture: bytes, companion: bytes, reason: str
) -> None:
    problem = shared.do(picture, companion)
    assert isinstance(problem, Problem)
    assert (problem.job, problem.reason) == ("job", reason)
    assert isinstance(shared.do(png(PHOTO), png(HOLE)), Done)


def test_file_of_more_bytes_than_allowed_is_refused_before_it_is_read(
    shared: WorkerProcess,
) -> None:
    large = png(PHOTO) + bytes(MAX_FILE_BYTES)
    for picture, companion, role in ((large, png(HOLE), "picture"), (png(PHOTO), large, "mask")):
        problem = shared.do(picture, companion)
        assert isinstance(problem, Problem)
        facts = {"role": role, "bytes": len(large), "max_bytes": MAX_FILE_BYTES}
        assert (problem.reason, problem.facts) == ("too_many_bytes", facts)


def test_disk_that_is_full_is_a_problem_and_the_worker_goes_on(shared: WorkerProcess) -> None:
    shared.lay(png(PHOTO), png(HOLE), "full")
    order = Job(job="full", task="inpaint", role="mask", outputs=("result",))
    (shared.work / "full" / "out" / "result").symlink_to("/dev/full")
    shared.send(order, shared.files(order))
    problem = shared.hear()
    assert isinstance(problem, Problem)
    assert problem.reason == "disk_full"
    assert isinstance(shared.do(png(PHOTO), png(HOLE)), Done)


def test_job_whose_files_did_not_all_arrive_is_the_worlds_fault(shared: WorkerProcess) -> None:
    shared.lay(png(PHOTO), png(HOLE), "job")
    order = Job(job="job", task="inpaint", role="mask", outputs=("result",))
    first, *others = shared.files(order)
    for fd in others:
        os.close(fd)
    shared.send(order, [first])
    problem = shared.hear()
    assert isinstance(problem, Problem)
    assert problem.reason == "too_many_open_files"
    assert isinstance(shared.do(png(PHOTO), png(HOLE)), Done)


def test_no_job_leaves_a_file_open(shared: WorkerProcess) -> None:
    open_files = Path(f"/proc/{shared.process.pid}/fd")
    shared.do(png(PHOTO), png(HOLE))
    before = len(list(open_files.iterdir()))
    shared.do(png(PHOTO), png(HOLE)[:-20])
    shared.do(png(PHOTO), png(BANDS), "trimap")
    assert len(list(open_files.iterdir())) == before


def test_worker_does_several_jobs_at_once_each_with_its_own_files(shared: WorkerProcess) -> None:
    jobs = [f"job {number}" for number in range(8)]
    photos = [np.roll(PHOTO, number, axis=1) for number in range(8)]
    for job, photo in zip(jobs, photos, strict=True):
        shared.begin(png(photo), png(HOLE), job=job)
    heard = [shared.hear() for _ in jobs]
    assert sorted(message.job or "" for message in heard if isinstance(message, Done)) == jobs
    for job, photo in zip(jobs, photos, strict=True):
        expected = np.where(HOLE[..., None] > 0, 255 - photo, photo)
        assert np.array_equal(shared.result("result", job), expected)


def test_job_that_is_refused_keeps_none_of_those_beside_it(shared: WorkerProcess) -> None:
    shared.begin(b"no picture", png(HOLE), job="bad")
    shared.begin(png(PHOTO), png(HOLE), job="good")
    heard = {
        message.job: message
        for message in (shared.hear(), shared.hear())
        if hasattr(message, "job")
    }
    assert isinstance(heard["bad"], Problem)
    assert isinstance(heard["good"], Done)


# -- Start and end ---------------------------------------------------------------------------------


def test_hello_names_models_device_and_versions(begin: Start, inpaint_model: Path) -> None:
    worker = begin(orders(inpaint=inpaint_model).model_copy(update={"device": "auto"}))
    hello = worker.hear()
    assert isinstance(hello, Hello)
    assert hello.device == hello.devices[0]
    assert hello.devices == ("cpu",) or all(d.startswith("cuda:") for d in hello.devices)
    assert hello.torch_version == torch.__version__
    model = hello.models["inpaint"]
    assert (model.network, model.path, model.trained) == ("tiny", str(inpaint_model), True)
    assert len(model.sha256) == 64
    assert worker.end() == 0  # its supervisor is gone
    assert worker.errors == []


def test_model_that_will_not_do_is_told_and_the_worker_ends(begin: Start, tmp_path: Path) -> None:
    worker = begin(orders(inpaint=tmp_path / "nowhere.pt"))
    problem = worker.hear()
    assert isinstance(problem, Problem)
    assert (problem.job, problem.reason) == (None, "worker_will_not_start")
    assert "nowhere.pt: there is no such file" in str(problem.facts["detail"])
    worker.hear_nothing_more()
    assert worker.process.wait(timeout=PATIENCE_S) == 1
    assert worker.errors == []


def test_worker_ends_in_mid_job_when_the_supervisor_is_gone(begin: Start, tmp_path: Path) -> None:
    worker = begin(orders(inpaint=slow_model(tmp_path)))
    assert isinstance(worker.hear(), Hello)
    worker.begin(png(slow_picture()), png(HOLE))
    time.sleep(0.5)
    start = time.monotonic()
    assert worker.end() == 0
    assert time.monotonic() - start < 10
    worker.hear_nothing_more()
    assert (worker.work / "job" / "out" / "result").read_bytes() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_is_for_the_supervisor_alone(
    shared: WorkerProcess, number: signal.Signals
) -> None:
    """Ctrl-C, and a service manager or a shutdown that asks everybody to stop."""
    shared.begin(png(slow_picture()), png(HOLE), job="slow")
    shared.process.send_signal(number)
    assert isinstance(shared.hear(), Done)
    shared.process.send_signal(number)
    assert isinstance(shared.do(png(PHOTO), png(HOLE)), Done)


def test_first_message_that_is_no_orders_ends_the_worker(begin: Start) -> None:
    worker = begin(EARLY)
    worker.hear_nothing_more()
    assert worker.process.wait(timeout=PATIENCE_S) == 1


def test_worker_ends_while_it_compiles_when_the_supervisor_is_gone(
    begin: Start, tmp_path: Path, matting_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An empty cache: to fill it takes most of a minute.
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    worker = begin(orders(matting=matting_model))
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "cache").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
    (compiler,) = children.read_text().split()
    start = time.monotonic()
    assert worker.end() == 0
    assert time.monotonic() - start < 5
    assert not Path(f"/proc/{compiler}").exists()


def test_worker_whose_compiled_code_can_not_be_kept_tells_so_and_ends(
    begin: Start, tmp_path: Path, matting_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    worker = begin(orders(matting=matting_model))
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (0, 0))  # as a full disk
    problem = worker.hear()
    assert isinstance(problem, Problem)
    assert (problem.job, problem.reason) == (None, "worker_will_not_start")
    assert "can't be compiled and kept" in str(problem.facts["detail"])
    assert worker.process.wait(timeout=PATIENCE_S) == 1


def test_worker_dies_before_the_supervisor_when_memory_runs_out_and_leaves_no_core(
    shared: WorkerProcess,
) -> None:
    about = Path(f"/proc/{shared.process.pid}")
    assert (about / "oom_score_adj").read_text() == "1000\n"
    (core,) = [text for text in (about / "limits").read_text().splitlines() if "core" in text]
    assert core.split()[4:6] == ["0", "0"]


def test_picture_that_needs_more_memory_than_allowed_is_a_problem_and_the_worker_goes_on(
    begin: Start, inpaint_model: Path
) -> None:
    given = orders(inpaint=inpaint_model).model_copy(
        update={"memory_limit_bytes": MEMORY_LIMIT_BYTES, "max_pixels": 10**9}
    )
    worker = begin(given)
    assert isinstance(worker.hear(), Hello)
    bomb = png(np.zeros((20_000, 20_000), np.uint8))
    problem = worker.do(bomb, bomb)
    assert isinstance(problem, Problem)
    assert problem.reason == "out_of_memory"
    assert isinstance(worker.do(png(PHOTO), png(HOLE)), Done)
    assert worker.end() == 0


# -- What libraries print --------------------------------------------------------------------------


def test_prints_go_to_the_log_and_not_into_the_messages(begin: Start, tmp_path: Path) -> None:
    worker = begin(orders(inpaint=write_printing(tmp_path / "prints.pt")))
    assert isinstance(worker.hear(), Hello)
    assert isinstance(worker.do(png(PHOTO), png(HOLE)), Done)
    assert worker.end() == 0
    assert any(b"a line that is no message" in text for text in worker.errors)


def test_warnings_of_decoders_do_not_disturb(shared: WorkerProcess) -> None:
    damaged = bytearray(samples.sample("tiff 1 bit fax"))
    damaged[len(damaged) // 2] ^= 0xFF  # libtiff says on standard error what it thinks of it
    assert isinstance(shared.do(bytes(damaged), png(HOLE)), Done | Problem)
    assert isinstance(shared.do(png(PHOTO), png(HOLE)), Done)


class Prints(torch.nn.Module):
    """Prints, from Python's point of view and from TorchScript's."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        print("a line that is no message")
        return image


def write_printing(path: Path) -> Path:
    manifest: dict[str, Any] = {
        "contract": "retouchd",
        "contract_version": 1,
        "task": "inpaint",
        "network": "prints",
        "memory_bytes_per_pixel": 64,
    }
    scripted = torch.jit.script(Prints().eval())
    torch.jit.save(scripted, path, _extra_files={"manifest.json": json.dumps(manifest)})
    path.chmod(0o644)
    return path


def slow_picture() -> samples.Pixels:
    slow = PHOTO.copy()
    slow[0, 0] = tiny.SLOW_PIXEL
    return slow


def slow_model(folder: Path) -> Path:
    """The tiny network with so much to do that no test waits for its end."""
    path = folder / "slow.pt"
    manifest = {
        "contract": "retouchd",
        "contract_version": 1,
        "task": "inpaint",
        "network": "tiny",
        "memory_bytes_per_pixel": 64,
    }
    scripted = torch.jit.script(tiny.InvertHoles(1_000_000).eval())
    torch.jit.save(scripted, path, _extra_files={"manifest.json": json.dumps(manifest)})
    path.chmod(0o644)
    return path


def test_cutout_of_a_single_pixel_keeps_its_colour() -> None:
    pixel = np.array([[[1, 2, 3]]], np.uint8)
    assert (estimate_foreground(pixel, np.array([[100]], np.uint8)) == pixel).all()
