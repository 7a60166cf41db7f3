"""Run a written artifact in a fresh process and hold it against the eager network.

The fresh process imports torch and the contract but no network definition: what it runs comes from
the file alone, and it reads the file as the daemon does. `FreshProcess` starts it and asks;
`python -m export.verify DEVICE` is the process itself: a request a line, an answer a line.
"""

import contextlib
import ctypes
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from daemon.artifact import Manifest, manifest_of, read_artifact
from export.torchscript import from_bytes

Task = Literal["inpaint", "edges", "matting"]
Precision = Literal["fp32", "fp16", "bf16"]

# Square, wide, tall with odd sides, and smaller than the networks take without padding.
SHAPES = ((96, 96), (64, 112), (107, 61), (7, 5))
BATCHES = (1, 3)

# Of the samples that the network made, this share may be off in float32: truncation to uint8 turns
# the last bit of a float into a step of one where a value lies close to a whole number.
OFF_SHARE = 0.005
# And by no more than this. In the matting network the last bit may also decide which of two pixels
# a pooling takes for the larger, and moves what is unpooled there; seen where a batch's
# convolutions are summed in another order than a single picture's.
OFF_LIMIT = {"edges": 1, "inpaint": 1, "matting": 16}

# Mean difference from the float32 network over the samples made, in steps of 1/255, above which a
# file of that precision is refused. A wrong weight costs tens; a random matting network, whose
# poolings choose anew at every rounding, up to 1 in float16 and 12 in bfloat16.
MEAN_LIMIT = {"fp16": 4.0, "bf16": 24.0}

# Large enough that what grows with the picture outweighs what doesn't.
MEMORY_SIDE_PX = 512
# CPUs take twenty times as long over float16, which is meant for GPUs.
MEMORY_SIDE_FP16_CPU_PX = 192
# Peaks differ a little from run to run, and with the number of threads.
MEMORY_MARGIN = 1.25

_PACKAGES = Path(__file__).resolve().parents[1]


class VerificationError(Exception):
    """An artifact does not do what the network does. The text says what was seen."""


@dataclass(frozen=True)
class Case:
    """A batch and what the network makes of it: uint8 tensors, as the contract has them."""

    image: Tensor
    companion: Tensor
    expected: Tensor


@dataclass(frozen=True)
class Report:
    """Differences between an artifact and the eager network, over the samples made."""

    cases: int
    samples: int
    off: int
    largest: int
    mean: float


def make_cases(eager: Callable[[Tensor, Tensor], Tensor], task: Task) -> list[Case]:
    """Pictures of every shape and batch size, and what the eager network makes of each alone.

    `eager` takes and gives the contract's tensors, on the CPU. Seeded: always the same pictures.
    """
    random = torch.Generator().manual_seed(20250611)
    cases = []
    for height, width in SHAPES:
        for batch in BATCHES:
            image = _picture(batch, height, width, random)
            companion = _companion(task, batch, height, width, random)
            with torch.inference_mode():
                alone = [eager(image[i : i + 1], companion[i : i + 1]) for i in range(batch)]
            cases.append(Case(image, companion, torch.cat(alone)))
    return cases


class FreshProcess:
    """A process that has made no artifact, to run one in. Use as a context manager.

    It starts at once and is gone at the block's end. One process answers any number of questions;
    each loads the file anew.
    """

    def __init__(self, device: str) -> None:
        # The same packages as here, wherever this was started.
        search = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
        self._complaints: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "export.verify", device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env={**os.environ, "PYTHONPATH": search},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()  # it holds nothing worth an orderly end
        self._process.communicate()
        self._complaints.close()

    def check(self, path: Path, cases: list[Case]) -> Report:
        """Hold an artifact against `cases`. Raises `VerificationError` on a difference."""
        with tempfile.TemporaryDirectory(prefix="retouchd-verify-") as folder:
            file = Path(folder, "cases.pt")
            torch.save([(case.image, case.companion, case.expected) for case in cases], file)
            answer = self._ask({"artifact": str(path), "cases": str(file)})
        if "fault" in answer:
            raise VerificationError(f"The artifact differs from the network: {answer['fault']}.")
        return Report(**answer)

    def measure_memory(self, path: Path) -> int:
        """Peak working memory of an artifact, bytes per input pixel, erring on the high side.

        The file is loaded and run once on a tiny picture, so that weights and libraries are in
        place. Then a square of 512 pixels' side is run (192 for fp16 on a CPU), and what the peak
        rose above the level before it is divided by the pixels and multiplied by 1.25. On the CPU
        the peak is the process's resident high-water mark, on CUDA that of torch's allocator.
        Weights, libraries and CUDA context are not in it; pictures of a batch add up. Raises
        `VerificationError` where the artifact can't run.
        """
        return int(self._ask({"artifact": str(path)})["bytes_per_pixel"])

    def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        line = ""
        if self._process.stdin and self._process.stdout:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        if not line:
            self._complaints.seek(0)
            last = (self._complaints.read().strip().splitlines() or ["it said nothing"])[-1]
            raise VerificationError(
                f"The artifact does not run in a fresh process "
                f"(exit {self._process.wait()}): {last}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def _picture(batch: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """Soft blobs with hard-edged patches and some noise: edges to find, and no two samples tied."""
    soft = torch.rand(batch, 3, 5, 5, generator=random)
    soft = F.interpolate(soft, size=(height, width), mode="bilinear")
    patches = torch.rand(batch, 3, 8, 8, generator=random).round()
    patches = F.interpolate(patches, size=(height, width), mode="nearest")
    noise = torch.rand(batch, 3, height, width, generator=random)
    return (255 * (0.6 * soft + 0.3 * patches + 0.1 * noise)).to(torch.uint8)


def _companion(task: Task, batch: int, height: int, width: int, random: torch.Generator) -> Tensor:
    """A mask with holes, or a trimap with every kind of region, in blocks."""
    kinds = [0, 128, 255] if task == "matting" else [0, 0, 255, 1]
    blocks = torch.randint(len(kinds), (batch, 1, 6, 6), generator=random)
    values = torch.tensor(kinds, dtype=torch.uint8)[blocks].float()
    return F.interpolate(values, size=(height, width), mode="nearest").to(torch.uint8)


def _answer(request: dict[str, str], device: str) -> dict[str, Any]:
    """In the fresh process: a `Report`'s fields or a `fault` for cases, else the memory."""
    path = Path(request["artifact"])
    data = read_artifact(path)
    manifest = manifest_of(path, io.BytesIO(data))
    run = _Run(from_bytes(data, device), torch.device(device))
    if "cases" not in request:
        return {"bytes_per_pixel": _bytes_per_pixel(run, manifest)}
    cases = [Case(*tensors) for tensors in torch.load(request["cases"], weights_only=True)]
    return _compare(run, cases, manifest)


@dataclass(frozen=True)
class _Run:
    """An artifact as a function from CPU tensors to a CPU tensor."""

    module: torch.jit.ScriptModule
    device: torch.device

    def __call__(self, image: Tensor, companion: Tensor) -> Tensor:
        with torch.inference_mode():
            result: Tensor = self.module(image.to(self.device), companion.to(self.device))
        return result.cpu()


def _compare(run: _Run, cases: list[Case], manifest: Manifest) -> dict[str, Any]:
    """The report's fields, or `fault` with a sentence."""
    # TF32 rounds float32 convolutions to 10 bits on a GPU; here the mathematics are compared.
    torch.backends.cudnn.allow_tf32 = False
    gaps = []
    for case in cases:
        result = run(case.image, case.companion)
        where = f"at {list(case.image.shape)}"
        if result.dtype != torch.uint8 or result.shape != case.expected.shape:
            what = f"{result.dtype} {list(result.shape)}"
            return {"fault": f"{where} it gives {what} and not uint8 {list(case.expected.shape)}"}
        gap = (result.int() - case.expected.int()).abs()
        made = _made(case.companion, manifest.task).expand_as(gap)
        if bool((gap[~made] != 0).any()):
            return {"fault": f"{where} it changes samples outside the mask or unknown region"}
        gaps.append(gap[made])
    gap = torch.cat(gaps)
    report = Report(
        cases=len(cases),
        samples=gap.numel(),
        off=int((gap > 0).sum()),
        largest=int(gap.max()),
        mean=float(gap.double().mean()),
    )
    fault = _judge(report, manifest)
    return {"fault": fault} if fault else vars(report)


def _judge(report: Report, manifest: Manifest) -> str | None:
    """What is wrong with the differences, or nothing."""
    if manifest.precision == "fp32":
        most = OFF_LIMIT[manifest.task]
        good = report.largest <= most and report.off <= OFF_SHARE * report.samples
        allowed = f"at most {OFF_SHARE:.1%} off by at most {most} is allowed"
    else:
        limit = MEAN_LIMIT[manifest.precision]
        good = report.mean <= limit
        allowed = f"a mean of {limit} is allowed in {manifest.precision}"
    if good:
        return None
    return (
        f"{report.off} of {report.samples} samples, by up to {report.largest}, "
        f"{report.mean:.2f} in the mean; {allowed}"
    )


def _made(companion: Tensor, task: Task) -> Tensor:
    """Where the network, and not the input, decides."""
    return (companion != 0) & (companion != 255) if task == "matting" else companion != 0


def _bytes_per_pixel(run: _Run, manifest: Manifest) -> int:
    task = manifest.task
    random = torch.Generator().manual_seed(1)
    tiny = _picture(1, 32, 32, random), _companion(task, 1, 32, 32, random)
    slow = manifest.precision == "fp16" and run.device.type == "cpu"
    side = MEMORY_SIDE_FP16_CPU_PX if slow else MEMORY_SIDE_PX
    large = _picture(1, side, side, random), _companion(task, 1, side, side, random)
    run(*tiny)
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.device)
        before = torch.cuda.memory_allocated(run.device)
        run(*large)
        growth = torch.cuda.max_memory_allocated(run.device) - before
    else:
        _return_free_memory()
        _reset_peak_rss()
        before = _status_bytes("VmRSS")
        run(*large)
        growth = _status_bytes("VmHWM") - before
    return max(1, int(MEMORY_MARGIN * growth / side**2))


def _return_free_memory() -> None:
    """Give back what loading left free: a run that works in it would seem to need nothing."""
    # Only glibc keeps so much, and only glibc has the call.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak_rss() -> None:
    """Lower the high-water mark to what is resident now, where the kernel lets a process do so."""
    # Where it does not, the mark includes the file's loading: too high, never too low.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _status_bytes(field: str) -> int:
    """A memory figure of this process. `getrusage` won't do: it inherits the parent's peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise VerificationError(f"/proc/self/status has no {field}: memory can't be measured here.")


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line), sys.argv[1])) + "\n")
        sys.stdout.flush()
