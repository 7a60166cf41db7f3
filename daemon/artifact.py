"""The artifact contract: what a network file must say of itself before the daemon runs it.

The daemon owns this contract; `export` fulfils it, and so may anyone else. An artifact is one
TorchScript file (a zip) that carries a JSON manifest as an extra file. The manifest is read here
as a member of the zip: no torch is imported, and none of the file's code can run.

Trusts: nothing in the file. Promises: a `Manifest` that is complete and understood, or an
`ArtifactError` whose text says what is wrong and what to do.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from daemon.reasons import one_line

CONTRACT = "retouchd"
CONTRACT_VERSION = 1

# The key under which torch.jit.save takes the manifest (`_extra_files={MANIFEST_KEY: json}`);
# in the zip it is the member `ARCHIVE/extra/manifest.json`.
MANIFEST_KEY = "manifest.json"

# What a damaged or forged zip makes zipfile raise.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)

# A manifest is a page of text. More than this is not one, and is not read into memory.
MAX_MANIFEST_BYTES = 256 * 1024

# A zip's list of its members is read in one piece, and made into objects of ten times its size.
# This is enough for some ten thousand tensors.
MAX_READ_BYTES: Final = 1024 * 1024

# Methods that can be unpacked piece by piece. Python's zipfile gives no bound on what the others
# make of a few bytes, and torch.jit.save uses none of them.
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# How much of what is wrong with a strange file is told: an error is a line in a log.
_TOLD_FAULTS: Final = 4
_TOLD_CHARACTERS: Final = 200

# Above all that a picture has: a larger number is a slip or a forgery.
MAX_SIDE_PX: Final = 65_536
_MAX_CHANNELS: Final = 1_000_000
_MAX_BYTES_PER_PIXEL: Final = 10**12


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(max_length=200), AfterValidator(one_line)]
Text = Annotated[str, StringConstraints(max_length=4000), AfterValidator(one_line)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]


class ArtifactError(Exception):
    """An artifact can't be used. The text names the file, what is wrong with it and what to do."""


class Manifest(BaseModel):
    """What an artifact says of itself.

    Tensors are uint8, RGB, `[B,C,H,W]`. By task, the module is called as

    - `inpaint`: `(image [B,3,H,W], mask [B,1,H,W], 0 keep, non-zero hole) -> [B,3,H,W]`
    - `edges`: the same inputs `-> [B,1,H,W]`, the edge map (EdgeConnect's stage 1)
    - `matting`: `(image [B,3,H,W], trimap [B,1,H,W] of 0, 128, 255) -> alpha [B,1,H,W]`

    and takes any batch, and any height and width of at least `smallest_size`. Keys that are not
    listed here are ignored, so that an exporter may add its own; of a key that stands twice, the
    last counts, as in most readers of JSON. Texts are one line each: what can't be printed is
    escaped.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", protected_namespaces=(), allow_inf_nan=False
    )

    contract: Literal["retouchd"]
    contract_version: Literal[1]
    task: Literal["inpaint", "edges", "matting"]
    network: Name = Field(min_length=1, description="The architecture, such as `edgeconnect`.")
    stage: int | None = Field(default=None, ge=1, le=3, description="EdgeConnect's stage, 1 to 3.")
    width: int | None = Field(
        default=None, ge=1, le=_MAX_CHANNELS, description="Channels of the first layer."
    )
    blocks: int | None = Field(default=None, ge=0, le=_MAX_CHANNELS, description="Residual blocks.")
    prefill: Name | None = Field(
        default=None, description="What is put into a hole before the network sees it."
    )
    size_multiple: Side = Field(
        default=1, description="Sizes are padded to this inside; multiples of it are exact."
    )
    smallest_size: Side = Field(default=1, description="Least height and width, pixels.")
    best_size: Side = Field(default=256, description="Working size it was trained at, pixels.")
    halo: int = Field(
        default=0, ge=0, le=MAX_SIDE_PX, description="Context a window needs around it, pixels."
    )
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    device: Name = Field(default="cpu", description="The device it was made on.")
    memory_bytes_per_pixel: int | None = Field(
        default=None,
        ge=1,
        le=_MAX_BYTES_PER_PIXEL,
        description="Peak working memory per input pixel, measured at export.",
    )
    checkpoint_sha256: dict[Name, Sha256] = Field(
        default_factory=dict, description="The source checkpoints, by file name."
    )
    exporter: Name = Field(default="unknown", description="Name and version of the exporter.")
    torch_version: Name = "unknown"
    licence: Text = Field(default="unknown", description="Licence of the weights.")
    trained: bool = Field(default=True, description="False where the weights are random.")
    metrics: dict[Name, float] | None = None
    note: Text | None = Field(
        default=None, description="What whoever looks at a result should know of the weights."
    )

    @model_validator(mode="after")
    def _sizes_agree(self) -> "Manifest":
        if "best_size" in self.model_fields_set and self.best_size < self.smallest_size:
            raise ValueError("best_size is smaller than smallest_size")
        return self


def read_manifest(path: Path) -> Manifest:
    """Read an artifact's manifest from the zip, without torch and without running its code.

    Of the file no more is read than its list of members and the manifest. Raises `ArtifactError`
    where it is missing, no regular file, writable by others than its owner, no zip, or where its
    manifest is absent, empty, foreign or of another contract version.
    """
    with open_artifact(path) as file:
        return manifest_of(path, file)


def read_artifact(path: Path) -> bytes:
    """The bytes of an artifact that nobody but its owner (root or this user) can write.

    Raises `ArtifactError`.
    """
    with open_artifact(path) as file:
        return file.read()


@contextmanager
def open_artifact(path: Path) -> Iterator[BinaryIO]:
    """An artifact that nobody but its owner (root or this user) can write, open for reading.

    Checked and read through one descriptor, so the file that was judged is the file that is read,
    whatever takes its name meanwhile. Raises `ArtifactError`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path}: there is no such file. Make one with retouchd-export, or correct the path."
        ) from None
    except OSError as error:
        raise ArtifactError(f"{path}: can't be opened ({error.strerror}).") from None
    try:
        _refuse_unsafe(path, os.fstat(fd))
        with os.fdopen(fd, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise ArtifactError(f"{path}: can't be read ({error.strerror}).") from None
    finally:
        os.close(fd)


def holds_manifest(path: Path) -> bool:
    """Whether a file is a zip with a manifest in its place, of whatever version and owner."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file, zipfile.ZipFile(_Bounded(file)) as archive:
            return bool(_manifests(archive))
    except _ZIP_ERRORS:
        return False


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


def manifest_of(path: Path, file: BinaryIO) -> Manifest:
    """The manifest inside an artifact that was opened or read; `path` is only named in errors."""
    text = _manifest_text(path, file)
    if not text.strip():
        raise ArtifactError(f"{path}: its manifest is empty. Export the checkpoint again.")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: its manifest is not one this version understands ({_faults(error)}). "
            "Export the checkpoint again with this version of retouchd-export."
        ) from None


def _manifest_text(path: Path, file: BinaryIO) -> bytes:
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            members = _manifests(archive)
            if len(members) != 1:
                raise ArtifactError(
                    f"{path}: holds no retouchd manifest, so it was not made for this program. "
                    "Export the checkpoint with retouchd-export."
                )
            if members[0].compress_type not in _METHODS:
                raise ArtifactError(
                    f"{path}: its manifest is packed as TorchScript files are not. "
                    "Export the checkpoint again."
                )
            if members[0].file_size > MAX_MANIFEST_BYTES:
                raise ArtifactError(f"{path}: its manifest is larger than a manifest can be.")
            with archive.open(members[0]) as member:
                # The zip's word for the size is not enough: read() without a bound unpacks what
                # is there, and only then cuts it off.
                return member.read(MAX_MANIFEST_BYTES + 1)
    except _ZIP_ERRORS as error:
        raise ArtifactError(
            f"{path}: is no complete TorchScript file ({one_line(str(error)[:_TOLD_CHARACTERS])})."
            " Export or copy it again."
        ) from None


def _manifests(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that stand where the manifest has its place."""
    split = [(member, member.filename.split("/")) for member in archive.infolist()]
    return [m for m, parts in split if len(parts) == 3 and parts[1:] == ["extra", MANIFEST_KEY]]


class _Bounded:
    """A file as zipfile reads it, refusing reads so large that only a forged zip asks for them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1, /) -> bytes:
        """As a file's. Raises `BadZipFile` where more than `MAX_READ_BYTES` would come."""
        data = self._file.read(MAX_READ_BYTES + 1 if size < 0 else min(size, MAX_READ_BYTES + 1))
        if len(data) > MAX_READ_BYTES:
            raise zipfile.BadZipFile("its list of members is longer than a network's can be")
        return data


def _faults(error: ValidationError) -> str:
    """What is wrong, by key: a few of many, in one line."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_describe(fault["loc"], fault["msg"]) for fault in faults[:_TOLD_FAULTS]]
    if len(faults) > _TOLD_FAULTS:
        told.append(f"and {len(faults) - _TOLD_FAULTS} more")
    return "; ".join(told)


def _describe(where: tuple[int | str, ...], what: str) -> str:
    key = ".".join(str(part) for part in where)[:_TOLD_CHARACTERS] or "the whole"
    return one_line(f"{key}: {what}")
