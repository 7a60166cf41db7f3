"""Which folders in the inbox are mounts, as the kernel's own table has it."""

from pathlib import Path

import psutil
import pytest
from mounts import Mounts

from daemon.intake.mounts import mount_of, mounts_below


def test_what_is_mounted_in_the_inbox_is_told_with_its_kind(mounts: Mounts, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "link").symlink_to(inbox)
    assert mounts_below(inbox) == {}
    mounts.tmpfs(inbox / "scanner é\n")
    mounts.tmpfs(inbox / "lab" / "two")
    mounts.bindfs(tmp_path, inbox / "lab" / "two" / "share")
    mounts.tmpfs(tmp_path / "inbox 2")
    kinds = {"scanner é\n": "tmpfs", "lab/two": "tmpfs", "lab/two/share": "fuse"}
    assert mounts_below(inbox) == mounts_below(tmp_path / "link") == kinds
    mounts.take_away(inbox / "lab" / "two" / "share")
    del kinds["lab/two/share"]
    assert mounts_below(inbox) == kinds


def test_an_inbox_that_is_a_mount_is_none_inside_itself(mounts: Mounts, tmp_path: Path) -> None:
    assert mounts_below(mounts.tmpfs(tmp_path / "inbox")) == {}


def test_a_hidden_table_names_no_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "disk_partitions", hidden)
    assert mounts_below(tmp_path) == {}


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("cat.jpg", ""),
        ("", ""),
        ("scanner", "scanner"),
        ("scanner/cat.jpg", "scanner"),
        ("scanner 2/cat.jpg", ""),
        ("scanner/a/disk/b/cat.jpg", "scanner/a/disk"),
        ("a/scanner/cat.jpg", ""),
    ],
)
def test_a_path_lies_on_the_innermost_mount_above_it(path: str, mount: str) -> None:
    assert mount_of(path, {"scanner": "nfs", "scanner/a/disk": "ext4"}) == mount
    assert mount_of(path, {}) == ""
