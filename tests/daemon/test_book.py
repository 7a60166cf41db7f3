"""The book: what was written is read again, whatever a crash, a stranger or a name does to it."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_jobs import claim, produce

from daemon.places import Place
from daemon.reasons import Report, Trouble, world_trouble
from daemon.spool import book, files, jobs, recovery
from daemon.spool.book import REBUILT, Book, Mark
from daemon.spool.entries import Ended, Facts, ended_of, line_of
from daemon.spool.layout import Spool
from daemon.spool.positions import Positions
from daemon.spool.record import RECORD, Record, State, load

NOVEMBER, DECEMBER = 1_795_000_000.0, 1_797_000_000.0
FACTS = Facts(97, 61, {"read": 0.25, "network": 1.5}, "tiny, fp32", "ab" * 32, "cpu", ("a note",))
HOSTILE = "caf\udce9/\n\u202e<script>'\"\\ \x00.jpg"


def ended(job: str = "j1", at: float = NOVEMBER, **more: Any) -> Ended:
    whole: dict[str, Any] = {
        "job": job,
        "outcome": "done",
        "ended_at": at,
        "claimed_at": at - 2.5,
        "task": "inpaint",
        "role": "mask",
        "picture": "day/cat.jpg",
        "companion": "day/cat_mask.png",
        "attempts": 1,
        "outputs": ("day/cat.log", "day/cat.png"),
        "facts": FACTS,
        "story": ("2026-11-23T04:00:00Z the worker died.",),
    }
    return Ended(**{**whole, **more})


def failed(job: str = "j1", at: float = NOVEMBER, **more: Any) -> Ended:
    report = Report("corrupt", {"role": "picture", "detail": "cut off", "seconds": 3600})
    return ended(
        job, at, outcome="failed", facts=None, outputs=(), report=report, note="n.txt", **more
    )


@pytest.fixture
def kept(tmp_path: Path) -> Book:
    """An empty book."""
    return Book(tmp_path)


def names(kept: Book) -> list[str]:
    return [each.job for each in kept.newest()]


def month(tmp_path: Path, name: str = "2026-11.jsonl") -> Path:
    return tmp_path / ".book" / name


@pytest.mark.parametrize(
    "entry",
    [
        ended(),
        ended(facts=replace(FACTS, preview=(640, 427), notes=(), seconds={})),
        failed(),
        ended(picture=HOSTILE, companion=HOSTILE, outputs=(HOSTILE,), story=(HOSTILE,)),
        ended(task="matting", role="trimap", facts=None),
    ],
)
def test_what_is_written_is_read_again_as_it_was(kept: Book, entry: Ended) -> None:
    kept.append(entry)
    assert list(kept.newest()) == [entry]
    assert kept.passed_over == 0


@pytest.mark.parametrize(
    ("outputs", "result"),
    [
        (("cat.log", "cat.preview.jpg", "cat.png"), "cat.png"),
        # As they are found in a folder.
        (("cat.log", "cat.png", "cat.preview.jpg"), "cat.png"),
        (("cat.log", "cat.alpha.png", "cat.cutout.png", "cat.trimap.png"), "cat.cutout.png"),
        (("a/cat.2.log", "a/cat.2.preview.jpg", "a/cat.2.jpg"), "a/cat.2.jpg"),
        # Of a picture that is called as what lies beside one.
        (("cat.alpha.log", "cat.alpha.preview.jpg", "cat.alpha.png"), "cat.alpha.png"),
        ((), None),
    ],
)
def test_which_output_is_the_result_is_known_in_whatever_order_they_stand(
    outputs: tuple[str, ...], result: str | None
) -> None:
    assert ended(outputs=outputs).result == result
    assert ended(outputs=outputs[::-1]).result == result


@given(st.text(st.characters(), max_size=40))
def test_any_name_makes_one_line_in_ascii(name: str) -> None:
    line = line_of(ended(picture=name, companion=name))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert ended_of(line).picture == name


def test_a_book_that_is_not_there_is_empty(kept: Book) -> None:
    assert list(kept.newest()) == kept.about("day/cat.jpg") == []
    assert kept.since(None) == ([], Mark("", 0))


def test_each_month_has_a_file_and_the_newest_comes_first(kept: Book, tmp_path: Path) -> None:
    for number in range(3):
        kept.append(ended(f"nov {number}", NOVEMBER + number))
    for number in range(3):
        kept.append(ended(f"dec {number}", DECEMBER + number))
    assert month(tmp_path).read_bytes().count(b"\n") == 3
    assert month(tmp_path, "2026-12.jsonl").read_bytes().count(b"\n") == 3
    assert names(kept) == ["dec 2", "dec 1", "dec 0", "nov 2", "nov 1", "nov 0"]


def test_a_clock_that_was_ahead_for_one_job_hides_none_of_those_that_follow(
    kept: Book, tmp_path: Path
) -> None:
    kept.append(ended("right"))
    _, mark = kept.since(None)
    kept.append(ended("ahead", NOVEMBER + 400 * 86_400))
    (ahead,), mark = kept.since(mark)
    for number in range(3):
        kept.append(ended(f"right again {number}", NOVEMBER + number))
    kept.append(ended("a month later", DECEMBER))
    after, mark = kept.since(mark)
    assert ahead.job == "ahead"
    later = [f"right again {number}" for number in range(3)] + ["a month later"]
    assert [each.job for each in after] == later
    assert kept.since(mark) == ([], mark)
    assert names(kept) == [*reversed(later), "ahead", "right"]
    positions = Positions(tmp_path)
    assert positions.count() == 6
    assert [each.job for each in positions.between(0, 6)] == list(reversed(names(kept)))


def test_a_job_that_ended_last_month_is_told_though_one_of_this_month_came_before(
    kept: Book,
) -> None:
    """Their lines are written by threads of their own."""
    kept.append(ended("first", NOVEMBER))
    _, mark = kept.since(None)
    kept.append(ended("just after midnight", DECEMBER))
    (after,), mark = kept.since(mark)
    kept.append(ended("just before", NOVEMBER + 1))
    (before,), _ = kept.since(mark)
    assert (after.job, before.job) == ("just after midnight", "just before")


def test_the_file_is_chosen_when_no_other_line_is_being_added(
    kept: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was chosen is not the newest any more, and who has read that does not come back."""
    real, mine, theirs = book.months_in, threading.Event(), threading.Event()

    def slow(folder: Place) -> list[str]:
        found = real(folder)
        if threading.current_thread() is waits:
            mine.set()
            theirs.wait(0.5)
        return found

    monkeypatch.setattr(book, "months_in", slow)
    waits = threading.Thread(target=kept.append, args=(ended("november", NOVEMBER),))
    waits.start()
    mine.wait(5)
    kept.append(ended("december", DECEMBER))
    theirs.set()
    waits.join()
    assert [each.job for each in kept.since(Mark("", 0))[0]] == ["november", "december"]
    assert {path.name for path in month(tmp_path).parent.iterdir()} == {
        "2026-11.jsonl",
        "2026-12.jsonl",
    }


def test_when_the_newest_month_was_taken_away_the_next_jobs_are_told(
    kept: Book, tmp_path: Path
) -> None:
    kept.append(ended("november", NOVEMBER))
    kept.append(ended("december", DECEMBER))
    _, mark = kept.since(None)
    month(tmp_path, "2026-12.jsonl").unlink()
    nothing, mark = kept.since(mark)
    kept.append(ended("late november", NOVEMBER + 1))
    assert nothing == []
    assert [each.job for each in kept.since(mark)[0]] == ["late november"]


def test_the_month_is_that_of_utc(
    kept: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    kept.append(ended(at=1_796_083_199.0))  # 2026-11-30T23:59:59Z
    monkeypatch.undo()
    time.tzset()
    assert month(tmp_path).exists()


def test_only_the_owner_may_look_into_it(kept: Book, tmp_path: Path) -> None:
    before = os.umask(0)
    kept.append(ended())
    os.umask(before)
    assert month(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    assert month(tmp_path).stat().st_mode & 0o777 == 0o600


def test_of_two_lines_of_a_job_the_last_one_counts(kept: Book) -> None:
    kept.append(ended("j1", attempts=1))
    kept.append(ended("j2"))
    kept.append(ended("j1", DECEMBER, attempts=2))
    assert [(each.job, each.attempts) for each in kept.newest()] == [("j1", 2), ("j2", 1)]


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_line_that_a_crash_cut_off_is_passed_over_and_spoils_no_other(
    kept: Book, tmp_path: Path, cut: int
) -> None:
    kept.append(ended("before"))
    with month(tmp_path).open("ab") as file:
        file.write(line_of(ended("torn"))[:-cut])
    whole = ["torn", "before"] if cut == 1 else ["before"]  # all but its end is there
    assert names(kept) == whole
    kept.append(ended("after"))
    assert names(kept) == ["after", *whole]
    assert kept.passed_over == (cut != 1)


@pytest.mark.parametrize(
    "foreign",
    [
        b"not JSON",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"job": "j0"}',
        line_of(ended("j0")).replace(b'"done"', b'"eaten"'),
        line_of(ended("j0")).replace(b'"inpaint"', b'"cook"'),
        line_of(ended("j0")).replace(b'"attempts":1', b'"attempts":true'),
        line_of(ended("j0")).replace(b'"attempts":1', b'"attempts":-1'),
        line_of(ended("j0")).replace(str(NOVEMBER).encode(), b"1e999"),
        line_of(ended("j0")).replace(str(NOVEMBER).encode(), b"NaN"),
        line_of(ended("j0")).replace(str(NOVEMBER).encode(), b"1" + b"0" * 400),
        line_of(ended("j0")).replace(b'"width":97', b'"width":[]'),
        line_of(ended("j0")).replace(b'["a note"]', b'"a note"'),
        line_of(ended("j0")).replace(b'"preview":null', b'"preview":[1]'),
        line_of(failed("j0")).replace(b'"corrupt"', b'"no such reason"'),
    ],
    ids=lambda line: repr(line[:12]),
)
def test_a_line_that_is_none_of_ours_is_passed_over_and_counted(
    kept: Book, tmp_path: Path, foreign: bytes
) -> None:
    assert foreign.strip() != line_of(ended("j0")).strip()
    kept.append(ended("j1"))
    with month(tmp_path).open("ab") as file:
        file.write(foreign.strip() + b"\n")
    kept.append(ended("j2"))
    assert names(kept) == ["j2", "j1"]
    assert kept.passed_over == 1


def test_what_a_later_version_adds_is_left_out(kept: Book, tmp_path: Path) -> None:
    data = json.loads(line_of(ended()))
    data |= {"colour": "red", "facts": {**data["facts"], "stars": 5}}
    month(tmp_path).parent.mkdir()
    month(tmp_path).write_text(json.dumps(data) + "\n")
    assert list(kept.newest()) == [ended()]


def test_the_newest_are_read_without_reading_the_rest(
    kept: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    month(tmp_path).parent.mkdir()
    lines = [line_of(ended(f"j{number}", NOVEMBER + number)) for number in range(20_000)]
    month(tmp_path).write_bytes(b"".join(lines))
    parsed: list[bytes] = []

    def counted(line: bytes) -> Ended:
        parsed.append(line)
        return ended_of(line)

    monkeypatch.setattr(book, "ended_of", counted)
    assert [each.job for each in islice(kept.newest(), 3)] == ["j19999", "j19998", "j19997"]
    assert len(parsed) <= 4


def test_all_of_a_large_book_is_read_across_its_blocks(
    kept: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_BLOCK_BYTES", 100)  # less than a line
    for number in range(30):
        kept.append(ended(f"j{number}", story=("x" * number,)))
    assert names(kept) == [f"j{number}" for number in reversed(range(30))]


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_line_without_an_end_costs_no_more_than_its_length(
    kept: Book, tmp_path: Path, ending: bytes
) -> None:
    kept.append(ended("before"))
    _, mark = kept.since(None)
    with month(tmp_path).open("ab") as file:
        file.write(os.urandom(30_000_000).replace(b"\n", b"x") + ending)
    began = time.process_time()
    assert names(kept) == ["before"]
    assert kept.passed_over == 1
    kept.append(ended("after"))
    assert names(kept) == ["after", "before"]
    assert [each.job for each in kept.since(mark, most_bytes=1 << 17)[0]] == ["after"]
    assert time.process_time() - began < 3


@pytest.mark.parametrize("name", ["2020-01.jsonl", "2099-01.jsonl"])
@pytest.mark.parametrize("kind", ["a folder", "a link", "a pipe"])
def test_what_is_no_file_of_the_book_keeps_nobody_from_it(
    kept: Book, tmp_path: Path, name: str, kind: str
) -> None:
    kept.append(ended("before"))
    make[kind](month(tmp_path, name))
    _, mark = kept.since(None)
    kept.append(ended("after"))
    assert names(kept) == ["after", "before"]
    assert [each.job for each in kept.since(mark)[0]] == ["after"]
    assert Positions(tmp_path).count() == 2


make: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link": lambda path: path.symlink_to("elsewhere"),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", make)
def test_what_has_the_name_of_the_month_is_named_with_what_to_do(
    kept: Book, tmp_path: Path, kind: str
) -> None:
    month(tmp_path).parent.mkdir()
    make[kind](month(tmp_path))
    with pytest.raises(OSError, match="no regular file") as met:
        kept.append(ended())
    sentence = world_trouble(met.value).sentence
    assert sentence.startswith(f"{month(tmp_path)} can't be read or written")
    assert "it is no regular file; move it away" in sentence


def test_a_file_in_the_place_of_the_book_is_named_with_what_to_do(
    kept: Book, tmp_path: Path
) -> None:
    (tmp_path / ".book").write_text("x")
    reads: list[Callable[[], object]] = [
        lambda: kept.append(ended()),
        lambda: list(kept.newest()),
        lambda: kept.since(None),
        lambda: kept.rebuild([ended()]),
        Positions(tmp_path).count,
    ]
    for read in reads:
        with pytest.raises(OSError, match="no folder") as met:
            read()
        told = "can't be read or written (it is no folder; move it away)."
        assert world_trouble(met.value).sentence == f"{tmp_path / '.book'} {told}"


def test_the_jobs_of_a_picture_are_found_by_its_path(kept: Book) -> None:
    kept.append(ended("j1", picture=HOSTILE))
    kept.append(ended("j2", picture="other.jpg"))
    kept.append(failed("j3", picture=HOSTILE))
    kept.append(ended("j4", companion=HOSTILE))
    assert [each.job for each in kept.about(HOSTILE)] == ["j3", "j1"]
    assert [each.job for each in kept.newest(HOSTILE)] == ["j4", "j3", "j1"]


def test_what_was_added_since_a_mark_is_told_once_and_in_order(kept: Book, tmp_path: Path) -> None:
    kept.append(ended("j1"))
    nothing, mark = kept.since(None)
    assert nothing == []
    assert kept.since(mark) == ([], mark)
    for job, at in (("j2", NOVEMBER), ("j3", NOVEMBER), ("j4", DECEMBER)):
        kept.append(ended(job, at))
    added, after = kept.since(mark)
    assert [each.job for each in added] == ["j2", "j3", "j4"]
    assert kept.since(after) == ([], after)
    line = line_of(ended("j5", DECEMBER))
    with month(tmp_path, "2026-12.jsonl").open("ab") as file:
        file.write(line[:50])
    assert kept.since(after) == ([], after)  # it is being written at this moment
    with month(tmp_path, "2026-12.jsonl").open("ab") as file:
        file.write(line[50:])
    assert [each.job for each in kept.since(after)[0]] == ["j5"]


def test_a_mark_of_an_empty_book_has_all_that_comes_after_it(kept: Book) -> None:
    _, mark = kept.since(None)
    kept.append(ended("j1"))
    assert [each.job for each in kept.since(mark)[0]] == ["j1"]


def test_rebuilt_lines_are_read_in_their_place_and_never_instead_of_others(
    kept: Book, tmp_path: Path
) -> None:
    kept.append(ended("j1", NOVEMBER))
    kept.append(ended("j3", NOVEMBER + 20))
    rebuilt = [ended("j2", NOVEMBER + 10, facts=None), ended("j3", NOVEMBER + 19, facts=None)]
    month(tmp_path, REBUILT).write_bytes(b"".join(map(line_of, rebuilt)))
    found = [(each.job, each.facts is None) for each in kept.newest()]
    assert found == [("j3", False), ("j2", True), ("j1", False)]
    _, mark = kept.since(None)
    assert mark.month == "2026-11.jsonl"


def test_lines_of_many_threads_are_all_whole(kept: Book) -> None:
    jobs = [f"j{number}" for number in range(40)]
    threads = [
        threading.Thread(target=kept.append, args=(ended(job, story=("x" * 20_000,)),))
        for job in jobs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names(kept)) == sorted(jobs)
    assert kept.passed_over == 0


def test_a_line_is_on_the_disk_before_append_returns_and_its_files_name_before_it(
    kept: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int]] = []
    real = os.fsync

    def sync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        synced.append(
            (path.name, month(tmp_path).stat().st_size if month(tmp_path).exists() else -1)
        )
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    kept.append(ended())
    size = len(line_of(ended()))
    assert synced == [(tmp_path.name, -1), (".book", 0), ("2026-11.jsonl", size)]


def facts_of_a_job(spool: Spool) -> Record:
    record = jobs.begin_attempt(spool, claim(spool))
    return jobs.publish_result(spool, record, produce(spool, record), "log", FACTS)


def test_a_job_that_was_done_is_in_the_book_with_its_facts(spool: Spool) -> None:
    record = facts_of_a_job(spool)
    (entry,) = Book(spool.books).newest()
    assert (entry.job, entry.outcome, entry.attempts) == (record.job, "done", 1)
    assert (entry.picture, entry.companion) == ("cat.jpg", "cat_mask.png")
    assert entry.outputs == ("cat.log", "cat.png")
    assert (entry.facts, entry.report, entry.note) == (FACTS, None, None)
    assert entry.claimed_at == record.claimed_at <= entry.ended_at <= time.time()


def test_a_job_that_was_given_up_is_in_the_book_with_its_reason_and_its_note(spool: Spool) -> None:
    for number in range(2):
        record = claim(spool)
        jobs.fail(spool, record, Trouble("corrupt", role="mask", detail="cut", seconds=number))
    second, first = Book(spool.books).newest()
    assert first.report == Report("corrupt", {"role": "mask", "detail": "cut", "seconds": 0})
    assert (first.note, second.note) == ("cat.jpg.reason.txt", "cat.2.jpg.reason.txt")
    assert (spool.failed / str(second.note)).is_file()
    assert (second.outcome, second.outputs, second.facts) == ("failed", (), None)


def test_a_pair_that_was_given_back_is_not_in_the_book(spool: Spool) -> None:
    jobs.give_back(spool, claim(spool))
    assert list(Book(spool.books).newest()) == []


def test_facts_survive_a_crash_between_the_result_and_the_archive(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = jobs.begin_attempt(spool, claim(spool))
    outputs = produce(spool, record)
    monkeypatch.setattr(jobs, "archive_originals", crash)
    with pytest.raises(RuntimeError, match="the power is gone"):
        jobs.publish_result(spool, record, outputs, "log", FACTS)
    assert load(spool, record.job).state is State.ARCHIVE
    assert list(Book(spool.books).newest()) == []
    monkeypatch.undo()
    assert recovery.recover(spool).finished == 1
    (entry,) = Book(spool.books).newest()
    assert entry.facts == FACTS


def crash(*_: object) -> None:
    raise RuntimeError("the power is gone")


def test_a_record_of_an_earlier_version_has_no_facts_and_ends_in_the_book(spool: Spool) -> None:
    record = claim(spool)
    path = spool.work / record.job / RECORD
    data = json.loads(path.read_text())
    del data["facts"]
    path.write_text(json.dumps(data))
    assert load(spool, record.job).facts is None
    jobs.fail(spool, load(spool, record.job), Trouble("vanished"))
    assert [each.outcome for each in Book(spool.books).newest()] == ["failed"]


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_book_that_takes_no_line_holds_the_job_and_loses_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the book")

    monkeypatch.setattr(files, "append_line", full)
    finish: Callable[[], object] = lambda: facts_of_a_job(spool)  # noqa: E731
    if end == "failed":
        finish = lambda: jobs.fail(spool, claim(spool), Trouble("vanished"))  # noqa: E731
    with pytest.raises(OSError, match="No space"):
        finish()
    assert recovery.recover(spool).stuck is not None
    assert list(Book(spool.books).newest()) == []
    monkeypatch.undo()
    assert recovery.recover(spool).stuck is None
    assert [each.outcome for each in Book(spool.books).newest()] == [end]
    assert [path.name for path in spool.work.iterdir()] == [".book"]


def test_the_book_lies_in_the_work_folder_of_the_settings_wherever_jobs_are_worked(
    spool: Spool,
) -> None:
    hidden = spool.inbox / ".retouchd-work"
    hidden.mkdir(mode=0o700)
    elsewhere = replace(spool, work=hidden)
    jobs.fail(elsewhere, claim(elsewhere), Trouble("vanished"))
    assert len(list(Book(spool.work).newest())) == 1
    assert not (hidden / ".book").exists()
