"""`retouchd why` of pictures whose folder has settings of its own."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from asking import ask, cross, crosses, put, said

from daemon.folders import FolderSettings
from daemon.intake.pairing import Waiting
from daemon.people.questions.scene import Scene
from daemon.people.questions.why import why
from daemon.people.standpoint import user_of
from daemon.reasons import Report, Trouble
from daemon.settings import Settings
from daemon.spool.layout import Spool, open_spool
from daemon.spool.looking import find_spool
from daemon.supervisor.snapshot import Snapshot
from daemon.supervisor.tally import Tally


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    (tmp_path / "dust.png").write_bytes(b"a mask")
    return tmp_path / "dust.png"


def settings_of(tmp_path: Path, **folders: dict[str, Any]) -> Settings:
    return Settings(
        spool=tmp_path / "spool",
        inpaint_model=Path("/models/tiny.pt"),
        quiet_period_s=0,
        by_folder={name: FolderSettings.model_validate(says) for name, says in folders.items()},
    )


def spool_of(settings: Settings, *names: str) -> Spool:
    spool = open_spool(settings)
    put(spool, *names)
    return spool


def test_a_picture_in_a_folder_with_a_mask_is_complete_by_that(tmp_path: Path, mask: Path) -> None:
    settings = settings_of(tmp_path, scans={"mask": str(mask)})
    spool_of(settings, "scans/cat.png")
    answer = ask(settings, "scans/cat.png")
    assert crosses(answer) == []
    assert said(answer, "companion").endswith("needs no mask of its own: its folder has one.")
    assert f"it is to be retouched, by the mask of its folder, {mask}." in said(answer, "rules")
    assert said(answer, "size") == "it holds something."
    assert "can be opened" in said(answer, "mask")
    assert said(answer, "looked for") == ""


def test_a_picture_that_may_be_transparent_is_complete_by_that(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cut={"alpha_as_mask": True})
    spool_of(settings, "cut/cat.png")
    answer = ask(settings, "cut/cat.png")
    assert crosses(answer) == []
    assert said(answer, "companion").endswith("needs no mask of its own: here transparency is one.")
    assert "where it is wholly transparent (alpha_as_mask)" in said(answer, "rules")
    assert said(answer, "mask") == ""


def test_one_with_a_mask_of_its_own_goes_with_that(tmp_path: Path, mask: Path) -> None:
    settings = settings_of(tmp_path, scans={"mask": str(mask)})
    spool_of(settings, "scans/images/cat.png", "scans/masks/cat.png")
    answer = ask(settings, "scans/images/cat.png")
    assert said(answer, "companion").endswith("are a pair, by the folders they lie in.")
    assert "as it goes with a mask" in said(answer, "rules")
    assert str(mask) not in said(answer, "rules")


def test_outside_of_the_folder_a_picture_alone_waits_for_its_mask(
    tmp_path: Path, mask: Path
) -> None:
    settings = settings_of(tmp_path, scans={"mask": str(mask)})
    spool_of(settings, "cat.png")
    answer = ask(settings, "cat.png")
    assert cross(answer).reason == "companion_missing"
    assert "cat_mask.*" in said(answer, "looked for")


def test_a_jpeg_where_holes_are_transparent_is_told_that_it_can_have_none(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cut={"alpha_as_mask": True})
    spool_of(settings, "cut/cat.jpg")
    assert cross(ask(settings, "cut/cat.jpg")).reason == "cannot_be_transparent"


def test_a_folders_mask_that_is_gone_is_in_the_way(tmp_path: Path, mask: Path) -> None:
    settings = settings_of(tmp_path, scans={"mask": str(mask)})
    spool_of(settings, "scans/cat.png")
    mask.unlink()
    step = cross(ask(settings, "scans/cat.png"))
    assert (step.subject, step.reason) == ("mask", "folder_mask_unreadable")
    assert str(mask) in step.says


def told_of_no_picture(settings: Settings, mask: Path, at: float) -> Scene:
    """The scene where a daemon has told of a mask that it is no picture."""
    trouble = Trouble("folder_mask_unusable", mask=str(mask), detail="no picture")
    waits = Waiting("scans/cat.png", Report.of(trouble))
    state = Snapshot(at=at, started_at=at, pid=1, tally=Tally(), waiting=(waits,))
    return Scene(settings, find_spool(settings), None, user_of(os.geteuid()), state)


def test_what_a_daemon_found_of_the_mask_counts_until_there_is_another(
    tmp_path: Path, mask: Path
) -> None:
    settings = settings_of(tmp_path, scans={"mask": str(mask)})
    spool_of(settings, "scans/cat.png")
    at = time.time() + 1
    scene = told_of_no_picture(settings, mask, at)
    assert cross(why(scene, "scans/cat.png")).reason == "folder_mask_unusable"
    os.utime(mask, (at + 5, at + 5))
    scene = told_of_no_picture(settings, mask, at)
    assert crosses(why(scene, "scans/cat.png")) == []


def test_a_marker_is_asked_for_where_the_folder_asks(tmp_path: Path, mask: Path) -> None:
    settings = settings_of(
        tmp_path,
        marked={"done_marker": True, "mask": str(mask)},
        free={"mask": str(mask)},
    )
    spool_of(settings, "marked/cat.png", "free/cat.png", "free/cat.done")
    answer = ask(settings, "marked/cat.png")
    assert cross(answer).reason == "marker_missing"
    assert "only with a marker" in said(answer, "rules")
    assert crosses(ask(settings, "free/cat.png")) == []
    assert "no marker is asked for here" in cross(ask(settings, "free/cat.done")).says


def test_format_and_fate_of_the_folder_are_told(tmp_path: Path, mask: Path) -> None:
    settings = settings_of(
        tmp_path, web={"output_format": "webp", "originals": "delete", "mask": str(mask)}
    )
    spool_of(settings, "web/cat.png", "cow.png", "cow_mask.png")
    rules = said(ask(settings, "web/cat.png"), "rules")
    assert "results here are written as webp (output_format)." in rules
    assert "originals here are deleted when the result is safe (originals)." in rules
    elsewhere = said(ask(settings, "cow.png"), "rules")
    assert "written as" not in elsewhere
    assert "originals" not in elsewhere


def test_a_folders_own_model_is_named_and_that_of_all_elsewhere(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, own={"inpaint_model": "/models/own.pt"})
    spool_of(settings, "own/cat.png", "own/cat_mask.png", "dog.png", "dog_mask.png")
    answer = ask(settings, "own/cat.png")
    assert crosses(answer) == []
    assert "its folder has a model of its own, /models/own.pt (inpaint_model)." in (
        said(answer, "rules")
    )
    assert said(answer, "model") == "there is a model for it: /models/own.pt."
    answer = ask(settings, "dog.png")
    assert "model" not in said(answer, "rules")
    assert said(answer, "model") == "there is a model for it: /models/tiny.pt."
    settings = settings.model_copy(update={"inpaint_model": None})
    assert crosses(ask(settings, "own/cat.png")) == []
    assert cross(ask(settings, "dog.png")).reason == "no_model"


def test_what_a_daemon_found_of_the_folders_model_is_told(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, own={"inpaint_model": "/models/own.pt"})
    spool_of(settings, "own/cat.png", "own/cat_mask.png")
    trouble = Trouble("folder_model_unusable", detail="/models/own.pt: there is no such file.")
    waits = Waiting("own/cat.png", Report.of(trouble))
    at = time.time() + 1
    state = Snapshot(at=at, started_at=at, pid=1, tally=Tally(), waiting=(waits,))
    scene = Scene(settings, find_spool(settings), None, user_of(os.geteuid()), state)
    step = cross(why(scene, "own/cat.png"))
    assert (step.subject, step.reason) == ("model", "folder_model_unusable")


def test_the_mask_of_a_folder_is_told_as_that(tmp_path: Path, mask: Path) -> None:
    settings = settings_of(tmp_path, scans={"mask": str(mask)})
    spool_of(settings)
    (tmp_path / "link.png").symlink_to(mask)
    for asked in (mask, tmp_path / "link.png"):
        answer = ask(settings, str(asked))
        assert crosses(answer) == []
        assert "it is the mask of the folder scans of the inbox" in said(answer, "path")
        assert said(answer, "mask") == "it can be opened."


def test_the_mask_of_all_the_inbox_is_told_as_that(tmp_path: Path, mask: Path) -> None:
    settings = settings_of(tmp_path, **{".": {"mask": str(mask)}})
    spool_of(settings)
    assert "it is the mask of the inbox" in said(ask(settings, str(mask)), "path")


def test_a_folders_mask_that_is_gone_or_can_t_be_used_is_told_in_the_daemons_words(
    tmp_path: Path, mask: Path
) -> None:
    settings = settings_of(tmp_path, scans={"mask": str(mask)})
    spool_of(settings, "scans/cat.png")
    scene = told_of_no_picture(settings, mask, time.time())
    assert cross(why(scene, str(mask))).reason == "folder_mask_unusable"
    mask.unlink()
    assert cross(ask(settings, str(mask))).reason == "folder_mask_unreadable"
