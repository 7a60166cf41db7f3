"""Files on FUSE that go in the moment in which they are closed.

libfuse gives an open file that is removed, or replaced, a name of its own (`.fuse_hidden...`) and
removes it when it is closed. A file is closed there some time after `close` has returned. libfuse
before 3.15 (Debian 12 has 3.14) goes wrong where the two meet: a file that is being closed while
it is removed keeps that name for good, with all that is in it (libfuse#746). On sshfs that is what
becomes of nearly every second file that is removed right after it has been read.
"""

import ctypes
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

# FUSE_SUPER_MAGIC, see statfs(2). It is the first member there, as long as a machine word; the
# whole structure has less than this many bytes on all of Linux's machines.
_FUSE: Final = 0x65735546
_STATFS_BYTES: Final = 256

_libc = ctypes.CDLL(None, use_errno=True)


def is_fuse(fd: int) -> bool:
    """Whether what a descriptor is open for lies on FUSE; False where the system doesn't tell."""
    told = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.fstatfs(fd, told) != 0:
        return False
    word = told.raw[: ctypes.sizeof(ctypes.c_long)]
    return int.from_bytes(word, sys.byteorder) == _FUSE


@contextmanager
def kept_open(folder: int, name: str) -> Iterator[None]:
    """Hold a regular file on FUSE open while it is removed or replaced: it is then closed, for
    certain, after that. On other file systems, and for what can't be opened, nothing is done.
    """
    file = None
    if is_fuse(folder):
        # What hinders us here does not hinder who removes it, or is told by that.
        with suppress(OSError):
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                file = os.open(name, flags, dir_fd=folder)
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):  # nothing was written
                os.close(file)
