"""What comes back while its first half, cut off, is just being looked at."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import Site, inverted, load
from fed_daemon import Picture
from rsync_feeders import RsyncPartial

pytestmark = pytest.mark.feeders


@pytest.fixture
def feeder() -> Iterator[RsyncPartial]:
    """rsync --partial on an inbox which its user can get at."""
    with tempfile.TemporaryDirectory(prefix="feeder-") as name:
        base = Path(name)
        base.chmod(0o755)
        inbox, room = base / "spool" / "inbox", base / "room"
        inbox.mkdir(parents=True)
        inbox.chmod(0o2777)
        room.mkdir()
        feeder = RsyncPartial(inbox, room)
        try:
            feeder.start()
            yield feeder
        finally:
            feeder.stop()


def test_the_whole_that_overtakes_its_half_finds_its_mask(
    feeder: RsyncPartial, network: Path, picture: Picture, mask: Picture
) -> None:
    site = Site(feeder.inbox.parent, {"RETOUCHD_INPAINT_MODEL": str(network)})
    daemon = site.start()
    try:
        worker = daemon.wait_for("worker_started")["pid"]
        os.kill(worker, signal.SIGSTOP)  # it is busy, say
        feeder.put(mask.path, "lamp_mask.png")
        upload = feeder.put_slowly(picture.path, "lamp.png")
        daemon.wait_until(lambda: feeder.arrived("") > picture.bytes // 3, "a third of it")
        upload.kill()
        daemon.wait_for("job_started", picture="lamp.png")
        feeder.put(picture.path, "lamp.png")
        os.kill(worker, signal.SIGCONT)
        daemon.wait_for("pair_given_back", picture="lamp.png")
        daemon.wait_for("job_finished", picture="lamp.png")
        assert (load(site.outbox / "lamp.png") == inverted(picture.pixels, mask.pixels)).all()
        # The half has no place any more to wait in, and nobody's file is thrown away.
        daemon.wait_until(lambda: site.files("inbox") == [] == site.jobs(), "an end")
        assert site.files("failed") == ["lamp.png", "lamp.png.reason.txt"]
        assert "newer" in (site.failed / "lamp.png.reason.txt").read_text()
    finally:
        daemon.stop()
