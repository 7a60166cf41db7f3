"""Which of the pairs in an inbox are new drops, and which are the backlog."""

from pathlib import Path

import pytest
from rooms import Rooms
from test_inbox import Watched

from daemon.spool.layout import Spool
from daemon.supervisor.order import LONG_WAIT_S

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def box(tmp_path: Path) -> Watched:
    """An inbox in which two pairs lay when the daemon began, and have been ready for a while."""
    box = Watched(tmp_path / "inbox")
    box.put("old1.jpg", "old1_mask.png", "old2.jpg", "old2_mask.png")
    box.look()
    box.look(after=10)
    return box


def test_what_is_dropped_goes_before_what_lay_there_at_the_start(box: Watched) -> None:
    box.put("new.jpg", "new_mask.png")
    box.look(after=1)
    box.look(after=5)
    assert box.inbox.ready_since() == 1016.0
    assert box.inbox.oldest_ready_since() == 1005.0
    assert [pair.picture.path for pair in box.inbox.ready_pairs(2)] == ["new.jpg", "old1.jpg"]
    assert box.taken() == ["new.jpg", "old1.jpg", "old2.jpg"]


def test_one_whose_mask_comes_later_or_that_changes_is_as_new_as_that(box: Watched) -> None:
    box.put("late.jpg", "old2_mask.png", content=b"drawn again")
    box.put("late_mask.png")
    box.look(after=1)
    box.look(after=5)
    assert box.taken() == ["late.jpg", "old2.jpg", "old1.jpg"]


def test_what_has_waited_for_five_minutes_is_backlog_too(box: Watched) -> None:
    box.put("noon.jpg", "noon_mask.png")
    box.look(after=1)
    box.look(after=4 + LONG_WAIT_S)
    box.put("later.jpg", "later_mask.png")
    box.look(after=1)
    assert [pair.picture.path for pair in box.inbox.ready_pairs(1)] == ["old1.jpg"]
    box.look(after=5)
    assert box.taken() == ["later.jpg", "old1.jpg", "old2.jpg", "noon.jpg"]


def test_what_comes_with_another_disk_is_no_new_drop(box: Watched, tmp_path: Path) -> None:
    box.folder.rename(tmp_path / "away")
    box.folder.mkdir()
    box.put("a.jpg", "a_mask.png")
    box.look(after=1)
    box.put("dropped.jpg", "dropped_mask.png")
    box.look(after=1)
    box.look(after=5)
    assert box.taken() == ["dropped.jpg", "a.jpg"]


def test_a_job_that_was_tried_lets_a_drop_go_before_that_was_ready_by_then(spool: Spool) -> None:
    rooms = Rooms(spool)
    tried = rooms.claimed("tried")
    rooms.clock.now += 1
    rooms.drop("ready")
    rooms.clock.now += 1
    rooms.queue.put_last(tried)
    rooms.clock.now += 1
    rooms.drop("late")
    turns = [rooms.turn().picture.path for _ in range(3)]
    assert turns == ["ready.jpg", "tried.jpg", "late.jpg"]


def test_pairs_that_were_claimed_ahead_are_run_in_the_order_in_which_they_were(
    spool: Spool,
) -> None:
    rooms = Rooms(spool)
    rooms.drop("old1", "old2", "old3")
    rooms.clock.now += 1
    rooms.drop("new")
    rooms.queue.claim_ahead(2)
    assert [record.picture.path for record in rooms.queue.records()] == ["new.jpg", "old1.jpg"]
    turns = [rooms.turn().picture.path for _ in range(4)]
    assert turns == ["new.jpg", "old1.jpg", "old2.jpg", "old3.jpg"]


def test_ready_folders_take_turns(tmp_path: Path) -> None:
    box = Watched(tmp_path / "inbox")
    for folder in ("scans/", "scans/deep/", ""):
        box.put(*(f"{folder}{n}{tail}" for n in (1, 2) for tail in (".jpg", "_mask.png")))
    box.look()
    box.look(after=5)
    assert box.taken() == [
        *("1.jpg", "scans/1.jpg", "2.jpg"),
        *("scans/2.jpg", "scans/deep/1.jpg", "scans/deep/2.jpg"),
    ]
