"""A world that fails at a chosen call, under a clock that never makes us wait.

What is failed is every call of this process that changes the disk or looks at it, by name. Real
faults, of a kernel and of a disk, are in test_world.py; here the point is that none is forgotten.
"""

import ctypes
import io
import os
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock

from daemon.spool import files

# Python's names of the calls that change the disk. `open`, a file object's `write` and
# `renameat2` come to these by ways of their own.
CHANGING = (
    *("replace", "rename", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "fsync"),
    *("truncate", "ftruncate", "chmod", "fchmod", "chown", "fchown", "utime"),
)
LOOKING = ("scandir", "listdir", "stat", "lstat", "access")

_MOST_SLEEPLESS_TURNS = 20


class SleepersClock(Clock):
    """Seconds that pass only while somebody sleeps."""

    def selector(self) -> selectors.BaseSelector:
        """A selector that sleeps by this clock."""
        clock, sleepless = self, 0

        class Skipping(selectors.EpollSelector):
            def select(self, timeout: float | None = None) -> list[Any]:
                nonlocal sleepless
                ready = super().select(0)
                assert timeout is not None, "it would sleep for ever"
                if not ready:
                    sleepless = 0 if timeout else sleepless + 1
                    assert sleepless < _MOST_SLEEPLESS_TURNS, "it turns without a pause"
                    clock.now += max(timeout, 0.001)
                return ready

        return Skipping()


class World:
    """Fails the calls of some kinds from the `first` on, once, or for as long as is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        self._clock = clock
        self._is_armed = False
        self._at_fault: Callable[[], None] = lambda: None
        self._since = 0.0
        self.count = 0
        self.failed: list[str] = []
        self.plan((), 0, 0)
        for kind, names in (("change", CHANGING), ("look", LOOKING)):
            for name in names:
                monkeypatch.setattr(os, name, self._wrapped(getattr(os, name), name, kind))
        monkeypatch.setattr(io, "open", self._wrapped(io.open, "open", "look"))
        monkeypatch.setattr(os, "open", self._opening(os.open))
        monkeypatch.setattr(os, "fdopen", self._fdopening(os.fdopen))
        monkeypatch.setattr(files._libc, "renameat2", self._renaming(files._libc.renameat2))

    def plan(self, kinds: tuple[str, ...], code: int, first: int) -> None:
        """One call of these kinds is to fail with `code`: the one after the `first` ones."""
        self._kinds, self._code, self._first = kinds, code, first
        self.count, self.failed = 0, []
        self._lasts = lambda: not self.failed

    def last_for_calls(self, calls: int) -> None:
        """So many calls fail, one after the other."""
        self._lasts = lambda: len(self.failed) < calls

    def last_for_seconds(self, seconds: float) -> None:
        """All calls fail for so long, from the first one that does."""
        self._lasts = lambda: not self.failed or self._clock() < self._since + seconds

    @property
    def is_bad(self) -> bool:
        """True while calls fail."""
        return bool(self.failed) and self._lasts()

    @contextmanager
    def armed(self, at_fault: Callable[[], None]) -> Iterator[None]:
        """What is planned happens in here; `at_fault` is called before each call that fails."""
        self._at_fault, self._is_armed = at_fault, True
        try:
            yield
        finally:
            self._is_armed = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done in here is another process's, or the test's own."""
        before, self._is_armed = self._is_armed, False
        try:
            yield
        finally:
            self._is_armed = before

    def meet(self, name: str, kind: str, path: object = None) -> None:
        """Raise the planned `OSError` if it is this call's turn."""
        if self._fails(name, kind):
            named = [str(path)] if isinstance(path, str | Path) else []
            raise OSError(self._code, os.strerror(self._code), *named)

    def _fails(self, name: str, kind: str) -> bool:
        if not self._is_armed or kind not in self._kinds:
            return False
        self.count += 1
        if self.count <= self._first or not self._lasts():
            return False
        if not self.failed:
            self._since = self._clock()
        self.failed.append(name)
        with self.paused():
            self._at_fault()
        return True

    def _wrapped(self, function: Callable[..., Any], name: str, kind: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.meet(name, kind, arguments[0] if arguments else None)
            return function(*arguments, **options)

        return call

    def _opening(self, function: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            self.meet("open", "change" if flags & os.O_CREAT else "look", path)
            return function(path, flags, *arguments, **options)

        return call

    def _fdopening(self, function: Callable[..., Any]) -> Callable[..., Any]:
        meet = self.meet

        class Disk(io.FileIO):
            def write(self, data: Any) -> int:
                meet("write", "change")
                return super().write(data)

            def readinto(self, buffer: Any) -> int:
                meet("read", "look")
                return super().readinto(buffer)

        def call(fd: int, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if mode == "rb":
                return io.BufferedReader(Disk(fd, mode))
            if mode == "w+b":
                return io.BufferedRandom(Disk(fd, mode))
            assert "b" not in mode, f"nobody here opens files as {mode}: no fault would reach it"
            return function(fd, mode, *arguments, **options)

        return call

    def _renaming(self, function: Callable[..., int]) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            if self._fails("renameat2", "change"):
                ctypes.set_errno(self._code)
                return -1
            return function(*arguments)

        return call
