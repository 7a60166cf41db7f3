"""`retouchd why` of a folder: what in it waits, in the inbox and in `failed/`."""

from pathlib import Path

import pytest
from asking import ask, cross, crosses, put, said
from test_retry import failed

from daemon.settings import Settings
from daemon.spool.layout import Spool


def test_of_a_folder_it_is_told_how_many_wait_and_for_what(
    settings: Settings, spool: Spool
) -> None:
    put(spool, *(f"bad/{letter}.jpg" for letter in "abcdef"), "bad/below/x_mask.png", "bad/y.gif")
    put(spool, "bad/good.jpg", "bad/good_mask.png", "bad/notes.txt", "other.jpg")
    answer = ask(settings, "bad")
    assert answer.needs_somebody
    assert said(answer, "file") == (
        "it is a folder, with 9 pairs and files in it and below; waiting: 8."
    )
    reasons = [step.reason for step in crosses(answer)]
    assert sorted(map(str, reasons)) == ["companion_missing", "picture_missing", "unreadable_kind"]
    first = next(step for step in crosses(answer) if step.reason == "companion_missing")
    assert first.says.startswith("bad/a.jpg: the picture waits")
    assert "Put a_mask.png" in first.does
    assert "for the same: bad/b.jpg, bad/c.jpg, bad/d.jpg and 2 more." in said(answer, "waits")
    assert said(answer, "turn") == "nothing keeps bad/good.jpg."
    assert "bad/notes.txt" in said(answer, "name")
    assert "other" not in " ".join(step.says for step in answer.steps)
    assert said(answer, "before") == ""


@pytest.mark.parametrize("asked", ["{spool}/inbox", "{spool}", ".", "./", ".."])
def test_the_inbox_and_what_holds_it_are_folders_too(
    asked: str, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, "cat.jpg", "day/dog.jpg")
    (spool.inbox / "empty").mkdir()
    monkeypatch.chdir(spool.inbox / "empty" if asked == ".." else spool.inbox)
    answer = ask(settings, asked.format(spool=settings.spool))
    assert answer.meant.rstrip("/") == str(spool.inbox)
    assert said(answer, "path") == "it is the inbox itself."
    assert "waiting: 2." in said(answer, "file")


def test_a_dot_elsewhere_is_none_of_the_spools_folders(settings: Settings, spool: Spool) -> None:
    assert spool.inbox.is_dir()
    for written in (settings.spool, Path("..") / settings.spool.name):
        answer = ask(settings, ".", spool=written)
        assert "none of the spool's folders" in cross(answer).says


def test_a_folder_with_nothing_to_do_in_it_needs_nobody(settings: Settings, spool: Spool) -> None:
    put(spool, "day/cat.jpg", "day/cat_mask.png")
    (spool.inbox / "empty").mkdir()
    (spool.archive / "day").mkdir()
    for folder in ("day", "empty"):
        answer = ask(settings, folder)
        assert crosses(answer) == []
        assert said(answer, "before") == ""
    assert "nothing to be worked" in said(ask(settings, "empty"), "file")


def test_a_folder_that_is_passed_over_is_told_by_its_rule(settings: Settings, spool: Spool) -> None:
    put(spool, "@eaDir/cat.jpg")
    assert "@eaDir is one that NAS boxes" in cross(ask(settings, "@eaDir")).says


def test_of_a_folder_in_failed_it_is_told_what_lies_in_it(settings: Settings, spool: Spool) -> None:
    failed(spool, *(f"bad/{letter}" for letter in "abcde"), "good/f")
    (spool.inbox / "bad").rmdir()
    for asked in ("bad", str(spool.failed / "bad")):
        answer = ask(settings, asked)
        assert "5 pairs or pictures in it that failed" in cross(answer).says
        assert f"retouchd retry {spool.failed / 'bad'}" in cross(answer).does
        assert "bad/a.jpg: " in said(answer, "failed")
        assert "and 2 more." in said(answer, "failed")
    (spool.inbox / "bad").mkdir()
    answer = ask(settings, "bad")
    assert crosses(answer) == []
    assert f"of what was in it 5 failed: retouchd why {spool.failed / 'bad'}" in said(
        answer, "failed"
    )
