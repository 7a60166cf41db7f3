"""The kind of a trouble decides where a job goes: failed/, the inbox, or the queue again."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rooms import Rooms, with_attempts
from structlog.testing import capture_logs
from test_jobs import tree

from daemon.reasons import Report, Trouble
from daemon.spool import files
from daemon.spool.layout import Spool
from daemon.spool.putting_away import decide_to_fail
from daemon.spool.record import Record, save
from daemon.supervisor.troubles import Troubles

DIED = Report("worker_died", {"detail": "signal SIGSEGV"})


@pytest.fixture
def rooms(spool: Spool) -> Rooms:
    return Rooms(spool)


def test_a_fault_of_the_file_goes_to_failed_and_is_counted(rooms: Rooms) -> None:
    record = rooms.tried(rooms.claimed())
    rooms.troubles.handle(record, Report("mask_covers_everything", {}))
    assert set(tree(rooms.spool.failed)) >= {"cat.jpg", "cat_mask.png", "cat.jpg.reason.txt"}
    assert rooms.count.failed == 1
    assert len(rooms.queue) == 0


def test_a_trouble_of_the_world_queues_the_job_costs_no_attempt_and_is_raised(
    rooms: Rooms,
) -> None:
    record = rooms.tried(rooms.claimed())
    with pytest.raises(Trouble) as met:
        rooms.troubles.handle(record, Report("disk_full", {"path": "result"}))
    assert met.value.reason.key == "disk_full"
    assert rooms.on_disk(record).attempts == 0
    assert rooms.turn().attempts == 0


def test_a_job_that_killed_its_worker_is_queued_until_it_has_had_its_tries(rooms: Rooms) -> None:
    record = rooms.claimed()
    for attempt in (1, 2):
        rooms.troubles.handle(rooms.tried(record), DIED)
        record = rooms.turn()
        assert record.attempts == attempt
    rooms.troubles.handle(rooms.tried(record), DIED)
    assert len(rooms.queue) == 0
    note = (rooms.spool.failed / "cat.jpg.reason.txt").read_text()
    assert note.count("SIGSEGV") >= 3


def test_what_looks_cut_off_waits_in_the_inbox_until_it_has_lasted_too_long(rooms: Rooms) -> None:
    cut_off = Report("incomplete", {"role": "picture", "detail": "cut off"})
    rooms.troubles.handle(rooms.claimed(), cut_off)
    assert set(tree(rooms.spool.inbox)) == {"cat.jpg", "cat_mask.png"}
    rooms.inbox.look()
    assert rooms.queue.next_record() is None
    rooms.clock.now += rooms.settings.incomplete_s + 1
    rooms.inbox.look()
    rooms.troubles.handle(rooms.turn(), cut_off)
    assert "(reason: corrupt, " in (rooms.spool.failed / "cat.jpg.reason.txt").read_text()


def test_what_looks_cut_off_is_told_in_the_same_words_when_it_goes_back_and_while_it_waits(
    rooms: Rooms,
) -> None:
    with capture_logs() as logs:
        rooms.troubles.handle(
            rooms.claimed(), Report("incomplete", {"role": "mask", "detail": "its end is missing"})
        )
    (told,) = [line for line in logs if line["event"] == "pair_given_back"]
    rooms.inbox.look()
    (waiting,) = rooms.inbox.waiting()
    trouble = waiting.report.trouble()
    assert (told["says"], told["advice"]) == (trouble.sentence, trouble.advice)
    assert (
        "the mask looks cut off, as if it were still being copied (its end is missing)"
        in told["says"]
    )
    assert "after 60 min" in told["advice"]


@pytest.mark.parametrize(("reason", "home"), [("vanished", "failed"), ("unreadable", "inbox")])
def test_a_pair_that_cannot_be_opened_is_given_up_or_given_back(
    rooms: Rooms, reason: str, home: str
) -> None:
    rooms.troubles.refuse(rooms.claimed(), Trouble(reason, path="cat.jpg"))
    assert {"cat.jpg", "cat_mask.png"} <= set(tree(getattr(rooms.spool, home)))


def test_a_job_that_is_found_again_is_queued_and_its_lost_try_is_told(rooms: Rooms) -> None:
    record = rooms.tried(rooms.claimed())
    rooms.troubles.take_up(rooms.on_disk(record))
    assert rooms.turn().attempts == 1
    (line,) = rooms.on_disk(record).story
    assert "with the whole daemon" in line


def test_a_job_that_died_with_the_daemon_in_its_last_try_is_given_up(rooms: Rooms) -> None:
    record = save(rooms.spool, with_attempts(rooms.claimed(), rooms.settings.max_attempts))
    rooms.troubles.take_up(record)
    assert len(rooms.queue) == 0
    assert rooms.count.failed == 1


def test_a_last_try_that_was_forgiven_is_not_the_last(rooms: Rooms) -> None:
    record = save(rooms.spool, with_attempts(rooms.claimed(), rooms.settings.max_attempts))
    rooms.attempts.forgive(record.job)
    rooms.troubles.take_up(record)
    assert rooms.turn().attempts == rooms.settings.max_attempts - 1
    assert rooms.on_disk(record).story == ()


def test_a_job_for_which_there_is_no_model_any_more_goes_back(spool: Spool) -> None:
    rooms = Rooms(spool)
    record = rooms.claimed()
    only_matting = rooms.settings.model_copy(
        update={"inpaint_model": None, "matting_model": Path("/models/tiny.pt")}
    )
    with capture_logs() as logs:
        replace(rooms.troubles, settings=only_matting).take_up(record)
    assert set(tree(spool.inbox)) == {"cat.jpg", "cat_mask.png"}
    assert [line["reason"] for line in logs if line["event"] == "pair_given_back"] == ["no_model"]


def test_a_failure_counts_once_even_if_the_disk_delays_it(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = rooms.claimed()
    with monkeypatch.context() as context:
        context.setattr(files, "move", no_space_left)
        with pytest.raises(OSError, match="No space"):
            rooms.troubles.fail(record, Trouble("mask_covers_everything"))
    assert rooms.count.failed == 1
    (settled,) = rooms.leftovers.settle(rooms.spool, frozenset()).failed
    rooms.troubles.report_settled(settled)
    assert rooms.count.failed == 1
    assert "cat.jpg" in tree(rooms.spool.failed)
    assert not rooms.count.knows(record.job)


def test_who_reads_that_a_job_failed_finds_its_pair_in_failed(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[str, ...]] = []
    report_failure = Troubles.report_failure

    def look(troubles: Troubles, record: Record, trouble: Trouble) -> None:
        report_failure(troubles, record, trouble)
        found.append((*tree(rooms.spool.failed), *os.listdir(rooms.spool.work)))

    monkeypatch.setattr(Troubles, "report_failure", look)
    record = rooms.claimed()
    rooms.troubles.fail(record, Trouble("mask_covers_everything"))
    assert len(found) == 1
    assert {"cat.jpg", "cat_mask.png", "cat.jpg.reason.txt"} <= set(found[0])
    assert record.job not in found[0]


def test_who_reads_that_a_pair_was_given_back_finds_it_in_the_inbox(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who copies it again then must not meet it on its way back."""
    found: list[str] = []
    monkeypatch.setattr(
        "daemon.supervisor.troubles.log.info",
        lambda *_, **__: found.extend(tree(rooms.spool.inbox)),
    )
    rooms.troubles.give_back(rooms.claimed(), Trouble("incomplete", role="picture", detail="end"))
    assert sorted(found) == ["cat.jpg", "cat_mask.png"]


def no_space_left(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failure_that_the_disk_does_not_even_note_is_none_yet(rooms: Rooms) -> None:
    record = rooms.claimed()
    away = rooms.spool.work.rename(rooms.spool.work.with_name("away"))
    with pytest.raises(FileNotFoundError):
        rooms.troubles.fail(record, Trouble("mask_covers_everything"))
    assert rooms.count.failed == 0
    away.rename(rooms.spool.work)
    assert [found.job for found in rooms.leftovers.settle(rooms.spool, frozenset()).to_run] == [
        record.job
    ]


def test_a_failure_that_an_earlier_run_left_is_counted(rooms: Rooms) -> None:
    record = rooms.claimed()
    decide_to_fail(rooms.spool, record, Trouble("mask_covers_everything"))
    (settled,) = rooms.leftovers.settle(rooms.spool, frozenset()).failed
    with capture_logs() as logs:
        rooms.troubles.report_settled(settled)
    assert rooms.count.failed == 1
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("job_failed", "mask_covers_everything")
    ]
