"""A real attacker against the real daemon: folders become links and folders again, all the time.

strace looks on: each call that names a file, with where its descriptors lead.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from driver import PATIENCE_S, Daemon, Pixels, Site, hole, inverted, load, photo, save
from outside import Outside
from PIL import Image

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

PAIRS = 8
ATTACK_S = 3.0
Start = Callable[..., Daemon]
# Calls that change what a name means or what a file is.
CHANGING = re.compile(
    "rename|unlink|rmdir|mkdir|link|mknod|f?chmod|f?chown|f?truncate|utime|.*xattr"
)
CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?")
FOLDER = re.compile(r"\b(?:AT_FDCWD|\d+)<(.*?)>")
PATH = re.compile(r'"(.*?)"')
WATCH = re.compile(r"^inotify wd:\S+ ino:(\w+) ", re.MULTILINE)


@contextmanager
def attack(*names: Path) -> Iterator[None]:
    """While in here, each name and the next swap all the time; then all are as they were."""
    program = Path(__file__).with_name("flipper.py")
    command = [sys.executable, "-I", "-S", str(program), *map(str, names)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flipper:
        try:
            yield
        finally:
            flipper.terminate()
            swaps, _ = flipper.communicate(timeout=PATIENCE_S)
    print(f"{swaps.strip()} swaps")
    assert int(swaps) > 100
    for one, other in zip(names[::2], names[1::2], strict=True):
        if one.is_symlink():
            aside = one.with_name("aside")
            one.rename(aside)
            other.rename(one)
            aside.rename(other)


@contextmanager
def traced(daemon: Daemon, trace: Path) -> Iterator[None]:
    """Note each call of the supervisor's that names a file, or changes one it holds open."""
    calls = "trace=%file,fchmod,fchown,fsetxattr,ftruncate"
    options = ["-f", "-y", "-s", "4096", "-e", calls, "-o", str(trace), "-p", str(daemon.pid)]
    with subprocess.Popen(["strace", *options], stderr=subprocess.PIPE) as strace:
        assert strace.stderr is not None
        assert b"attached" in strace.stderr.readline()
        try:
            yield
        finally:
            strace.terminate()
            strace.communicate(timeout=PATIENCE_S)


@dataclass
class Race:
    """A spool of which three folders are links to a folder outside, half of the time."""

    site: Site
    outside: Outside
    names: list[Path]

    def feed(self, number: int) -> None:
        """Put a pair into the inbox's folder itself, whichever of its names it has now."""
        new = self.site.root.parent / "new"
        save(photo(number), new / f"{number}.png")
        save(hole(), new / f"{number}_mask.png")
        for path in sorted(new.iterdir()):
            while path.exists():
                move_into(self.names[:2], path)

    def feed_all(self, daemon: Daemon) -> None:
        """Feed pairs while the attack goes on, until most have been done in spite of it."""
        for number in range(PAIRS):
            self.feed(number)
            time.sleep(0.1)
        deadline = time.monotonic() + ATTACK_S
        while len(daemon.seen("job_finished")) < PAIRS - 2 and time.monotonic() < deadline:
            assert self.outside.folder.stat().st_ino not in watched(daemon)
            time.sleep(0.01)

    def is_settled(self) -> bool:
        """Whether nothing is left to do: what lies in the inbox has lost its other half."""
        left = {name.removesuffix(".png") for name in self.site.files("inbox")}
        return not self.site.jobs() and not any(f"{name}_mask" in left for name in left)

    def check(self) -> None:
        """Each picture and mask is in one place, each result under its name and right."""
        roots = (self.site.inbox, self.site.archive, self.site.failed)
        originals = Counter(path.read_bytes() for path in below(*roots))
        for number in range(PAIRS):
            assert originals[encoded(photo(number))] == 1
        assert originals[encoded(hole())] == PAIRS
        done = {path.name for path in below(self.site.archive) if "mask" not in path.name}
        assert {path.name for path in below(self.site.outbox)} == done
        for path in below(self.site.outbox):
            assert (load(path) == inverted(photo(int(path.stem)), hole())).all()
        print(f"{len(done)} of {PAIRS} done in spite of it")


def watched(daemon: Daemon) -> set[int]:
    """The inodes of the folders whose events the daemon hears; see proc_pid_fdinfo(5)."""
    found: set[int] = set()
    for about in Path(f"/proc/{daemon.pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found |= {int(inode, 16) for inode in WATCH.findall(about.read_text())}
    assert found
    return found


def move_into(names: list[Path], path: Path) -> None:
    for folder in names:
        try:
            fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # now it is the link
        os.rename(path, path.name, dst_dir_fd=fd)
        os.close(fd)
        return


def below(*roots: Path) -> list[Path]:
    return [path for root in roots for path in root.rglob("*.png")]


def encoded(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def race(tmp_path: Path, inpaint_model: Path) -> Iterator[Race]:
    settings = {
        "RETOUCHD_INPAINT_MODEL": str(inpaint_model),
        "RETOUCHD_SCAN_INTERVAL_S": "0.1",
        "RETOUCHD_QUIET_PERIOD_S": "0.1",
    }
    site = Site(tmp_path / "spool", settings)
    outside = Outside(tmp_path / "outside")
    names = []
    for root in (site.inbox, site.outbox, site.archive):
        (root / "day").mkdir(parents=True)
        link = tmp_path / f"link for {root.name}"
        link.symlink_to(outside.folder)
        names += [root / "day", link]
    yield Race(site, outside, names)
    outside.close()


def test_folders_that_are_links_half_of_the_time_lead_nowhere(race: Race, start: Start) -> None:
    daemon = start(race.site)
    daemon.wait_for("worker_started")
    assert daemon.wait_for("watching")["events"]
    trace = race.site.root.parent / "trace"
    with traced(daemon, trace):
        with attack(*race.names):
            race.feed_all(daemon)
        daemon.wait_until(race.is_settled, "every pair to be done or failed")
    status = daemon.stop()
    assert (status, daemon.noise) == (0, [])
    race.outside.check()
    race.check()
    check_trace(trace, race)


def check_trace(trace: Path, race: Race) -> None:
    """What strace saw: nothing outside, and nothing that names more than one step below a root."""
    roots = [str(race.site.root / name) for name in ("inbox", "outbox", "archive", "failed")]
    calls = [match for line in trace.read_text().splitlines() if (match := CALL.match(line))]
    changing = [match for match in calls if CHANGING.match(match[1]) or "O_CREAT" in match[2]]
    for match in calls:
        assert str(race.outside.root) not in (match[4] or ""), match[0]
    for match in changing:
        where, path = FOLDER.findall(match[2]), PATH.findall(match[2])
        assert not any(folder.startswith(str(race.outside.root)) for folder in where), match[0]
        assert not any(name.startswith(tuple(roots)) or "/" in name for name in path), match[0]
    print(f"{len(calls)} calls, {len(changing)} of them changing something")
    assert len(changing) > 30
