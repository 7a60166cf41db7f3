"""Files as torch saves them, with anything in them: as Python 2 wrote it, or as no torch would."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any, ClassVar

# The one written in Python, whose parts can be replaced; it is named in the documentation alone.
PythonPickler: Any = pickle._Pickler


class OfPython2(PythonPickler):
    """Writes as Python 2 did: strings without an encoding, ordered dictionaries from lists."""

    dispatch: ClassVar[dict[type, Any]] = dict(PythonPickler.dispatch)

    def save_string(self, text: str | bytes) -> None:
        raw = text.encode("latin-1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[str] = save_string
    dispatch[bytes] = save_string

    def reducer_override(self, value: Any) -> Any:
        if type(value) is OrderedDict:
            return OrderedDict, ([list(pair) for pair in value.items()],)
        return NotImplemented


class Python2:
    """What torch.save wants of a pickle module."""

    Pickler = OfPython2

    @staticmethod
    def dump(value: Any, file: io.BytesIO, protocol: int) -> None:
        OfPython2(file, protocol).dump(value)


class Global:
    """Written as a global by its name, whatever that is."""

    def __init__(self, name: str) -> None:
        self.name = name


class Persistent:
    """Written as a reference to outside the pickle."""

    def __init__(self, what: Any) -> None:
        self.what = what


class Call:
    """Written as a call of a global, and perhaps a state that its result is given."""

    def __init__(self, name: str, *arguments: Any, state: Any = None) -> None:
        self.name = name
        self.arguments = arguments
        self.state = state


class Writer(OfPython2):
    """Writes what no honest pickler would."""

    dispatch: ClassVar[dict[type, Any]] = dict(PythonPickler.dispatch)

    def save_global_by_name(self, value: Global) -> None:
        self.write(b"c" + value.name.replace(" ", "\n").encode() + b"\n")

    def save_persistent(self, value: Persistent) -> None:
        self.save(value.what)
        self.write(pickle.BINPERSID)

    def save_call(self, value: Call) -> None:
        self.save(Global(value.name))
        self.save(value.arguments)
        self.write(pickle.REDUCE)
        if value.state is not None:
            self.save(value.state)
            self.write(pickle.BUILD)

    dispatch[Global] = save_global_by_name
    dispatch[Persistent] = save_persistent
    dispatch[Call] = save_call


def written(value: Any) -> bytes:
    file = io.BytesIO()
    Writer(file, 2).dump(value)
    return file.getvalue()


def zipped(value: Any, storages: dict[str, bytes] | None = None) -> bytes:
    """A file in torch's zip format with this value, or this raw pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", value if isinstance(value, bytes) else written(value))
        archive.writestr("net/byteorder", "little")
        archive.writestr("net/version", "3\n")
        for key, content in (storages or {}).items():
            archive.writestr(f"net/data/{key}", content)
    return file.getvalue()


def legacy(value: Any, storages: dict[str, bytes] | None = None) -> bytes:
    """A file in torch's older format with this value, or this raw pickle; values of four bytes."""
    storages = storages or {}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    parts.append(value if isinstance(value, bytes) else written(value))
    parts.append(pickle.dumps(list(storages), 2))
    parts += [struct.pack("<q", len(held) // 4) + held for held in storages.values()]
    return b"".join(parts)


def module(**state: Any) -> Call:
    """A module, as a pickle describes it."""
    empty: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    return Call("foreign Net", state={**empty, **state})
