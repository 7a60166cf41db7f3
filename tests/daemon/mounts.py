"""Small real file systems for a test: mounted, filled up, made read-only, taken away, put back.

Needs root. What a test mounted is gone when it ends. It is seen by the test's own process and by
those that it starts, and by nobody else, so it goes even where that process is killed.
"""

import ctypes
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

# From the kernel's include/uapi/linux/sched.h.
_CLONE_NEWNS = 0x00020000

EXT4_BYTES = 16 << 20
IMAGE_BYTES = 128 << 20  # btrfs wants a little more than 100 MiB; the image is sparse
NTFS_BYTES = 16 << 20
_CHUNK = b"x" * 4096


class Mounts:
    """All that a test has mounted, in order."""

    def __init__(self) -> None:
        keep_to_ourselves()
        self._points: list[Path] = []

    def tmpfs(self, point: Path, options: str = "size=1m") -> Path:
        """A file system in memory."""
        return self._mount(point, "-t", "tmpfs", "-o", options, "none")

    def bind(self, source: Path, point: Path) -> Path:
        """A folder, at another place too."""
        return self._mount(point, "--bind", str(source))

    def ext4(self, point: Path, image: Path) -> Path:
        """A disk of its own. What `image` holds already is kept, as on a disk that comes back."""
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(EXT4_BYTES)
            _do("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        return self._mount(point, "-o", "loop", str(image))

    def bindfs(self, source: Path, point: Path, *options: str) -> Path:
        """A folder by way of FUSE: the kernel tells nothing here of what is done in `source`.

        It is seen at once: what FUSE keeps for a second would outlast a test's own clock.
        """
        point.mkdir(parents=True, exist_ok=True)
        at_once = ("-o", "attr_timeout=0,entry_timeout=0")
        _do("bindfs", *at_once, *options, str(source), str(point))
        self._points.append(point)
        return point

    def sshfs(self, source: Path, point: Path, *options: str) -> Path:
        """The same over SFTP; a pipe stands for the network, so no sshd is needed."""
        pipe = point.parent.with_name(f"pipe-to-{source.name}")
        pipe.write_text("#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n")
        pipe.chmod(0o755)
        point.mkdir(parents=True, exist_ok=True)
        _do("sshfs", "-o", f"ssh_command={pipe}", *options, f"server:{source}", str(point))
        self._points.append(point)
        return point

    def btrfs(self, point: Path, image: Path) -> Path:
        """A file system with quotas."""
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _do("mkfs.btrfs", "-q", "-m", "single", "-d", "single", str(image))
        self._mount(point, "-o", "loop", str(image))
        _do("btrfs", "quota", "enable", str(point))
        return point

    def ntfs(self, point: Path, image: Path) -> Path:
        """A file system to which `Cat.jpg` and `CAT.JPG` are one name."""
        with image.open("wb") as file:
            file.truncate(NTFS_BYTES)
        _do("mkntfs", "--quiet", "--force", "--quick", str(image))
        point.mkdir()
        _do("lowntfs-3g", "-o", "ignore_case,permissions", str(image), str(point))
        self._points.append(point)
        return point

    def remount(self, point: Path, options: str) -> None:
        """Change a mount's options, as with `ro`."""
        _do("mount", "-o", f"remount,{options}", str(point))

    def take_away(self, point: Path) -> None:
        """Unmount, though somebody has it open; what is left is the empty mount point."""
        _do("umount", "--lazy", str(point))
        self._points.remove(point)

    def rename(self, folder: Path, name: Path) -> None:
        """Rename a folder below which something is mounted, which goes with it."""
        folder.rename(name)
        self._points = [
            name / point.relative_to(folder) if point.is_relative_to(folder) else point
            for point in self._points
        ]

    def end(self) -> None:
        """Unmount all, the last first."""
        for point in reversed(self._points):
            _do("umount", "--lazy", str(point))
        self._points.clear()

    def _mount(self, point: Path, *options: str) -> Path:
        point.mkdir(parents=True, exist_ok=True)
        _do("mount", *options, str(point))
        self._points.append(point)
        return point


def subvolume(path: Path, limit: str) -> Path:
    """A folder on btrfs that may hold no more than so much."""
    _do("btrfs", "subvolume", "create", str(path))
    _do("btrfs", "qgroup", "limit", limit, str(path))
    return path


def fill(folder: Path) -> Path:
    """Take all the space that is left; returns the file to remove."""
    ballast = folder / ".ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(_CHUNK)
                os.fsync(file.fileno())
        except OSError:
            return ballast


def fill_inodes(folder: Path) -> Path:
    """Take all the inodes that are left; returns the folder to remove."""
    ballast = folder / ".ballast"
    ballast.mkdir()
    try:
        for number in range(1 << 20):
            (ballast / str(number)).touch()
    except OSError:
        return ballast
    raise AssertionError("there are inodes without end")


def remove(ballast: Path) -> None:
    """Free what `fill` or `fill_inodes` took."""
    if ballast.is_dir():
        shutil.rmtree(ballast)
    else:
        ballast.unlink()


@cache
def keep_to_ourselves() -> None:
    """Have this process see mounts of its own, of which others get no copy.

    A mount lives as long as any process sees it: whoever makes a mount namespace beside us, as a
    container does at its start, would keep a disk busy that we have unmounted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    _do("mount", "--make-rprivate", "/")


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
