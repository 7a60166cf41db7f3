"""Which files a confined worker may open, by Landlock: code, models, and what drivers need.

Nothing may be written but the null device and a GPU's, and nothing executed. The spool's folders
are never among what may be read, whatever lies around them: a job's files come as descriptors.
"""

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from landlockpy import AccessFS, Ruleset, Scope

import daemon

_READ: Final = AccessFS.READ_FILE | AccessFS.READ_DIR
_WRITE: Final = AccessFS.READ_FILE | AccessFS.WRITE_FILE
_USE: Final = _WRITE | AccessFS.IOCTL_DEV
# What a rule for a file may hold; the kernel refuses a folder's rights there.
_OF_FILES: Final = (
    AccessFS.EXECUTE
    | AccessFS.READ_FILE
    | AccessFS.WRITE_FILE
    | AccessFS.TRUNCATE
    | AccessFS.IOCTL_DEV
)

# Libraries, and what the loader, the C library and drivers look up.
# /proc as a whole, as rules for parts of it are lost when the kernel runs short of memory; Landlock
# itself keeps us from the inner life of other processes.
_SYSTEM: Final = (
    *("/usr", "/lib", "/lib64", "/proc"),
    *("/sys/devices", "/sys/bus", "/sys/class", "/sys/module", "/sys/fs/cgroup"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
    *("/dev/zero", "/dev/random", "/dev/urandom"),
)
_NULL: Final = "/dev/null"
_GPU_DEVICES: Final = ("nvidia*", "nvidia-caps/*")


def restrict_files(models: Iterable[Path], keep_out: Iterable[Path]) -> str:
    """Bind this thread, and those it will start. Returns the name of what binds it.

    Raises `OSError` where the kernel has no Landlock, or does not let us use it.
    """
    away = [path.resolve() for path in keep_out]
    with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as rules:
        for path in _readable(models):
            for part in _around(path.resolve(), away):
                _allow(rules, part, _READ)
        _allow(rules, Path(_NULL), _WRITE)
        for pattern in _GPU_DEVICES:
            for device in Path("/dev").glob(pattern):
                _allow(rules, device, _USE)
        rules.restrict()
        return f"landlock {rules.abi_version}"


def _readable(models: Iterable[Path]) -> Iterator[Path]:
    yield from models
    yield from map(Path, _SYSTEM)
    yield from _code()
    # What a user added for libraries, and where compiled code is kept.
    for variable in ("LD_LIBRARY_PATH", "NUMBA_CACHE_DIR"):
        yield from (Path(part) for part in os.environ.get(variable, "").split(":") if part)


def _code() -> Iterator[Path]:
    """The interpreter's libraries and the installed packages; of a checkout only what is ours."""
    ours = Path(daemon.__file__).parent
    yield ours
    yield from (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    yield from (Path(sysconfig.get_path(name)) for name in ("purelib", "platlib"))
    for prefix in {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}:
        yield from (Path(prefix, name) for name in ("lib", "lib64"))
    # A checkout is on the path by its root, which may hold anything.
    root = ours.parent.resolve()
    is_checkout = (root / "pyproject.toml").exists()
    yield from (Path(p) for p in sys.path if p and not (is_checkout and Path(p).resolve() == root))


def _around(path: Path, keep_out: Sequence[Path]) -> Iterator[Path]:
    """The path itself; where something that is to be kept out lies in it, all that is beside."""
    if not any(each.is_relative_to(path) for each in keep_out):
        yield path
    elif path not in keep_out and path.is_dir():
        with suppress(PermissionError):
            for child in path.iterdir():
                if not child.is_symlink():  # where it leads is allowed by its own name, or is not
                    yield from _around(child, keep_out)


def _allow(rules: Ruleset, path: Path, rights: AccessFS) -> None:
    """Allow it; what is not there, or can't be reached anyway, needs no rule."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        rules.allow_path(path, rights if path.is_dir() else rights & _OF_FILES)
