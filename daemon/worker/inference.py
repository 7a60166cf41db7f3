"""Networks in use: the only module of the daemon that imports torch.

Runs any artifact that meets the contract of `daemon.artifact`, on one device.
"""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from daemon.artifact import ArtifactError, Manifest, manifest_of, read_artifact
from daemon.reasons import Trouble

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

    def __init__(self, path: Path, task: str, device: str) -> None:
        """Load and try it. Raises `ArtifactError` where it is not ours, unsafe or does not run."""
        data = read_artifact(path)
        self.path = path
        self.device = device
        self.manifest: Manifest = manifest_of(path, io.BytesIO(data))
        self.sha256 = hashlib.sha256(data).hexdigest()
        if self.manifest.task != task:
            raise ArtifactError(
                f"{path}: is a model for {self.manifest.task!r}, not for {task!r}. "
                "Set the model of the other task to it, or export the right stage."
            )
        try:
            with warnings.catch_warnings():
                # TorchScript is deprecated from torch 2.15 on, and works.
                warnings.simplefilter("ignore", category=FutureWarning)
                warnings.simplefilter("ignore", category=DeprecationWarning)
                self._module = torch.jit.load(io.BytesIO(data), map_location=device).eval()
            side = max(self.manifest.smallest_size, 32)
            # Odd and not square: what only runs in the size it was traced at is found out here.
            for height, width in ((side, side), (side + 5, side + 3)):
                self.run(
                    np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
                )
        except (RuntimeError, Trouble) as error:
            raise ArtifactError(f"{path}: does not run on {device}: {first_line(error)}") from None

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

        Returns `[B,H,W,3]` for inpainting, `[B,H,W]` for matting. Raises `Trouble`, before anything
        runs where memory would not do; a `RuntimeError` for which `is_poisoned` holds means that
        this process is done for.
        """
        batch, height, width = companions.shape
        self.require_memory(batch * width, height)
        images = _tensor(pictures.transpose(0, 3, 1, 2), self.device)
        planes = _tensor(companions[:, None], self.device)
        try:
            with torch.inference_mode():
                result = self._module(images, planes).cpu()
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise Trouble("out_of_memory", detail=first_line(error)) from None
        except (RuntimeError, torch.jit.Error) as error:
            if is_poisoned(error) or self._is_lost():
                raise
            if "can't allocate memory" in str(error):
                raise Trouble("out_of_memory", detail=first_line(error)) from None
            raise Trouble("model_raised", detail=first_line(error)) from None
        channels = 1 if self.manifest.task == "matting" else 3
        wanted = (batch, channels, height, width)
        if result.dtype != torch.uint8 or tuple(result.shape) != wanted:
            raise Trouble(
                "model_raised",
                detail=f"it gave {result.dtype} {tuple(result.shape)} instead of uint8 {wanted}",
            )
        array = result.numpy()
        return array[:, 0] if channels == 1 else np.ascontiguousarray(array.transpose(0, 2, 3, 1))

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
        if self.device.startswith("cuda"):
            return _GPU_SHARE * torch.cuda.mem_get_info(self.device)[1]
        return _CPU_WINDOW_BYTES

    def _is_lost(self) -> bool:
        """Whether a GPU does nothing any more for this process, in whatever words it said so."""
        if not self.device.startswith("cuda"):
            return False
        try:
            torch.cuda.synchronize(self.device)
        except RuntimeError:
            return True
        return False

    def _free_bytes(self) -> int:
        if self.device.startswith("cuda"):
            return int(torch.cuda.mem_get_info(self.device)[0])
        free: int = psutil.virtual_memory().available
        return free


def is_poisoned(error: BaseException) -> bool:
    """True for a CUDA error after which nothing works any more in this process."""
    text = str(error)
    return "CUDA error" in text or "cuDNN error" in text or "CUBLAS_STATUS" in text


def first_line(error: BaseException) -> str:
    """The telling line of an error: TorchScript puts the cause last, under a trace."""
    lines = [text for text in str(error).splitlines() if text.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _tensor(array: Pixels, device: str) -> torch.Tensor:
    # A copy: the network may write into its inputs, and the result is joined by the mask we hold.
    return torch.from_numpy(np.array(array, order="C")).to(device)
