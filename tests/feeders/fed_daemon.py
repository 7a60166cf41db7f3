"""A running daemon with a feeder on its inbox, and what must come of what is fed."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from driver import Daemon, Pixels, Site, inverted, load
from feeding import Feeder, Upload
from PIL import Image

from daemon.intake.names import is_junk_file, is_junk_folder

# What the log must never hold here: each of these would mean that something went wrong.
TROUBLES = ("job_failed", "job_stuck", "job_tried", "stray_set_aside", "queue_held", "worker_ended")


TAKEN_AT = 1_600_000_000

# The daemon's own, where the inbox is a mount.
OURS = {".retouchd-work/lock"}


@dataclass(frozen=True)
class Picture:
    """A picture on the client's side."""

    path: Path
    pixels: Pixels

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size

    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@dataclass
class FedDaemon:
    """One feeder's daemon; its tests share it, each in a folder of its own."""

    feeder: Feeder
    site: Site
    daemon: Daemon
    version: str
    # What came of the tests so far, and the junk that one of them uploaded.
    results: set[str] = field(default_factory=set)
    junk: set[str] = field(default_factory=set)

    def folder(self, name: str) -> str:
        """A new folder in the inbox in which anybody may write."""
        path = self.site.inbox / name
        path.mkdir()
        path.chmod(0o2777)
        return name

    @contextmanager
    def uploading(self, original: Picture, to: str) -> Iterator[Upload]:
        """A slow upload, which ends where the test does."""
        upload = self.feeder.put_slowly(original.path, to)
        try:
            yield upload
        except BaseException:
            upload.kill()
            raise

    def claims(self, picture: str) -> int:
        """How often a picture was taken out of the inbox."""
        return len(self.daemon.seen("pair_claimed", picture=picture))

    def given_back(self, picture: str) -> int:
        """How often it turned out to be incomplete."""
        return len(self.daemon.seen("pair_given_back", picture=picture))

    def expect(self, picture: str, original: Picture, mask: Picture) -> None:
        """Wait for a picture's result, which must be of this original and no other."""
        finished = self.daemon.wait_for("job_finished", picture=picture)
        assert finished["picture_sha256"] == original.sha256(), picture
        result = str(PurePosixPath(picture).with_suffix(".png"))
        self.results.add(result)
        made = load(self.site.outbox / result)
        assert (made == inverted(original.pixels, mask.pixels)).all(), picture

    def stands(self, path: str) -> bool:
        """Whether a file has this name in the inbox."""
        return (self.site.inbox / path).exists()

    def looks(self, path: str) -> tuple[int, int, int]:
        """What changes of a file in the inbox when it is overwritten."""
        status = (self.site.inbox / path).stat()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def failures(self) -> dict[str, str]:
        """What lies in failed/, with what the reasons say."""
        names = self.site.files("failed")
        paths = {name: self.site.failed / name for name in names}
        return {
            name: path.read_text() if path.suffix == ".txt" else "" for name, path in paths.items()
        }

    def left(self) -> set[str]:
        """Files in the inbox that are neither known junk nor what the feeder may leave."""
        there = set(self.site.files("inbox")) - self.junk - OURS
        return {name for name in there if not self._may_stay(name)}

    def _may_stay(self, name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in self.feeder.leaves)


def is_junk(path: str) -> bool:
    """True for a path of which any part is a name that is never a picture's."""
    *folders, name = PurePosixPath(path).parts
    return is_junk_file(name) or any(is_junk_folder(folder) for folder in folders)


def draw(pixels: Pixels, path: Path, compression: int = 0) -> Picture:
    """Write a picture of some years ago, without compression unless told.

    Two of the same measure have the same size and the same time, so that nothing tells them apart
    but the content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=compression)
    os.utime(path, (TAKEN_AT, TAKEN_AT))
    return Picture(path, pixels)
