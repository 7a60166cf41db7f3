"""Entries of the book by their numbers: the oldest is 0, and a number stays what it is."""

import errno
import os
import time
import tracemalloc
from contextlib import AbstractContextManager
from io import BufferedReader
from pathlib import Path

import pytest
from chronicles import done, failed, spoil

from daemon.places import Place
from daemon.spool import files
from daemon.spool.book import FOLDER, REBUILT, Book
from daemon.spool.entries import line_of
from daemon.spool.positions import Positions

MONTH_S = 31 * 86_400


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


@pytest.fixture
def positions(tmp_path: Path) -> Positions:
    return Positions(tmp_path)


def file_of(work: Path) -> Path:
    (found,) = (work / FOLDER).iterdir()
    return found


def test_without_a_book_there_are_none(positions: Positions) -> None:
    assert positions.count() == 0
    assert positions.between(0, 10) == []


def test_entries_have_numbers_from_the_oldest_on(book: Book, positions: Positions) -> None:
    entries = [done(1), failed(2), done(3, "caf\udce9\n\u202e.jpg")]
    for ended in entries:
        book.append(ended)
    assert positions.count() == 3
    assert positions.between(0, 3) == entries
    assert positions.between(1, 2) == [entries[1]]
    assert positions.between(-5, 99) == entries


def test_what_failed_is_counted_and_the_last_line_of_a_job_counts(
    book: Book, positions: Positions
) -> None:
    for ended in (done(1), failed(2), failed(3)):
        book.append(ended)
    assert (positions.count(), positions.failures()) == (3, 2)
    book.append(done(3))
    book.append(failed(4))
    assert (positions.count(), positions.failures()) == (4, 2)


def test_what_is_added_later_gets_the_next_numbers(book: Book, positions: Positions) -> None:
    book.append(done(1))
    assert positions.count() == 1
    assert positions.count() == 1
    book.append(done(2))
    book.append(done(3))
    assert positions.count() == 3
    assert positions.between(0, 9) == [done(1), done(2), done(3)]


def test_where_a_month_could_not_be_read_at_first_none_is_forgotten_later(
    book: Book, positions: Positions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [done(i, ended_at=1.7e9 + i * MONTH_S) for i in range(3)]
    for ended in entries:
        book.append(ended)
    spoil(monkeypatch, sorted((tmp_path / FOLDER).iterdir())[1].name)
    with pytest.raises(OSError, match="Input/output error"):
        positions.count()
    monkeypatch.undo()
    assert positions.count() == 3
    assert positions.between(0, 3) == entries


def test_months_follow_each_other_and_are_read_together(book: Book, positions: Positions) -> None:
    entries = [done(i, ended_at=1.7e9 + i * MONTH_S / 2) for i in range(9)]
    for ended in entries[:5]:
        book.append(ended)
    assert positions.count() == 5
    for ended in entries[5:]:
        book.append(ended)
        positions.count()
    assert positions.between(0, 99) == entries
    assert positions.between(3, 6) == entries[3:6]


def test_a_job_that_a_crash_wrote_twice_counts_once_and_as_the_last_says(
    book: Book, positions: Positions
) -> None:
    book.append(done(1))
    book.append(done(2, attempts=1))
    assert positions.count() == 2
    book.append(done(2, attempts=2))
    book.append(done(3))
    assert positions.count() == 3
    assert positions.between(0, 9) == [done(1), done(2, attempts=2), done(3)]


def test_what_a_crash_cut_off_is_passed_over(
    book: Book, positions: Positions, tmp_path: Path
) -> None:
    book.append(done(1))
    with file_of(tmp_path).open("ab") as file:
        file.write(line_of(done(2))[:-20])
    assert positions.count() == 1
    book.append(done(3))
    assert positions.count() == 2
    assert positions.between(0, 9) == [done(1), done(3)]


def test_a_line_that_is_not_whole_yet_is_seen_when_it_is(
    book: Book, positions: Positions, tmp_path: Path
) -> None:
    book.append(done(1))
    line = line_of(done(2))
    with file_of(tmp_path).open("ab") as file:
        file.write(line[:100])
        file.flush()
        assert positions.count() == 1
        file.write(line[100:])
    assert positions.count() == 2
    assert positions.between(1, 2) == [done(2)]


def test_what_was_found_out_later_stands_where_it_belongs(
    book: Book, positions: Positions, tmp_path: Path
) -> None:
    for number in (2, 4):
        book.append(done(number))
    rebuilt = [done(1), done(2, attempts=9), done(3)]
    (tmp_path / FOLDER / REBUILT).write_bytes(b"".join(map(line_of, rebuilt)))
    assert positions.count() == 4
    assert positions.between(0, 9) == [done(1), done(2), done(3), done(4)]


def test_a_month_that_was_taken_away_is_left_out(
    book: Book, positions: Positions, tmp_path: Path
) -> None:
    book.append(done(1, ended_at=1.7e9))
    book.append(done(2, ended_at=1.7e9 + MONTH_S))
    assert positions.count() == 2
    min((tmp_path / FOLDER).iterdir()).unlink()
    assert [each.job for each in positions.between(0, 9)] == [done(2).job]


@pytest.mark.parametrize("before", [5, 20])
def test_what_comes_after_the_newest_month_was_taken_away_is_seen(
    book: Book, positions: Positions, tmp_path: Path, before: int
) -> None:
    for number in range(before):
        book.append(done(number))
    assert positions.count() == before
    file_of(tmp_path).unlink()
    book.append(done(20))
    assert positions.count() == before + 1
    for number in range(21, 25):
        book.append(done(number))
        positions.count()
    numbers = positions.between(0, 99)
    assert numbers == [done(number) for number in range(20, 25)]


def test_no_month_is_left_out_where_nobody_has_looked_for_long(
    book: Book, positions: Positions
) -> None:
    book.append(done(0))
    assert positions.count() == 1
    entries = [done(i, ended_at=1.8e9 + i * MONTH_S) for i in range(1, 6)]
    for ended in entries:
        book.append(ended)
    assert positions.count() == 6
    assert positions.between(1, 9) == entries


def test_an_error_at_the_first_look_leaves_nothing_out(
    book: Book, positions: Positions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [done(i, ended_at=1.7e9 + i * MONTH_S) for i in range(3)]
    for ended in entries:
        book.append(ended)
    (tmp_path / FOLDER / REBUILT).write_bytes(line_of(done(9, ended_at=1.7e9 + 1)))
    last, real = max(path.name for path in (tmp_path / FOLDER).glob("2*")), files.reading

    def reading(place: Place) -> AbstractContextManager[BufferedReader]:
        if place.name == last:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))
        return real(place)

    with monkeypatch.context() as context:
        context.setattr(files, "reading", reading)
        with pytest.raises(OSError, match="Input/output"):
            positions.count()
    assert positions.count() == 4
    assert [each.job for each in positions.between(0, 9)] == [
        each.job for each in (entries[0], done(9), *entries[1:])
    ]


def test_a_book_of_years_takes_little_memory_to_look_through(
    positions: Positions, book: Book, tmp_path: Path
) -> None:
    book.append(done(0))
    with file_of(tmp_path).open("ab") as file:
        for number in range(1, 50_000):
            file.write(line_of(done(number)))
    tracemalloc.start()
    assert positions.count() == 50_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_book_of_years_is_looked_through_quickly(
    positions: Positions, book: Book, tmp_path: Path
) -> None:
    book.append(done(0))
    with file_of(tmp_path).open("ab") as file:
        file.write(b"".join(line_of(done(i)) for i in range(1, 50_000)))
    began = time.process_time()
    assert positions.count() == 50_000
    assert positions.between(49_999, 50_000) == [done(49_999)]
    assert time.process_time() - began < 3
    began = time.process_time()
    book.append(done(50_000))
    assert positions.count() == 50_001
    assert time.process_time() - began < 0.1
