"""Each reason of the list that says what a file waits for is told everywhere in the same words.

The daemon and its worker are the real ones, and so is what is wrong. Where a reason is told,
`wording` says: a column for each place; what provokes it, `recipes`.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from driver import Daemon, Site, hole, photo, save, trimap
from mounts import Mounts
from recipes import CALLS, DIES, ELSEWHERE, FAILS, STAND_INS, WAITING, WAITS, drop, write_settings
from rooms import Rooms
from structlog.testing import capture_logs
from wording import Row, check, wait_for_state

from daemon.people.questions import scene as scenes
from daemon.reasons import REASONS, Kind
from daemon.settings import Settings, load_settings
from daemon.spool.layout import HIDDEN_ROOMS, open_spool
from daemon.supervisor.inbox import Inbox

Start = Callable[..., Daemon]

NOBODY = 65534
# Waiting to be quiet is no news; the others take a claim before they are known of.
NOT_LOGGED = {"not_quiet", "incomplete", "cannot_be_held", "folder_mask_unusable"}
NOT_LOGGED |= {"folder_model_unusable"}


def test_each_reason_of_the_list_has_its_recipe() -> None:
    groups = (WAITS, FAILS, DIES, CALLS, STAND_INS, ELSEWHERE)
    assert sorted(key for group in groups for key in group) == sorted(REASONS)
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_same_words*.py"))
    assert [name for name in ELSEWHERE.values() if f"def {name}(" not in tests] == []
    assert {REASONS[key].kind for key in WAITS} == {Kind.WAIT}
    assert {REASONS[key].kind for key in DIES} == {Kind.RETRY}
    assert {REASONS[key].kind for key in (*CALLS, *STAND_INS)} == {Kind.WORLD}


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
        mounts.tmpfs(site.inbox / "scanner")
        # Anyone may write to it, so nothing is trusted to it.
        (site.inbox / "scanner" / HIDDEN_ROOMS).mkdir()
        (site.inbox / "scanner" / HIDDEN_ROOMS).chmod(0o777)
        drop(site, "scanner/held.png")
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
    daemon = site.start()
    grown = threading.Event()

    def grow() -> None:
        while not grown.wait(0.1):
            with suppress(PermissionError):  # while a test is somebody else
                os.utime(site.inbox / "growing.png")

    growing = threading.Thread(target=grow)
    growing.start()
    daemon.wait_for("pair_given_back", picture="half.png")
    daemon.wait_for("pair_given_back", picture="text/cat.png")

    yield daemon
    grown.set()
    growing.join()
    daemon.stop()
    if mounts is not None:
        mounts.end()


@pytest.mark.parametrize("reason", WAITS)
def test_what_waits_is_told_alike_by_state_and_why(reason: str, waiting: Daemon) -> None:
    if reason == "cannot_be_held" and os.geteuid() != 0:
        pytest.skip("only root can mount")
    row = Row(reason, WAITS[reason], WAITING)
    wait_for_state(waiting, row)
    check(waiting.site, waiting, row)


@pytest.mark.parametrize("reason", sorted(WAITS))
def test_what_waits_is_told_alike_when_the_daemon_has_ended(reason: str, waiting: Daemon) -> None:
    """What only a try tells, why knows from the state that was left."""
    if reason == "cannot_be_held" and os.geteuid() != 0:
        pytest.skip("only root can mount")
    waiting.stop()
    check(waiting.site, waiting, Row(reason, WAITS[reason], WAITING))


@pytest.mark.parametrize("reason", sorted(WAITS.keys() - NOT_LOGGED))
def test_what_waits_is_logged_in_the_same_words_after_a_minute(
    reason: str, waiting: Daemon, tmp_path: Path
) -> None:
    """The minute is the clock's that stands in for the real one; the inbox is the same."""
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    rooms = Rooms(spool)
    by_folder = load_settings({}, waiting.site.root.parent / "settings.toml").by_folder
    rooms.settings = rooms.settings.model_copy(update={"done_marker": True, "by_folder": by_folder})
    inbox = Inbox(rooms.settings, waiting.site.inbox, rooms.clock)
    with capture_logs() as lines:
        for _ in range(2):
            inbox.look()
            rooms.clock.now += 61
        inbox.look()
    inbox.close()
    events = [dict(line) for line in lines if line["event"] == "file_waits"]
    check(waiting.site, events, Row(reason, WAITS[reason], ("log", "why")))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_file_that_may_not_be_read(reachable: Site) -> None:
    """Root is told what the daemon's user may not do; here it is his inbox that looks, and no
    daemon runs, as an environment may lie where nobody can read it."""
    site = reachable
    drop(site, "cat.png")
    (site.inbox / "cat.png").chmod(0o600)
    rooms = Rooms(open_spool(Settings(spool=site.root)))
    for path in (site.root, *site.root.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        with capture_logs() as lines:
            rooms.inbox.look()
            assert rooms.inbox.take() is None
            for _ in range(2):
                rooms.clock.now += 61
                rooms.inbox.look()
    finally:
        os.seteuid(0)
    events = [dict(line) for line in lines if line["event"] == "file_waits"]
    check(site, events, Row("unreadable", "cat.png", ("log", "why")))
