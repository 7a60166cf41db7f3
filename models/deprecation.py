"""TorchScript's deprecation, said at every call and known: the artifact's format is what it is."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deprecation_put_aside() -> Iterator[None]:
    """Let torch.jit's warnings that it is deprecated pass in silence, and no others."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", "`torch.jit", category)
        yield
