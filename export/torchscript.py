"""TorchScript in and out of bytes: the only module of the export that calls torch.jit.

torch.jit is deprecated and says so at every call; nothing else ships a network together with its
pre-processing as one file that runs without its source, so its warnings are put aside.
"""

import io

import torch
from torch import nn

from daemon.artifact import MANIFEST_KEY
from models.deprecation import deprecation_put_aside


def freeze(pipeline: nn.Module) -> torch.jit.ScriptModule:
    """Compile a module in evaluation mode, its weights made constants."""
    with deprecation_put_aside():
        # Scripted and not traced: sizes stay free, and no device is written into the code.
        scripted = torch.jit.script(pipeline.eval())
        # Batch norm is not folded into the convolutions: the last bits would differ from the
        # network's, and the matting network's poolings then choose other pixels here and there.
        frozen: torch.jit.ScriptModule = torch.jit.freeze(scripted, optimize_numerics=False)
    return frozen


def to_bytes(module: torch.jit.ScriptModule, manifest: str) -> bytes:
    """The artifact file: the module with its manifest (JSON text) inside."""
    buffer = io.BytesIO()
    with deprecation_put_aside():
        torch.jit.save(module, buffer, _extra_files={MANIFEST_KEY: manifest})
    return buffer.getvalue()


def from_bytes(data: bytes, device: str) -> torch.jit.ScriptModule:
    """The module of an artifact file, on a device. Its code runs when called: trust the file first.

    A frozen module's constants don't follow `.to()`: the device must be named here.
    """
    with deprecation_put_aside():
        module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data), map_location=device)
    return module
