"""`retouchd why` of files in the outbox, the archive and `failed/`, and of what is of our own."""

import os
import time
from typing import Any

import pytest
from asking import ask, cross, crosses, put, said
from chronicles import AT, FACTS, done
from test_book import FACTS as OTHER_FACTS
from test_jobs import drop, produce
from test_retry import fail, failed

from daemon.people.outline import clock
from daemon.people.pages.elements import Html
from daemon.people.pages.frame import page
from daemon.people.questions.answers import Answer
from daemon.reasons import Trouble
from daemon.settings import Settings
from daemon.spool import jobs
from daemon.spool.book import Book
from daemon.spool.layout import Spool


def finish(spool: Spool, name: str, **facts: Any) -> str:
    """Have a pair done, as the daemon does it; returns its job."""
    record = jobs.claim_pair(spool, drop(spool, name))
    assert record is not None
    record = jobs.begin_attempt(spool, record)
    jobs.publish_result(spool, record, produce(spool, record), "log", OTHER_FACTS)
    return record.job


def subjects(answer: Answer, *wanted: str) -> list[str]:
    return [step.subject for step in answer.steps if step.subject in wanted]


def test_jobs_on_files_of_a_name_are_told_one_by_one_the_newest_first(
    settings: Settings, spool: Spool
) -> None:
    first, second = finish(spool, "coffee"), finish(spool, "coffee")
    assert (spool.archive / "coffee.2.jpg").is_file()
    for asked in ("archive/coffee.jpg", "archive/coffee.2.jpg", "archive/coffee.2_mask.png"):
        answer = ask(settings, str(settings.spool / asked))
        assert crosses(answer) == []
        headlines = [step.says for step in answer.steps if step.subject == "done"]
        assert [second in headlines[0], first in headlines[1]] == [True, True], asked
        assert subjects(answer, "jobs", "done", "how") == [
            "jobs",
            *("done", "how", "how"),
            *("done", "how", "how"),
        ]


def test_a_result_is_of_the_job_that_made_it(settings: Settings, spool: Spool) -> None:
    first, second = finish(spool, "coffee"), finish(spool, "coffee")
    for asked, job, other in (("coffee.png", first, second), ("coffee.2.png", second, first)):
        told = said(ask(settings, str(spool.outbox / asked)), "done")
        assert job in told
        assert other not in told


def test_all_notes_of_a_job_are_told(settings: Settings, spool: Spool) -> None:
    facts = FACTS.__class__(**{**vars(FACTS), "notes": ("one", "two", "three")})
    Book(spool.books).append(done(1, "jpegs/h4.jpg", facts=facts))
    (spool.outbox / "jpegs").mkdir()
    (spool.outbox / "jpegs/h4.png").touch()
    how = said(ask(settings, str(spool.outbox / "jpegs/h4.png")), "how")
    assert all(note in how for note in ("one", "two", "three"))


LOG = """\
task:                 inpaint (holes filled)
picture:              coffee.jpg  600 x 400  RGB JPEG  31415 bytes  sha256 {sha}
mask:                 coffee_mask.png  600 x 400  L PNG  271 bytes  sha256 {sha}
model:                tiny, fp32
model file:           tiny.pt  sha256 {sha}
model licence:        none
device:               cpu
claimed:              2026-11-23T06:00:0{n}Z
finished:             2026-11-23T06:00:1{n}Z
attempt:              1
seconds, read:        0.010
retouchd:             0
torch:                0
job:                  20261123T060000-0000000{n}
note:                 a first note
note:                 a second note
"""


def test_without_the_book_the_logs_tell_of_each_job_by_itself(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "elsewhere.jpg")
    for number, base in ((1, "coffee"), (2, "coffee.2")):
        log = LOG.format(sha="ab" * 32, n=number)
        (spool.outbox / f"{base}.log").write_text(log)
        (spool.outbox / f"{base}.png").touch()
        (spool.archive / f"{base}.jpg").touch()
    for asked in ("coffee.jpg", str(spool.archive / "coffee.jpg")):
        answer = ask(settings, asked)
        headlines = [step.says for step in answer.steps if step.subject == "done"]
        assert ["00000002" in headlines[0], "00000001" in headlines[1]] == [True, True]
        assert subjects(answer, "jobs", "done", "how")[:5] == ["jobs", "done", "how", "how", "how"]
    answer = ask(settings, str(spool.outbox / "coffee.2.png"))
    assert "00000002" in said(answer, "done")
    assert "a first note" in said(answer, "how") and "a second note" in said(answer, "how")
    assert subjects(answer, "jobs", "done") == ["done"]


def test_times_are_those_of_this_machine_as_in_history(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "IST-05:30")
    time.tzset()
    try:
        Book(spool.books).append(done(1, "cat.jpg"))
        told = said(ask(settings, "cat.jpg"), "done")
        assert f"done on {clock(AT + 60)}:" in told
        assert "11:31:00" in told
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_result_that_is_gone_is_told_by_the_book(settings: Settings, spool: Spool) -> None:
    job = finish(spool, "coffee")
    (spool.outbox / "coffee.png").unlink()
    answer = ask(settings, str(spool.outbox / "coffee.png"))
    assert said(answer, "place") == "it lies in the outbox no more."
    assert job in said(answer, "done")


def test_a_file_that_no_job_has_put_there_is_not_called_done(
    settings: Settings, spool: Spool
) -> None:
    for folder in (spool.outbox, spool.archive):
        (folder / "shopping.txt").touch()
        answer = ask(settings, str(folder / "shopping.txt"))
        assert "no job is known" in said(answer, "place")
        assert subjects(answer, "done") == []


def test_a_page_of_our_own_is_told_as_that(settings: Settings, spool: Spool) -> None:
    (spool.outbox / "gallery").mkdir()
    for name in ("index.html", "gallery/1.html"):
        (spool.outbox / name).write_bytes(page("Results", Html("")))
        answer = ask(settings, str(spool.outbox / name))
        assert "a page of retouchd's own" in said(answer, "place")
    (spool.outbox / "mine.html").write_text("<html>")
    assert "of retouchd's own" not in said(ask(settings, str(spool.outbox / "mine.html")), "place")


@pytest.mark.parametrize("asked", ["{failed}/bad/size.jpg.reason.txt", "size.jpg.reason.txt"])
def test_a_note_is_answered_for_what_it_is_about(
    asked: str, settings: Settings, spool: Spool
) -> None:
    failed(spool, "bad/size", "dog")
    answer = ask(settings, asked.format(failed=spool.failed))
    assert cross(answer).reason == "mask_covers_everything"
    assert f"retouchd retry {spool.failed}/bad/size.jpg" in said(answer, "failed")


def test_a_note_whose_files_are_gone_needs_nobody(settings: Settings, spool: Spool) -> None:
    failed(spool, "size")
    for name in ("size.jpg", "size_mask.png"):
        (spool.failed / name).unlink()
    answer = ask(settings, str(spool.failed / "size.jpg.reason.txt"))
    assert crosses(answer) == []
    assert "it may be deleted" in said(answer, "place")


def test_what_failed_and_was_done_since_is_only_told(settings: Settings, spool: Spool) -> None:
    fail(spool, drop(spool), Trouble("mask_covers_everything"))
    for name in os.listdir(spool.failed):
        (spool.failed / name).unlink()
    job = finish(spool, "cat")
    answer = ask(settings, "cat.jpg")
    assert crosses(answer) == []
    assert job in said(answer, "done")
    assert "marks the whole picture" in said(answer, "before")


def test_that_a_file_is_there_is_not_said_of_one_that_is_not(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "day/cat.jpg")
    assert said(ask(settings, "day/cat.jpg"), "path") == "it lies in the inbox, as day/cat.jpg."
    assert said(ask(settings, "day/gone.jpg"), "path") == ""


def test_of_a_name_that_is_worked_again_what_was_done_is_only_told_as_before(
    settings: Settings, spool: Spool
) -> None:
    jobs.claim_pair(spool, drop(spool, "cat"))
    Book(spool.books).append(done(1, "cat.jpg"))
    answer = ask(settings, "cat.jpg")
    assert said(answer, "done") == ""
    assert "done on " in said(answer, "before")
    order = ["daemon", "work", "before"]
    assert list(dict.fromkeys(subjects(answer, *order))) == order
