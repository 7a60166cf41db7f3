"""Files on sshfs that are removed right after they were read: nothing of them stays behind.

Plain `os.unlink` leaves a hidden copy of every second one there, with Debian 12's libfuse.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fuse_mounts import FuseMount, SshServer

from daemon.places import Place
from daemon.spool import files
from daemon.spool.files import Ownership

pytestmark = pytest.mark.feeders

TIMES = 100
# A file is closed there after `close` has returned.
SOON_S = 10.0


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a mount of sshfs."""
    for name in ("ssh", "there", "here"):
        (tmp_path / name).mkdir()
    server = SshServer(tmp_path / "ssh")
    server.start()
    here = tmp_path / "here"
    mount = FuseMount(server.sshfs(tmp_path / "there", here), here, tmp_path / "log")
    yield here
    mount.stop()
    server.stop()


def read_and_removed(far: Path) -> None:
    (far / "cat.png").write_bytes(b"a picture")
    files.sha256_of(Place(far, "cat.png"))
    files.remove_file(Place(far, "cat.png"))


def moved_away(far: Path) -> None:
    (far / "cat.png").write_bytes(b"a picture")
    target = Place(far.parent, "cat.png")
    files.move(Place(far, "cat.png"), target)
    files.remove_file(target)


def read_and_written_anew(far: Path) -> None:
    files.write_own_page(Place(far, "page.html"), b"a page", Ownership(), lambda _: True)


def probed(far: Path) -> None:
    with pytest.raises(OSError, match="cross-device"):
        files.probe_rename(Place(far), Place(far.parent))


def removed_with_its_folder(far: Path) -> None:
    folder = far / "job"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"a picture")
        files.sha256_of(Place(folder, f"{number}.png"))
    files.remove_folder(Place(far, "job"))
    assert not folder.exists()


@pytest.mark.parametrize(
    "what",
    [read_and_removed, moved_away, read_and_written_anew, probed, removed_with_its_folder],
)
def test_what_is_closed_and_removed_at_once_is_gone(
    far: Path, what: Callable[[Path], None]
) -> None:
    for _ in range(TIMES):
        what(far)
    behind = far.parent / "there"
    deadline = time.monotonic() + SOON_S
    while left := {path.name for path in behind.iterdir()} - {"page.html"}:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
