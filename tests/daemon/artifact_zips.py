"""Files that say they are artifacts, true and false, and what is said of those that are refused."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from daemon.artifact import (
    CONTRACT,
    CONTRACT_VERSION,
    MANIFEST_KEY,
    ArtifactError,
    read_manifest,
)

LEAST: dict[str, Any] = {
    "contract": CONTRACT,
    "contract_version": CONTRACT_VERSION,
    "task": "inpaint",
    "network": "edgeconnect",
}


def write(path: Path, manifest: object = LEAST, member: str | None = None, **zip_args: Any) -> Path:
    """A zip as torch.jit.save lays it out, with a manifest: JSON of an object, or bytes as is."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", **zip_args) as archive:
        archive.writestr(f"{path.stem}/code/__torch__.py", "raise SystemExit('code was run')")
        archive.writestr(member or f"{path.stem}/extra/{MANIFEST_KEY}", text)
    path.chmod(0o644)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_manifest(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    return said


def forge(
    path: Path, packed: bytes, *, method: int, claimed: int, crc: int = 0, members: int = 1
) -> Path:
    """A zip with a manifest whose size, sum and packing are what is said here, true or not.

    The list of members names it, and further ones if more than 1 are wanted.
    """
    name = f"m/extra/{MANIFEST_KEY}".encode()
    about = (20, 0, method, 0, 0, crc, len(packed), claimed)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", *about, len(name), 0) + name + packed
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *about, len(name), *[0] * 6) + name
    other = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *[0] * 8, 1, *[0] * 6) + b"x"
    listed = entry + other * (members - 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(local), 0)
    path.write_bytes(local + listed + end)
    path.chmod(0o644)
    return path


def deflated_zeros(mebibytes: int) -> bytes:
    """A deflate stream that unpacks to as many MiB of zeros, made at once.

    A flush resets the packer and ends on a whole byte, so one piece serves over and over.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(bytes(1024 * 1024)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * mebibytes + packer.flush()
