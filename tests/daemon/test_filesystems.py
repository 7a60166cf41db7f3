"""Which file system holds a folder, and whether the kernel hears of all that is done on it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from daemon.intake.filesystems import filesystem_of, hears_events


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "unknown"])
def test_local_file_systems_tell_of_changes(kind: str) -> None:
    assert hears_events(kind)


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "fuse.rclone", "fuse"]
)
def test_file_systems_that_others_write_to_do_not(kind: str) -> None:
    assert not hears_events(kind)


def mounted(*mounts: tuple[str, str]) -> Callable[..., list[SimpleNamespace]]:
    return lambda **_: [SimpleNamespace(mountpoint=point, fstype=kind) for point, kind in mounts]


def test_the_innermost_mount_tells_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path.resolve()
    monkeypatch.setattr(
        psutil,
        "disk_partitions",
        mounted(("/", "ext4"), (str(folder), "nfs4"), (f"{folder}2", "cifs")),
    )
    assert filesystem_of(folder / "inbox") == "nfs4"
    assert filesystem_of(folder.parent) == "ext4"


def test_an_automounted_share_is_what_was_mounted_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = str(tmp_path.resolve())
    monkeypatch.setattr(
        psutil, "disk_partitions", mounted(("/", "ext4"), (point, "autofs"), (point, "cifs"))
    )
    assert filesystem_of(tmp_path) == "cifs"


def test_a_hidden_mount_table_gives_an_unknown_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", mounted())
    assert filesystem_of(tmp_path) == "unknown"


def test_a_link_is_followed_to_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path.resolve() / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    monkeypatch.setattr(psutil, "disk_partitions", mounted(("/", "ext4"), (str(real), "nfs")))
    assert filesystem_of(tmp_path / "link") == "nfs"
