"""`retouchd why` where the command knows other models than the daemon that runs."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from asking import ask, cross, crosses, put, said

from daemon.intake.pairing import Task
from daemon.people.questions.answers import Answer
from daemon.people.questions.scene import Scene
from daemon.people.questions.why import why
from daemon.people.standpoint import user_of
from daemon.settings import Settings
from daemon.spool.layout import Spool
from daemon.supervisor.snapshot import OfFolder, Served, Snapshot
from daemon.supervisor.tally import Tally


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(spool=tmp_path / "spool", quiet_period_s=0)


def ask_beside(
    settings: Settings,
    spool: Spool,
    name: str = "cat.jpg",
    *,
    at: float,
    folders: tuple[OfFolder, ...] = (),
    **models: str,
) -> Answer:
    """Ask beside a daemon that has these models and told so at that time."""
    served = Served("cpu", cast("Mapping[Task, str]", models), folders)
    told = Snapshot(at=at, started_at=at, pid=1, tally=Tally(), devices=(served,))
    scene = Scene(settings, spool, True, user_of(os.geteuid()), told)
    return why(scene, str(spool.inbox / name))


def test_a_model_that_only_the_daemon_has_counts(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    answer = ask_beside(settings, spool, at=time.time(), inpaint="edgeconnect, stage 3")
    assert crosses(answer) == []
    assert "the daemon that runs has one; this command was told of none" in said(answer, "model")


def test_without_a_daemon_that_tells_the_settings_count(settings: Settings, spool: Spool) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    assert cross(ask(settings, str(spool.inbox / "cat.jpg"))).reason == "no_model"
    answer = ask_beside(settings, spool, at=time.time() - 3600, inpaint="edgeconnect, stage 3")
    assert "no_model" in [step.reason for step in crosses(answer)]


def test_a_model_that_the_daemon_has_not_loaded_does_not_count(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "cat.jpg", "cat_mask.png")
    settings = settings.model_copy(update={"inpaint_model": Path("/models/tiny.pt")})
    answer = ask_beside(settings, spool, at=time.time(), matting="dim")
    assert cross(answer).reason == "no_model"
    assert "which the daemon that runs has not loaded" in said(answer, "model")


def test_a_folders_model_that_only_the_daemon_has_counts_there(
    settings: Settings, spool: Spool
) -> None:
    put(spool, "cat.jpg", "cat_mask.png", "scans/cat.jpg", "scans/cat_mask.png")
    own = (OfFolder("scans", "inpaint", "dust, fp32, dust.pt"), OfFolder("x", "inpaint", None))
    answer = ask_beside(settings, spool, "scans/cat.jpg", at=time.time(), folders=own, matting="x")
    assert crosses(answer) == []
    answer = ask_beside(settings, spool, at=time.time(), folders=own, matting="x")
    assert cross(answer).reason == "no_model"
