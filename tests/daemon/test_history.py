"""`retouchd history`: what the book tells of a picture, by whatever name people know it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from driver import Site, hole, photo, save
from test_audience import HOSTILE
from test_book import NOVEMBER, ended, failed

from daemon.people.history import MOST_LISTED, show_history
from daemon.reasons import REASONS, Kind, Report
from daemon.settings import Settings
from daemon.spool.book import Book
from daemon.spool.layout import Spool


@pytest.fixture
def settings(spool: Spool) -> Settings:
    return Settings(spool=spool.inbox.parent)


@pytest.fixture
def told(settings: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]) -> "Told":
    return Told(settings, Book(spool.books), capsys)


class Told:
    """A book, and what is told of it."""

    def __init__(self, settings: Settings, book: Book, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings, self.book, self._capsys = settings, book, capsys

    def lines(
        self, path: str | None = None, *, failures: bool = False, limit: int = 0
    ) -> list[str]:
        show_history(self.settings, path, failures=failures, limit=limit or None)
        return self._capsys.readouterr().out.splitlines()

    def jobs(self, path: str | None = None, *, failures: bool = False, limit: int = 0) -> list[str]:
        show_history(self.settings, path, failures=failures, limit=limit or None, as_json=True)
        return [json.loads(line)["job"] for line in self._capsys.readouterr().out.splitlines()]


def test_an_empty_book_is_called_so_and_that_is_no_error(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_history(told.settings)
    assert not show_history(told.settings, "cat.jpg")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("the book is empty") == 2
    assert "retouchd history --rebuild" in said.err


def test_where_only_failures_are_asked_for_it_is_no_failure_that_is_told(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.book.append(ended("j1", picture="coffee.jpg"))
    assert not show_history(told.settings, "coffee.jpg", failures=True)
    assert capsys.readouterr().err == "retouchd: the book tells no failure of coffee.jpg.\n"
    assert not show_history(told.settings, "tea.jpg")
    assert capsys.readouterr().err == "retouchd: the book tells nothing of tea.jpg.\n"
    assert show_history(told.settings, failures=True)
    assert capsys.readouterr().err == "retouchd: the book tells no failure.\n"


def test_each_job_has_a_line_and_the_newest_comes_first(told: Told) -> None:
    told.book.append(ended("j1"))
    told.book.append(failed("j2", NOVEMBER + 60, picture="bad.jpg"))
    newest, oldest = told.lines()
    assert "  failed  bad.jpg: the picture is damaged or cut off, and has not changed" in newest
    assert "drop it anew." in newest
    assert "  done    day/cat.jpg -> day/cat.png (tiny, fp32, cpu)" in oldest


def test_of_a_cut_out_and_of_a_job_that_was_rebuilt_the_result_is_told(told: Told) -> None:
    cut_out = ("cat.log", "cat.preview.jpg", "cat.cutout.png", "cat.alpha.png")
    told.book.append(ended("j1", task="matting", picture="cat.png", outputs=cut_out))
    rebuilt = ("coffee.log", "coffee.png", "coffee.preview.jpg")
    told.book.append(ended("j2", picture="coffee.jpg", outputs=rebuilt))
    newest, oldest = told.lines()
    assert "coffee.jpg -> coffee.png (" in newest
    assert "cat.png -> cat.cutout.png (" in oldest


def test_of_many_only_the_newest_are_told_unless_more_are_asked_for(told: Told) -> None:
    for number in range(MOST_LISTED + 5):
        told.book.append(ended(f"j{number}", NOVEMBER + number))
    assert len(told.lines()) == MOST_LISTED
    assert len(told.lines(limit=MOST_LISTED + 3)) == MOST_LISTED + 3
    assert told.jobs(limit=2) == ["j24", "j23"]
    assert len(told.jobs("day/cat.jpg")) == MOST_LISTED + 5


def test_only_failures_are_told_where_that_is_asked(told: Told) -> None:
    told.book.append(ended("j1"))
    told.book.append(failed("j2"))
    assert told.jobs(failures=True) == ["j2"]
    assert told.jobs("day/cat.jpg", failures=True, limit=5) == ["j2"]


@pytest.mark.parametrize(
    "path",
    [
        *("day/cat.jpg", "./day/cat.jpg", "cat.jpg", "cat_mask.png", "cat.png", "cat.log"),
        *("inbox/day/cat.jpg", "outbox/day/cat.png", "archive/day/cat.2.jpg"),
        *("archive/day/cat.2_mask.png", "{root}/inbox/day/cat.jpg", "{root}/outbox/day/cat.log"),
    ],
)
def test_a_picture_is_found_by_any_of_its_names(told: Told, spool: Spool, path: str) -> None:
    told.book.append(ended("j1"))
    told.book.append(ended("j2", picture="day/other.jpg", companion="x.png", outputs=("y.png",)))
    assert told.jobs(path.format(root=spool.inbox.parent)) == ["j1"]


@pytest.mark.parametrize("path", ["failed/day/cat.jpg", "day/cat.jpg.reason.txt", "cat.jpg"])
def test_a_picture_that_was_given_up_is_found_by_its_names_in_failed(told: Told, path: str) -> None:
    told.book.append(replace(failed("j1"), note="day/cat.jpg.reason.txt"))
    assert told.jobs(path) == ["j1"]


@pytest.mark.parametrize("path", ["cat", "at.jpg", "night/cat.jpg", "day", "cat.jpg/", "*.jpg"])
def test_no_other_picture_is_taken_for_it(told: Told, path: str) -> None:
    told.book.append(ended("j1"))
    assert told.jobs(path) == []


def test_a_picture_is_found_from_the_folder_one_is_in(
    told: Told, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.book.append(ended("j1"))
    told.book.append(ended("j2", picture="other/cat.jpg", outputs=("other/cat.png",)))
    (spool.outbox / "day").mkdir()
    monkeypatch.chdir(spool.outbox / "day")
    assert told.jobs("./../day/cat.png") == ["j1"]


def test_one_may_stand_in_a_folder_that_is_gone(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.book.append(ended("j1", picture="coffee.jpg"))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert told.jobs("coffee.jpg") == ["j1"]


def test_a_picture_with_a_hostile_name_is_found_and_forges_no_line(told: Told) -> None:
    told.book.append(ended("j1", picture=HOSTILE, companion="x.png", outputs=("y.png",)))
    assert told.jobs(HOSTILE) == ["j1"]
    lines = told.lines(HOSTILE)
    assert all(line.isprintable() for line in lines)
    assert "<script>" in lines[0]


def test_all_that_is_known_is_told_of_one_picture(told: Told) -> None:
    told.book.append(ended("j1"))
    text = "\n".join(told.lines("cat.jpg"))
    for words in (
        *("job:           j1", "mask:          day/cat_mask.png", "task:          inpaint"),
        *("tries:         1", "size:          97 x 61", "tiny, fp32, sha256 abab", "cpu"),
        *("read 0.250, network 1.500", "note:          a note", "the worker died."),
        *("in the outbox: day/cat.log", "in the outbox: day/cat.png"),
    ):
        assert words in text


@pytest.mark.parametrize(
    "reason",
    [each for each in REASONS.values() if each.kind in (Kind.FILE, Kind.RETRY)],
    ids=lambda each: each.key,
)
def test_why_is_told_in_the_words_of_the_reason(told: Told, reason: object) -> None:
    key = getattr(reason, "key", "")
    told.book.append(replace(failed("j1"), report=Report(key), attempts=3))
    trouble = Report(key).trouble(attempts=3)
    assert told.lines()[0].endswith(f"{trouble.sentence} {trouble.advice}")


def test_json_has_the_line_of_the_book_and_the_words(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    told.book.append(failed("j1"))
    show_history(told.settings, as_json=True)
    data = json.loads(capsys.readouterr().out)
    assert data["picture"] == "day/cat.jpg"
    assert data["report"]["key"] == "corrupt"
    assert data["report"]["says"].startswith("the picture is damaged")
    assert data["report"]["advice"].startswith("Copy it again")


def test_lines_that_are_none_are_told_of(
    told: Told, spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    told.book.append(ended("j1"))
    with (spool.books / ".book" / "2026-11.jsonl").open("ab") as file:
        file.write(b"not ours\n")
    show_history(told.settings)
    assert "1 lines of the book are none" in capsys.readouterr().err


def test_history_of_a_real_run_and_the_same_rebuilt_from_the_folders(site: Site) -> None:
    save(photo(), site.inbox / "day 1" / "cat.png")
    save(hole(), site.inbox / "day 1" / "cat_mask.png")
    save(photo(), site.inbox / "dog.png")
    save(hole(50, 41), site.inbox / "dog_mask.png")
    assert site.once().returncode == 1
    done = site.run("history", "day 1/cat.png")
    assert done.returncode == 0, done.stderr
    assert "done    day 1/cat.png -> day 1/cat.png (tiny, fp32, cpu)" in done.stdout
    failure = site.run("history", "--failures", "--limit", "1").stdout
    assert "dog.png: " in failure
    assert site.run("history", "nobody.png").returncode == 1
    assert site.run("history", "--limit", "0").returncode == 2

    before = {each.picture: each for each in Book(site.work).newest()}
    (month,) = (site.work / ".book").iterdir()
    month.unlink()
    assert site.run("history").stdout == ""
    assert "2 jobs" in site.run("history", "--rebuild").stdout
    assert "no job that the book lacks" in site.run("history", "--rebuild").stdout
    after = {each.picture: each for each in Book(site.work).newest()}
    assert (
        site.run("history", "--failures").stdout.split("dog.png")[1] == failure.split("dog.png")[1]
    )
    was, now = before["day 1/cat.png"], after["day 1/cat.png"]
    assert now == replace(
        was,
        ended_at=float(int(now.ended_at)),
        claimed_at=float(int(was.claimed_at)),
        facts=was.facts and replace(was.facts, seconds=now.facts.seconds if now.facts else {}),
    )
    assert abs(now.ended_at - was.ended_at) < 5
    was, now = before["dog.png"], after["dog.png"]
    assert now.report is not None
    assert now == replace(
        was,
        ended_at=now.ended_at,
        claimed_at=float(int(was.claimed_at)),
        attempts=0,
        report=now.report,
    )
    assert Path(site.failed / str(now.note)).is_file()
