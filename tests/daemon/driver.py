"""Starts the real daemon on a spool of its own and follows its log."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from listings import files_below
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
QUIET_S = 0.4
# Generous: the suite runs in parallel on slow machines. Nothing waits this long when all is well.
PATIENCE_S = 120.0

# Python code that becomes a user without rights. It comes after the imports: a checkout may lie
# where nobody but its owner can read it.
BECOME_NOBODY = """
import os
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
"""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass
class Site:
    """A spool with the models it uses: makes pairs, runs commands, looks at what came of it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inbox.mkdir(parents=True, exist_ok=True)

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def failed(self) -> Path:
        return self.root / "failed"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def files(self, folder: str) -> list[str]:
        """All files below one of the spool's folders, hidden ones too, sorted."""
        return files_below(self.root / folder)

    def jobs(self) -> list[str]:
        """The job folders in work/."""
        if not self.work.is_dir():
            return []
        return sorted(p.name for p in self.work.iterdir() if p.is_dir() and p.name[0] != ".")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "daemon.cli", *arguments, "--spool", str(self.root)]

    def variables(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RETOUCHD_")}
        defaults = {"RETOUCHD_QUIET_PERIOD_S": str(QUIET_S), "RETOUCHD_LOG_FORMAT": "json"}
        # Most tests look at all that lies in the outbox; those of what people see there ask for it.
        defaults |= {"RETOUCHD_PREVIEWS": "false", "RETOUCHD_PAGES": "false"}
        return {**clean, "PYTHONPATH": str(REPOSITORY), **defaults, **self.environment}

    def once(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `retouchd once` to its end."""
        return self.run("once", *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run any command of retouchd on this spool to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def start(self, *arguments: str) -> "Daemon":
        """Start `retouchd run`."""
        return Daemon(self, arguments)


class Daemon:
    """A running `retouchd run`, and every event it has logged."""

    def __init__(self, site: Site, arguments: tuple[str, ...]) -> None:
        self.site = site
        self.events: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self._process = subprocess.Popen(
            site.command("run", *arguments),
            env=site.variables(),
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.noise.append(line)

    def seen(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The events of a name whose fields are these."""
        return [
            logged
            for logged in list(self.events)
            if logged.get("event") == event
            and all(logged.get(key) == value for key, value in fields.items())
        ]

    def wait_for(self, event: str, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until an event has been logged so many times; returns the last."""
        self.wait_until(lambda: len(self.seen(event, **fields)) >= times, f"{times} x {event}")
        return self.seen(event, **fields)[-1]

    def wait_until(self, is_true: Callable[[], bool], what: str) -> None:
        """Wait for a condition; fails with the log if it does not come."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_true():
            if time.monotonic() > deadline or self._process.poll() is not None:
                log = "\n".join([*map(str, self.events[-40:]), *self.noise[-40:]])
                raise AssertionError(f"waited in vain for {what}; the log:\n{log}")
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9, as a power cut for the process."""
        self._process.kill()
        self._end()

    def stop(self) -> int:
        """Ask it to stop, as a service manager does; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        status = self._process.wait(timeout=PATIENCE_S)
        self._reader.join(timeout=PATIENCE_S)
        if self._process.stderr and not self._process.stderr.closed:
            self._process.stderr.close()
        return status


def photo(seed: int = 0, width: int = 96, height: int = 64) -> Pixels:
    """A small random photo, `[H,W,3]`; each seed gives another."""
    return np.random.default_rng(seed).integers(10, 245, (height, width, 3), dtype=np.uint8)


def hole(width: int = 96, height: int = 64) -> Pixels:
    """A mask with a rectangular hole, `[H,W]`."""
    mask = np.zeros((height, width), np.uint8)
    mask[10:40, 20:60] = 255
    return mask


def trimap(width: int = 96, height: int = 64) -> Pixels:
    """A trimap with all three regions, `[H,W]`."""
    values = np.zeros((height, width), np.uint8)
    values[8:50, 15:70] = 128
    values[20:40, 30:55] = 255
    return values


def save(pixels: Pixels, path: Path) -> Path:
    """Write a picture, its folder too; the suffix decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def load(path: Path) -> Pixels:
    """Read a picture back as it is."""
    with Image.open(path) as image:
        return np.asarray(image)


def inverted(picture: Pixels, mask: Pixels) -> Pixels:
    """What the tiny inpainting network makes of a picture."""
    return np.where(mask[..., None] > 0, 255 - picture, picture).astype(np.uint8)
