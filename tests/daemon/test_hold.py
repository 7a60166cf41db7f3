"""The queue holds for the world, tries again ever more slowly, and says so once."""

import pytest
import structlog
from clocks import Clock

from daemon.reasons import Trouble
from daemon.spool.holding import MountAway
from daemon.supervisor.hold import LONGEST_HOLD_S, Hold, NoWorker

FULL = Trouble("disk_full", path="/outbox")
GONE = Trouble("folder_missing", path="/outbox")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_queue_that_runs_is_not_on_hold(clock: Clock) -> None:
    hold = Hold(clock)
    assert not hold.is_on
    assert not hold.forbids
    assert hold.until == float("inf")


def test_it_is_tried_after_one_second_then_ever_later_but_once_a_minute(clock: Clock) -> None:
    hold = Hold(clock)
    pauses = []
    for _ in range(10):
        hold.begin(FULL)
        assert hold.forbids
        pauses.append(hold.until - clock.now)
        clock.now = hold.until
        assert not hold.forbids
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_HOLD_S, LONGEST_HOLD_S, 60, 60]
    assert hold.times == 10


def test_a_reason_is_logged_once_for_as_long_as_it_lasts(clock: Clock) -> None:
    hold = Hold(clock)
    with structlog.testing.capture_logs() as logs:
        for trouble in (FULL, FULL, FULL, GONE, GONE):
            hold.begin(trouble)
        hold.end()
        hold.end()
    said = [(line["event"], line.get("reason", line.get("after"))) for line in logs]
    assert said == [
        ("queue_held", "disk_full"),
        ("queue_held", "folder_missing"),
        ("queue_resumed", "folder_missing"),
    ]


def test_the_next_hold_begins_anew(clock: Clock) -> None:
    hold = Hold(clock)
    for _ in range(5):
        hold.begin(FULL)
    hold.end()
    hold.begin(FULL)
    assert (hold.until - clock.now, hold.times) == (1, 1)


def test_what_is_done_in_spite_of_the_hold_is_a_try_each_time(clock: Clock) -> None:
    hold = Hold(clock)
    for _ in range(5):
        hold.begin(GONE, was_tried=True)
        clock.now += 0.5
    assert hold.times == 5


def test_what_all_jobs_in_hand_meet_at_once_counts_as_one_try(clock: Clock) -> None:
    hold = Hold(clock)
    for _ in range(8):
        hold.begin(FULL)
    assert (hold.until - clock.now, hold.times) == (1, 1)
    clock.now = hold.until
    hold.postpone()
    clock.now += 0.1  # a job that is tried fails in less than the pause
    hold.begin(FULL)
    assert (hold.until - clock.now, hold.times) == (2, 2)
    hold.begin(FULL)
    assert (hold.until - clock.now, hold.times) == (2, 2)


def test_a_mount_that_is_away_holds_its_job_and_not_the_queue(clock: Clock) -> None:
    hold = Hold(clock)
    with structlog.testing.capture_logs() as logs, hold.when_in_trouble():
        raise MountAway("/inbox/scanner", "gone")
    assert not hold.is_on
    assert logs == []


def test_that_no_worker_starts_is_told_once_for_each_reason_and_when_one_has() -> None:
    no_file, no_card = (Trouble("worker_will_not_start", detail=why) for why in ("file", "card"))
    no_worker = NoWorker()
    with structlog.testing.capture_logs() as logs:
        for trouble in (None, no_file, no_file, no_card, no_card, None, None, no_card):
            no_worker.note(trouble)
    said = [(line["event"], line.get("says", line.get("after"))) for line in logs]
    assert said == [
        ("queue_held", no_file.sentence),
        ("queue_held", no_card.sentence),
        ("queue_resumed", "worker_will_not_start"),
        ("queue_held", no_card.sentence),
    ]
    assert logs[0]["advice"] == no_file.advice
