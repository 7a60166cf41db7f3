"""Networks in use: the only module of the daemon that imports torch.

Runs any artifact that meets the contract of `daemon.artifact`, on one device.
"""

import hashlib
import io
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from daemon.artifact import ArtifactError, Manifest, manifest_of, read_artifact
from daemon.reasons import Trouble
from daemon.worker.halves import widen
from daemon.worker.shortage import free_bytes, is_want_of_memory, past_refusal

Pixels = NDArray[np.uint8]

# What may be used of the memory that is free now; the rest is for decoding, encoding and others.
_MEMORY_SHARE: Final = 0.8
# For artifacts that do not say what they need: EdgeConnect at its published width, rounded up.
_UNKNOWN_BYTES_PER_PIXEL: Final = 4096

# What a network's windows may take unless it is set. On a CPU more of it makes nothing faster.
_CPU_WINDOW_BYTES: Final = 1.5e9
_GPU_SHARE: Final = 0.5

_TASKS: Final = {"inpaint": "inpaint", "matting": "matting"}


def all_devices() -> tuple[str, ...]:
    """Every device this machine has for networks: its GPUs, or else the CPU."""
    return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count())) or ("cpu",)


def set_threads(threads: int | None) -> None:
    """Limit the CPU threads of a network; None leaves torch its own choice."""
    if threads:
        torch.set_num_threads(threads)


class Network:
    """One artifact, loaded on one device."""

    def __init__(self, path: Path, task: str, device: str, data: bytes | None = None) -> None:
        """Load and try it; `data` is what the file holds, where it has been read already.

        Raises `ArtifactError` where it is not ours, unsafe or does not run.
        """
        data = read_artifact(path) if data is None else data
        self.path = path
        self.device = device
        self.manifest: Manifest = manifest_of(path, io.BytesIO(data))
        self.sha256 = hashlib.sha256(data).hexdigest()
        if self.manifest.task != task:
            raise ArtifactError(
                f"{path}: is a model for {self.manifest.task!r}, not for {task!r}. "
                "Set the model of the other task to it, or export the right stage."
            )
        self.cut_to: int | None = None
        self._is_on_gpu = _is_gpu(device)
        # For a copy on the CPU. The file may be another by then.
        self._data = data if self._is_on_gpu else None
        self._copy: Network | None = None
        self._copying = threading.Lock()
        try:
            self._module = _load(data, device, self.manifest.precision)
            self._try()
        except (RuntimeError, Trouble) as error:
            what = f"{path}: does not run on {device}: {first_line(error)}"
            if not _computes(device, self.manifest.precision):
                what += f" ({self.manifest.precision} as fp32). Export it with --precision fp32."
            raise ArtifactError(what) from None

    def require_size(self, width: int, height: int) -> None:
        """Raise `Trouble` where a picture is smaller than the network can work on."""
        smallest = self.manifest.smallest_size
        if min(width, height) < smallest:
            raise Trouble("too_small", width=width, height=height, smallest=smallest)

    def require_memory(self, width: int, height: int) -> None:
        """Raise `Trouble` where what is to be worked at once would not fit in memory."""
        each = self._bytes_per_pixel
        need, have = each * width * height, self._free_bytes() * _MEMORY_SHARE
        if need > have:
            raise Trouble(
                "too_large_for_memory",
                width=width,
                height=height,
                need_gb=need / 1e9,
                have_gb=have / 1e9,
                device=self.device,
                fits=int(have / each),
            )

    def run(self, picture: Pixels, companion: Pixels) -> Pixels:
        """Run one picture `[H,W,3]` with its mask or trimap `[H,W]`; see `run_batch`."""
        result: Pixels = self.run_batch(picture[None], companion[None])[0]
        return result

    def run_batch(self, pictures: Pixels, companions: Pixels) -> Pixels:
        """Run pictures `[B,H,W,3]` with their masks or trimaps `[B,H,W]`, all uint8.

        Returns `[B,H,W,3]` for inpainting, `[B,H,W]` for matting. For want of memory they are run
        in halves, and those in halves; `cut_to` is then how many at once, and else None. Raises
        `Trouble`: `too_large_for_memory`, before anything runs, or `out_of_memory` where not even
        one of them has room. A `RuntimeError` for which `is_poisoned` holds means that this process
        is done for.
        """
        self.cut_to = None
        batch, height, width = companions.shape
        at_once = self._fitting(batch, width, height)
        made: list[Pixels] = []
        while (done := sum(map(len, made))) < batch:
            part = slice(done, done + at_once)
            try:
                made.append(self._run(pictures[part], companions[part]))
            except Trouble as trouble:
                if trouble.reason.key != "out_of_memory" or at_once == 1:
                    raise
                at_once = self.cut_to = at_once // 2
        return made[0] if len(made) == 1 else np.concatenate(made)

    def on_cpu(self) -> "Network | None":
        """The same network on the CPU, for what a GPU has no memory for.

        None where this one is there, or the network does not run on it.
        """
        with self._copying:
            if self._copy is None and self._data is not None:
                with suppress(ArtifactError):
                    self._copy = Network(self.path, self.manifest.task, "cpu", self._data)
            return self._copy

    def pixels_at_once(self, window_memory_bytes: int | None) -> int:
        """How many pixels, of all pictures of a batch, may be worked at once.

        Within what is allowed, or else 1.5 GB on a CPU and half of a GPU's memory; and within what
        is free now.
        """
        allowed = window_memory_bytes or self._usual_bytes()
        return int(min(allowed, self._free_bytes() * _MEMORY_SHARE) / self._bytes_per_pixel)

    @property
    def _bytes_per_pixel(self) -> int:
        return self.manifest.memory_bytes_per_pixel or _UNKNOWN_BYTES_PER_PIXEL

    def _usual_bytes(self) -> float:
        if self._is_on_gpu:
            return _GPU_SHARE * torch.cuda.mem_get_info(self.device)[1]
        return _CPU_WINDOW_BYTES

    def _free_bytes(self) -> int:
        if not self._is_on_gpu:
            return free_bytes()
        # What torch keeps for its next tensors is free for them, and the driver calls it taken.
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(torch.cuda.mem_get_info(self.device)[0]) + kept

    def _fitting(self, batch: int, width: int, height: int) -> int:
        """How many pictures should fit at once. Raises `Trouble` where that is not even one."""
        have = self._free_bytes() * _MEMORY_SHARE
        while batch > 1 and batch * width * height * self._bytes_per_pixel > have:
            batch = self.cut_to = batch // 2
        if batch == 1:
            self.require_memory(width, height)
        return batch

    def _try(self) -> None:
        """Run it on little pictures, which also makes the plan that all sizes use from then on."""
        side = max(self.manifest.smallest_size, 32)
        # Odd and not square: what only runs in the size it was traced at is found out here.
        self._try_at(side, side)
        self._try_at(side + 5, side + 3)
        if self._is_on_gpu:
            # CUDA loads a kernel at its first use, and other sizes may have other kernels. Whether
            # there is memory for that is no question of the artifact.
            with suppress(Trouble):
                self._try_at(self.manifest.best_size, self.manifest.best_size)

    def _try_at(self, height: int, width: int) -> None:
        self.run(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8))

    def _run(self, pictures: Pixels, companions: Pixels) -> Pixels:
        try:
            return past_refusal(lambda: self._called(pictures, companions))
        except (RuntimeError, MemoryError, torch.jit.Error) as error:
            if is_poisoned(error) or (self._is_on_gpu and is_lost(self.device)):
                raise
            is_short, detail = is_want_of_memory(error), first_line(error)
        # Not above: while an error is handled, it holds the tensors that were in use.
        if is_short and self._is_on_gpu:
            torch.cuda.empty_cache()
        raise Trouble("out_of_memory" if is_short else "model_raised", detail=detail)

    def _called(self, pictures: Pixels, companions: Pixels) -> Pixels:
        images = self._moved(pictures.transpose(0, 3, 1, 2))
        planes = self._moved(companions[:, None])
        with torch.inference_mode():
            return self._array(self._module(images, planes), companions.shape)

    def _moved(self, array: Pixels) -> torch.Tensor:
        if self._is_on_gpu:
            return _page_locked(array).to(self.device, non_blocking=True)
        # A copy: the network may write into its inputs, and the result is joined by the mask.
        return torch.from_numpy(np.array(array, order="C"))

    def _array(self, result: torch.Tensor, shape: tuple[int, ...]) -> Pixels:
        batch, height, width = shape
        channels = 1 if self.manifest.task == "matting" else 3
        wanted = (batch, channels, height, width)
        if result.dtype != torch.uint8 or tuple(result.shape) != wanted:
            raise Trouble(
                "model_raised",
                detail=f"it gave {result.dtype} {tuple(result.shape)} instead of uint8 {wanted}",
            )
        if self._is_on_gpu:
            # Into page-locked memory, which must not be looked at before all is done.
            result = result.to("cpu", non_blocking=True)
            torch.cuda.current_stream(self.device).synchronize()
        array = result.cpu().numpy()
        # A copy where it is from a GPU: page-locked memory is wanted back.
        plane = np.array(array[:, 0]) if self._is_on_gpu else array[:, 0]
        return plane if channels == 1 else np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def is_poisoned(error: BaseException) -> bool:
    """True for a CUDA error after which nothing works any more in this process."""
    text = str(error)
    is_of_cuda = "CUDA error" in text or "cuDNN error" in text or "CUBLAS_STATUS" in text
    return is_of_cuda and not is_want_of_memory(error)


def is_lost(device: str) -> bool:
    """Whether a GPU does nothing any more for this process, in whatever words it said so."""
    if not _is_gpu(device):
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


def first_line(error: BaseException) -> str:
    """The telling line of an error: TorchScript puts the cause last, under a trace."""
    lines = [text for text in str(error).splitlines() if text.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _load(data: bytes, device: str, precision: str) -> torch.jit.ScriptModule:
    """The module, fit for a device."""
    with warnings.catch_warnings():
        # TorchScript is deprecated from torch 2.15 on, and works.
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        # No profiling runs, and on a GPU no kernels compiled for a size that was not seen before:
        # one plan, made at the first call, for all sizes. What counts are the convolutions, which
        # nothing fuses. CUDA graphs won't do either, as Canny looks at what came out before it
        # goes on, and windows come in many sizes.
        torch.jit.set_fusion_strategy([("STATIC", 0)])
        module: torch.jit.ScriptModule = torch.jit.load(
            io.BytesIO(data), map_location=device
        ).eval()
    if not _computes(device, precision):
        widen(module.graph)
    return module


def _computes(device: str, precision: str) -> bool:
    """Whether a device has units for a precision, as GPUs do."""
    if precision == "fp32" or _is_gpu(device):
        return True
    has = torch.cpu.get_capabilities()
    return precision == "bf16" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def _is_gpu(device: str) -> bool:
    return device.startswith("cuda")


def _page_locked(array: Pixels) -> torch.Tensor:
    """A copy that a GPU can fetch while this thread goes on."""
    try:
        tensor = torch.empty(array.shape, dtype=torch.uint8, pin_memory=True)
    except RuntimeError:  # memory that can be locked is scarce in some containers
        tensor = torch.empty(array.shape, dtype=torch.uint8)
    tensor.numpy()[...] = array
    return tensor
