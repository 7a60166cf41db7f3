"""Several jobs' steps on the disk at once: each job's own in their order, and nothing mixed up."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest
from rooms import Rooms
from standin import HELLO, done, write_result
from structlog.testing import capture_logs
from test_jobs import tree

from daemon.intake.pairing import Pair
from daemon.spool.layout import Spool
from daemon.spool.record import Record
from daemon.spool.together import AT_ONCE, all_together
from daemon.supervisor.endings import Endings
from daemon.supervisor.member import Worker
from daemon.worker.protocol import Done

SOON_S = 10.0


@pytest.fixture
def rooms(spool: Spool) -> Rooms:
    return Rooms(spool)


def results(futures: list[Future[int]]) -> list[int]:
    return [future.result(0) for future in futures]


def test_steps_run_at_the_same_time_and_give_their_results_in_order() -> None:
    meeting = threading.Barrier(AT_ONCE)
    steps = [(number, partial(meeting.wait, SOON_S)) for number in range(AT_ONCE)]
    assert sorted(results(all_together(steps))) == list(range(AT_ONCE))
    numbers = [(number, lambda number=number: number) for number in range(3 * AT_ONCE)]
    assert results(all_together(numbers)) == list(range(3 * AT_ONCE))


def test_steps_of_one_key_come_after_each_other() -> None:
    met: list[int] = []
    lock = threading.Lock()

    def step(number: int) -> int:
        assert lock.acquire(blocking=False), "two at once"
        met.append(number)
        threading.Event().wait(0.002)
        lock.release()
        return number

    all_together([("one", partial(step, n)) for n in range(5)] + [("another", lambda: 0)])
    assert met == list(range(5))


def test_what_fails_keeps_none_of_the_others_back_even_behind_it() -> None:
    def fail() -> int:
        raise OSError("no")

    failed, after, beside = all_together([("a", fail), ("a", lambda: 1), ("b", lambda: 2)])
    with pytest.raises(OSError, match="no"):
        failed.result(0)
    assert (after.result(0), beside.result(0)) == (1, 2)


def test_nobody_is_left_when_it_is_over_and_one_alone_needs_nobody() -> None:
    before = threading.active_count()
    all_together([(n, threading.get_ident) for n in range(20)])
    assert threading.active_count() == before
    assert all_together([("one", threading.get_ident)])[0].result(0) == threading.get_ident()
    assert all_together([]) == []


def test_where_no_thread_is_to_be_had_it_is_done_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert results(all_together([(n, partial(int, n)) for n in range(5)])) == list(range(5))


# -- What the supervisor does at once --------------------------------------------------------------


def test_pairs_that_are_claimed_at_once_have_their_turns_in_the_order_of_their_readiness(
    rooms: Rooms,
) -> None:
    rooms.inbox.look()  # what lies there at the first look is backlog, and waits for what is new
    for name in ("late", "early"):
        rooms.clock.now += 1
        rooms.drop(name)
    rooms.queue.claim_ahead(10)
    assert len(rooms.queue) == 2
    assert tree(rooms.spool.inbox) == {}
    assert [rooms.turn().picture.path for _ in range(2)] == ["late.jpg", "early.jpg"]


def test_no_more_are_claimed_than_there_is_room_for(rooms: Rooms) -> None:
    rooms.drop(*(f"pair {number}" for number in range(5)))
    rooms.queue.claim_ahead(3)
    assert len(rooms.queue) == 3
    rooms.queue.claim_ahead(3)  # what is claimed comes first
    assert len(rooms.queue) == 3


def test_one_that_can_not_be_claimed_keeps_none_of_the_others(rooms: Rooms) -> None:
    rooms.drop("one", "changed", "three")
    (rooms.spool.inbox / "changed.jpg").write_bytes(b"more of it")
    rooms.queue.claim_ahead(3)
    assert [rooms.turn().picture.path for _ in range(2)] == ["one.jpg", "three.jpg"]
    assert "changed.jpg" in tree(rooms.spool.inbox)


def test_an_error_of_the_world_leaves_what_was_claimed_in_the_queue(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.drop("one", "two", "three")
    claimed = rooms.queue._claimed

    def claim(pair: Pair) -> Record | None:
        if pair.picture.path == "two.jpg":
            raise OSError(28, "No space left on device")
        return claimed(pair)

    with monkeypatch.context() as context:
        context.setattr(rooms.queue, "_claimed", claim)
        context.setattr(rooms.queue, "_can_claim", lambda: False)
        with pytest.raises(OSError, match="No space"):
            rooms.queue.claim_ahead(3)
    turns = sorted(rooms.turn().picture.path for _ in range(3))
    assert turns == ["one.jpg", "three.jpg", "two.jpg"]


def finished(rooms: Rooms, *names: str, same: bytes | None = None) -> list[Done]:
    """What a worker says of jobs whose results it has just written."""
    said = []
    for name in names:
        rooms.drop(name)
        with rooms.attempts.begun(rooms.turn(), pid=1) as (order, descriptors):
            write_result(descriptors, same or f"result of {name}".encode())
        said.append(done(order))
    return said


@pytest.fixture
def worker() -> Iterator[Worker]:
    """One that is only asked what it said of itself."""
    nobody = cast("subprocess.Popen[bytes]", SimpleNamespace())
    with socket.socket() as ear:
        yield Worker("cpu", nobody, ear, hello=HELLO)


def test_results_of_several_jobs_are_published_at_once_and_each_is_told(
    rooms: Rooms, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"day {number % 3}/pair {number}" for number in range(9)]
    everything = finished(rooms, *names)
    rooms.endings.deliver(worker, everything)
    published = tree(rooms.spool.outbox)
    assert {name for name in published if name.endswith(".png")} == {f"{n}.png" for n in names}
    assert all(published[f"{name}.png"] == f"result of {name}".encode() for name in names)
    monkeypatch.setattr(Endings, "_deliver", None)
    with capture_logs() as logs:
        assert all([rooms.endings.answer(worker, message) for message in everything])  # noqa: C419
    assert [line["picture"] for line in logs] == [f"{name}.jpg" for name in names]
    assert rooms.count.done == len(names)
    assert not rooms.attempts.running


def test_two_jobs_of_one_name_get_one_number_for_all_that_is_theirs(
    rooms: Rooms, worker: Worker
) -> None:
    everything = finished(rooms, "cat", "cat", "cat", "dog")
    rooms.endings.deliver(worker, everything)
    published = tree(rooms.spool.outbox)
    for number, message in zip(("", ".2", ".3"), everything, strict=False):
        assert message.job in published[f"cat{number}.log"].decode()
        assert f"cat{number}.png" in published


def test_two_jobs_whose_names_meet_by_a_number_both_get_results(
    rooms: Rooms, worker: Worker
) -> None:
    (rooms.spool.outbox / "cat.png").write_bytes(b"somebody's")
    everything = finished(rooms, "cat", "cat.2", same=b"the same of both")
    rooms.endings.deliver(worker, everything)
    for message in everything:
        assert rooms.endings.answer(worker, message)
    published = tree(rooms.spool.outbox)
    assert sum(content == b"the same of both" for content in published.values()) == 2


def test_one_that_fails_is_told_as_if_it_were_alone_and_the_others_are_done(
    rooms: Rooms, worker: Worker
) -> None:
    everything = finished(rooms, "cat", "dog")
    bad = rooms.attempts.running[everything[0].job]
    shutil.rmtree(rooms.spool.work / bad.job / "out")
    rooms.endings.deliver(worker, everything)
    with pytest.raises(FileNotFoundError):
        rooms.endings.answer(worker, everything[0])
    assert rooms.endings.answer(worker, everything[1])
    assert "dog.png" in tree(rooms.spool.outbox)
