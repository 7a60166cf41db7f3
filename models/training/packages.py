"""Debian packages: fetched once, unpacked, and the pictures in them read.

Trusts: apt's signatures, so what a package holds is what Debian ships. Promises: each package is
downloaded once into the cache, whole or not at all; nothing is installed and no root is needed.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.training.catalogue import INSIDE
from models.training.rcc import RccError, Resource

RELEASE = "Debian 12 (bookworm)"

_DOWNLOAD_S = 1800
_UNPACK_S = 300
# How the folders of work in progress begin.
_DOWNLOADING, _UNPACKED = ".download-", ".unpacked-"
_DISK_FULL = "No space left on device"


class PackageError(Exception):
    """A package can't be fetched or read. The text says what is wrong and what to do."""


def fetch_package(package: str, cache: Path) -> Path:
    """The package's `.deb` in the cache, downloaded where it isn't there yet.

    The newest version apt knows is fetched; a version once in the cache stays the one in use.
    Raises `PackageError`.
    """
    cached = sorted(cache.glob(f"{package}_*.deb"))
    if cached:
        return cached[-1]
    _require("apt-get")
    cache.mkdir(parents=True, exist_ok=True)
    with _scratch(cache, _DOWNLOADING) as folder:
        done = _run(["apt-get", "download", package], folder, _DOWNLOAD_S)
        downloaded = sorted(folder.glob("*.deb"))
        if done.returncode or not downloaded:
            raise PackageError(_why_not(package, done.stderr))
        target = cache / downloaded[0].name
        downloaded[0].replace(target)
    return target


@contextmanager
def unpacked(deb: Path) -> Iterator[Path]:
    """The package's files in a temporary folder beside it, for as long as the block runs.

    Raises `PackageError`.
    """
    _require("dpkg")
    with _scratch(deb.parent, _UNPACKED) as folder:
        # Absolute, since the command is run in a folder of its own.
        command = ["dpkg", "-x", str(deb.absolute()), str(folder.absolute())]
        done = _run(command, folder, _UNPACK_S)
        if done.returncode:
            raise PackageError(
                f"{deb}: can't be unpacked ({_last_line(done.stderr)}). "
                + (_make_room() if _DISK_FULL in done.stderr else "Remove it and start again.")
            )
        yield folder


def remove_leftovers(cache: Path) -> None:
    """Remove what killed processes left half done in the cache, and nothing that is in use.

    The rule: a process holds a lock on its folder for as long as it lives, so a folder that can be
    locked has no process. Where a file system knows no locks, all of it stays.
    """
    for prefix in (_DOWNLOADING, _UNPACKED):
        for folder in cache.glob(f"{prefix}*"):
            with suppress(OSError):
                opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(opened)


@contextmanager
def _scratch(cache: Path, prefix: str) -> Iterator[Path]:
    """A temporary folder in the cache, locked as `remove_leftovers` needs it."""
    while True:
        with (
            tempfile.TemporaryDirectory(prefix=prefix, dir=cache) as name,
            _locked(Path(name)) as is_held,
        ):
            if is_held:
                yield Path(name)
                return


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a new folder; False where another process took it for a leftover before that."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield folder.exists()
    finally:
        os.close(opened)


def version_of(deb: Path) -> str:
    """The version in the file's name: `name_VERSION_architecture.deb`, `%3a` for a colon."""
    return deb.name.split("_")[1].replace("%3a", ":")


class Members:
    """The files of an unpacked package, with those inside its Qt resources."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._resources: dict[str, Resource] = {}

    def read(self, member: str) -> bytes:
        """The bytes of `path` or `path/of.rcc!path/inside`. Raises `PackageError`."""
        path, _, inside = member.partition(INSIDE)
        try:
            if inside:
                return self._resource(path).read(inside)
            return (self._folder / path).read_bytes()
        except FileNotFoundError:
            raise PackageError(
                f"{path} is not in this version of the package; the catalogue is of {RELEASE}."
            ) from None
        except OSError as error:
            raise PackageError(f"{path} can't be read ({error.strerror}).") from None
        except RccError as error:
            raise PackageError(str(error)) from None

    def _resource(self, path: str) -> Resource:
        if path not in self._resources:
            if not (self._folder / path).exists():
                raise FileNotFoundError(path)
            self._resources[path] = Resource(self._folder / path)
        return self._resources[path]


def _require(command: str) -> None:
    if shutil.which(command) is None:
        raise PackageError(
            f"{command} is not on this machine. The starter pictures come from packages of "
            f"{RELEASE}: make the pack there (a container will do) and copy it, or train on "
            "folders of your own."
        )


def _run(command: list[str], folder: Path, seconds: int) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, timeout=seconds, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        raise PackageError(
            f"`{' '.join(command)}` was not done after {seconds} s. Start again: "
            "what is in the cache already stays there."
        ) from None


def _why_not(package: str, stderr: str) -> str:
    if "Unable to locate package" in stderr:
        return (
            f"apt-get knows no package {package}. Run `apt-get update` first; "
            f"the pictures are in packages of {RELEASE}."
        )
    why = f"{package}: can't be downloaded ({_last_line(stderr)}). "
    if _DISK_FULL in stderr or "enough free space" in stderr:
        return why + _make_room()
    return why + "Is there a network? What is in the cache already stays there."


def _make_room() -> str:
    return "The disk is full: make room, or name a cache on another one."


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("E: ") if lines else "without a word"
