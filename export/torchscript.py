"""TorchScript in and out of bytes: the only module that calls torch.jit.

torch.jit is deprecated and says so at every call; nothing else ships a network together with its
pre-processing as one file that runs without its source, so its warnings are put aside here.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from daemon.artifact import MANIFEST_KEY


def freeze(pipeline: nn.Module) -> torch.jit.ScriptModule:
    """Compile a module in evaluation mode, its weights made constants."""
    with _deprecation_put_aside():
        # Scripted and not traced: sizes stay free, and no device is written into the code.
        scripted = torch.jit.script(pipeline.eval())
        # Batch norm is not folded into the convolutions: the last bits would differ from the
        # network's, and the matting network's poolings then choose other pixels here and there.
        frozen: torch.jit.ScriptModule = torch.jit.freeze(scripted, optimize_numerics=False)
    return frozen


def to_bytes(module: torch.jit.ScriptModule, manifest: str) -> bytes:
    """The artifact file: the module with its manifest (JSON text) inside."""
    buffer = io.BytesIO()
    with _deprecation_put_aside():
        torch.jit.save(module, buffer, _extra_files={MANIFEST_KEY: manifest})
    return buffer.getvalue()


def from_bytes(data: bytes, device: str) -> torch.jit.ScriptModule:
    """The module of an artifact file, on a device. Its code runs when called: trust the file first.

    A frozen module's constants don't follow `.to()`: the device must be named here.
    """
    with _deprecation_put_aside():
        module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data), map_location=device)
    return module


@contextmanager
def _deprecation_put_aside() -> Iterator[None]:
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", "`torch.jit", category)
        yield
