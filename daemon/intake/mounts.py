"""The file systems that are mounted inside the inbox, such as one share for each scanner.

Nothing is renamed from one into another, and what one tells of its changes another may not.
"""

import os
from collections.abc import Collection
from pathlib import Path

import psutil


def mounts_below(inbox: Path) -> dict[str, str]:
    """The folders in the inbox on which something is mounted now, each with its file system's type.

    By their paths relative to the inbox. Empty where the kernel hides its table.
    """
    root = os.path.realpath(inbox).rstrip("/") + "/"
    try:
        table = psutil.disk_partitions(all=True)
    except OSError:
        return {}
    # Of several on one folder the last is the one that is seen.
    return {
        disk.mountpoint.removeprefix(root): disk.fstype
        for disk in table
        if disk.mountpoint.startswith(root)
    }


def mount_of(path: str, mounts: Collection[str]) -> str:
    """The innermost of these folders that holds a path or is it; empty where none does."""
    if not mounts:
        return ""
    while path and path not in mounts:
        path = path.rpartition("/")[0]
    return path
