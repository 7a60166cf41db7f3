"""The calls of one kind: each at least once, in order, and again where they failed."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from told import done, failed

from daemon.people.calls import channel as calls_channel
from daemon.people.calls.channel import (
    FIRST_PAUSE_S,
    FIRST_RETRY_S,
    LONGEST_PAUSE_S,
    LONGEST_RETRY_S,
    Channel,
)
from daemon.people.calls.ledger import Ledger
from daemon.people.calls.process import Called
from daemon.places import Place
from daemon.spool.book import Book
from daemon.spool.entries import Ended

DAY_S = 86400.0
MINUTE_S = 60.0


class Room:
    """A work folder with its book, and the calls that were made, by the job's name."""

    def __init__(self, work: Path, clock: Clock) -> None:
        self.work, self.clock = work, clock
        self.book = Book(work)
        self.made: list[str] = []
        self.broken: Callable[[str], bool] = lambda _job: False
        self.is_stopping = False

    def ends(self, *jobs: str) -> None:
        for job in jobs:
            self.book.append(done(job=job, ended_at=1_000_000.0))

    def channel(self, *, opened: bool = True, retry_s: float = DAY_S) -> Channel:
        """A channel as a new daemon makes it."""
        channel = Channel(
            "on_success",
            lambda ended: ended.outcome == "done",
            self.call,
            self.book,
            Ledger(Place(self.work, ".hooks") / "on_success"),
            retry_s,
            clock=self.clock,
            now=self.clock,
        )
        if opened:
            channel.open()
        return channel

    def call(self, ended: Ended) -> Called:
        if self.is_stopping:
            return Called(False, "the daemon stopped", was_cut_short=True)
        self.made.append(ended.job)
        return Called(not self.broken(ended.job), "exit status 1")

    def work_off(self, channel: Channel) -> None:
        """Go on for as long as something is due."""
        while channel.step():
            pass

    def for_a_while(self, channel: Channel, seconds: float) -> None:
        """Go on for a time, which passes where nothing is due."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            if not channel.step():
                self.clock.now += min(max(channel.due_s(), 0.001), end - self.clock.now)

    def files(self) -> list[str]:
        folder = self.work / ".hooks" / "on_success"
        return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path, Clock())


def test_the_first_run_ever_begins_with_what_ends_from_then_on(room: Room) -> None:
    room.ends("old")
    channel = room.channel()
    room.ends("a", "b")
    room.work_off(channel)
    assert room.made == ["a", "b"]


def test_what_ended_while_no_daemon_called_is_called_for_by_the_next(room: Room) -> None:
    room.channel()
    room.ends("a", "b")
    room.work_off(room.channel())
    room.ends("c")
    room.work_off(room.channel())
    room.work_off(room.channel())
    assert room.made == ["a", "b", "c"]


def test_jobs_that_are_not_wanted_are_passed(room: Room) -> None:
    channel = room.channel()
    room.book.append(failed(job="no", ended_at=1_000_000.0))
    room.ends("yes")
    room.book.append(failed(job="no", ended_at=1_000_000.0))
    room.work_off(channel)
    assert room.made == ["yes"]


def test_a_call_that_a_stop_cut_short_is_made_by_the_next_run(room: Room) -> None:
    channel = room.channel()
    room.ends("a", "b")
    channel.step()
    room.is_stopping = True
    assert not channel.step()
    channel.save()
    room.is_stopping = False
    room.work_off(room.channel())
    assert room.made == ["a", "b"]


def test_a_crash_after_any_call_loses_none_and_repeats_none_that_was_kept(room: Room) -> None:
    room.channel()
    room.ends(*"abcdef")
    for _ in range(6):
        room.channel().step()  # and no save: the process is gone
    assert room.made == [*"abcdef"]


def test_a_call_that_fails_is_made_again_later_and_holds_up_no_other(room: Room) -> None:
    channel = room.channel()
    room.broken = lambda job: job == "bad" and room.made.count("bad") < 3
    room.ends("a", "bad", "c")
    room.for_a_while(channel, FIRST_PAUSE_S + 1)
    assert room.made == ["a", "bad", "c"]
    room.for_a_while(channel, 10 * FIRST_RETRY_S)
    assert room.made == ["a", "bad", "c", "bad", "bad"]
    assert room.files() == ["position"]


def test_a_call_that_failed_is_made_again_after_a_restart(room: Room) -> None:
    channel = room.channel()
    room.broken = lambda _job: True
    room.ends("a")
    assert channel.step()
    room.broken = lambda _job: False
    again = room.channel()
    assert not again.step()
    room.clock.now += FIRST_RETRY_S
    room.work_off(again)
    assert room.made == ["a", "a"]
    assert room.files() == ["position"]


def test_retries_come_at_growing_distances_and_end_with_the_hours_that_are_set(
    room: Room,
) -> None:
    channel = room.channel(retry_s=DAY_S)
    room.broken = lambda _job: True
    room.ends("a")
    times = []
    with capture_logs() as logged:
        end = room.clock.now + 2 * DAY_S
        while room.clock.now < end:
            if channel.step():
                times.append(room.clock.now)
            else:
                room.clock.now += min(max(channel.due_s(), 0.001), end - room.clock.now)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] == pytest.approx(FIRST_RETRY_S)
    assert gaps[-1] == pytest.approx(LONGEST_RETRY_S)
    assert DAY_S <= times[-1] - times[0] < DAY_S + 2 * LONGEST_RETRY_S
    assert [line["event"] for line in logged] == ["hook_failed"] * (len(times) - 1) + [
        "hook_given_up"
    ]
    assert logged[-1]["tries"] == len(times)
    assert room.files() == ["position"]


def test_with_no_hours_to_retry_a_call_is_made_once(room: Room) -> None:
    channel = room.channel(retry_s=0.0)
    room.broken = lambda _job: True
    room.ends("a")
    room.for_a_while(channel, DAY_S)
    assert room.made == ["a"]


def test_thirty_calls_that_fail_keep_the_next_waiting_for_some_minutes(room: Room) -> None:
    channel = room.channel()
    room.broken = lambda job: job != "good"
    room.ends(*[f"bad {number}" for number in range(30)], "good")
    room.for_a_while(channel, 10 * MINUTE_S)
    assert "good" in room.made


@pytest.mark.parametrize("count", [1, 300])
def test_ten_minutes_after_a_repair_all_calls_have_been_made_up_for(room: Room, count: int) -> None:
    channel = room.channel()
    room.broken = lambda _job: True
    jobs = [f"j{number:03}" for number in range(count)]
    room.ends(*jobs)
    room.for_a_while(channel, DAY_S / 2)
    room.broken = lambda _job: False
    room.made.clear()
    room.for_a_while(channel, 10 * MINUTE_S)
    assert sorted(room.made) == jobs
    assert room.files() == ["position"]


def test_while_a_server_is_away_few_calls_are_tried_and_none_is_lost(room: Room) -> None:
    channel = room.channel()
    jobs = [f"j{number:04}" for number in range(1000)]
    room.broken = lambda _job: True
    room.ends(*jobs)
    room.for_a_while(channel, DAY_S / 2)
    assert len(room.made) <= DAY_S / 2 / LONGEST_PAUSE_S + 100
    assert len(room.files()) < 200
    room.broken = lambda _job: False
    room.made.clear()
    room.for_a_while(room.channel(), LONGEST_RETRY_S + LONGEST_PAUSE_S)
    assert sorted(room.made) == jobs
    assert room.files() == ["position"]


def test_a_clock_that_is_set_back_keeps_no_call_waiting_for_longer(room: Room) -> None:
    room.broken = lambda _job: True
    channel = room.channel()
    room.ends("a")
    channel.step()
    room.broken = lambda _job: False
    room.clock.now -= 365 * DAY_S
    room.work_off(room.channel())
    assert room.made == ["a", "a"]


def test_a_line_of_the_book_that_is_still_being_written_is_called_for_when_it_is_whole(
    room: Room,
) -> None:
    channel = room.channel()
    room.ends("a", "b")
    (month,) = (room.work / ".book").iterdir()
    whole = month.read_bytes()
    month.write_bytes(whole[:-10])
    room.work_off(channel)
    assert room.made == ["a"]
    month.write_bytes(whole)
    room.work_off(channel)
    assert room.made == ["a", "b"]


def test_months_follow_each_other(room: Room) -> None:
    channel = room.channel()
    for number in range(30):
        room.book.append(done(job=f"j{number}", ended_at=number * 10 * DAY_S))
        room.work_off(channel)
        channel = room.channel()
    assert room.made == [f"j{number}" for number in range(30)]


def test_where_nothing_can_be_kept_the_call_is_made_again_and_the_error_is_told(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = room.channel()
    room.ends("a", "b")
    folder = room.work / ".hooks" / "on_success"
    folder.rename(room.work / "away")
    folder.write_text("no folder")
    with pytest.raises(NotADirectoryError):
        channel.step()
    folder.unlink()
    (room.work / "away").rename(folder)
    room.work_off(channel)
    room.work_off(room.channel())
    assert room.made == ["a", "b"]


def test_a_position_that_nobody_understands_is_as_none(room: Room) -> None:
    room.channel()
    (room.work / ".hooks/on_success/position").write_text("[1, 2")
    room.ends("a")
    channel = room.channel()
    room.ends("b")
    room.work_off(channel)
    assert room.made == ["b"]


def test_names_of_any_kind_come_back_as_they_were(room: Room) -> None:
    name = os.fsdecode(b"caf\xe9\n<script>\xff.jpg")
    seen: list[str] = []
    room.broken = lambda _job: len(room.made) == 1
    channel = room.channel()
    room.book.append(done(job="a/../b", picture=name, ended_at=1_000_000.0))
    channel.step()
    room.clock.now += FIRST_RETRY_S
    again = room.channel()
    again._call = lambda ended: (seen.append(ended.picture), Called(True, ""))[1]  # type: ignore[func-returns-value]
    room.work_off(again)
    assert seen == [name]


@given(
    chunk=st.integers(1, 3000),
    plan=st.lists(st.sampled_from(["end", "step", "crash", "break", "mend", "wait"]), max_size=60),
)
@settings(deadline=None, max_examples=60)
def test_whatever_happens_in_between_each_job_is_called_for(
    tmp_path_factory: pytest.TempPathFactory, chunk: int, plan: list[str]
) -> None:
    room = Room(tmp_path_factory.mktemp("room"), Clock())
    before, calls_channel._MOST_BYTES = calls_channel._MOST_BYTES, chunk  # type: ignore[misc]
    jobs: list[str] = []
    well: list[str] = []
    try:
        channel = room.channel()
        for action in plan:
            if action == "end":
                jobs.append(f"j{len(jobs)}")
                room.ends(jobs[-1])
            elif action == "step":
                count = len(room.made)
                channel.step()
                if len(room.made) > count and not room.broken("x"):
                    well.append(room.made[-1])
            elif action == "crash":
                channel = room.channel()
            elif action == "wait":
                room.clock.now += FIRST_RETRY_S
            else:
                is_broken = action == "break"
                room.broken = lambda _job, is_broken=is_broken: is_broken  # type: ignore[misc]
        room.broken = lambda _job: False
        room.made.clear()
        room.for_a_while(room.channel(), DAY_S)
    finally:
        calls_channel._MOST_BYTES = before  # type: ignore[misc]
    assert sorted([*well, *room.made]) == sorted(jobs)
    assert room.files() == ["position"]
