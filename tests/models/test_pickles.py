"""Hostile pickles: nothing in them is imported, made or called, and none fills the memory."""

import io
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pickle_writers import Call, Global, Persistent, legacy, module, written, zipped

from models.checkpoints import CheckpointError, read_checkpoint
from models.pickled_networks import read_pickled_state
from models.pickles import Made, Named, PickleError, read_pickle


class Trap:
    """Would leave a mark if it were made, called or given a state."""

    ran: ClassVar[list[str]] = []

    def __new__(cls, *_: Any) -> "Trap":
        Trap.ran.append("new")
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        Trap.ran.append("init")

    def __call__(self, *_: Any) -> None:
        Trap.ran.append("call")

    def __setstate__(self, state: Any) -> None:
        Trap.ran.append("setstate")


def spring(*_: Any) -> None:
    """Would leave a mark if it were called."""
    Trap.ran.append("spring")


HERE = __name__
HOSTILE: dict[str, Any] = {
    "system": Call("os system", "mkdir ran"),
    "posix": Call("posix system", "mkdir ran"),
    "eval": Call("builtins eval", "__import__('os').mkdir('ran')"),
    "exec of Python 2": Call("__builtin__ execfile", "trap.py"),
    "getattr": Call("builtins getattr", Global("os system"), "__call__"),
    "import": Call("builtins __import__", "trap"),
    "name that is imported": Global("trap anything"),
    "torch.load": Call("torch.serialization load", "evil.pth", None, None, False),
    "torch.hub": Call("torch.hub load", ".", "anything"),
    "jit": Call("torch.jit load", "evil.pth"),
    "call": Call(f"{HERE} spring", 1),
    "class": Call(f"{HERE} Trap", 1),
    "state": Call(f"{HERE} Trap", state={"a": 1}),
    "state of a state": Call(f"{HERE} Trap", state=Call(f"{HERE} Trap", state={"a": 1})),
    "call of a call": Call("functools partial", Global(f"{HERE} spring"), state=({}, {})),
    "storage": Persistent(("storage", Global(f"{HERE} Trap"), "0", "cpu", 1)),
    "source": Persistent(("module", Global(f"{HERE} Trap"), "trap.py", "import trap")),
    "storage by name": Persistent(("storage", Global("os FloatStorage"), "0", "cpu", 1)),
    "rebuild of another type": Call(
        "torch._tensor _rebuild_from_type_v2", Global(f"{HERE} spring"), Global("a B"), (), {}
    ),
    "numpy": Call("numpy.core.multiarray _reconstruct", Global(f"{HERE} Trap"), (0,), "b"),
    "copyreg": Call("copyreg _reconstructor", Global(f"{HERE} Trap"), Global("a B"), None),
}


@pytest.mark.parametrize("container", [zipped, legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("where", ["root", "state", "parameter", "child", "module's state"])
@pytest.mark.parametrize("evil", HOSTILE.values(), ids=HOSTILE)
def test_hostile_file_does_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    evil: Any,
    where: str,
    container: Callable[..., bytes],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "trap.py").write_text("open('ran', 'w').close()")
    value = {
        "root": evil,
        "state": {"state_dict": {"conv1_1.weight": evil}},
        "parameter": module(_parameters={"weight": evil}),
        "child": module(_modules={"down1": evil}),
        "module's state": Call("foreign Net", state=evil),
    }[where]
    (tmp_path / "evil.pth").write_bytes(container(value))
    with pytest.raises(CheckpointError, match=r"evil\.pth: .*state_dict\(\)"):
        read_checkpoint(tmp_path / "evil.pth", whole_objects=True)
    assert not (tmp_path / "ran").exists()
    assert Trap.ran == []
    assert "trap" not in sys.modules


def test_hostile_files_are_dangerous_to_the_ordinary_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("system", "eval"):
        pickle.loads(written(HOSTILE[name]))  # noqa: S301 - to show what the reading here avoids
        assert (tmp_path / "ran").exists()
        (tmp_path / "ran").rmdir()
    pickle.loads(written(HOSTILE["state"]))  # noqa: S301
    assert Trap.ran == ["new", "init", "setstate"]
    Trap.ran.clear()


def test_what_a_pickle_names_stays_a_name_and_what_it_calls_a_note() -> None:
    made = read_pickle(io.BytesIO(written(Call("os system", Global("a B"), state={"c": 1}))))
    assert isinstance(made, Made)
    assert made.maker == "os.system"
    assert isinstance(made.arguments[0], Named)
    assert made.arguments[0].name == "a.B"
    assert made.state == {"c": 1}


def tensor(count: int, size: Any, stride: Any, offset: Any = 0, key: str = "0") -> Call:
    reference = ("storage", Global("torch FloatStorage"), key, "cpu", count)
    where = (Persistent(reference), offset, size, stride)
    return Call("torch._utils _rebuild_tensor_v2", *where, False, {})


@pytest.mark.parametrize("container", [zipped, legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "claim",
    [
        tensor(2**40, (2**40,), (1,)),
        tensor(4, (2**40,), (0,)),
        tensor(4, (2, 2, 2), (1, 1, 1)),
        tensor(4, (4,), (1,), 1),
        tensor(4, (2,), (-1,), 3),
        tensor(4, (1,), (1,), -1),
        tensor(4, (10**4000,), (10**4000,)),
        tensor(4, (4,) * 9, (1,) * 9),
        tensor(4, (4,), (1, 1)),
        tensor(4, (4.0,), (1,)),
        tensor(4, (True,), (1,)),
        tensor(4, [4], (1,)),
        tensor(4, None, None),
        tensor(4, (4,), (1,), key="none"),
        tensor(-4, (4,), (1,)),
    ],
)
def test_tensor_that_claims_more_than_its_storage_is_refused(
    container: Callable[..., bytes], claim: Call
) -> None:
    storages = {"0": struct.pack("<4f", 1, 2, 3, 4)}
    if container is legacy and claim.arguments[0].what[2] == "none":
        storages["none"] = b""
    honest = container({"state_dict": {"a": tensor(4, (2, 2), (2, 1))}}, {"0": storages["0"]})
    read = read_pickled_state(honest)
    assert read is not None
    assert read["a"].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(PickleError):
        read_pickled_state(container({"state_dict": {"a": claim}}, storages))


@pytest.mark.parametrize("container", [zipped, legacy], ids=["zip", "legacy"])
def test_one_tensor_under_many_names_takes_no_more_than_the_files_size(
    container: Callable[..., bytes],
) -> None:
    large = tensor(1000, (1000,), (1,))
    state = dict.fromkeys(map(str, range(500)), large)
    with pytest.raises(PickleError, match="claims to hold more than its size allows"):
        read_pickled_state(container({"state_dict": state}, {"0": bytes(4000)}))


def test_compressed_storage_is_not_unpacked() -> None:
    file = io.BytesIO(zipped({"state_dict": {"a": tensor(10**8, (10**8,), (1,))}}))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/0", bytes(10**7))
    assert len(file.getvalue()) < 20_000
    with pytest.raises(PickleError, match="compressed"):
        read_pickled_state(file.getvalue())


def test_modules_in_a_ring_are_refused() -> None:
    ring = b"\x80\x02}q\x00(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_modules}q\x01u0cf\nN\n)R"
    ring += b"q\x02h\x00bh\x01X\x01\x00\x00\x00ah\x02s0."
    value = read_pickle(io.BytesIO(ring))
    assert value.state["_modules"]["a"] is value
    for container in (zipped, legacy):
        with pytest.raises(PickleError, match=r"nested deeper|more modules"):
            read_pickled_state(container(ring))


def test_modules_shared_over_and_over_are_not_walked_for_ever() -> None:
    both = b"\x80\x02"
    for level in range(60):  # each holds the one before twice: 2 to the 60th names
        both += b"cf\nN\n)R}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_modules}"
        if level:
            both += b"(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00u"
        both += b"ubq\x00"
    with pytest.raises(PickleError, match="more modules"):
        read_pickled_state(zipped(both + b"."))


@pytest.mark.parametrize(
    "bomb",
    [
        b"(" * 400_000,
        b"]" * 400_000 + b".",
        b")" + b"\x85" * 290_000 + b".",  # a tuple in a tuple in a tuple
        b"]" + b"q\x00h\x00a" * 90_000 + b".",
        b"}" + b")" + b"\x85" * 290_000 + b"Ns0.",  # as a key
        b"ccollections\nOrderedDict\nq\x00("
        + b"]" * 1000
        + b"lq\x01\x85q\x02"
        + b"0h\x00h\x02R" * 100_000
        + b".",
    ],
    ids=["marks", "lists", "nested", "ring", "nested key", "dictionaries"],
)
def test_pickle_that_would_fill_memory_or_stack_is_refused(bomb: bytes) -> None:
    with pytest.raises(PickleError):
        read_pickled_state(zipped(b"\x80\x02" + bomb))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".",
        b"R.",
        b"\x82\x01.",
        b"h\x05.",
        b"N",
        b"\x80",
        b"(N",
        b"X\xff\xff\xff\x7fa.",
        b"b.",
    ],
)
def test_pickle_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(PickleError):
        read_pickle(io.BytesIO(text))
