"""Each reason of the list that says what a file waits for is told everywhere in the same words.

The daemon and its worker are the real ones, and so is what is wrong. Where a reason is told,
`wording` says: a column for each place; what provokes it, `recipes`.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from driver import Daemon, Site, hole, photo, save, trimap
from mounts import Mounts, subvolume
from recipes import CALLS, DIES, ELSEWHERE, FAILS, WAITING, WAITS, drop, write_settings
from rooms import Rooms
from structlog.testing import capture_logs
from test_observer import Seat
from wording import Row, check, told_everywhere, wait_until_told

from daemon.people.audience import Audience
from daemon.people.pages import Gallery
from daemon.people.questions import scene as scenes
from daemon.people.state import read_state
from daemon.reasons import REASONS, Kind
from daemon.settings import Settings, load_settings
from daemon.spool.layout import HIDDEN_ROOMS, Spool, open_spool
from daemon.spool.positions import Positions
from daemon.supervisor.folder_models import Key
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.snapshot import Snapshot

Start = Callable[..., Daemon]

NOBODY = 65534
# What only a try tells, and the log has it with that.
TRIED = {"incomplete", "folder_mask_unusable"}
# Waiting to be quiet is no news. What can't be held has a test of its own: a claim tells.
NOT_LOGGED = {"not_quiet", "cannot_be_held"}


def test_each_reason_of_the_list_has_its_recipe() -> None:
    groups = (WAITS, FAILS, DIES, CALLS, ELSEWHERE)
    assert sorted(key for group in groups for key in group) == sorted(REASONS)
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_same_words*.py"))
    assert [name for name in ELSEWHERE.values() if f"def {name}(" not in tests] == []
    assert {REASONS[key].kind for key in WAITS} == {Kind.WAIT}
    assert {REASONS[key].kind for key in DIES} == {Kind.RETRY}
    assert {REASONS[key].kind for key in CALLS} == {Kind.WORLD}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "WATCHED_S", 0.2)


# What waits.


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path) -> Iterator[Daemon]:
    """A daemon in whose inbox everything waits."""
    root = tmp_path_factory.mktemp("waiting")
    site = Site(
        root / "spool",
        {
            "RETOUCHD_INPAINT_MODEL": str(inpaint_model),
            "RETOUCHD_DONE_MARKER": "yes",
            "RETOUCHD_SETTINGS": write_settings(root / "settings.toml"),
            "RETOUCHD_SCAN_INTERVAL_S": "0.3",
            "RETOUCHD_QUIET_PERIOD_S": "1",
        },
    )
    mounts = Mounts() if os.geteuid() == 0 else None
    if mounts is not None:
        hold_nothing(mounts, site)
        (site.inbox / "scanner" / "held.done").touch()
    save(photo(), site.inbox / "lone.png")
    save(hole(), site.inbox / "alone_mask.png")
    for name in ("unmarked.png", "two.png", "growing.png", "half.png", "own/cat.png"):
        drop(site, name)
    save(photo(), site.inbox / "two.tif")
    (site.inbox / "nobody.png.done").touch()
    (site.inbox / "anim.gif").write_bytes(b"GIF89a")
    drop(site, "empty.png", mask=b"")
    for name in ("clear/opaque.jpg", "lost/cat.png", "text/cat.png"):
        save(photo(), site.inbox / name)
        (site.inbox / name).with_suffix(".done").touch()
    save(photo(), site.inbox / "cut.png")
    save(trimap(), site.inbox / "cut_trimap.png")
    half = (site.inbox / "half.png").read_bytes()
    (site.inbox / "half.png").write_bytes(half[: len(half) // 2])
    for name in ("two", "growing", "half", "empty", "cut", "own/cat"):
        (site.inbox / f"{name}.done").touch()
    daemon = told_everywhere(site).start()
    grown = threading.Event()

    def grow() -> None:
        while not grown.wait(0.1):
            with suppress(PermissionError):  # while a test is somebody else
                os.utime(site.inbox / "growing.png")

    growing = threading.Thread(target=grow)
    growing.start()
    daemon.wait_for("pair_given_back", picture="half.png")
    daemon.wait_for("pair_given_back", picture="text/cat.png")
    # The first test may stop it: what was given back must have been seen in the inbox again.
    for reason in TRIED:
        wait_until_told(daemon, Row(reason, WAITS[reason], ("state",)))

    yield daemon
    grown.set()
    growing.join()
    daemon.stop()
    if mounts is not None:
        mounts.end()


@pytest.mark.parametrize("reason", WAITS)
def test_what_waits_is_told_alike(reason: str, waiting: Daemon) -> None:
    if reason == "cannot_be_held" and os.geteuid() != 0:
        pytest.skip("only root can mount")
    row = Row(reason, WAITS[reason], WAITING)
    wait_until_told(waiting, row)
    check(waiting.site, waiting, row)


@pytest.mark.parametrize("reason", sorted(WAITS))
def test_what_waits_is_told_alike_when_the_daemon_has_ended(reason: str, waiting: Daemon) -> None:
    """What only a try tells, why knows from the state that was left."""
    if reason == "cannot_be_held" and os.geteuid() != 0:
        pytest.skip("only root can mount")
    waiting.stop()
    check(waiting.site, waiting, Row(reason, WAITS[reason], WAITING))


@pytest.mark.parametrize("reason", sorted(TRIED))
def test_what_a_try_has_told_is_logged_in_the_same_words(reason: str, waiting: Daemon) -> None:
    row = Row(reason, WAITS[reason], ("log", *WAITING))
    wait_until_told(waiting, row)
    check(waiting.site, waiting, row)


def test_a_pair_that_can_not_be_held_is_logged_in_the_same_words_after_a_minute(
    mounts: Mounts, tmp_path: Path
) -> None:
    rooms = Rooms(open_spool(Settings(spool=tmp_path / "spool")))
    site = Site(tmp_path / "spool")
    hold_nothing(mounts, site)
    events = logged_after_a_minute(rooms)
    assert len(events) == 1
    (waiting,) = rooms.inbox.waiting()
    row = Row("cannot_be_held", WAITS["cannot_be_held"], ("log",))
    trouble = waiting.report.trouble()
    assert check(site, events, row) == (trouble.sentence, trouble.advice)


def hold_nothing(mounts: Mounts, site: Site) -> None:
    """Mount something in the inbox on which nothing can be held, and put a pair there."""
    mounts.tmpfs(site.inbox / "scanner")
    # Anyone may write to it, so nothing is trusted to it.
    (site.inbox / "scanner" / HIDDEN_ROOMS).mkdir()
    (site.inbox / "scanner" / HIDDEN_ROOMS).chmod(0o777)
    drop(site, WAITS["cannot_be_held"])


@pytest.mark.parametrize("reason", sorted(WAITS.keys() - NOT_LOGGED - TRIED))
def test_what_waits_is_logged_in_the_same_words_after_a_minute(
    reason: str, waiting: Daemon, tmp_path: Path
) -> None:
    """The minute is the clock's that stands in for the real one; the inbox is the same."""
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    rooms = Rooms(spool)
    by_folder = load_settings({}, waiting.site.root.parent / "settings.toml").by_folder
    rooms.settings = rooms.settings.model_copy(update={"done_marker": True, "by_folder": by_folder})
    inbox = Inbox(rooms.settings, waiting.site.inbox, rooms.clock)
    inbox.follow_models(refused_by_the_worker(waiting))
    with capture_logs() as lines:
        for _ in range(2):
            inbox.look()
            rooms.clock.now += 61
        inbox.look()
    inbox.close()
    events = [dict(line) for line in lines if line["event"] == "file_waits"]
    check(waiting.site, events, Row(reason, WAITS[reason], ("log", "why")))


def refused_by_the_worker(daemon: Daemon) -> dict[Key, str]:
    """The model of a folder that the daemon's worker can't use, and why."""
    picture = WAITS["folder_model_unusable"]
    wait_until_told(daemon, Row("folder_model_unusable", picture, ("state",)))
    snapshot = read_state(daemon.site.work)
    assert snapshot is not None
    (why,) = [w.report.facts["detail"] for w in snapshot.waiting if w.path == picture]
    settings = load_settings({}, daemon.site.root.parent / "settings.toml")
    (own,) = settings.own_models()
    return {(own.task, own.path): str(why)}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_what_may_not_be_read_or_taken(reachable: Site) -> None:
    """Root is told what the daemon's user may not do; here it is his inbox that looks, and no
    daemon runs, as an environment may lie where nobody can read it."""
    site = told_everywhere(reachable)
    drop(site, "cat.png")
    (site.inbox / "cat.png").chmod(0o600)
    seat = Seat(open_spool(Settings(spool=site.root)))
    for path in (site.root, *site.root.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    drop(site, "theirs/dog.png")
    os.seteuid(NOBODY)
    try:
        events = logged_after_a_minute(seat.rooms)
        snapshot = seat.observer.snapshot()
    finally:
        os.seteuid(0)
        seat.crew.dismiss(0)
    tell(site, seat.rooms.spool, snapshot)
    for reason, asked in (("unreadable", "cat.png"), ("permission", "theirs/dog.png")):
        check(site, events, Row(reason, asked, ("log", *WAITING)))


def tell(site: Site, spool: Spool, snapshot: Snapshot) -> None:
    """Do what a daemon does with each snapshot: to the state file, the metrics and the pages."""
    metrics = Path(site.environment["RETOUCHD_METRICS_FILE"])
    Audience(Settings(spool=site.root, metrics_file=metrics))(snapshot)
    Gallery(spool, Positions(spool.books)).update(snapshot)


@pytest.mark.skipif(not shutil.which("mkfs.btrfs"), reason="btrfs-progs is not installed")
def test_a_subvolume_in_the_inbox(
    mounts: Mounts, start: Start, tmp_path: Path, inpaint_model: Path
) -> None:
    disk = mounts.btrfs(tmp_path / "disk", tmp_path / "image")
    site = Site(disk / "spool", {"RETOUCHD_INPAINT_MODEL": str(inpaint_model)})
    subvolume(site.inbox / "scanner", "none")
    drop(site, "scanner/cat.png")
    daemon = start(told_everywhere(site))
    row = Row("other_filesystem", "scanner/cat.png", WAITING)
    wait_until_told(daemon, row)
    check(site, daemon, row)
    daemon.stop()
    events = logged_after_a_minute(Rooms(open_spool(Settings(spool=site.root))))
    check(site, events, row._replace(columns=("log", *WAITING)))


def logged_after_a_minute(rooms: Rooms) -> list[dict[str, Any]]:
    """What the log has of files that wait, when their turn came and a minute has gone by.

    The minute is the clock's that stands in for the real one.
    """
    rooms.inbox.look()
    with capture_logs() as lines:
        assert rooms.queue.next_record() is None
        for _ in range(3):
            rooms.clock.now += 61
            rooms.inbox.look()
    return [dict(line) for line in lines if line["event"] == "file_waits"]
