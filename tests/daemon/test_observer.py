"""What the supervisor tells of itself: all of it, in time, and at a small price."""

import itertools
import time
from collections.abc import Iterator
from typing import cast

import pytest
from rooms import Rooms
from standin import StandInCrew, done

from daemon.reasons import Trouble
from daemon.spool.layout import Spool
from daemon.spool.pausing import pause
from daemon.supervisor import observer as observer_module
from daemon.supervisor.crew import Crew
from daemon.supervisor.hold import Hold
from daemon.supervisor.inbox import Inbox
from daemon.supervisor.observer import Observer
from daemon.supervisor.pause import Pause
from daemon.supervisor.snapshot import MOST_TOLD, Running, Served, Snapshot
from daemon.supervisor.tally import Tally
from daemon.supervisor.teller import SIGN_OF_LIFE_S, TELL_EVERY_S, Teller


class Seat:
    """Where one sees a supervisor's rooms from."""

    def __init__(self, spool: Spool) -> None:
        self.rooms = rooms = Rooms(spool)
        self.clock = rooms.clock
        self.crew = StandInCrew(lambda job, _: done(job))
        self.hold = Hold(self.clock)
        self.pause = Pause(spool.books, self.clock)
        self.observer = Observer(
            inbox=rooms.inbox,
            queue=rooms.queue,
            attempts=rooms.attempts,
            count=rooms.count,
            crew=cast("Crew", self.crew),
            hold=self.hold,
            leftovers=rooms.leftovers,
            pause=self.pause,
            clock=self.clock,
        )
        self.told: list[Snapshot] = []
        self.teller = Teller(self.observer, self.told.append, self.clock)

    def after(self, seconds: float) -> int:
        """Let time pass, and tell; how often it has been told so far."""
        self.clock.now += seconds
        self.teller.tell()
        return len(self.told)


@pytest.fixture
def seat(spool: Spool) -> Iterator[Seat]:
    seat = Seat(spool)
    yield seat
    seat.crew.dismiss(0)


def put(spool: Spool, *names: str) -> None:
    for name in names:
        (spool.inbox / name).write_bytes(b"x")


def test_nothing_to_do_is_told_with_who_would_do_it(seat: Seat) -> None:
    snapshot = seat.observer.snapshot()
    assert snapshot.tally == Tally()
    assert snapshot.devices == (Served("cpu", {"inpaint": "tiny, fp32"}),)
    assert not (snapshot.running or snapshot.ready or snapshot.settling or snapshot.waiting)
    assert (snapshot.holds, snapshot.stuck, snapshot.is_paused) == (None, None, False)
    assert 0 <= time.time() - snapshot.at < 5
    assert snapshot.started_at <= snapshot.at


def test_pairs_and_lone_files_are_told_by_what_they_wait_for(seat: Seat) -> None:
    put(seat.rooms.spool, "lone.jpg", "other.jpg", "orphan_mask.png")
    seat.rooms.drop("b", "a")
    snapshot = seat.observer.snapshot()
    assert snapshot.ready == ("a.jpg", "b.jpg")
    assert snapshot.oldest_ready_at is not None
    assert {each.path: each.report.key for each in snapshot.waiting} == {
        "lone.jpg": "companion_missing",
        "other.jpg": "companion_missing",
        "orphan_mask.png": "picture_missing",
    }
    assert snapshot.waiting_for == {"companion_missing": 2, "picture_missing": 1}
    assert snapshot.tally.ready == 2


def test_how_long_the_oldest_has_been_ready_is_told_in_the_worlds_time(seat: Seat) -> None:
    seat.rooms.drop("a")
    seat.clock.now += 500
    seat.rooms.inbox.look()
    snapshot = seat.observer.snapshot()
    assert snapshot.oldest_ready_at == pytest.approx(snapshot.at - 500)


def test_a_pair_that_settles_is_told_after_all_that_lacks_something(seat: Seat) -> None:
    seat.rooms.settings = seat.rooms.settings.model_copy(update={"quiet_period_s": 60.0})
    seat.observer.inbox = seat.rooms.inbox = Inbox(
        seat.rooms.settings, seat.rooms.spool.inbox, seat.clock
    )
    put(seat.rooms.spool, "lone.jpg")
    seat.rooms.drop("a")
    snapshot = seat.observer.snapshot()
    assert snapshot.settling == ("a.jpg",)
    assert snapshot.ready == ()
    assert [each.report.key for each in snapshot.waiting] == ["companion_missing", "not_quiet"]


def test_a_job_in_hand_is_told_with_its_try_and_since_when(seat: Seat) -> None:
    record = seat.rooms.claimed()
    with seat.rooms.attempts.begun(record, pid=1):
        (running,) = seat.observer.snapshot().running
    assert running == Running(record.job, "cat.jpg", "inpaint", running.since, 1)
    assert 0 <= time.time() - running.since < 5
    seat.rooms.attempts.end(record.job)
    assert seat.observer.snapshot().running == ()
    assert seat.rooms.attempts.since == {}


def test_a_claimed_job_that_waits_for_its_turn_is_the_first_of_the_ready(seat: Seat) -> None:
    record = seat.rooms.claimed("later")
    seat.rooms.queue.put_last(record)
    seat.rooms.drop("a")
    assert seat.observer.snapshot().ready == ("later.jpg", "a.jpg")


def test_what_holds_the_queue_is_told_and_since_when(seat: Seat) -> None:
    seat.hold.begin(Trouble("disk_full", path="/outbox"))
    first = seat.observer.snapshot()
    assert first.holds is not None
    assert first.holds.trouble().sentence == Trouble("disk_full", path="/outbox").sentence
    again = seat.observer.snapshot()
    assert again.holds_since == first.holds_since == first.at
    seat.hold.end()
    assert seat.observer.snapshot().holds_since is None


def test_a_worker_that_does_not_start_holds_all_work(seat: Seat) -> None:
    seat.crew.workers[0].hello = None
    seat.crew.refusal = "the model is gone"
    snapshot = seat.observer.snapshot()
    assert snapshot.holds is not None
    assert "the model is gone" in snapshot.holds.trouble().sentence
    assert snapshot.devices == ()


def test_of_very_many_files_only_so_many_are_named_and_all_are_counted(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer_module, "MOST_TOLD", 3)
    put(seat.rooms.spool, *(f"lone {number}.jpg" for number in range(5)))
    seat.rooms.drop(*"abcde")
    snapshot = seat.observer.snapshot()
    assert len(snapshot.waiting) == 3
    assert snapshot.ready == ("a.jpg", "b.jpg", "c.jpg")
    assert snapshot.waiting_for == {"companion_missing": 5}
    assert snapshot.tally.ready == 5
    assert MOST_TOLD == 1000


def test_lists_that_take_long_are_made_seldom_and_numbers_are_of_now(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, made = seat.rooms.inbox, list[float]()

    def slow(_most: int) -> list[str]:
        made.append(seat.clock.now)
        seat.clock.now += 0.1
        return []

    monkeypatch.setattr(inbox, "settling", slow)
    seat.after(0)
    for number in range(30):
        put(seat.rooms.spool, f"lone {number}.jpg")
        inbox.look()
        seat.rooms.count.add_done()
        seat.after(1)
    assert 3 <= len(made) <= 5, made
    assert min(later - before for before, later in itertools.pairwise(made)) >= 9.9
    assert [snapshot.tally.done for snapshot in seat.told][-3:] == [28, 29, 30]
    # And the last change is told when it can be, though nothing else happens.
    for _ in range(11):
        seat.after(1)
    assert seat.told[-1].waiting_for == {"companion_missing": 30}


def test_it_is_told_when_something_changes_and_not_more_often_than_once_a_second(
    seat: Seat,
) -> None:
    assert seat.after(0) == 1
    for _ in range(50):
        seat.rooms.count.add_done()
        seat.after(0.1)
    assert 5 <= len(seat.told) <= 6
    assert seat.after(TELL_EVERY_S) <= 7
    assert seat.told[-1].tally.done == 50


@pytest.mark.parametrize(
    "change",
    ["a lone file", "a pair", "a hold", "a pause", "another worker", "a file that is gone"],
)
def test_every_change_is_told_soon(seat: Seat, change: str) -> None:
    put(seat.rooms.spool, "early.jpg")
    seat.rooms.inbox.look()
    seat.after(0)
    told = seat.after(5)
    assert seat.after(5) == told
    match change:
        case "a lone file":
            put(seat.rooms.spool, "lone.jpg")
            seat.rooms.inbox.look()
        case "a pair":
            seat.rooms.drop("cat")
        case "a hold":
            seat.hold.begin(Trouble("disk_full", path="/outbox"))
        case "a pause":
            pause(seat.rooms.spool.books)
            seat.pause.look()
        case "another worker":
            seat.crew.workers[0].hello = None
        case "a file that is gone":
            (seat.rooms.spool.inbox / "early.jpg").unlink()
            seat.rooms.inbox.look()
    assert seat.after(0.01) == told + 1
    assert seat.after(5) == told + 1


def test_whoever_takes_long_to_be_told_is_told_less_often(seat: Seat) -> None:
    seat.teller._on_change = lambda snapshot: slowly(seat, snapshot)
    for _ in range(300):
        seat.rooms.count.add_done()
        seat.after(0.1)
    assert 3 <= len(seat.told) <= 5  # half a second each, in half a minute


def slowly(seat: Seat, snapshot: Snapshot) -> None:
    seat.clock.now += 0.5
    seat.told.append(snapshot)


def test_a_change_that_came_too_soon_is_told_at_the_next_turn_that_is_not(seat: Seat) -> None:
    seat.after(0)
    seat.rooms.count.add_done()
    assert seat.after(0.5) == 1
    assert seat.teller.due() == seat.clock.now + TELL_EVERY_S - 0.5
    assert seat.after(0.5) == 2


def test_where_nothing_changes_a_sign_of_life_comes_within_half_a_minute(seat: Seat) -> None:
    seat.after(0)
    seat.after(2)
    assert seat.teller.due() == pytest.approx(seat.clock.now + SIGN_OF_LIFE_S - 2)
    for _ in range(12):
        seat.after(5)
    assert 3 <= len(seat.told) <= 4
    assert SIGN_OF_LIFE_S + 5 <= 30


def test_how_it_ended_is_told_whatever_was_told_before(seat: Seat) -> None:
    record = seat.rooms.claimed()
    with seat.rooms.attempts.begun(record, pid=1):
        pass
    seat.after(0)
    seat.rooms.attempts.take_back_running()
    put(seat.rooms.spool, "lone.jpg")
    seat.rooms.inbox.look()
    seat.teller.tell_last()
    assert (len(seat.told), seat.told[-1].running) == (2, ())
    assert seat.told[-1].waiting_for == {"companion_missing": 1}


def test_what_every_turn_of_the_loop_asks_does_not_go_through_the_inbox(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat.after(0)
    monkeypatch.delattr(Inbox, "waiting")
    monkeypatch.delattr(Inbox, "ready")
    for _ in range(50):
        seat.after(TELL_EVERY_S / 10)
    assert len(seat.told) == 1
