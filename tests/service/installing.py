"""Runs `make install` as people do, and cuts it off in the middle."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from machine import REPOSITORY, uv_of_make

# What an installation is made from; the rest of a checkout it does without.
_PARTS: Final = ("daemon", "export", "models", "deploy", "requirements")
_FILES: Final = ("Makefile", "pyproject.toml", "README.md", "LICENSE")
# Hundreds of packages and two exports, on a machine that may be busy.
PATIENCE_S: Final = 600.0


@dataclass(frozen=True)
class Installation:
    """A finished installation in `root`, and what the two runs before had left when they died."""

    checkout: Path
    root: Path
    after_first_cut: list[str]
    after_second_cut: list[str]
    said: str
    seconds: float


def check_out(folder: Path) -> Path:
    """A copy of this repository, so that nobody edits what is being installed."""
    ignore = shutil.ignore_patterns("__pycache__")
    for part in _PARTS:
        shutil.copytree(REPOSITORY / part, folder / part, ignore=ignore)
    for file in _FILES:
        shutil.copy(REPOSITORY / file, folder)
    return folder


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(uv_of_make()).parent}:{os.environ['PATH']}"}


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `make` to its end, with what it says in one text."""
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def install_and_cut_off(checkout: Path, root: Path, when: Callable[[], bool]) -> None:
    """Install, and kill it with all that it has started as soon as `when` is true."""
    command = ["make", "install", f"DESTDIR={root}", "DEVICE=cpu"]
    log = root.parent / "cut-off.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=checkout,
            env=_environment(),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    deadline = time.monotonic() + PATIENCE_S
    while not when():
        assert process.poll() is None, f"it ended before it could be cut off:\n{log.read_text()}"
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def install(checkout: Path, root: Path) -> Installation:
    """Install into `root`; cut off while packages are unpacked, and again before the networks."""
    began = time.monotonic()
    program = root / "opt/retouchd"
    packages = "environments/*/lib/python*/site-packages/[t-z]*"
    install_and_cut_off(checkout, root, lambda: any(program.glob(packages)))
    after_first = _entries(program)
    install_and_cut_off(checkout, root, lambda: (program / "networks/.new").exists())
    after_second = _entries(program)
    done = make(checkout, "install", f"DESTDIR={root}", "DEVICE=cpu")
    assert done.returncode == 0, done.stdout
    seconds = time.monotonic() - began
    return Installation(checkout, root, after_first, after_second, done.stdout, seconds)


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
