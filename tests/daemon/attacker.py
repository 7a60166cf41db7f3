"""Somebody who may write in the open folders, and acts before a call of our choice.

Before each file-system call of this process that names something, the attacker may act: take away
what lies at a place and put something else there. An act matters only to the calls that come upon
the place, and of several acts between two such calls each does what the last would. So the calls
of an undisturbed run that come upon a place are all the moments there are.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from outside import Outside

from daemon.spool import files

Kind = Literal[
    "nothing",
    "a file",
    "a folder",
    "a pipe",
    "a socket",
    "a device",
    "a link outside",
    "a link to what was there",
    "a link to itself",
    "a hard link outside",
]

PLANTED = b"planted"
_ONE = ("stat", "lstat", "mkdir", "unlink", "rmdir", "listdir", "scandir", "access", "open")
_TWO = ("rename", "replace", "link")
# A number that no driver has: opening it fails in a way that no file does.
_NO_DRIVER = os.makedev(240, 0)


class Tripwire:
    """Counts the calls, tells which places each comes upon, and lets the attacker act."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._is_armed = False
        self._acts: dict[int, Callable[[], None]] = {}
        self.calls: list[tuple[str, ...]] = []
        for name in _ONE:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))
        for name in _TWO:
            monkeypatch.setattr(os, name, self._wrapped_two(getattr(os, name)))
        renameat2 = files._libc.renameat2

        def rename(old: int, name: bytes, new: int, other: bytes, flags: int) -> int:
            self._meet((name, old), (other, new))
            done: int = renameat2(old, name, new, other, flags)
            return done

        monkeypatch.setattr(files._libc, "renameat2", rename)

    @contextmanager
    def armed(self, acts: Mapping[int, Callable[[], None]]) -> Iterator[None]:
        """The calls in here are counted from 0; before the call of a number its act is done."""
        self.calls, self._acts = [], dict(acts)
        self._is_armed = True
        try:
            yield
        finally:
            self._is_armed = False

    def moments(self, place: Path) -> list[int]:
        """The calls that came upon a place."""
        here = str(place)
        listed = f"{place.parent}/*"
        return [
            number
            for number, paths in enumerate(self.calls)
            if any(p in (here, listed) or p.startswith(f"{here}/") for p in paths)
        ]

    def _meet(self, *named: tuple[Any, int | None]) -> None:
        if not self._is_armed:
            return
        self._is_armed = False
        try:
            number = len(self.calls)
            self.calls.append(tuple(_resolved(path, folder) for path, folder in named))
            act = self._acts.pop(number, None)
            if act:
                act()
        finally:
            self._is_armed = True

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            self._meet((path, options.get("dir_fd")))
            return function(path, *arguments, **options)

        return call

    def _wrapped_two(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: Any, target: Any, **options: Any) -> Any:
            self._meet((source, options.get("src_dir_fd")), (target, options.get("dst_dir_fd")))
            return function(source, target, **options)

        return call


def _resolved(path: Any, folder: int | None) -> str:
    """The path that a call speaks of; of a listing, all that is in the folder."""
    if isinstance(path, int):
        return f"{_folder_of(path)}/*"
    if folder is None:
        return os.fsdecode(path)
    return f"{_folder_of(folder)}/{os.fsdecode(path)}"


def _folder_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def kinds() -> list[Kind]:
    """All that may be put; devices only where one may make them."""
    found: list[Kind] = [kind for kind in Kind.__args__ if kind != "a device"]  # type: ignore[attr-defined]
    return [*found, "a device"] if os.geteuid() == 0 else found


def put(
    kind: Kind, path: Path, was: Path, outside: Outside, shared: Path, *, for_folder: bool
) -> None:
    """Put something at a place.

    `was` is where the attacker has taken what lay there; `shared` is a file that may get a name
    inside.
    """
    match kind:
        case "nothing":
            return
        case "a file":
            path.write_bytes(PLANTED)
        case "a folder":
            path.mkdir(mode=0o755)
            (path / "note").write_bytes(PLANTED)
        case "a pipe":
            os.mkfifo(path)
        case "a socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case "a device":
            os.mknod(path, stat.S_IFCHR | 0o666, _NO_DRIVER)
        case "a link outside":
            path.symlink_to(outside.folder if for_folder else outside.secret)
        case "a link to what was there":
            path.symlink_to(was)
        case "a link to itself":
            path.symlink_to(path.name)
        case "a hard link outside":
            os.link(shared, path)
