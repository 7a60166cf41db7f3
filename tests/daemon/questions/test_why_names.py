"""`retouchd why` and names as people write them: bare, as they were shown, or with a slip."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from asking import ask, cross, crosses, put, said
from chronicles import FACTS, done
from test_retry import failed, failed_pair

from daemon.people.naming import nearest
from daemon.people.questions.answers import Answer
from daemon.reasons import one_line
from daemon.settings import Settings
from daemon.spool.book import Book
from daemon.spool.layout import Spool


def whole(answer: Answer) -> str:
    return " ".join(step.says for step in answer.steps)


@pytest.mark.parametrize("asked", ["size.jpg", "size_mask.png", "bad/size.jpg"])
def test_a_name_of_what_failed_in_a_folder_is_found(
    asked: str, settings: Settings, spool: Spool
) -> None:
    failed(spool, "far/bad/size", "dog")
    answer = ask(settings, asked)
    assert cross(answer).reason == "mask_covers_everything"
    assert "far/bad/size.jpg" in whole(answer)


def test_one_may_stand_in_a_folder_that_is_gone(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(spool, "far/bad/size")
    gone = spool.inbox / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cross(ask(settings, "size.jpg")).reason == "mask_covers_everything"


def test_a_name_that_got_a_number_in_failed_is_found(settings: Settings, spool: Spool) -> None:
    failed(spool, "day/cat", "day/cat")
    answer = ask(settings, "cat.2.jpg")
    assert answer.meant == str(spool.failed / "day/cat.2.jpg")
    assert cross(answer).reason == "mask_covers_everything"


def test_a_name_that_only_the_book_knows_is_found(settings: Settings, spool: Spool) -> None:
    Book(spool.books).append(done(1, "day/cat.jpg"))
    Path("cat.jpg").touch()  # the one that was dropped, as it lies where it came from
    answer = ask(settings, "cat.jpg")
    assert answer.meant == str(spool.inbox / "day/cat.jpg")
    assert "it lies in the inbox no more." in said(answer, "path")
    assert "day/cat.png" in said(answer, "done")


def test_a_result_that_only_the_book_knows_is_found(settings: Settings, spool: Spool) -> None:
    Book(spool.books).append(done(1, "day/cat.jpg"))
    (spool.outbox / "day").mkdir()
    (spool.outbox / "day/cat.png").touch()
    assert ask(settings, "cat.png").meant == str(spool.outbox / "day/cat.png")


@pytest.mark.parametrize("forged", ["../../cat.jpg", "a/..", "/etc/cat.jpg"])
def test_a_path_in_the_book_that_leads_out_is_passed_over(
    forged: str, settings: Settings, spool: Spool
) -> None:
    Book(spool.books).append(done(1, forged, companion="../cat.jpg"))
    assert cross(ask(settings, "cat.jpg")).subject == "file"


@pytest.mark.parametrize("forged", ["a/..", "a/.", "a/", ".."])
def test_a_note_on_a_file_that_leads_out_is_passed_over(
    forged: str, settings: Settings, spool: Spool
) -> None:
    failed(spool, "a/cat", "a/cat")
    note = spool.failed / "a/cat.2.jpg.reason.txt"
    note.write_text(note.read_text().replace("  a/cat.2.jpg\n", f"  {forged}\n"))
    assert {step.reason for step in crosses(ask(settings, "a/cat.jpg"))} == {
        "mask_covers_everything"
    }


def test_a_path_that_no_room_can_hold_gets_an_answer(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A mock: every path of which this is known is passed over before.
    def refuse(*_: object) -> None:
        raise ValueError("leads out")

    monkeypatch.setattr("daemon.people.questions.why.find_meant", refuse)
    assert "leads out" in cross(ask(settings, "cat.jpg")).says


def test_what_a_log_says_of_model_and_device_is_safe_for_a_terminal(
    settings: Settings, spool: Spool
) -> None:
    facts = replace(FACTS, model="red \x1b[31m", device="bell \x07")
    Book(spool.books).append(done(1, "cat.jpg", facts=facts))
    how = said(ask(settings, "cat.jpg"), "how")
    assert "red" in how and how.isprintable()


def test_what_lies_somewhere_is_meant_before_what_the_book_tells_of(
    settings: Settings, spool: Spool
) -> None:
    Book(spool.books).append(done(1, "old/cat.jpg"))
    put(spool, "day/cat.jpg")
    assert ask(settings, "cat.jpg").meant == str(spool.inbox / "day/cat.jpg")


def test_several_of_a_name_are_listed_and_each_can_be_asked_for(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "a/cat.jpg", "b/c/cat.jpg")
    failed(spool, "d/cat")
    answer = ask(settings, "cat.jpg")
    assert answer.needs_somebody
    assert answer.meant == "cat.jpg"
    assert cross(answer).says == "3 files are called so."
    listed = [step.says for step in answer.steps if step.subject == "path"][1:]
    assert [Path(path).parts[-2] for path in listed] == ["a", "c", "d"]
    assert [ask(settings, path).meant for path in listed] == listed


def test_of_a_pair_in_parallel_trees_that_has_one_name_the_picture_is_meant(
    settings: Settings, spool: Spool
) -> None:
    failed_pair(spool, "b/images/dog.png", "b/masks/dog.png")
    put(spool, "a/images/cat.png", "a/masks/cat.png")
    assert ask(settings, "cat.png").meant == str(spool.inbox / "a/images/cat.png")
    assert ask(settings, "dog.png").meant == str(spool.inbox / "b/images/dog.png")
    Book(spool.books).append(done(1, "c/images/cow.png", companion="c/masks/cow.png"))
    assert ask(settings, "cow.png").meant == str(spool.inbox / "c/images/cow.png")


def test_of_very_many_of_a_name_a_few_are_listed(settings: Settings, spool: Spool) -> None:
    for number in range(30):
        Book(spool.books).append(done(number, f"{number}/cat.jpg"))
    answer = ask(settings, "cat.jpg")
    assert cross(answer).says == "30 files are called so."
    assert len(answer.steps) == 13
    assert answer.steps[-1].says == "and 20 more."


@pytest.mark.parametrize("asked", ["COFFEE.JPG", "coffe.jpg", "coffee.jpeg", "day/cofee.jpg"])
def test_a_name_with_a_slip_is_told_what_is_near(
    asked: str, settings: Settings, spool: Spool
) -> None:
    put(spool, "day/coffee.jpg", "tea.jpg")
    failed(spool, "bad/toffee")
    Book(spool.books).append(done(1, "old/coffee2.jpg"))
    answer = ask(settings, asked)
    near = said(answer, "near")
    assert f"{spool.inbox}/day/coffee.jpg has nearly that name" in near
    assert "tea.jpg" not in near
    assert cross(answer).does == "Look how it is spelt."


def test_a_slip_in_the_name_of_what_failed_or_was_done_is_told_too(
    settings: Settings, spool: Spool
) -> None:
    failed(spool, "bad/coffee")
    Book(spool.books).append(done(1, "old/tomato.jpg"))
    assert "bad/coffee.jpg" in said(ask(settings, "cofee.jpg"), "near")
    assert "old/tomato.jpg" in said(ask(settings, "tomatoe.jpg"), "near")


def test_a_name_that_nobody_knows_may_be_dropped_anew(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg")
    step = cross(ask(settings, "thunderstorm.jpg"))
    assert "the book tells of none" in step.says
    assert "drop it anew" in step.does


def test_of_a_name_that_a_book_that_cant_be_read_may_know_nobody_says_that_it_is_unknown(
    settings: Settings, spool: Spool
) -> None:
    Book(spool.books).append(done(1, "day/cat.jpg"))
    folder = spool.books / ".book"
    shutil.rmtree(folder)
    folder.write_text("a file in its place")
    step = cross(ask(settings, "thunderstorm.jpg"))
    assert "the book may tell more. It can't be read: " in step.says
    assert f"{folder} can't be read or written" in step.says
    assert "retouchd history --rebuild" in step.does
    assert "drop it anew" not in step.does


def test_numbers_that_differ_are_no_slip() -> None:
    assert nearest("IMG_0003.jpg", ["IMG_0002.jpg", "IMG_0004.jpg", "IGM_0003.jpg"]) == [
        "IGM_0003.jpg"
    ]


@pytest.mark.parametrize("name", [b"lonely\nline.jpg", b"latin\xe9.jpg", b"day/a\x1b[31m.jpg"])
@pytest.mark.parametrize("form", ["bare", "inbox", "absolute"])
def test_a_name_is_taken_as_it_is_shown(
    name: bytes, form: str, settings: Settings, spool: Spool
) -> None:
    path = os.fsdecode(name)
    put(spool, path)
    shown = one_line(path)
    assert shown != path
    asked = {"bare": shown.split("/")[-1], "inbox": shown, "absolute": f"{spool.inbox}/{shown}"}
    answer = ask(settings, asked[form])
    assert answer.meant == f"{spool.inbox}/{shown}"
    assert cross(answer).reason == "companion_missing"


def test_a_name_that_is_there_is_meant_before_one_that_is_shown_so(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "a\\nb.jpg", "a\nb.jpg", "a\nb_mask.png")
    for asked in ("a\\nb.jpg", str(spool.inbox / "a\\nb.jpg")):
        assert cross(ask(settings, asked)).reason == "companion_missing"
    assert crosses(ask(settings, "a\nb.jpg")) == []
