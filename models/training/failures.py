"""What torch gives up with, in words: memory, a killed process, a network it can't compile."""

import sys

import torch

_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
_LOADER = "DataLoader worker"


def in_words(error: BaseException) -> str | None:
    """What went wrong and what to do; None for an error of this program."""
    text = str(error)
    if _LOADER in text and ("exited unexpectedly" in text or "killed by signal" in text):
        return (
            "A process that makes samples was killed, most often for want of memory or of shared "
            "memory. Set loaders lower (0 makes samples without processes of their own) and give "
            "the same command again; it goes on from the last checkpoint."
        )
    lacks = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if lacks or any(words in text for words in _MEMORY):
        return (
            "There is not enough memory for these settings. Lower batch, size or width, "
            "or take a device with more."
        )
    return None


def is_of_the_compiler(error: BaseException) -> bool:
    """Whether torch could not compile a network, for want of a C++ compiler most often."""
    dynamo = sys.modules.get("torch._dynamo")  # slow to import, and there if anything was compiled
    return dynamo is not None and isinstance(error, dynamo.exc.TorchDynamoException)
