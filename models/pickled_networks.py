"""The tensors of a file in which whole objects were saved, with none of the objects made.

`torch.save(network, file)` writes a pickle of the network's classes, which can be read as torch
means it only by running what the file says. Here the pickle is read as data (`models.pickles`), its
modules' `_parameters`, `_buffers` and `_modules` are walked, and each tensor is cut out of its
storage. Trusts: nothing in the file. Promises: at most as many bytes of tensors as the file has.

Both of torch's formats are known: the zip, and the older one, a row of pickles with the storages
behind them. What a reference to a storage holds, and how both formats are laid out, was read off
files that torch wrote.
"""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.pickles import Made, Named, PickleError, read_pickle

# The number with which torch's older files begin.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

# More than any network here has, and few enough to walk where modules hold each other in a ring.
_MAX_MODULES = 10_000
_MAX_NAME_LENGTH = 1_000
_MAX_DIMENSIONS = 8
# Beyond any file's size, and small enough to reckon with.
_NO_SIZE = 2**48

# What a damaged or forged zip makes zipfile raise.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, eq=False)
class _Storage:
    """A reference to `count` values from `start` on in the storage with this key."""

    dtype: torch.dtype
    key: str
    start: int
    count: int


def read_pickled_state(data: bytes) -> dict[str, Tensor] | None:
    """The tensors, by their names, of the network in a file that torch saved; None if it is none.

    A network is a module, or a dictionary with one module or a `state_dict` among its values, or a
    state itself. Raises `PickleError` where there is no such network, or not one alone, and
    where a tensor or the file is damaged, cut short, or claims more than is there.
    """
    if data.startswith(b"PK"):
        return _read_zip(data)
    return _read_legacy(data)


def _read_zip(data: bytes) -> dict[str, Tensor] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # By full name: what stands before the first slash is the file's name as it was saved.
            members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            if "data.pkl" not in members:
                return None
            budget = _Budget(len(data))
            files = {
                name: _read_member(archive, info, budget)
                for name, info in members.items()
                if name in ("data.pkl", "byteorder") or name.startswith("data/")
            }
    except _ZIP_ERRORS:
        return None
    if files.get("byteorder", b"little") != b"little":
        raise PickleError("it was saved on a machine of another byte order")
    value = read_pickle(io.BytesIO(files["data.pkl"]), _reference)
    storages = {name[len("data/") :]: memoryview(content) for name, content in files.items()}
    return _tensors(value, storages, len(data))


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: "_Budget") -> bytes:
    # torch stores without compression; a compressed member may be a thousand times the file.
    if info.compress_type != zipfile.ZIP_STORED:
        raise PickleError("it is compressed, as torch's files are not")
    budget.take(info.file_size)
    return archive.read(info)


def _read_legacy(data: bytes) -> dict[str, Tensor] | None:
    file = io.BytesIO(data)
    try:
        if read_pickle(file) != _LEGACY_MAGIC:
            return None
    except PickleError:
        return None
    read_pickle(file)  # the version of the format, which has never been another
    system = read_pickle(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleError("it was saved on a machine of another byte order")
    sizes: dict[str, int] = {}

    def reference(what: Any) -> Any:
        found = _reference(what)
        if isinstance(found, _Storage):
            sizes[found.key] = found.dtype.itemsize
        return found

    value = read_pickle(file, reference)
    keys = read_pickle(file)
    return _tensors(value, dict(_legacy_storages(data, file.tell(), keys, sizes)), len(data))


def _legacy_storages(
    data: bytes, start: int, keys: Any, sizes: Mapping[str, int]
) -> Iterator[tuple[str, memoryview]]:
    """Each storage: its number of values, eight bytes, and then the values."""
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in sizes:
            raise PickleError("it is damaged")
        count = int.from_bytes(data[start : start + 8], "little")
        end = start + 8 + count * sizes[key]
        if end > len(data):
            raise PickleError("it is cut short")
        yield key, memoryview(data)[start + 8 : end]
        start = end


def _reference(what: Any) -> Any:
    """A storage, from `('storage', class, key, device, count[, view])`; a class from its source."""
    match what:
        case ("module", Named() as kind, *_):  # its source follows, and is not wanted
            return kind
        case ("storage", Named(name=name), str(key), str(), int(count), *rest):
            dtype = _DTYPES.get(name.rpartition(".")[2])
            if dtype is None or not name.startswith("torch."):
                raise PickleError("it holds numbers of a kind that no network here has")
            match rest:
                case [] | [None]:
                    return _Storage(dtype, key, 0, count)
                case [(str(), int(start), int(count))]:  # part of a storage, as torch 0.4 saved
                    return _Storage(dtype, key, start, count)
    raise PickleError("it is damaged")


class _Budget:
    """So many bytes and no more."""

    def __init__(self, bytes_left: int) -> None:
        self._bytes_left = bytes_left

    def take(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise PickleError("it claims to hold more than its size allows")


def _tensors(value: Any, storages: Mapping[str, memoryview], budget: int) -> dict[str, Tensor]:
    left = _Budget(budget)
    state = dict(_named_values(value))
    return {name: _tensor(name, made, storages, left) for name, made in state.items()}


def _named_values(value: Any) -> Iterator[tuple[str, Any]]:
    """The parameters and buffers of the one network in a file, by their full names."""
    if isinstance(value, Made):
        modules = [value]
    elif isinstance(value, dict):
        modules = [made for made in value.values() if isinstance(made, Made) and _is_module(made)]
        state = value.get("state_dict", value)
        if not modules and isinstance(state, dict):
            yield from ((str(key), found) for key, found in state.items())
            return
    else:
        modules = []
    if len(modules) != 1 or not _is_module(modules[0]):
        raise PickleError("it holds no network, or more than one")
    yield from _walk(modules[0])


def _is_module(made: Made) -> bool:
    return all(isinstance(made.state.get(key), dict) for key in ("_modules", "_parameters"))


def _walk(root: Made) -> Iterator[tuple[str, Any]]:
    waiting = [("", root)]
    for _ in range(_MAX_MODULES):
        if not waiting:
            return
        prefix, module = waiting.pop()
        for key, value in _members(module, "_parameters", "_buffers"):
            yield _join(prefix, key), value
        for key, child in _members(module, "_modules"):
            if not isinstance(child, Made) or not _is_module(child):
                raise PickleError(f"its module {_join(prefix, key)} is none")
            waiting.append((_join(prefix, key) + ".", child))
    raise PickleError("it holds more modules than a network has")


def _members(module: Made, *kinds: str) -> Iterator[tuple[Any, Any]]:
    """What a module keeps under its own names, less what is absent or not meant to be saved."""
    passing = module.state.get("_non_persistent_buffers_set")
    for kind in kinds:
        held = module.state.get(kind)
        for key, value in held.items() if isinstance(held, dict) else ():
            if value is not None and not (isinstance(passing, list) and key in passing):
                yield key, value


def _join(prefix: str, key: Any) -> str:
    if not isinstance(key, str) or len(prefix) + len(key) > _MAX_NAME_LENGTH:
        raise PickleError("its modules are nested deeper than a network's, or have no names")
    return prefix + key


def _tensor(name: str, made: Any, storages: Mapping[str, memoryview], left: _Budget) -> Tensor:
    """A tensor of its own memory, cut out of its storage."""
    match _unwrapped(made):
        case (_Storage() as storage, int(offset), tuple(size), tuple(stride), *_):
            pass
        case _:
            raise PickleError(f"its {name[:_MAX_NAME_LENGTH]} is no plain tensor")
    values = storages.get(storage.key, memoryview(b""))
    extent = _extent(storage, offset, size, stride, len(values))
    if extent is None:
        raise PickleError(f"its {name} claims more than its storage holds")
    width = storage.dtype.itemsize
    left.take(extent * width)
    if extent == 0:
        return torch.empty(size, dtype=storage.dtype)
    start = (storage.start + offset) * width
    # A copy: the bytes of a file lie at any address, and can't be written.
    flat = torch.frombuffer(bytearray(values[start : start + extent * width]), dtype=storage.dtype)
    return flat.as_strided(size, stride).contiguous()


def _unwrapped(made: Any) -> tuple[Any, ...]:
    """The arguments with which a tensor, or the tensor in a parameter, was to be made."""
    while isinstance(made, Made) and made.maker in (
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
    ):
        made = made.arguments[0] if made.arguments else None
    if isinstance(made, Made) and made.maker in (
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
    ):
        return made.arguments
    return ()


def _extent(
    storage: _Storage, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...], length: int
) -> int | None:
    """From a tensor's first value to its last, in values.

    None where it doesn't lie in its part of a storage of `length` bytes, or has a value twice.
    """
    numbers = (storage.start, storage.count, offset, *size, *stride)
    if any(type(number) is not int or not 0 <= number < _NO_SIZE for number in numbers):
        return None
    if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS:
        return None
    if 0 in size:
        return 0
    extent = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    inside = offset + extent <= storage.count
    whole = (storage.start + storage.count) * storage.dtype.itemsize <= length
    return extent if inside and whole and math.prod(size) <= extent else None
