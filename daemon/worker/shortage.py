"""Want of memory: how it shows, how much this process may still take, and how to go on after it."""

import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
import psutil

_Result = TypeVar("_Result")

# oneDNN keeps, for each thread, that it once had no memory for the code that it writes, and from
# then on refuses that thread all sizes that it has no code for yet, however much memory there is
# again. Seen with oneDNN 3.13; the code that another thread has made serves this one as well.
_REFUSED: Final = "could not create a primitive"
# TorchScript's interpreter makes a plain RuntimeError of whatever an operation raised, so that
# torch.OutOfMemoryError arrives as text only. In it are the words of torch's allocators and of the
# CUDA driver, of cuDNN and cuBLAS, of C++, of oneDNN, and of Python.
_SIGNS: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
    "allocation_failed",
    "bad_alloc",
    "could not create a memory",
    "can't start new thread",
    _REFUSED,
)


# From what a heap may hold of what was let go down to what the smallest picture needs.
_LITTLE_BYTES: Final = tuple(1 << power for power in range(26, 17, -1))


def is_want_of_memory(error: BaseException) -> bool:
    """True for an error after which the same is possible in smaller portions.

    That a GPU's driver has no memory left harms nothing in this process, whatever else begins with
    "CUDA error" (CUDA Runtime API, cudaErrorMemoryAllocation).
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS)


def past_refusal(function: Callable[[], _Result]) -> _Result:
    """Call it, and where oneDNN refuses this thread, call it once more in a new one."""
    try:
        return function()
    except RuntimeError as error:
        if _REFUSED not in str(error):
            raise
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(function).result()


def can_be_had(nbytes: int) -> bool:
    """Whether this process would be given so much now."""
    try:
        np.empty(nbytes, np.uint8)  # asked for, given back, never touched
    except MemoryError:
        return False
    return True


def free_bytes() -> int:
    """What is free of the machine's memory, as far as this process may take it."""
    free: int = psutil.virtual_memory().available
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return free
    taken: int = psutil.Process().memory_info().data  # what RLIMIT_DATA counts
    # What it has let go may count as taken, and can be had again.
    let_go = next((size for size in _LITTLE_BYTES if size > limit - taken and can_be_had(size)), 0)
    return min(free, max(limit - taken, let_go))
