"""Want of memory: a batch in halves, smaller windows, the CPU; and a process that goes on after it.

There is no GPU here. `OnGpu` stands in for one: it runs on the CPU, says that it is on a GPU, and
raises what a GPU's allocator raises for more pixels than it has memory for.
"""

import gc
import json
import os
import resource
import subprocess
import sys
import threading
import warnings
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import tiny
import torch

from daemon.reasons import Trouble
from daemon.worker.inference import Network, is_poisoned
from daemon.worker.shortage import free_bytes, is_want_of_memory, past_refusal
from daemon.worker.windows import Pixels, Runs, work

PHOTO = np.random.default_rng(0).integers(0, 256, (150, 400, 3), dtype=np.uint8)
SPOTS = np.zeros((150, 400), np.uint8)
for left in range(10, 400, 70):
    SPOTS[70:75, left : left + 5] = 255

CUDA_WORDS = (
    "The following operation failed in the TorchScript interpreter.\n"
    "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
    "79.10 GiB of which 1.02 GiB is free."
)


class OnGpu(Network):
    """Stands in for a network on a GPU with memory for `room` pixels at once."""

    def __init__(self, path: Path, task: str, room: int) -> None:
        super().__init__(path, task, "cpu")
        self.device = "cuda:0"
        self._data = path.read_bytes()
        self.batches: list[tuple[int, ...]] = []
        module = self._module

        def run(images: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
            self.batches.append(tuple(planes.shape[i] for i in (0, 2, 3)))
            if planes.numel() > room:
                raise torch.OutOfMemoryError(CUDA_WORDS)
            made: torch.Tensor = module(images, planes)
            return made

        self._module = run  # type: ignore[assignment]


@pytest.fixture
def small_best(tmp_path: Path) -> Path:
    """An artifact that inverts what is in the hole, best at 64 pixels."""
    return tiny.write_inpaint(tmp_path / "small.pt", best_size=64)


def inverted(photo: Pixels, mask: Pixels) -> Pixels:
    return np.where(mask[..., None] > 0, 255 - photo, photo)


# -- A batch in halves -----------------------------------------------------------------------------


def test_batch_that_does_not_fit_is_run_in_halves_of_halves(small_best: Path) -> None:
    network = OnGpu(small_best, "inpaint", 3 * 64 * 64)
    pictures = np.random.default_rng(1).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    masks = np.full((9, 64, 64), 255, np.uint8)
    assert np.array_equal(network.run_batch(pictures, masks), 255 - pictures)
    assert [shape[0] for shape in network.batches] == [9, 4, 2, 2, 2, 2, 1]
    assert network.cut_to == 2
    network.run_batch(pictures[:2], masks[:2])
    assert network.cut_to is None


def test_batch_that_should_not_fit_is_not_tried(
    small_best: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = OnGpu(small_best, "inpaint", 10**9)
    monkeypatch.setattr(Network, "_free_bytes", lambda _: 2.5 * 64 * 64 * 64)  # of 64 bytes a pixel
    made = network.run_batch(np.zeros((4, 64, 64, 3), np.uint8), np.zeros((4, 64, 64), np.uint8))
    assert len(made) == 4
    assert [shape[0] for shape in network.batches] == [2, 2]
    assert network.cut_to == 2


def test_one_picture_that_does_not_fit_is_a_trouble(small_best: Path) -> None:
    network = OnGpu(small_best, "inpaint", 64 * 64 - 1)
    with pytest.raises(Trouble, match="CUDA out of memory") as caught:
        network.run_batch(np.zeros((4, 64, 64, 3), np.uint8), np.zeros((4, 64, 64), np.uint8))
    assert caught.value.reason.key == "out_of_memory"


# -- Smaller windows, and the CPU ------------------------------------------------------------------


def test_log_says_in_which_batches_a_picture_was_worked(small_best: Path) -> None:
    network = OnGpu(small_best, "inpaint", 2 * 64 * 64)
    result, notes = work(network, PHOTO, SPOTS, None)
    assert np.array_equal(result, inverted(PHOTO, SPOTS))
    assert max(shape[0] for shape in network.batches) > 2
    assert notes[-1] == "in batches of 2, for want of memory on cuda:0"


def test_windows_shrink_where_not_one_fits(small_best: Path) -> None:
    network = OnGpu(small_best, "inpaint", 50 * 50)
    result, notes = work(network, PHOTO, SPOTS, None)
    assert np.array_equal(result, inverted(PHOTO, SPOTS))
    assert network.batches[-1][1:] == (45, 45)
    assert "in windows smaller than usual, for want of memory on cuda:0" in notes


def test_cpu_takes_what_the_gpu_has_no_room_for(small_best: Path) -> None:
    network = OnGpu(small_best, "inpaint", 100)
    result, notes = work(network, PHOTO, SPOTS, None)
    assert np.array_equal(result, inverted(PHOTO, SPOTS))
    assert notes[-1] == "worked on the CPU, for want of memory on cuda:0"
    assert network.on_cpu() is network.on_cpu()
    assert min(shape[1] for shape in network.batches) == 32  # not below half of the best size


def test_matting_shrinks_and_goes_to_the_cpu_too(tmp_path: Path) -> None:
    path = tiny.write_matting(tmp_path / "m.pt", best_size=64)
    trimap = np.zeros((150, 400), np.uint8)
    trimap[:, 200:] = 255
    trimap[40:110, 180:220] = 128
    known = trimap != 128
    for room, note in (
        (50 * 50, "in windows smaller than usual, for want of memory on cuda:0"),
        (100, "worked on the CPU, for want of memory on cuda:0"),
    ):
        alpha, notes = work(OnGpu(path, "matting", room), PHOTO, trimap, None)
        assert np.array_equal(alpha[known], trimap[known])
        assert np.median(alpha[~known]) == 100  # at its rim a window that was scaled down is not
        assert note in notes


def test_what_fails_for_another_reason_is_tried_once(
    small_best: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(small_best, "inpaint", "cpu")
    calls = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(network, "_module", fail)
    with pytest.raises(Trouble, match="mat1"):
        work(network, PHOTO, SPOTS, None)
    assert len(calls) == 1


def test_want_of_memory_that_nothing_helps_is_told(
    small_best: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Runs = OnGpu(small_best, "inpaint", 100)
    assert network.on_cpu() is not None
    monkeypatch.setattr(Network, "_free_bytes", lambda _: 1000)
    with pytest.raises(Trouble) as caught:
        work(network, PHOTO, SPOTS, None)
    assert caught.value.reason.key == "too_large_for_memory"
    assert caught.value.facts["device"] == "cpu"


def test_want_of_memory_that_nothing_helps_holds_no_picture(
    small_best: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next verdict is on what is free then."""
    network: Runs = OnGpu(small_best, "inpaint", 100)
    monkeypatch.setattr(Network, "_free_bytes", lambda _: 1000)
    photo = PHOTO.copy()
    gone = weakref.ref(photo)
    gc.disable()
    try:
        with suppress(Trouble):
            work(network, photo, SPOTS, None)
        del photo
        assert gone() is None
    finally:
        gc.enable()


# -- The words of it -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        CUDA_WORDS,
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "could not create a primitive",
        "std::bad_alloc",
    ],
)
def test_want_of_memory_is_told_by_its_words_and_poisons_nothing(words: str) -> None:
    assert is_want_of_memory(RuntimeError(words))
    assert not is_poisoned(RuntimeError(words))


def test_other_errors_are_no_want_of_memory() -> None:
    assert is_want_of_memory(MemoryError())
    assert not is_want_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_torchscript_makes_a_plain_error_of_its_own_for_want_of_memory() -> None:
    """Why words are looked for and no type: a script's error keeps its text only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        starved = torch.jit.script(_starved)
    with pytest.raises(RuntimeError) as caught:
        starved(torch.zeros(1))
    assert "TorchScript interpreter" in str(caught.value)
    assert is_want_of_memory(caught.value)


def _starved(x: torch.Tensor) -> torch.Tensor:
    return torch.empty([1 << 50], dtype=torch.uint8) + x


# -- Real want of memory, on the CPU ---------------------------------------------------------------

# One process for all, as it takes seconds to start.
_HUNGRY = """
import ctypes, json, resource, sys
from pathlib import Path

import numpy as np, psutil, torch

from daemon.reasons import Trouble
from daemon.worker.inference import Network
from daemon.worker.windows import work

torch.set_num_threads(1)
network = Network(Path(sys.argv[1]), "inpaint", "cpu")
# Estimates are put aside: it shall really run out.
Network._free_bytes = lambda self: 10**12
random = np.random.default_rng(0)
fates = []

def limit(extra):
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is no room for what comes
    most = resource.RLIM_INFINITY
    if extra is not None:
        most = psutil.Process().memory_info().data + extra
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))

def fate(side):
    try:
        network.run(np.zeros((side, side, 3), np.uint8), np.full((side, side), 255, np.uint8))
        return "fits"
    except Trouble as trouble:
        return trouble.reason.key

pictures = random.integers(0, 256, (16, 128, 128, 3), dtype=np.uint8)
masks = np.full((16, 128, 128), 255, np.uint8)
expected = np.stack([network.run(p, m) for p, m in zip(pictures, masks)])
limit(60_000_000)
made = network.run_batch(pictures, masks)
batch = [network.cut_to, int(np.abs(made.astype(int) - expected).max())]

limit(None)
photo = random.integers(0, 256, (600, 1600, 3), dtype=np.uint8)
mask = np.zeros((600, 1600), np.uint8)
mask[100:110, 50:60] = mask[400:410, 1400:1410] = 255
limit(100_000_000)  # the network takes 134 MB for a window of 512 x 512, and half for its half
result, notes = work(network, photo, mask, None)
kept, changed = (result == photo)[mask == 0].all(), (result != photo)[mask > 0].any()

for extra in (1, 2, 4, 8):
    limit(extra * 1_000_000)
    fates += [fate(300 + 4 * extra), fate(150 + 4 * extra)]
limit(None)
later = [fate(333), fate(128), fate(256)]
print(json.dumps({"batch": batch, "notes": notes, "pixels": [bool(kept), bool(changed)],
                  "fates": fates, "later": later}))
"""


class Wide(torch.nn.Module):
    """Convolutions that take 512 bytes and more for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 64, 3, padding=1)
        self.second = torch.nn.Conv2d(64, 3, 3, padding=1)

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        made = self.second(torch.relu(self.first(image.float() / 255)))
        filled = (made.clamp(0.0, 1.0) * 255).to(torch.uint8)
        return torch.where(mask > 0, filled, image)


@pytest.fixture(scope="module")
def hungry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """What a process with little memory tells of its work."""
    path = tmp_path_factory.mktemp("wide") / "wide.pt"
    manifest: dict[str, object] = {
        "contract": "retouchd",
        "contract_version": 1,
        "network": "wide",
        "task": "inpaint",
        "best_size": 512,
        "memory_bytes_per_pixel": 520,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(Wide().eval())
        torch.jit.save(scripted, path, _extra_files={"manifest.json": json.dumps(manifest)})
    path.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", _HUNGRY, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, list[object]] = json.loads(done.stdout)
    return told


def test_batch_that_really_does_not_fit_is_cut(hungry: dict[str, list[int]]) -> None:
    cut_to, largest_difference = hungry["batch"]
    assert 1 <= cut_to < 16
    assert largest_difference <= 1


def test_windows_that_really_do_not_fit_shrink(hungry: dict[str, list[object]]) -> None:
    assert hungry["notes"][-1] == "in windows smaller than usual, for want of memory on the CPU"
    assert hungry["pixels"] == [True, True]


def test_process_works_on_after_memory_was_short(hungry: dict[str, list[str]]) -> None:
    """oneDNN refuses new sizes to a thread that once ran short: see `past_refusal`."""
    assert "out_of_memory" in hungry["fates"]
    assert set(hungry["fates"]) <= {"fits", "out_of_memory"}
    assert hungry["later"] == ["fits", "fits", "fits"]


def test_thread_that_is_refused_is_got_around() -> None:
    here = threading.current_thread()

    def refuse_here() -> str:
        if threading.current_thread() is here:
            raise RuntimeError("RuntimeError: could not create a primitive")
        return "made"

    assert past_refusal(refuse_here) == "made"


def test_free_memory_is_what_the_limit_of_this_process_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = psutil.Process().memory_info().data
    monkeypatch.setattr(resource, "getrlimit", lambda _: (taken + 100_000_000, -1))
    assert 0 <= free_bytes() <= 110_000_000
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, -1))
    assert free_bytes() > 60_000_000
