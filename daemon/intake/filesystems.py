"""The file system that holds the inbox, and whether the kernel hears all that is done on it."""

from pathlib import Path
from typing import Final

import psutil

# File systems that other machines write to: the kernel here hears nothing of it.
_BLIND_FILESYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "ceph", "glusterfs", "ncpfs"}
    | {"autofs", "beegfs", "coda", "drvfs", "gfs2", "gpfs", "lustre", "ocfs2", "vboxsf"}
)


def filesystem_of(path: Path) -> str:
    """The type of the file system that holds `path`, such as `ext4`; `unknown` if hidden."""
    path = path.resolve()
    try:
        mounted = reversed(psutil.disk_partitions(all=True))
    except OSError:
        return "unknown"
    # Of several mounts on one point the last is the one that is seen, and `max` takes the first:
    # an automounted share is listed twice, as autofs and then as what it is.
    best = max(
        (disk for disk in mounted if path.is_relative_to(disk.mountpoint)),
        key=lambda disk: len(disk.mountpoint),
        default=None,
    )
    return best.fstype if best else "unknown"


def hears_events(filesystem: str) -> bool:
    """Whether the kernel reports all changes on such a file system.

    FUSE mounts (sshfs, bindfs, rclone) may be written behind the kernel's back too.
    """
    return filesystem not in _BLIND_FILESYSTEMS and not filesystem.startswith("fuse")
