"""The artifact contract: what a network file must say of itself before the daemon runs it.

The daemon owns this contract; `export` fulfils it, and so may anyone else. An artifact is one
TorchScript file (a zip) that carries a JSON manifest as an extra file. The manifest is read here
as a member of the zip: no torch is imported, and none of the file's code can run.

Trusts: nothing in the file. Promises: a `Manifest` that is complete and understood, or an
`ArtifactError` whose text says what is wrong and what to do.
"""

import io
import lzma
import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

CONTRACT = "retouchd"
CONTRACT_VERSION = 1

# The key under which torch.jit.save takes the manifest (`_extra_files={MANIFEST_KEY: json}`);
# in the zip it is the member `ARCHIVE/extra/manifest.json`.
MANIFEST_KEY = "manifest.json"

# What a damaged or forged zip makes zipfile raise.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)

# A manifest is a page of text. More than this is not one, and is not read into memory.
MAX_MANIFEST_BYTES = 256 * 1024

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArtifactError(Exception):
    """An artifact can't be used. The text names the file, what is wrong with it and what to do."""


class Manifest(BaseModel):
    """What an artifact says of itself.

    Tensors are uint8, RGB, `[B,C,H,W]`. By task, the module is called as

    - `inpaint`: `(image [B,3,H,W], mask [B,1,H,W], 0 keep, non-zero hole) -> [B,3,H,W]`
    - `edges`: the same inputs `-> [B,1,H,W]`, the edge map (EdgeConnect's stage 1)
    - `matting`: `(image [B,3,H,W], trimap [B,1,H,W] of 0, 128, 255) -> alpha [B,1,H,W]`

    and takes any batch, and any height and width of at least `smallest_size`. Keys that are not
    listed here are ignored, so that an exporter may add its own.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    contract: Literal["retouchd"]
    contract_version: Literal[1]
    task: Literal["inpaint", "edges", "matting"]
    network: str = Field(min_length=1, description="The architecture, such as `edgeconnect`.")
    stage: int | None = Field(default=None, description="EdgeConnect's stage, 1 to 3.")
    width: int | None = Field(default=None, ge=1, description="Channels of the first layer.")
    blocks: int | None = Field(default=None, ge=0, description="Residual blocks.")
    prefill: str | None = Field(
        default=None, description="What is put into a hole before the network sees it."
    )
    size_multiple: int = Field(
        default=1, ge=1, description="Sizes are padded to this inside; multiples of it are exact."
    )
    smallest_size: int = Field(default=1, ge=1, description="Least height and width, pixels.")
    best_size: int = Field(default=256, ge=1, description="Working size it was trained at, pixels.")
    halo: int = Field(default=0, ge=0, description="Context a window needs around it, pixels.")
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    device: str = Field(default="cpu", description="The device it was made on.")
    memory_bytes_per_pixel: int | None = Field(
        default=None, ge=1, description="Peak working memory per input pixel, measured at export."
    )
    checkpoint_sha256: dict[str, Sha256] = Field(
        default_factory=dict, description="The source checkpoints, by file name."
    )
    exporter: str = Field(default="unknown", description="Name and version of the exporter.")
    torch_version: str = "unknown"
    licence: str = Field(default="unknown", description="Licence of the weights.")
    trained: bool = Field(default=True, description="False where the weights are random.")
    metrics: dict[str, float] | None = None
    note: str | None = Field(
        default=None, description="What whoever looks at a result should know of the weights."
    )


def read_manifest(path: Path) -> Manifest:
    """Read an artifact's manifest from the zip, without torch and without running its code.

    Raises `ArtifactError` where the file is missing, no regular file, writable by others than its
    owner, no zip, or where its manifest is absent, empty, foreign or of another contract version.
    """
    return manifest_of(path, io.BytesIO(read_artifact(path)))


def read_artifact(path: Path) -> bytes:
    """The bytes of an artifact that nobody but its owner (root or this user) can write.

    Checked and read through one descriptor, so the file that was judged is the file that is read.
    Raises `ArtifactError`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path}: there is no such file. Make one with retouchd-export, or correct the path."
        ) from None
    except OSError as error:
        raise ArtifactError(f"{path}: can't be opened ({error.strerror}).") from None
    try:
        _refuse_unsafe(path, os.fstat(fd))
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise ArtifactError(f"{path}: can't be read ({error.strerror}).") from None
    finally:
        os.close(fd)


def _refuse_unsafe(path: Path, about: os.stat_result) -> None:
    """Raise `ArtifactError` for a file whose code others could have put there."""
    if not stat.S_ISREG(about.st_mode):
        raise ArtifactError(f"{path}: is not a regular file.")
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ArtifactError(
            f"{path}: can be written by others than its owner "
            f"(mode {about.st_mode & 0o7777:o}); an artifact is code. "
            f"Look where it came from, then run: chmod go-w '{path}'"
        )
    if about.st_uid not in (0, os.geteuid()):
        raise ArtifactError(
            f"{path}: belongs to user id {about.st_uid}, neither root nor the user that runs "
            "this; an artifact is code. Look where it came from, then change its owner."
        )


def manifest_of(path: Path, file: io.BytesIO) -> Manifest:
    """The manifest inside an artifact already in memory; `path` is only named in errors."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if _is_manifest(m.filename)]
            if len(members) != 1:
                raise ArtifactError(
                    f"{path}: holds no retouchd manifest, so it was not made for this program. "
                    "Export the checkpoint with retouchd-export."
                )
            if members[0].file_size > MAX_MANIFEST_BYTES:
                raise ArtifactError(f"{path}: its manifest is larger than a manifest can be.")
            text = archive.read(members[0])
    except _ZIP_ERRORS as error:
        raise ArtifactError(
            f"{path}: is no complete TorchScript file ({error}). Export or copy it again."
        ) from None
    if not text.strip():
        raise ArtifactError(f"{path}: its manifest is empty. Export the checkpoint again.")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(_describe(fault["loc"], fault["msg"]) for fault in error.errors())
        raise ArtifactError(
            f"{path}: its manifest is not one this version understands ({faults}). "
            "Export the checkpoint again with this version of retouchd-export."
        ) from None


def _is_manifest(member: str) -> bool:
    parts = member.split("/")
    return len(parts) == 3 and parts[1:] == ["extra", MANIFEST_KEY]


def _describe(where: tuple[int | str, ...], what: str) -> str:
    return f"{'.'.join(str(part) for part in where) or 'the whole'}: {what}"
