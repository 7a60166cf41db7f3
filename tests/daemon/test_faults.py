"""Every call that changes the disk fails once, for a while, or for an hour, and all goes on.

The supervisor, its inbox and its spool are the real ones, the worker is a stand-in; test_world.py
has the real worker, in a world that really fails.
"""

import errno
import os
import re
import selectors
import shutil
import tempfile
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty import SleepersClock, World
from standin import StandInCrew, done, problem, write_result
from structlog.testing import capture_logs
from test_jobs import MASK, PICTURE, RESULT, tree

from daemon.settings import Settings, load_settings
from daemon.spool.book import Book
from daemon.spool.layout import Spool, open_spool
from daemon.supervisor import loop
from daemon.supervisor.hold import LONGEST_HOLD_S
from daemon.supervisor.loop import Supervisor
from daemon.worker.protocol import Done, Job, Problem

ERRNOS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE", "EACCES", "EXDEV", "ESTALE")
HOUR_S = 3600.0
# Every outage here is over long before this.
_LONGEST_RUN_S = 6 * HOUR_S

Lines = list[MutableMapping[str, Any]]


@dataclass
class Theatre:
    """Lives a job in a failing world, again and again."""

    settings: Settings
    world: World
    clock: SleepersClock
    monkeypatch: pytest.MonkeyPatch
    lines: Lines = field(default_factory=list)
    tries: list[float] = field(default_factory=list)
    since: float = 0.0

    def live(self, answer: str) -> Lines:
        """Bring one pair to its end, whatever the world does; returns what was logged."""
        shutil.rmtree(self.settings.spool, ignore_errors=True)
        spool = open_spool(self.settings)
        (spool.inbox / "day 1").mkdir()
        (spool.inbox / "day 1/cat.jpg").write_bytes(PICTURE)
        (spool.inbox / "day 1/cat_mask.png").write_bytes(MASK)
        crew = StandInCrew(partial(self._work, answer))
        self.monkeypatch.setattr(loop, "Crew", lambda *_: crew)
        self.monkeypatch.setattr(selectors, "DefaultSelector", self.clock.selector)
        self.tries = []
        self.since = self.clock()
        until = self.since + _LONGEST_RUN_S
        supervisor: Supervisor

        def turned() -> None:
            tell()
            with self.world.paused():
                check_at_any_time(spool)
                assert self.clock() < until, f"it never ends: {self.lines[-20:]}"
                if not self.world.is_bad and is_at_rest(spool, self.lines, answer):
                    supervisor.stop()

        def at_fault() -> None:
            self.tries.append(self.clock())
            check_at_any_time(spool)

        with capture_logs() as self.lines, self.world.armed(at_fault):
            with self.world.paused():
                supervisor = Supervisor(self.settings, spool, 0, clock=self.clock)
                tell = supervisor._tell
                self.monkeypatch.setattr(supervisor, "_tell", turned)
            supervisor.run()
        os.close(supervisor._wake_in)
        os.close(supervisor._wake_out)
        supervisor._selector.close()
        check_at_the_end(spool, answer, self.lines)
        return self.lines

    def _work(self, answer: str, job: Job, descriptors: Sequence[int]) -> Done | Problem:
        with self.world.paused():
            if answer == "give back":
                return problem(job, "incomplete", role="picture", detail="cut off")
            if answer == "fail":
                return problem(job, "mask_covers_everything")
            if answer == "no space" and self.clock() < self.since + HOUR_S:
                return problem(job, "disk_full", path="result")
            write_result(descriptors, RESULT)
            return done(job)


def events(lines: Lines, name: str) -> Lines:
    return [line for line in lines if line["event"] == name]


def is_at_rest(spool: Spool, lines: Lines, answer: str) -> bool:
    folder = Path(str(spool.job("any"))).parent
    if [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]:
        return False
    if len(events(lines, "queue_held")) > len(events(lines, "queue_resumed")):
        return False
    if answer == "give back":
        return bool(events(lines, "pair_given_back"))
    return not tree(spool.inbox)


def check_at_any_time(spool: Spool) -> None:
    """Each of the two files is in one place, and what the outbox shows is whole."""
    places = where(spool)
    assert [len(found) for found in places.values()] == [1, 1], places
    for name, content in tree(spool.outbox).items():
        hidden = Path(name).name.startswith(".")
        assert hidden or content == RESULT or name.endswith(".log"), name


def where(spool: Spool) -> dict[str, list[str]]:
    """In which of the spool's folders the picture and the mask are."""
    found: dict[str, list[str]] = {"picture": [], "mask": []}
    for name in ("inbox", "work", "archive", "failed"):
        for path, content in tree(getattr(spool, name)).items():
            if content == PICTURE:
                found["picture"].append(f"{name}/{path}")
            elif content == MASK:
                found["mask"].append(f"{name}/{path}")
    return found


def check_at_the_end(spool: Spool, answer: str, lines: Lines) -> None:
    outbox, places = tree(spool.outbox), where(spool)
    home = {"give back": "inbox", "fail": "failed"}.get(answer, "archive")
    assert places == {
        "picture": [f"{home}/day 1/cat.jpg"],
        "mask": [f"{home}/day 1/cat_mask.png"],
    }
    if home == "archive":
        assert set(outbox) == {"day 1/cat.png", "day 1/cat.log"}
        assert outbox["day 1/cat.png"] == RESULT
        assert re.search(rb"^attempt: +1$", outbox["day 1/cat.log"], re.MULTILINE)
    else:
        assert outbox == {}
    check_book(spool, home)
    assert ("day 1/cat.jpg.reason.txt" in tree(spool.failed)) == (home == "failed")
    assert {line["attempt"] for line in events(lines, "job_started")} == {1}
    assert bool(events(lines, "job_failed")) == (home == "failed")
    assert "/." not in "".join(f"/{name}" for name in [*tree(spool.failed), *tree(spool.archive)])


def check_book(spool: Spool, home: str) -> None:
    """The book tells of the job once, if it has ended, with what it took or why it was given up."""
    ended = list(Book(spool.books).newest())
    assert [(each.outcome, each.attempts) for each in ended] == {
        "inbox": [],
        "archive": [("done", 1)],
        "failed": [("failed", 1)],
    }[home]
    assert all((each.facts is None) == (each.report is not None) for each in ended)


def check_was_told(lines: Lines, code: str, must_hold: bool) -> None:
    """One line when it holds and one when it goes on."""
    held = len(events(lines, "queue_held"))
    assert held == len(events(lines, "queue_resumed"))
    assert held <= 1
    assert len(events(lines, "job_stuck")) <= 1
    if must_hold and code not in ("EACCES", "EXDEV"):  # one folder's trouble: its files wait
        assert held == 1, lines


@pytest.fixture
def theatre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Theatre]:
    for variable in list(os.environ):
        if variable.upper().startswith("RETOUCHD_"):
            monkeypatch.delenv(variable)
    # In memory where that can be had: thousands of lives are lived here, each with its fsyncs.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    root = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path))
    given = {
        "spool": str(root / "spool"),
        "inpaint_model": "/models/tiny.pt",
        "quiet_period_s": 0,
        "events": False,
        "scan_interval_s": 10,
        "incomplete_s": 1e9,
    }
    clock = SleepersClock()
    with monkeypatch.context() as patches:
        yield Theatre(load_settings(given), World(patches, clock), clock, patches)
    shutil.rmtree(root)


def fail_each(
    theatre: Theatre,
    answer: str,
    code: str,
    kinds: tuple[str, ...],
    last: Callable[[World], None] = lambda _world: None,
    step: int = 1,
    check: Callable[[Lines], None] = lambda _lines: None,
) -> int:
    """Live once for each of the calls, failing it; returns how many were failed."""
    number = getattr(errno, code)
    for k in range(0, 10**6, step):
        theatre.world.plan(kinds, number, k)
        last(theatre.world)
        try:
            lines = theatre.live(answer)
            if not theatre.world.failed:
                return k // step
            check_was_told(lines, code, must_hold=kinds == ("change",))
            check(lines)
        except BaseException as error:
            error.add_note(f"{code} at call {k}: {theatre.world.failed[:3]}")
            raise
    raise AssertionError("it never ends")


ANSWERS = ("succeed", "give back", "fail")


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("code", ERRNOS)
def test_any_call_that_fails_once_holds_the_queue_and_costs_no_attempt(
    theatre: Theatre, code: str, answer: str
) -> None:
    step = 1 if code in ("ENOSPC", "EIO") else 3
    failed = fail_each(theatre, answer, code, ("change",), step=step)
    assert failed > 30 // step


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("code", ["EIO", "ESTALE", "EMFILE", "EACCES"])
def test_any_call_that_only_looks_and_fails_loses_nothing_either(
    theatre: Theatre, code: str, answer: str
) -> None:
    step = 3 if code == "EIO" else 13
    failed = fail_each(theatre, answer, code, ("look",), step=step)
    print(f"{code}, {answer}: {failed} failing calls survived")
    assert failed > 150 // step


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("code", ERRNOS)
def test_calls_that_fail_for_a_while_cost_no_attempt(
    theatre: Theatre, code: str, answer: str
) -> None:
    step = 41 if code in ("ENOSPC", "EIO") else 97
    failed = fail_each(theatre, answer, code, ("change", "look"), for_many_calls, step=step)
    assert failed > 150 // step


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        pytest.param(
            code,
            answer,
            marks=() if code in ("ENOSPC", "EIO") and answer == "succeed" else pytest.mark.slow,
        )
        for code in ERRNOS
        for answer in ANSWERS
    ],
)
def test_an_hour_of_it_costs_no_attempt_and_is_tried_once_a_minute(
    theatre: Theatre, code: str, answer: str
) -> None:
    def check(lines: Lines) -> None:
        tries = sorted(set(theatre.tries))
        assert max(np.diff(tries)) <= LONGEST_HOLD_S
        if events(lines, "queue_held"):
            assert 60 <= len(tries) <= 80

    failed = fail_each(theatre, answer, code, ("change",), for_an_hour, step=17, check=check)
    assert failed > 2


def test_a_disk_that_is_full_for_the_worker_for_an_hour_costs_no_attempt(theatre: Theatre) -> None:
    lines = theatre.live("no space")
    assert len(events(lines, "job_started")) > 60
    check_was_told(lines, "ENOSPC", must_hold=True)
    log = (theatre.settings.spool / "outbox/day 1/cat.log").read_text()
    assert 1 <= log.count("\nearlier:") <= 2, "the log of a job says once what it waited for"


def for_many_calls(world: World) -> None:
    world.last_for_calls(25)


def for_an_hour(world: World) -> None:
    world.last_for_seconds(HOUR_S)
