"""What the figures were measured on and with, and when."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import torch

from models.evaluation.report import describe_machine

REPOSITORY: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("numpy", "pillow", "pyvips", "pymatting", "scipy")


def describe(device: str, threads: int) -> dict[str, Any]:
    """Processor, cores, threads, memory, GPU or null, versions, commit, date (UTC), load before."""
    return {
        **describe_machine(),
        "threads": threads,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "device": device,
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "system": f"{platform.system()} {platform.release()}",
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def commit() -> str | None:
    """This checkout's commit, with `+` where files differ from it; None where git can't say."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
