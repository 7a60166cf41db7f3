"""Qt resources: what is packed into one by the layout comes out, and damage is refused in words."""

import random
import struct
import zlib
from pathlib import Path

import pytest

from models.training.rcc import RccError, Resource

_FOLDER, _ZLIB, _ZSTANDARD = 2, 1, 4

# A folder is a dictionary, a file its flags and bytes.
Tree = dict[str, "Tree | tuple[int, bytes]"]


def write_rcc(tree: Tree, version: int = 3) -> bytes:
    """A resource file, its nodes level by level as Qt's compiler lays them out."""
    names, data, nodes = bytearray(), bytearray(), bytearray()
    level: list[tuple[str, Tree | tuple[int, bytes]]] = [("", tree)]
    first = 1
    while level:
        below: list[tuple[str, Tree | tuple[int, bytes]]] = []
        for name, node in level:
            at = len(names)
            names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
            if isinstance(node, dict):
                nodes += struct.pack(">IHII", at, _FOLDER, len(node), first + len(below))
                below += sorted(node.items())
            else:
                flags, content = node
                nodes += struct.pack(">IHHHI", at, flags, 0, 0, len(data))
                if flags & _ZLIB:
                    content = struct.pack(">I", len(content)) + zlib.compress(content)
                data += struct.pack(">I", len(content)) + content
            nodes += bytes(8) if version > 1 else b""
        first += len(below)
        level = below
    size = 20 if version < 3 else 24
    header = struct.pack(
        ">4s4I", b"qres", version, size + len(data) + len(names), size, size + len(data)
    )
    header += bytes(4) if version == 3 else b""
    return header + bytes(data) + bytes(names) + bytes(nodes)


_TREE: Tree = {
    "src": {
        "a": {"plain.txt": (0, b"as it is"), "größe.bin": (_ZLIB, b"again " * 999)},
        "empty": {},
        "b.txt": (_ZLIB, b""),
    }
}


@pytest.fixture
def resource(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.rcc"
    path.write_bytes(write_rcc(_TREE))
    return path


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_file_comes_out_as_it_went_in(tmp_path: Path, version: int) -> None:
    path = tmp_path / "pictures.rcc"
    path.write_bytes(write_rcc(_TREE, version))
    resource = Resource(path)
    assert resource.names() == ["src/a/größe.bin", "src/a/plain.txt", "src/b.txt"]
    assert resource.read("src/a/plain.txt") == b"as it is"
    assert resource.read("src/a/größe.bin") == b"again " * 999
    assert resource.read("src/b.txt") == b""


def test_file_that_is_not_inside_is_named(resource: Path) -> None:
    with pytest.raises(RccError, match=r"has no file src/c\.txt"):
        Resource(resource).read("src/c.txt")


def test_zstandard_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "new.rcc"
    path.write_bytes(write_rcc({"a": (_ZSTANDARD, b"\x28\xb5\x2f\xfd")}))
    with pytest.raises(RccError, match="Zstandard"):
        Resource(path).read("a")


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "photo.rcc"
    other.write_bytes(b"\x89PNG and so on")
    with pytest.raises(RccError, match="is no Qt resource"):
        Resource(other)
    with pytest.raises(RccError, match="No such file"):
        Resource(tmp_path / "nothing.rcc")


def test_unknown_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "future.rcc"
    path.write_bytes(struct.pack(">4s4I", b"qres", 9, 20, 20, 20) + bytes(99))
    with pytest.raises(RccError, match="version 9"):
        Resource(path)


def test_file_inside_that_claims_a_wrong_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.rcc"
    whole = write_rcc({"a": (_ZLIB, b"four")})
    path.write_bytes(whole.replace(struct.pack(">I", 4) + b"\x78", struct.pack(">I", 5) + b"\x78"))
    with pytest.raises(RccError, match="cut short"):
        Resource(path).read("a")


def test_folder_that_contains_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.rcc"
    whole = bytearray(write_rcc({"a": {"b": (0, b"")}}))
    folder_a = len(whole) - 2 * 22
    whole[folder_a : folder_a + 14] = struct.pack(">IHII", 0, _FOLDER, 1, 0)
    path.write_bytes(bytes(whole))
    with pytest.raises(RccError, match="damaged"):
        Resource(path)


def test_damage_anywhere_is_an_rcc_error_or_does_no_harm(resource: Path) -> None:
    whole = resource.read_bytes()
    rng = random.Random(1)
    errors = 0
    for _ in range(400):
        torn = bytearray(whole[: rng.randrange(4, len(whole) + 1)])
        torn[rng.randrange(4, len(torn)) if len(torn) > 4 else 0] ^= 1 << rng.randrange(8)
        resource.write_bytes(bytes(torn))
        try:
            damaged = Resource(resource)
            for name in damaged.names():
                damaged.read(name)
        except RccError:
            errors += 1
    assert errors > 200
