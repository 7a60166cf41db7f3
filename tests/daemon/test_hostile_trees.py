"""Trees that nobody should drop, and the real daemon: the pair beside them is done all the same."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import Daemon, Site, hole, inverted, load, photo, save

from daemon.intake.scan import scan

Start = Callable[..., Daemon]
DEEP, WIDE, MANY = 1100, 5000, 20000
SCAN_S = 5.0  # 0.3 s where nobody else computes


@pytest.fixture
def site(inpaint_model: Path) -> Iterator[Site]:
    """A spool in memory, where there is some; `rm` removes what Python is too deep for."""
    memory = Path("/dev/shm")  # noqa: S108
    root = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    yield Site(Path(root) / "spool", {"RETOUCHD_INPAINT_MODEL": str(inpaint_model)})
    subprocess.run(["rm", "-rf", root], check=True)


def dig(folder: Path, depth: int) -> None:
    """Make folders inside each other, with a picture in the last, however long the path gets."""
    folder.mkdir(parents=True)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.jpg", os.O_CREAT, dir_fd=here))
    os.close(here)


def drop(site: Site, name: str) -> None:
    save(photo(), site.inbox / f"{name}.png")
    save(hole(), site.inbox / f"{name}_mask.png")


def test_a_pair_beside_trees_that_are_deep_wide_and_full_is_done(site: Site, start: Start) -> None:
    dig(site.inbox / "deep", DEEP)
    for number in range(WIDE):
        (site.inbox / f"wide {number}").mkdir()
    junk = site.inbox / "junk"
    junk.mkdir()
    for number in range(MANY):
        (junk / f"{number}.tmp").touch()
    began = time.perf_counter()
    found = scan(site.inbox)
    took = time.perf_counter() - began
    print(f"a scan takes {took:.2f} s")
    assert took < SCAN_S
    assert len(found.errors) == 1

    drop(site, "first")
    daemon = start(site)
    daemon.wait_for("job_finished", picture="first.png")
    dig(site.root / "second", DEEP)
    (site.root / "second").rename(site.inbox / "deep too")
    drop(site, "second")
    daemon.wait_for("job_finished", picture="second.png")
    daemon.wait_for("folder_skipped", times=2)
    assert daemon.stop() == 0
    assert daemon.noise == []
    assert len(daemon.seen("folder_skipped")) == 2
    for name in ("first", "second"):
        assert (load(site.outbox / f"{name}.png") == inverted(photo(), hole())).all()
