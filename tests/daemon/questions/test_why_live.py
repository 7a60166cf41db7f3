"""`retouchd why` beside a real daemon: what waits for its turn, is worked, failed or is done."""

import os
import signal
from collections.abc import Callable

import numpy as np
import pytest
import tiny
from driver import Daemon, Site, hole, photo, save
from outside import everything
from wording import answer_of

from daemon import cli
from daemon.people.questions.answers import Answer
from daemon.people.questions.scene import scene_of
from daemon.people.questions.why import why
from daemon.people.state import read_state
from daemon.settings import load_settings
from daemon.spool.looking import find_spool

Start = Callable[..., Daemon]


def drop(site: Site, name: str, *, slow: bool = False, whole: bool = True) -> None:
    pixels = photo()
    if slow:
        pixels[0, 0] = tiny.SLOW_PIXEL
    save(pixels, site.inbox / f"{name}.png")
    save(hole() if whole else np.full_like(hole(), 255), site.inbox / f"{name}_mask.png")


def says(answer: Answer, subject: str) -> str:
    return " ".join(step.says for step in answer.steps if step.subject == subject)


def test_a_file_is_followed_from_the_inbox_to_its_end(site: Site, start: Start) -> None:
    site.environment["RETOUCHD_JOBS_AT_ONCE"] = "1"
    daemon = start(site)
    worker = daemon.wait_for("worker_started")["pid"]
    drop(site, "day/slow", slow=True)
    drop(site, "white", whole=False)
    daemon.wait_for("job_started", picture="day/slow.png")
    os.kill(worker, signal.SIGSTOP)  # so that it is in work for as long as we ask
    try:
        answer = answer_of(site, "day/slow_mask.png")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert "attempt 1" in says(answer, "work")
    assert f"process {daemon.pid}" in says(answer, "daemon")
    assert not answer.needs_somebody
    daemon.wait_for("job_finished")
    daemon.wait_for("job_failed")
    for asked in ("day/slow.png", "day/slow_mask.png", str(site.outbox / "day/slow.png")):
        answer = answer_of(site, asked)
        assert not answer.needs_somebody, asked
        told = " ".join(step.says for step in answer.steps)
        assert "invert" not in told and "tiny" in told, "the model that did it"
    answer = answer_of(site, "white.png")
    assert answer.in_the_way and answer.in_the_way.reason == "mask_covers_everything"
    assert "retouchd retry" in says(answer, "failed")
    # Retried with a better mask it is done, and what was before is only told.
    root = ["--spool", str(site.root)]
    (site.failed / "white_mask.png").unlink()
    assert cli.main(["retry", "white.png", *root]) == 0
    save(hole(), site.inbox / "white_mask.png")
    daemon.wait_for("job_finished", times=2)
    answer = answer_of(site, "white.png")
    assert not answer.needs_somebody
    assert "marks the whole picture" in says(answer, "before")
    # A pause is in the way of what is ready, and says how to end it.
    assert cli.main(["pause", *root]) == 0
    daemon.wait_for("paused")
    drop(site, "paused")
    daemon.wait_until(lambda: is_ready(site, "paused.png"), "the state to tell of it")
    answer = answer_of(site, "paused.png")
    assert answer.in_the_way and answer.in_the_way.does == "Run: retouchd resume"
    assert "0 before it" in says(answer, "turn")
    # Whoever asks without the daemon's settings is told by what the daemon has.
    less = load_settings({"spool": str(site.root)}, None)
    assert not less.models()
    answer = why(scene_of(less, find_spool(less), os.geteuid()), "paused.png")
    assert answer.in_the_way and answer.in_the_way.does == "Run: retouchd resume"
    assert "the daemon that runs has one" in says(answer, "model")


def is_ready(site: Site, picture: str) -> bool:
    state = read_state(site.work)
    return state is not None and picture in state.ready


def test_asking_changes_nothing_that_lies_in_the_spool(site: Site) -> None:
    drop(site, "cat")
    drop(site, "white", whole=False)
    site.once()
    before = everything(site.root)
    for asked in ("cat.png", "white.png", "white_mask.png", str(site.work), "gone.png"):
        answer_of(site, asked)
    assert everything(site.root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_who_may_not_look_into_the_work_folder_is_told_whom_to_ask_as(reachable: Site) -> None:
    site = reachable
    save(photo(), site.inbox / "cat.png")
    os.seteuid(65534)
    try:
        answer = answer_of(site, str(site.inbox / "cat.png"))
        of_another = answer_of(site, str(site.inbox / "gone.png"))
    finally:
        os.seteuid(0)
    assert "can't be told by this user: ask as root" in says(answer, "daemon")
    assert answer.in_the_way and answer.in_the_way.reason == "companion_missing"
    # What may have been done is not to be dropped anew.
    assert "the book may tell more" in says(of_another, "file")
    does = " ".join(step.does for step in of_another.steps)
    assert "ask as root" in does and "anew" not in does
