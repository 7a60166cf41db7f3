"""The book again, from the folders: what they tell, and that nobody can tell it stories."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_book import FACTS, HOSTILE, ended
from test_joblog import done, hello, record
from test_jobs import claim, produce

from daemon.people.rebuilding import rebuild_book
from daemon.reasons import REASONS, Kind, Report, Trouble, one_line
from daemon.settings import Settings
from daemon.spool import jobs
from daemon.spool.book import REBUILT, Book
from daemon.spool.layout import Spool
from daemon.spool.notes import read_note, reason_text
from daemon.supervisor.joblog import job_facts, job_log, read_log

JOB = "20261122T065415-8b593955"
TEXT = st.text(st.characters(), min_size=1, max_size=30)


@pytest.fixture
def settings(spool: Spool) -> Settings:
    return Settings(spool=spool.inbox.parent)


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {step: round(each, 3) for step, each in seconds.items()}


@pytest.mark.parametrize(
    "name", ["holiday/cat.jpg", "größe 猫 🐈.jpg", "a  9 x 9  b.jpg", "a: b.jpg"]
)
def test_a_log_tells_all_of_a_job_again(name: str) -> None:
    job = replace(record(name, ("the worker died: signal 9",)), job=JOB)
    told, about = done(notes=("from CMYK: to RGB",)), hello(trained=False)
    found = read_log(job_log(job, told, about), ["holiday/cat.log", "holiday/cat.png"])
    assert found is not None
    assert found.facts is not None
    assert replace(found.facts, seconds={}) == replace(job_facts(job, told, about), seconds={})
    assert found.facts.seconds == rounded(told.seconds)
    assert (found.job, found.outcome, found.attempts) == (JOB, "done", 2)
    assert (found.picture, found.companion) == (name, "holiday/cat_mask.png")
    assert (found.task, found.role, found.claimed_at) == ("inpaint", "mask", job.claimed_at)
    assert found.outputs == ("holiday/cat.log", "holiday/cat.png")
    assert found.story == job.story


@given(TEXT, TEXT)
def test_whatever_a_picture_is_called_its_log_is_read_as_it_is_printed(
    name: str, note: str
) -> None:
    assume(not name.strip().startswith("/") and ".." not in name.strip().split("/"))
    job = replace(record(name), job=JOB)
    found = read_log(job_log(job, done(notes=(note,)), hello()), [])
    assert found is not None
    assert found.picture.strip() == one_line(name).strip()
    assert found.facts is not None
    assert found.facts.notes[0].strip() == one_line(note).strip()


@pytest.mark.parametrize(
    ("what", "forged"),
    [
        (f"job:                  {JOB}", "job:                  ../../etc"),
        (f"job:                  {JOB}", ""),
        ("97 x 61", "97 by 61"),
        ("97 x 61", "9999999999 x 1"),
        ("task:                 inpaint (holes filled)", "task: cook"),
        ("attempt:              2", "attempt: two"),
        ("finished:  ", "finished: yesterday "),
        ("seconds, read:        0.012", "seconds, read: long"),
        ("holiday/cat.jpg", "../../cat.jpg"),
        ("holiday/cat.jpg", "holiday/.."),
        ("holiday/cat.jpg", "/etc/passwd"),
        ("holiday/cat_mask.png", "a/../cat_mask.png"),
        ("holiday/cat_mask.png", "/etc/cat_mask.png"),
    ],
)
def test_what_is_no_log_of_ours_is_none(what: str, forged: str) -> None:
    text = job_log(replace(record(), job=JOB), done(), hello())
    assert what in text
    assert read_log(text.replace(what, forged), []) is None


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert read_log(text, []) is None
    assert read_note(text) is None


@pytest.mark.parametrize(
    "reason",
    [each for each in REASONS.values() if each.kind in (Kind.FILE, Kind.RETRY)],
    ids=lambda each: each.key,
)
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_note_tells_its_reason_again_in_the_same_words(
    reason: Any, spool: Spool, attempts: int
) -> None:
    facts: dict[str, Any] = {name: f"({name}: x)" for name in reason.fields()} | {"seconds": 3600}
    facts = {name: value for name, value in facts.items() if name in reason.fields()}
    job = replace(claim(spool), job=JOB, attempts=attempts, story=("once: it died", "twice"))
    report = Report(reason.key, {k: v for k, v in facts.items() if k != "attempts"})
    note = read_note(reason_text(job, report, []).decode())
    assert note is not None
    assert (note.job, note.name, note.story) == (JOB, "cat.jpg", ("once: it died", "twice"))
    assert note.report.key == reason.key
    assert (
        note.report.trouble(attempts=attempts).sentence
        == report.trouble(attempts=attempts).sentence
    )


@pytest.mark.parametrize("key", sorted(REASONS))
def test_a_forged_note_costs_no_more_than_its_length(key: str) -> None:
    """The words of its reason over and over again, without the last: many ways lead nowhere."""
    words = "".join(literal for literal, *_ in list(Formatter().parse(REASONS[key].says))[:-1])
    forged = f": {words}" * (200_000 // (len(words) + 2))
    began = time.process_time()
    note = read_note(f"{forged}\n\n(reason: {key}, job: {JOB})\n")
    assert note is not None
    assert note.report.key == key
    assert time.process_time() - began < 5


def test_a_forged_log_costs_no_more_than_its_length() -> None:
    forged = "a" + "  1 x 1  9 bytes" * 50_000
    began = time.process_time()
    assert read_log(f"picture: {forged}\nmask: {forged}\n", []) is None
    assert time.process_time() - began < 5


def test_where_a_fact_stands_twice_in_a_note_both_must_be_the_same() -> None:
    told = "cat.jpg: the picture has 3 x 4 pixels; the model needs 8 x {}."
    last = f"(reason: too_small, job: {JOB})"
    notes = [read_note(f"{told.format(number)}\n\n{last}\n") for number in (8, 9)]
    facts = [note.report.facts for note in notes if note]
    assert facts == [{"width": "3", "height": "4", "smallest": "8"}, {}]


def finish(spool: Spool, name: str) -> None:
    record = jobs.begin_attempt(spool, claim(spool, name))
    log = job_log(record, done(job=record.job), hello())
    jobs.publish_result(spool, record, produce(spool, record), log, FACTS)


def lose_book(spool: Spool) -> None:
    for path in (spool.books / ".book").iterdir():
        path.unlink()


def test_jobs_that_the_book_lacks_are_entered_and_the_others_left(
    spool: Spool, settings: Settings
) -> None:
    finish(spool, "day/cat")
    jobs.fail(spool, claim(spool, "day/dog"), Trouble("mask_covers_everything"))
    finish(spool, "day/cat")
    before = list(Book(spool.books).newest())
    assert rebuild_book(settings) == 0
    assert not (spool.books / ".book" / REBUILT).exists()
    lose_book(spool)
    finish(spool, "new")
    assert rebuild_book(settings) == 3
    assert rebuild_book(settings) == 0
    after = list(Book(spool.books).newest())
    assert {each.job for each in after} > {each.job for each in before}
    assert [each.facts == FACTS for each in after if each.picture == "new.jpg"] == [True]
    found = {each.outputs for each in after if each.outcome == "done"}
    assert found == {
        ("new.log", "new.png"),
        ("day/cat.log", "day/cat.png"),
        ("day/cat.2.log", "day/cat.2.png"),
    }
    (failure,) = (each for each in after if each.outcome == "failed")
    assert (failure.picture, failure.companion) == ("day/dog.jpg", "day/dog_mask.png")
    assert (failure.note, failure.attempts) == ("day/dog.jpg.reason.txt", 0)
    assert failure.report is not None
    assert failure.report.key == "mask_covers_everything"
    assert abs(failure.claimed_at - before[1].claimed_at) <= 1


def outputs_of(spool: Spool) -> dict[str, set[str]]:
    return {each.picture: set(each.outputs) for each in Book(spool.books).newest()}


def test_results_of_pictures_whose_names_begin_alike_are_kept_apart(
    spool: Spool, settings: Settings
) -> None:
    for name in ("cat", "cat.old", "cat.alpha", "cat.old.new"):
        finish(spool, name)
    for more in ("cat.preview.jpg", "cat.alpha.alpha.png", "cat.edited.by.me.png", "dog.png"):
        (spool.outbox / more).touch()
    lose_book(spool)
    assert rebuild_book(settings) == 4
    assert outputs_of(spool) == {
        "cat.jpg": {"cat.log", "cat.png", "cat.preview.jpg", "cat.alpha.png"},
        "cat.old.jpg": {"cat.old.log", "cat.old.png"},
        "cat.alpha.jpg": {"cat.alpha.log", "cat.alpha.alpha.png"},
        "cat.old.new.jpg": {"cat.old.new.log", "cat.old.new.png"},
    }


def test_the_result_of_a_picture_called_like_one_of_ours_is_found(
    spool: Spool, settings: Settings
) -> None:
    finish(spool, "cat.alpha")
    lose_book(spool)
    assert rebuild_book(settings) == 1
    assert outputs_of(spool) == {"cat.alpha.jpg": {"cat.alpha.log", "cat.alpha.png"}}


@pytest.mark.parametrize("name", ["cat", "day/cat", "zoo/caf\u202e"])
def test_a_copy_of_a_result_does_not_take_its_place(
    spool: Spool, settings: Settings, name: str
) -> None:
    finish(spool, name)
    finish(spool, name)
    ours = {path.relative_to(spool.outbox).as_posix() for path in spool.outbox.rglob("*.*")}
    for copy in ("a copy", "zoo/copy", "zz"):
        shutil.copytree((spool.outbox / name).parent, spool.outbox / copy, dirs_exist_ok=True)
    for path in list((spool.outbox / name).parent.glob("*.log")):
        shutil.copy(path, path.with_name(f"a copy of {path.name}"))
    lose_book(spool)
    assert rebuild_book(settings) == 2
    assert {path for each in Book(spool.books).newest() for path in each.outputs} == ours


@pytest.mark.parametrize(
    ("what", "forged"),
    [
        ("  1.500\n", "  nan\n"),
        ("finished:             20", "finished:             10"),
        ("attempt:              1", "attempt:              -1"),
    ],
)
def test_what_the_book_could_not_read_again_is_not_entered(
    spool: Spool, settings: Settings, what: str, forged: str
) -> None:
    finish(spool, "cat")
    log = spool.outbox / "cat.log"
    assert what in log.read_text()
    log.write_text(log.read_text().replace(what, forged))
    lose_book(spool)
    assert [rebuild_book(settings) for _ in range(2)] == [0, 0]
    book = Book(spool.books)
    assert list(book.newest()) == []
    assert book.passed_over == 0


def test_thousands_of_results_in_one_folder_are_entered_in_one_go(
    spool: Spool, settings: Settings
) -> None:
    finish(spool, "cat")
    log = (spool.outbox / "cat.log").read_text()
    job = Book(spool.books).about("cat.jpg")[0].job
    for number in range(8000):
        text = log.replace(job, f"20260101T000000-{number:08x}")
        (spool.outbox / f"IMG_{number}.log").write_text(text)
        for suffix in (".png", ".preview.jpg"):
            (spool.outbox / f"IMG_{number}{suffix}").touch()
    lose_book(spool)
    began = time.process_time()
    assert rebuild_book(settings) == 8001
    assert time.process_time() - began < 5
    found = {each.outputs for each in Book(spool.books).newest()}
    assert ("IMG_7.log", "IMG_7.png", "IMG_7.preview.jpg") in found


def test_what_was_rebuilt_stays_when_more_is(spool: Spool, settings: Settings) -> None:
    finish(spool, "a")
    lose_book(spool)
    rebuild_book(settings)
    (spool.outbox / "a.log").unlink()
    finish(spool, "b")
    for path in (spool.books / ".book").glob("2*"):
        path.unlink()
    assert rebuild_book(settings) == 1
    assert [each.picture for each in Book(spool.books).newest()] == ["b.jpg", "a.jpg"]


def test_a_log_or_a_note_through_a_link_is_not_read(
    spool: Spool, settings: Settings, tmp_path: Path
) -> None:
    finish(spool, "a")
    lose_book(spool)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (spool.outbox / "a.log").rename(elsewhere / "a.log")
    (spool.outbox / "a.log").symlink_to(elsewhere / "a.log")
    (spool.outbox / "folder").symlink_to(elsewhere)
    os.mkfifo(spool.outbox / "b.log")
    (spool.outbox / "c.log").mkdir()
    (spool.outbox / "huge.log").write_bytes(b"job: x\n" * 1_000_000)
    (spool.failed / "x.reason.txt").write_bytes(b"\xff\xfe")
    assert rebuild_book(settings) == 0


def test_rebuilt_by_root_it_is_the_daemons_all_the_same(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    work = tmp_path / "work"
    work.mkdir(mode=0o700)
    os.chown(work, 65534, 65534)
    assert Book(work).rebuild([ended(JOB, picture=HOSTILE)]) == 1
    for path in (work / ".book", work / ".book" / REBUILT):
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    assert [each.picture for each in Book(work).newest()] == [HOSTILE]
