"""What Syncthing makes of files that are taken out of a folder that it keeps in sync.

The folder's types on both sides decide. With the right ones, a sender keeps its pictures.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from driver import Daemon, Site, hole, inverted, load, photo, save
from feeding import QUIET_S
from syncthing_device import Device, Share

pytestmark = pytest.mark.feeders

# Two folders below one inbox: as it should be set, and as Syncthing sets it by itself.
RIGHT, USUAL = "right", "usual"
WAIT_S = 30.0


@dataclass
class Two:
    """A sender and a receiver that share both folders, and the daemon on the receiver's side."""

    site: Site
    daemon: Daemon
    homes: Path
    sender: Device
    receiver: Device

    def send(self, folder: str, name: str, seed: int) -> None:
        """Put a pair into the sender's folder, the mask last."""
        save(photo(seed), self.homes / folder / f"{name}.png")
        save(hole(), self.homes / folder / f"{name}_mask.png")
        self.sender.rescan(folder)

    def expect(self, picture: str, seed: int, times: int = 1) -> None:
        """Wait for a picture's result, for the first time or again."""
        event = self.daemon.wait_for("job_finished", times, picture=picture)
        result = next(name for name in event["outputs"] if name.endswith(".png"))
        assert (load(self.site.outbox / result) == inverted(photo(seed), hole())).all()

    def rescan(self) -> None:
        """Both look at all that they have."""
        for folder in (RIGHT, USUAL):
            self.receiver.rescan(folder)
            self.sender.rescan(folder)

    def sent(self, folder: str) -> list[str]:
        """What the sender has still got."""
        return sorted(path.name for path in (self.homes / folder).glob("*.png"))


@pytest.fixture
def two(tmp_path: Path, network: Path) -> Iterator[Two]:
    """Both, connected."""
    settings = {"INPAINT_MODEL": str(network), "QUIET_PERIOD_S": str(QUIET_S)}
    site = Site(tmp_path / "spool", {f"RETOUCHD_{key}": text for key, text in settings.items()})
    site.inbox.chmod(0o2775)
    homes = tmp_path / "homes"
    sender, receiver = Device(tmp_path / "sender"), Device(tmp_path / "receiver")
    sent = [Share(RIGHT, homes / RIGHT, "sendonly"), Share(USUAL, homes / USUAL, "sendreceive")]
    sender.share(sent, {receiver.id: f"tcp://127.0.0.1:{receiver.port}"})
    received = [
        Share(RIGHT, site.inbox / RIGHT, "receiveonly", ignore_perms=True),
        Share(USUAL, site.inbox / USUAL, "sendreceive"),
    ]
    receiver.share(received, {sender.id: "dynamic"})
    daemon = site.start()
    try:
        receiver.start()
        sender.start()
        sender.wait_for_peer()
        daemon.wait_for("worker_started")
        yield Two(site, daemon, homes, sender, receiver)
    finally:
        sender.kill()
        receiver.kill()
        daemon.stop()


def test_taken_files_stay_with_a_sender_that_only_sends_and_do_not_come_back(two: Two) -> None:
    """With the usual types instead, they are deleted there too."""
    two.send(RIGHT, "cat", 1)
    two.send(USUAL, "cat", 1)
    two.expect(f"{RIGHT}/cat.png", 1)
    two.expect(f"{USUAL}/cat.png", 1)
    two.rescan()
    two.daemon.wait_until(lambda: two.sent(USUAL) == [], "Syncthing's deletion")
    assert two.sent(RIGHT) == ["cat.png", "cat_mask.png"]
    two.receiver.kill()
    two.receiver.start()
    two.sender.wait_for_peer()
    two.rescan()
    # What is sent now, and what is changed, goes its way as before.
    two.send(RIGHT, "dog", 2)
    two.expect(f"{RIGHT}/dog.png", 2)
    two.send(RIGHT, "cat", 3)
    two.expect(f"{RIGHT}/cat.png", 3, times=2)
    time.sleep(1.5 * QUIET_S)
    assert two.sent(RIGHT) == ["cat.png", "cat_mask.png", "dog.png", "dog_mask.png"]
    assert [name for name in two.site.files("inbox") if name.endswith(".png")] == []
    assert two.site.files("failed") == []
    assert len(two.daemon.seen("job_finished")) == 4


def test_folders_that_syncthing_makes_can_be_worked_in_by_their_group(two: Two) -> None:
    """It is started with a umask of 002, and told to ignore permissions."""
    save(photo(), two.homes / RIGHT / "shoot" / "lamp.png").chmod(0o600)
    (two.homes / RIGHT / "shoot").chmod(0o700)
    two.sender.rescan(RIGHT)
    lamp = two.site.inbox / RIGHT / "shoot" / "lamp.png"
    two.daemon.wait_until(lamp.exists, "the picture")
    assert lamp.stat().st_mode & 0o777 == 0o664
    assert lamp.parent.stat().st_mode & 0o777 == 0o775
