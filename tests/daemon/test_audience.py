"""Who is told what goes on: the state file for other programs, and whoever else listens."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from driver import Daemon, Site, hole, photo, save
from structlog.testing import capture_logs

from daemon.intake.pairing import Waiting
from daemon.people.audience import Audience
from daemon.people.state import STATE, read_state, write_state
from daemon.reasons import Report, Trouble
from daemon.settings import Settings
from daemon.spool.book import Book
from daemon.spool.layout import Spool
from daemon.supervisor.snapshot import OfFolder, Running, Served, Snapshot
from daemon.supervisor.tally import Tally

HOSTILE = "caf\udce9/\n\u202e<script>'\"\\.jpg"
FOLDERS = (OfFolder("faces", "inpaint", "tiny, fp32, f.pt"), OfFolder(".", "matting", None))
SNAPSHOT = Snapshot(
    at=1_795_000_000.5,
    started_at=1_794_000_000.0,
    pid=42,
    tally=Tally(3, 1, 1, 2),
    running=(Running("j1", HOSTILE, "inpaint", 1_795_000_000.0, 2),),
    ready=("a.jpg", HOSTILE),
    settling=("b.jpg",),
    oldest_ready_at=1_794_999_000.0,
    waiting=(Waiting(HOSTILE, Report.of(Trouble("not_quiet", seconds=5))),),
    waiting_for={"not_quiet": 1},
    holds=Report.of(Trouble("disk_full", path="/outbox")),
    holds_since=1_794_999_500.0,
    stuck=Report.of(Trouble("mount_away", path="/inbox/a", detail="?")),
    devices=(Served("cuda:0", {"inpaint": "tiny, fp32"}, FOLDERS),),
    is_paused=True,
)


@pytest.fixture
def settings(spool: Spool) -> Settings:
    return Settings(spool=spool.inbox.parent)


@pytest.mark.parametrize(
    "snapshot",
    [SNAPSHOT, Snapshot(at=2.0, started_at=1.0, pid=1, tally=Tally())],
    ids=["full", "empty"],
)
def test_the_state_is_read_as_it_was_written(tmp_path: Path, snapshot: Snapshot) -> None:
    write_state(tmp_path, snapshot)
    assert read_state(tmp_path) == snapshot
    assert (tmp_path / STATE).read_bytes().isascii()


def test_the_state_is_replaced_as_a_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    write_state(tmp_path, SNAPSHOT)
    with (tmp_path / STATE).open() as reader:
        write_state(tmp_path, replace(SNAPSHOT, pid=43))
        assert '"pid": 42' in reader.read()
    assert (tmp_path / STATE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"at": 1}', b"\xff", b'{"tally": 3}'],
)
def test_a_state_that_is_none_of_this_version_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).write_bytes(content)
    assert read_state(tmp_path) is None


def test_a_state_with_a_reason_that_there_is_not_is_none(tmp_path: Path) -> None:
    write_state(tmp_path, replace(SNAPSHOT, stuck=Report("no such reason")))
    assert read_state(tmp_path) is None


def test_where_there_is_no_state_there_is_none(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    assert read_state(tmp_path / "gone") is None


def test_everybody_is_told_each_snapshot(settings: Settings) -> None:
    heard: list[Snapshot] = []
    audience = Audience(settings, progress=heard.append)
    audience(SNAPSHOT)
    assert heard == [SNAPSHOT]
    assert read_state(settings.folders()["work"]) == SNAPSHOT


def test_who_fails_is_named_once_and_hurts_nobody_until_it_goes_well_again(
    settings: Settings,
) -> None:
    heard: list[Snapshot] = []
    work = settings.folders()["work"]
    (work / STATE).mkdir()
    audience = Audience(settings, progress=heard.append)
    with capture_logs() as lines:
        for _ in range(3):
            audience(SNAPSHOT)
        assert [(line["event"], line["what"]) for line in lines] == [("not_told", STATE)]
        (work / STATE).rmdir()
        audience(SNAPSHOT)
        (work / STATE).unlink()
        (work / STATE).mkdir()
        audience(SNAPSHOT)
    assert len(lines) == 2
    assert STATE in lines[0]["why"]
    assert len(heard) == 5


def test_any_error_of_a_listener_is_only_logged(settings: Settings) -> None:
    def clumsy(_snapshot: Snapshot) -> None:
        raise ZeroDivisionError

    with capture_logs() as lines:
        Audience(settings, progress=clumsy)(SNAPSHOT)
    assert lines[0]["why"] == "ZeroDivisionError"


def state(site: Site) -> Snapshot | None:
    return read_state(site.work)


def put_pair(site: Site, name: str) -> None:
    save(hole(), site.inbox / f"{name}_mask.png")
    save(photo(), site.inbox / f"{name}.png")


def test_a_daemon_tells_what_it_does_from_its_start_to_its_end(
    site: Site, start: Callable[..., Daemon]
) -> None:
    began = time.time()
    save(photo(), site.inbox / "lone.png")
    daemon = start(site)
    daemon.wait_until(lambda: bool((at := state(site)) and at.devices), "a worker in the state")
    at = state(site)
    assert at is not None
    assert at.pid == daemon.pid
    assert began <= at.started_at <= at.at
    assert at.waiting_for["companion_missing"] == 1
    put_pair(site, "cat")
    daemon.wait_until(lambda: bool((at := state(site)) and at.tally.done), "a job in the state")
    assert daemon.stop() == 0
    last = state(site)
    assert last is not None
    assert (last.tally.done, last.running, last.devices) == (1, (), ())
    (ended,) = Book(site.work).newest()
    assert ended.facts is not None
    assert ended.facts.device == "cpu"
    assert "tiny" in ended.facts.model
    assert ended.facts.seconds.keys() == {"wait", "read", "network", "write"}
    assert (ended.facts.width, ended.facts.height) == (96, 64)
    assert ended.outputs == ("cat.log", "cat.png")


def test_a_state_that_can_not_be_written_keeps_no_picture_waiting(
    site: Site, start: Callable[..., Daemon]
) -> None:
    (site.work / STATE).mkdir(parents=True)
    site.work.chmod(0o700)
    put_pair(site, "cat")
    daemon = start(site)
    daemon.wait_for("job_finished")
    assert daemon.stop() == 0
    assert len(daemon.seen("not_told", what=STATE)) == 1


def test_once_leaves_a_state_and_the_book_too(site: Site) -> None:
    put_pair(site, "cat")
    save(photo(), site.inbox / "dog.png")
    save(hole(50, 41), site.inbox / "dog_mask.png")
    assert site.once().returncode == 1
    last = state(site)
    assert last is not None
    assert (last.tally.done, last.tally.failed) == (1, 1)
    by_outcome = {each.outcome: each for each in Book(site.work).newest()}
    assert by_outcome["done"].picture == "cat.png"
    report = by_outcome["failed"].report
    assert report is not None
    assert report.trouble().sentence in (site.failed / "dog.png.reason.txt").read_text()
    assert by_outcome["failed"].note == "dog.png.reason.txt"
