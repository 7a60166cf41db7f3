"""`retouchd why`: each thing that keeps a file from being picked up, and what became of it."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from asking import ask, cross, crosses, put, said
from listings import files_below
from outside import everything

from daemon import cli
from daemon.settings import Settings
from daemon.spool.layout import Spool, locked

Given = dict[str, Any]


# Which file is meant.


@pytest.mark.parametrize("form", ["absolute", "here", "./here", "inbox", "bare", "tail"])
def test_a_path_is_taken_as_it_is_or_from_here_or_from_the_inbox(
    form: str, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, "day/one/cat.jpg", "day/one/cat_mask.png")
    monkeypatch.chdir(spool.inbox / "day" if "here" in form else spool.inbox.parent)
    asked = {
        "absolute": str(spool.inbox / "day/one/cat.jpg"),
        "here": "one/cat.jpg",
        "./here": "./one/cat.jpg",
        "inbox": "day/one/cat.jpg",
        "bare": "cat.jpg",
        "tail": "one/cat.jpg",
    }[form]
    answer = ask(settings, asked)
    assert answer.meant == str(spool.inbox / "day/one/cat.jpg")
    assert crosses(answer) == []


def test_a_path_through_a_link_to_the_spool_is_in_it(
    settings: Settings, spool: Spool, tmp_path: Path
) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    (tmp_path / "link").symlink_to(spool.inbox)
    assert crosses(ask(settings, str(tmp_path / "link" / "cat.jpg"))) == []


def test_a_file_here_that_was_dropped_as_well_is_asked_for_in_the_inbox(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    Path("cat.jpg").touch()
    assert crosses(ask(settings, "cat.jpg")) == []


def test_a_file_outside_of_the_spool_is_to_be_put_into_the_inbox(
    settings: Settings, spool: Spool, tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").touch()
    step = cross(ask(settings, str(tmp_path / "cat.jpg")))
    assert "none of the spool's folders" in step.says
    assert str(spool.inbox) in step.does


def test_a_file_that_is_nowhere_is_told_as_that(settings: Settings, spool: Spool) -> None:
    assert "no such file" in cross(ask(settings, "cat.jpg")).says
    answer = ask(settings, "nowhere/cat.jpg")
    assert said(answer, "folder") == ""  # as there is none that could be looked into
    assert "no such file" in cross(answer).says


def test_a_spool_that_is_not_there_is_told_as_that(settings: Settings) -> None:
    answer = ask(settings, "cat.jpg")
    assert answer.needs_somebody
    assert crosses(answer)[0].reason == "folder_missing"


# What keeps a file from being looked at.


@pytest.mark.parametrize(
    ("name", "subject", "says"),
    [
        (".cat.jpg", "name", "begins with a dot"),
        ("~cat.jpg", "name", "backup copies"),
        ("cat.jpg.part", "name", "unfinished uploads"),
        ("Thumbs.db", "name", "desktops keep"),
        ("cat.txt", "name", "its suffix (.txt)"),
        ("cat", "name", "its suffix (none)"),
        ("cat.jpg.done", "name", "no marker is asked for"),
        ("@eaDir/cat.jpg", "folder", "@eaDir"),
        ("day/.hidden/cat.jpg", "folder", "day/.hidden"),
        ("/".join("d" * 102) + "/cat.jpg", "folder", "folders deep"),
    ],
)
def test_a_name_that_is_passed_over_is_told_with_the_rule(
    name: str, subject: str, says: str, settings: Settings, spool: Spool
) -> None:
    put(spool, name)
    answer = ask(settings, str(spool.inbox / name))
    assert answer.needs_somebody
    assert cross(answer).subject == subject
    assert says in cross(answer).says


def make_link(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    ("make", "says"), [(make_link, "a link"), (os.mkfifo, "a pipe"), (make_socket, "a socket")]
)
def test_what_is_no_file_is_told_as_what_it_is(
    make: Any, says: str, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spool.inbox)
    make(Path("cat.jpg").absolute())
    assert says in cross(ask(settings, "cat.jpg")).says


def test_a_folder_that_is_a_link_is_told(settings: Settings, spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "cat.jpg").touch()
    (spool.inbox / "day").symlink_to(tmp_path / "elsewhere")
    step = cross(ask(settings, str(spool.inbox / "day" / "cat.jpg")))
    assert "the folder day is a link" in step.says


# Near misses.


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ("cat_maks.png", "a name much like it"),
        ("catmask.png", "a name much like it"),
        ("cat mask.png", "a name much like it"),
        ("cat_mask.png.txt", "no picture by its suffix"),
        ("cat_mask", "no picture by its suffix"),
        ("day/cat_mask.png", "lies in another folder"),
        ("day/cat.mask.tif", "lies in another folder"),
    ],
)
def test_a_companion_that_was_nearly_found_is_told(
    other: str, says: str, settings: Settings, spool: Spool
) -> None:
    put(spool, "cat.jpg", other)
    answer = ask(settings, "cat.jpg")
    assert cross(answer).reason == "companion_missing"
    assert other in said(answer, "near")
    assert says in said(answer, "near")
    assert "cat_mask.*" in said(answer, "looked for")


def test_a_companion_that_is_a_link_is_told(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg")
    (spool.inbox / "cat_mask.png").symlink_to("cat.jpg")
    assert "no regular file" in said(ask(settings, "cat.jpg"), "near")


def test_a_picture_that_was_nearly_found_is_told(settings: Settings, spool: Spool) -> None:
    put(spool, "cat_mask.png", "day/cat.jpg", "cta.jpg")
    answer = ask(settings, "cat_mask.png")
    assert cross(answer).reason == "picture_missing"
    assert "day/cat.jpg" in said(answer, "near")
    assert "cat.*" in said(answer, "looked for")


def test_a_name_with_a_slip_in_the_parallel_tree_is_told(settings: Settings, spool: Spool) -> None:
    put(spool, "images/portrait.jpg", "masks/protrait.png")
    assert "masks/protrait.png" in said(ask(settings, "images/portrait.jpg"), "near")


def test_what_pairs_with_another_or_is_like_nothing_is_no_near_miss(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "cat.jpg", "cat2.jpg", "cat2_mask.png", "dog_mask.png", "day/dog.jpg")
    answer = ask(settings, "cat.jpg")
    assert cross(answer).reason == "companion_missing"
    assert said(answer, "near") == ""


def test_what_has_one_partner_too_many_is_no_near_miss(settings: Settings, spool: Spool) -> None:
    put(spool, "typo.jpg", "typo_maks.png", "two.jpg", "two.mask.png", "two_mask.png")
    near = said(ask(settings, "typo.jpg"), "near")
    assert "typo_maks.png" in near
    assert "two" not in near


@pytest.mark.parametrize("other", ["CAT_MASK.PNG", "cat.jpg.mask.png", "cat-trimap.png"])
def test_a_spelling_that_is_right_pairs(other: str, settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", other)
    answer = ask(settings, "cat.jpg", matting_model=Path("/models/half.pt"))
    assert crosses(answer) == []
    assert other in said(answer, "companion")


def test_the_rivals_of_an_ambiguous_name_are_told(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", "cat.png", "cat_mask.png")
    for name in ("cat.jpg", "cat.png", "cat_mask.png"):
        step = cross(ask(settings, name))
        assert step.reason == "ambiguous"
        assert all(rival in step.says for rival in ("cat.jpg", "cat.png", "cat_mask.png"))


# What keeps a pair from being taken.


def test_a_complete_pair_lacks_nothing(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    for name in ("cat.jpg", "cat_mask.png"):
        answer = ask(settings, name)
        assert crosses(answer) == []
        assert "are a pair" in said(answer, "companion")
        assert "nothing keeps it" in said(answer, "turn")


def test_what_is_about_the_other_file_of_the_pair_is_told_so(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "cat.jpg")
    put(spool, "cat_mask.png", content=b"")
    answer = ask(settings, "cat.jpg")
    assert cross(answer).reason == "empty"
    assert "about cat_mask.png" in said(answer, "size")


def test_a_file_that_is_written_on_is_not_quiet_and_needs_nobody(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    monkeypatch.setattr(time, "sleep", lambda _: put(spool, "cat.jpg", content=b"longer"))
    answer = ask(settings, "cat.jpg", quiet_period_s=0.001)
    assert cross(answer).reason == "not_quiet"
    with locked(spool):
        assert not ask(settings, "cat.jpg", quiet_period_s=0.001).needs_somebody


def test_a_file_that_came_just_now_is_not_quiet_yet(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    os.utime(spool.inbox / "cat.jpg", (0, 0))  # by a clock that went wrong, or by cp -p
    os.utime(spool.inbox / "cat_mask.png", (0, 0))
    step = cross(ask(settings, "cat.jpg", quiet_period_s=60))
    assert (step.reason, step.is_patient) == ("not_quiet", True)


def test_the_folders_rules_are_told(settings: Settings, spool: Spool) -> None:
    put(spool, "portraits/cat.jpg", "portraits/cat_mask.png")
    answer = ask(settings, "portraits/cat.jpg", matting_folders=("portraits",), done_marker=True)
    assert "a mask means cut out" in said(answer, "rules")
    assert "done_marker" in said(answer, "rules")
    assert cross(answer).reason == "marker_missing"


# The daemon.


def test_that_no_daemon_runs_is_the_first_to_be_mended(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    answer = ask(settings, "cat.jpg")
    assert answer.needs_somebody
    assert answer.in_the_way and "retouchd run" in answer.in_the_way.does


def test_a_daemon_is_told_by_the_lock_it_holds(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    with locked(spool):
        answer = ask(settings, "cat.jpg")
    assert not answer.needs_somebody
    assert "retouchd runs" in said(answer, "daemon")


# The command.


def run(settings: Settings, capsys: pytest.CaptureFixture[str], *asked: str) -> tuple[int, str]:
    status = cli.main(
        ["why", *asked, "--spool", str(settings.spool), "--inpaint-model", "/models/tiny.pt"]
    )
    return status, capsys.readouterr().out


def test_the_command_ends_with_1_where_somebody_must_do_something(
    settings: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    put(spool, "cat.jpg", "cat_mask.png", "dog.jpg")
    with locked(spool):
        assert run(settings, capsys, "cat.jpg", "--quiet-period-s", "0")[0] == 0
        status, shown = run(settings, capsys, "cat.jpg", "dog.jpg")
    assert status == 1
    assert shown.count("What to do:") == 2
    assert "Put dog_mask.png (to retouch) or dog_trimap.png (to cut out) beside it." in shown


def test_json_has_a_line_for_each_path_whatever_its_name(
    settings: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = os.fsdecode(b"<script>\n\xff[red]\xe2\x80\xae.jpg")
    put(spool, hostile, "dog.gif")
    status, shown = run(settings, capsys, hostile, "dog.gif", "--json")
    one, other = map(json.loads, shown.splitlines())
    assert status == 1
    assert [step["reason"] for step in one["steps"]][-1] == "companion_missing"
    assert other["steps"][-1]["says"] == ".gif pictures are not read here."
    assert one["ok"] is False and "\\xff" in one["path"]


def test_hostile_names_are_shown_as_text(
    settings: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = os.fsdecode(b"a\nb\x1b[31m[red]:cat:\xff\xe2\x80\xae.jpg")
    put(spool, hostile)
    shown = run(settings, capsys, hostile)[1]
    assert all(line.isprintable() for line in shown.splitlines())
    assert r"a\nb\x1b[31m[red]:cat:\xff\u202e.jpg" in shown
    assert len(shown.splitlines()[0].split("/")) == len((spool.inbox / "x").parts)


def test_without_a_path_it_is_used_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["why"])
    assert end.value.code == 2
    assert "PATH" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["why", "retry"])
def test_an_empty_path_is_wrong_and_does_not_mean_all(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, ""])
    assert end.value.code == 2
    assert "a path is empty" in capsys.readouterr().err


def test_asking_changes_nothing(
    settings: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    put(spool, "cat.jpg", "cat_mask.png", "day/dog.jpg", "day/dgo_mask.png", "e.png", "e.gif")
    for root in (spool.outbox, spool.failed, spool.archive):
        (root / "cat.log").write_text("task: x\n")
    before = everything(spool.inbox.parent)
    files = files_below(spool.inbox.parent)
    run(settings, capsys, "cat.jpg", "day/dog.jpg", "gone.jpg", "e.gif", str(spool.work), "day")
    run(settings, capsys, str(spool.failed / "cat.log"), str(spool.archive / "cat.log"), "cat.log")
    assert everything(spool.inbox.parent) == before
    assert files_below(spool.inbox.parent) == files


def test_asking_makes_no_spool_where_there_is_none(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(settings, capsys, "cat.jpg")[0] == 1
    assert not settings.spool.exists()
