"""A pair that ruins every try ends in failed/ with its story, and costs the others little.

The daemon, its confined worker and the bad ends are real. The holes in the decoder are played, the
shortage of memory of a whole machine and the fault of a GPU too: see `venom`.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import landlockpy
import numpy as np
import poisons
import psutil
import pytest
from driver import Daemon, Site, hole, inverted, load, photo, save, trimap
from poisons import LIMIT_S, TIMEOUT_S, Poison
from waiting import PACE_S, Good, Starts, moment, waits

from daemon.spans import times

Start = Callable[..., Daemon]

TRIES = 3
STORY_LINE = re.compile(r"^  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return poisons.write_moody(tmp_path_factory.mktemp("models") / "moody.pt")


@pytest.fixture
def site(tmp_path: Path, model: Path) -> Site:
    return poisons.site(tmp_path, model)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Daemon]:
    """One daemon for all tests that only drop pairs: it has to live through all of them."""
    root = tmp_path_factory.mktemp("poison")
    running = poisons.site(root, model, RETOUCHD_JOB_TIMEOUT_S=str(LIMIT_S)).start()
    confinement = running.wait_for("worker_started")["confinement"]
    assert len(confinement) == 2 or not landlockpy.supported()
    yield running
    assert running.stop() == 0
    assert [logged["pid"] for logged in running.seen("started")] == [running.pid]


# -- The company that a poison is dropped in -------------------------------------------------------


def drop_good(site: Site, picture: str, seed: int) -> Good:
    save(photo(seed), site.inbox / picture)
    save(hole(), site.inbox / picture.replace(".png", "_mask.png"))
    return Good(picture, seed, time.time())


class Party:
    """Twelve good pairs in a folder, before, beside and after some that are poisonous."""

    def __init__(self, daemon: Daemon, folder: str, guests: Mapping[str, Poison]) -> None:
        self.daemon = daemon
        self.site = daemon.site
        self.starts = Starts(daemon)
        self.folder = folder
        self.guests = {f"{folder}/{name}.png": poison for name, poison in guests.items()}
        self.goods: list[Good] = []
        self.dropped: dict[Path, bytes] = {}
        self._drop_good(4)
        for picture, poison in self.guests.items():
            self.dropped |= poison.drop(self.site.inbox / picture)
        self._drop_good(4)
        for tries in (1, 2):  # and some while a worker that was killed is being replaced
            self._wait_until(partial(self._is_tried, tries), f"{tries} tries")
            self._drop_good(2)
        self._wait_until(self._is_over, "the end of all")

    def _wait_until(self, is_true: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            self.starts.look()
            return is_true()

        self.daemon.wait_until(look, what)

    def _drop_good(self, count: int) -> None:
        for seed in range(len(self.goods), len(self.goods) + count):
            self.goods.append(drop_good(self.site, f"{self.folder}/good {seed}.png", seed))

    def _is_tried(self, times: int) -> bool:
        """Whether some poison has been tried so often, to its bad end."""
        claimed = [self.daemon.seen("pair_claimed", picture=picture) for picture in self.guests]
        return any(
            len(self.daemon.seen("job_tried", job=logged[0]["job"])) >= times
            for logged in claimed
            if logged
        )

    def _is_over(self) -> bool:
        goods = [good.picture for good in self.goods]
        return all(self.daemon.seen("job_failed", picture=name) for name in self.guests) and all(
            self.daemon.seen("job_finished", picture=name) for name in goods
        )

    def assert_the_good_are_done_right(self) -> None:
        """Each is what it must be; one beside a poison at its first try has another, alone."""
        for good in self.goods:
            made = load(self.site.outbox / good.picture)
            assert np.array_equal(made, inverted(photo(good.seed), hole())), good
            started = self.daemon.seen("job_started", picture=good.picture)
            assert [logged["attempt"] for logged in started] in ([1], [1, 2]), good
        results = [n for n in self.site.files("outbox") if n.startswith(f"{self.folder}/")]
        assert len(results) == 2 * len(self.goods)  # each with its log, and nothing else

    def assert_the_good_waited_no_longer_than_the_limit(self) -> None:
        """For each poisonous pair, as far as it is to blame."""
        start_s = self.starts.longest_s
        allowed = len(self.guests) * max(LIMIT_S, 2 * start_s)
        found = waits(self.daemon, self.goods, list(self.guests))
        blamed = [wait.seconds - wait.others_s for wait in found]
        print(
            f"{self.folder}: others waited {max(blamed):.2f} s at most; {allowed:.2f} s are "
            f"allowed, and {PACE_S:g} s for the daemon's pace; a worker starts in {start_s:.2f} s"
        )
        assert max(blamed) <= allowed + PACE_S, found
        assert all(wait.tries <= 1 for wait in found), found

    def assert_the_poisonous_are_given_up(self) -> None:
        for picture, poison in self.guests.items():
            assert_is_given_up(self.daemon, picture, poison, TRIES)
        for file, content in self.dropped.items():
            kept = self.site.failed / file.relative_to(self.site.inbox)
            assert kept.read_bytes() == content, file
        assert len([n for n in self.site.files("failed") if n.startswith(f"{self.folder}/")]) == (
            3 * len(self.guests)
        )
        assert self.site.files("inbox") == self.site.jobs() == []


def assert_is_given_up(daemon: Daemon, picture: str, poison: Poison, tries: int) -> None:
    """After so many tries, each with the end that the poison has; the story tells each."""
    started = daemon.seen("job_started", picture=picture)
    assert [logged["attempt"] for logged in started] == list(range(1, tries + 1))
    (failed,) = daemon.seen("job_failed", picture=picture)
    assert failed["reason"] == poison.reason
    ended = [end for end in daemon.seen("worker_ended") if failed["job"] in end["jobs"]]
    assert [logged["how"] for logged in ended] == ([poison.how] * tries if poison.how else [])
    pids = [logged["pid"] for logged in started]
    assert [logged["pid"] for logged in ended] == (pids if poison.how else [])
    # A worker that ran out of memory has died of nothing, and is replaced all the same.
    replaced = poison.how or poison.reason == "out_of_memory"
    assert len(set(pids)) == (tries if replaced else 1)
    text = (daemon.site.failed / f"{picture}.reason.txt").read_text()
    story = STORY_LINE.findall(text)
    assert len(story) == tries, text
    assert all(poison.says in line for line in story), text
    assert poison.says in text.splitlines()[0]
    assert times(tries) in text.splitlines()[0]
    assert f"What to do: {failed['advice']}" in text
    assert f"(reason: {poison.reason}, job: {failed['job']})" in text


# -- In company ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(poisons.SEGFAULT, id="a picture that kills its decoder"),
        pytest.param(poisons.HANG, id="a picture that hangs its decoder"),
        pytest.param(poisons.GLUTTON, id="a picture that eats memory"),
        pytest.param(poisons.HUNGRY, id="a picture for which the model wants too much memory"),
        pytest.param(poisons.RAISES, id="a picture at which the model raises"),
        pytest.param(poisons.LOST_DEVICE, id="a picture that poisons the process on its device"),
    ],
)
def test_after_three_tries_it_is_in_failed_and_others_waited_no_longer_than_its_time_limit(
    daemon: Daemon, poison: Poison
) -> None:
    party = Party(daemon, poison.act or poison.reason, {"poison": poison})
    party.assert_the_good_are_done_right()
    party.assert_the_poisonous_are_given_up()
    party.assert_the_good_waited_no_longer_than_the_limit()


def test_of_two_poisonous_pairs_each_costs_the_others_one_try_at_most(daemon: Daemon) -> None:
    party = Party(daemon, "two", {"first": poisons.ABORT, "second": poisons.OUT_OF_MACHINE})
    party.assert_the_good_are_done_right()
    party.assert_the_poisonous_are_given_up()
    party.assert_the_good_waited_no_longer_than_the_limit()


def test_a_pair_that_ends_in_its_last_seconds_keeps_its_worker_and_the_spare_goes(
    site: Site, start: Start
) -> None:
    site.environment["RETOUCHD_JOB_TIMEOUT_S"] = "12"
    daemon = start(site)
    worker = daemon.wait_for("worker_started")["pid"]
    poisons.SLOW.drop(site.inbox / "slow.png")
    daemon.wait_for("job_started", picture="slow.png")
    good = drop_good(site, "good.png", 1)
    finished = daemon.wait_for("job_finished", picture="slow.png")
    daemon.wait_for("job_finished", picture=good.picture)
    started = daemon.seen("job_started")
    assert [(logged["pid"], logged["attempt"]) for logged in started] == [(worker, 1)] * 2
    spare = daemon.wait_for("worker_ended")
    assert (spare["level"], spare["jobs"]) == ("info", [])
    assert spare["pid"] != worker
    assert 0 <= moment(spare) - moment(finished) < PACE_S
    assert not daemon.seen("job_tried")
    assert not psutil.pid_exists(spare["pid"])


# -- Alone -----------------------------------------------------------------------------------------


def test_who_allows_one_try_has_one_try_for_cutting_out_too(
    site: Site, start: Start, matting_model: Path
) -> None:
    site.environment["RETOUCHD_MATTING_MODEL"] = str(matting_model)
    del site.environment["RETOUCHD_WORKER_MEMORY_GB"]
    daemon = start(site, "--max-attempts", "1")
    dropped = poisons.FOREGROUND.drop(site.inbox / "poison.png", "trimap")
    save(photo(1), site.inbox / "zebra.png")
    save(trimap(), site.inbox / "zebra_trimap.png")
    daemon.wait_for("job_failed", picture="poison.png")
    daemon.wait_for("job_finished", picture="zebra.png")
    assert_is_given_up(daemon, "poison.png", poisons.FOREGROUND, 1)
    for file, content in dropped.items():
        assert (site.failed / file.name).read_bytes() == content
    alpha = load(site.outbox / "zebra.alpha.png")
    assert (alpha == np.where(trimap() == 128, 100, trimap())).all()
    assert not any(name.startswith("poison") for name in site.files("outbox"))


# -- A supervisor that ends in the middle ----------------------------------------------------------


def test_a_kill_in_mid_try_counts_and_a_polite_stop_does_not(site: Site, start: Start) -> None:
    dropped = poisons.SLEEPER.drop(site.inbox / "poison.png")
    soon = ("--job-timeout-s", str(TIMEOUT_S))
    first = start(site, "--stop-timeout-s", "0")
    assert first.wait_for("job_started")["attempt"] == 1
    assert first.stop() == 0
    second = start(site, *soon)
    second.wait_for("job_started", attempt=1)
    second.wait_for("job_started", attempt=2)
    second.kill()
    third = start(site, *soon)
    third.wait_for("job_failed", reason="timed_out")
    assert [logged["attempt"] for logged in third.seen("job_started")] == [3]
    for file, content in dropped.items():
        assert (site.failed / file.name).read_bytes() == content
    assert site.files("inbox") == site.files("outbox") == site.jobs() == []
    text = (site.failed / "poison.png.reason.txt").read_text()
    assert "cut short by a stop" in text
    told = re.findall(r"\b(once|\d times)\b", "\n".join(STORY_LINE.findall(text)))
    assert told == ["once", "2 times", "3 times"], text


def test_a_kill_in_the_last_try_is_the_end_of_it(site: Site, start: Start) -> None:
    poisons.SLEEPER.drop(site.inbox / "poison.png")
    first = start(site, "--max-attempts", "1")
    first.wait_for("job_started")
    first.kill()
    second = start(site, "--max-attempts", "1")
    second.wait_for("job_failed", picture="poison.png", reason="worker_died")
    assert not second.seen("job_started")
    text = (site.failed / "poison.png.reason.txt").read_text()
    assert len(STORY_LINE.findall(text)) == 1, text


def test_a_worker_that_nothing_in_it_can_end_ends_with_its_supervisor(
    site: Site, start: Start
) -> None:
    poisons.HANG.drop(site.inbox / "poison.png")
    first = start(site)
    worker = psutil.Process(first.wait_for("job_started")["pid"])
    time.sleep(0.5)  # by now it hangs
    try:
        os.kill(first.pid, signal.SIGKILL)
        assert ends_soon(worker), "the worker outlived its supervisor, and holds the spool's lock"
    finally:
        if worker.is_running():
            os.kill(worker.pid, signal.SIGKILL)


def ends_soon(process: psutil.Process) -> bool:
    deadline = time.monotonic() + 5
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
