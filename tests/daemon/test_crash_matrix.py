"""kill -9 at every system call of a job's life that changes the disk, and the restart after it.

The processes are the real ones and so are the kills (see injection.py); what differs from a cold
start is told in zygote.py. The worker is not confined here: how it is confined has its own tests,
and a worker that is forked warm can't show how a cold one starts.

Every call of `injection.CALLS` counts that the victim makes from its `main` on, also those of
making the spool's folders and of writing logs and messages. Of openat those count that create: the
others change nothing, so that a kill before them is one before the next call that counts. Each
call's name is tried with rising numbers until a run gets through unharmed.

That is several hundred lives of a daemon, so `make test` takes every third call of the supervisor,
others in each scenario, and `make test-slow` takes all.
"""

import re
import shutil
import signal
import stat
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from driver import Pixels, Site, hole, inverted, load, photo, save, trimap
from injection import Point, Run, Stage, Victim

from daemon.intake.pairing import pair_up
from daemon.intake.scan import scan
from daemon.settings import Settings
from daemon.spool import jobs
from daemon.spool.book import Book
from daemon.spool.layout import open_spool

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

# The two tasks by a companion, and a picture alone: by its folder's mask, and by its transparency.
Task = Literal["inpaint", "matting", "folder", "alpha"]
Life = Literal["fresh", "resumed"]
ROOTS = ("inbox", "work", "archive", "failed")

# Every so many crashes the restart is killed as well, at another call each time.
AGAIN_EVERY = 4
AGAIN_STRIDE = 7

# Under load a second may pass, after which the state is written once more.
MOST_OTHERWISE = 5


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    traced = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], check=False)
    if traced.returncode != 0:
        pytest.skip("strace may not trace here")
    with Stage(tmp_path_factory.mktemp("stage")).open() as stage:
        yield stage


@dataclass
class Trial:
    """One pair, or a picture alone, from the inbox on, each time on a new spool."""

    root: Path
    task: Task
    life: Life
    model: Path
    originals: dict[str, bytes]
    mask: Path

    @property
    def site(self) -> Site:
        settings = {
            f"RETOUCHD_{'MATTING' if self.task == 'matting' else 'INPAINT'}_MODEL": str(self.model),
            "RETOUCHD_SETTINGS": str(self.mask.with_name(f"{self.task}.toml")),
            "RETOUCHD_CONFINE": "no",
            "RETOUCHD_QUIET_PERIOD_S": "0",
            "RETOUCHD_EVENTS": "no",
            "RETOUCHD_SCAN_INTERVAL_S": "3600",
            "RETOUCHD_LOG_LEVEL": "error",
            "RETOUCHD_MAX_ATTEMPTS": "10",
            "RETOUCHD_PREVIEWS": "yes" if self.has_preview else "no",
        }
        return Site(self.root, settings)

    @property
    def has_preview(self) -> bool:
        return self.task == "matting"

    @property
    def outputs(self) -> list[str]:
        """What lies in the outbox in the end."""
        kinds = ["log", "png"] if self.task != "matting" else ["alpha.png", "cutout.png", "log"]
        return [f"day 1/cat.{kind}" for kind in (*kinds, *["preview.jpg"] * self.has_preview)]

    def begin(self) -> None:
        """A new spool with the pair in the inbox, or in a job whose first try was cut short."""
        shutil.rmtree(self.root, ignore_errors=True)
        for name, content in self.originals.items():
            path = self.site.inbox / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o640)
        if self.life == "resumed":
            spool = open_spool(Settings(spool=self.root))
            (pair,) = pair_up(scan(spool.inbox).pictures).pairs
            record = jobs.claim_pair(spool, pair)
            assert record is not None
            jobs.begin_attempt(spool, record)
            (spool.work / record.job / "out" / "result").write_bytes(b"half a res")

    def check_originals(self) -> None:
        """Each file that was dropped is in exactly one place, and no other file is.

        A folder's mask stays where it is.
        """
        assert (load(self.mask) == hole()).all()
        found = Counter(
            path.read_bytes()
            for root in ROOTS
            for path in (self.root / root).rglob("*")
            if path.is_file() and not _is_ours(path)
        )
        assert found == Counter(self.originals.values())

    def check_outputs(self) -> None:
        """Each output that has its name is whole."""
        for path in self.site.outbox.rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                self.check_output(path)

    def check_output(self, path: Path) -> None:
        name = path.name
        if name == "cat.log":
            assert re.search(r"^seconds, ", path.read_text(), re.MULTILINE)
        elif name == "cat.png":
            # Under transparency nothing is believed: black, of which the network makes white.
            under = np.where(hole()[..., None] > 0, 0, photo()).astype(np.uint8)
            seen = under if self.task == "alpha" else photo()
            assert np.array_equal(load(path), inverted(seen, hole()))
        elif name == "cat.preview.jpg":
            assert load(path).ndim == 3
        elif name == "cat.alpha.png":
            assert (load(path) == matte()).all()
        else:
            assert name == "cat.cutout.png"
            assert load(path).shape == (*matte().shape, 4)
            assert (load(path)[..., 3] == matte()).all()

    def check_end(self) -> None:
        """One result, nothing left over, and all modes as they were set."""
        self.check_originals()
        self.check_outputs()
        assert self.site.files("outbox") == sorted(self.outputs)
        assert self.site.files("archive") == sorted(self.originals)
        assert self.site.files("inbox") == self.site.files("failed") == []
        ours = self.check_book()
        assert self.site.files("work") == sorted(ours)
        assert self.site.jobs() == []
        assert {
            str(path.relative_to(self.root)): oct(stat.S_IMODE(path.stat().st_mode))
            for root in ("outbox", "archive", "failed", "work")
            for path in [self.root / root, *(self.root / root).rglob("*")]
        } == {
            **dict.fromkeys(("outbox", "outbox/day 1"), "0o2775"),
            **dict.fromkeys(("archive", "archive/day 1", "failed"), "0o2775"),
            **{f"outbox/{name}": "0o664" for name in self.outputs},
            **{f"archive/{name}": "0o640" for name in self.originals},
            "work": "0o700",
            "work/.book": "0o700",
            **{f"work/{name}": "0o600" for name in ours},
        }

    def check_book(self) -> list[str]:
        """The book tells of the pair once, and in full; returns what is kept in `work`."""
        (ended,) = Book(self.site.work).newest()
        assert (ended.outcome, ended.picture) == ("done", "day 1/cat.png")
        assert sorted(ended.outputs) == self.site.files("outbox")
        assert ended.facts is not None
        assert (ended.facts.width, ended.facts.height) == photo().shape[1::-1]
        months = [f".book/{path.name}" for path in (self.site.work / ".book").iterdir()]
        return ["lock", ".state.json", *months]


def _is_ours(path: Path) -> bool:
    """What the daemon keeps in its own folders for its own purposes."""
    is_kept = path.name in ("lock", "record.json") or path.parent.name == ".book"
    return is_kept or path.name[0] == "." or "out" in path.parts


def matte() -> Pixels:
    """What the tiny matting network makes of the trimap."""
    return np.where(trimap() == 128, 100, trimap()).astype(np.uint8)


LIVES: list[tuple[Life, Task]] = [
    *(("fresh", "inpaint"), ("fresh", "matting"), ("resumed", "inpaint"), ("resumed", "matting")),
    ("fresh", "folder"),
]
ALPHA: tuple[Life, Task] = ("fresh", "alpha")


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, tmp_path: Path, inpaint_model: Path, matting_model: Path
) -> Trial:
    life, task = request.param
    drop, mask = tmp_path / "drop", save(hole(), tmp_path / "dust.png")
    picture = photo()
    if task == "alpha":
        picture = np.dstack([picture, 255 - hole()])
    files = [save(picture, drop / "cat.png")]
    if task in ("inpaint", "matting"):
        role, values = ("mask", hole()) if task == "inpaint" else ("trimap", trimap())
        files.append(save(values, drop / f"cat_{role}.png"))
    says = {"folder": f'mask = "{mask}"', "alpha": "alpha_as_mask = true"}.get(task, "")
    (tmp_path / f"{task}.toml").write_text(f'[folders."day 1"]\n{says}\n')
    return Trial(
        tmp_path / "spool",
        task,
        life,
        matting_model if task == "matting" else inpaint_model,
        {f"day 1/{file.name}": file.read_bytes() for file in files},
        mask,
    )


def crash_everywhere(stage: Stage, trial: Trial, victim: Victim, every: int = 1) -> Counter[str]:
    """Live the pair's life once for every so many of the victim's calls; returns the crashes."""
    trial.begin()
    whole = stage.run(trial.site, victim)
    assert whole.status == 0, whole.says
    trial.check_end()
    everywhere = whole.points()
    survived: Counter[str] = Counter()
    lost = []
    for name in whole.names():
        first = zlib.crc32(f"{trial.life} {trial.task} {name}".encode()) % every
        for number in islice(numbers(whole, name), first, None, every):
            run = crash_at(stage, trial, victim, Point(name, number))
            try:
                check_crash(trial, run, victim)
                last = run
                if victim == "supervisor" and survived.total() % AGAIN_EVERY == 0:
                    again = everywhere[survived.total() * AGAIN_STRIDE % len(everywhere)]
                    last = stage.run(trial.site, victim, again)
                    check_crash(trial, last, victim)
                    survived["again"] += last.was_killed
                check_restart(stage, trial, last)
            except AssertionError as error:
                lost.append(f"{name} {number}, {run.calls[-1]}:\n{error}")
            if not run.was_killed:
                break
            survived[name] += 1
    assert not lost, "\n\n".join(lost)
    return survived


def crash_at(stage: Stage, trial: Trial, victim: Victim, point: Point) -> Run:
    """Live the pair's life up to a call.

    How often the state is written is a matter of time, and so is which of the opens is the one that
    creates. A run that was killed at another is one more crash, and the life is lived again: up to
    the last one that created in that run, which is likelier to be one in the next than the first
    run's is.
    """
    for _ in range(MOST_OTHERWISE):
        trial.begin()
        run = stage.run(trial.site, victim, point)
        if point.name != "openat" or not run.was_killed or "O_CREAT" in run.calls[-1]:
            return run
        check_crash(trial, run, victim)
        check_restart(stage, trial, run)
        point = Point("openat", (run.creating() or [point.number])[-1])
    raise AssertionError("each run opens other files than the first")


def numbers(whole: Run, name: str) -> Iterator[int]:
    """Which calls of a name are tried; they end when a run gets through unharmed."""
    if name != "openat":
        return count(1)
    opens = sum(call.startswith("openat(") for call in whole.calls)
    return chain(whole.creating(), count(opens + 1))


def check_crash(trial: Trial, run: Run, victim: Victim) -> None:
    """What must be true at once, whatever was being done."""
    if not run.was_killed:
        assert run.status == 0, run.says
    elif victim == "supervisor":
        assert run.status == -signal.SIGKILL, run.says
    trial.check_originals()
    trial.check_outputs()


def check_restart(stage: Stage, trial: Trial, run: Run) -> None:
    """What must be true in the end. A worker's death at work needs no restart."""
    if run.status != 0:
        restarted = stage.run(trial.site)
        assert restarted.status == 0, restarted.says
    trial.check_end()


@pytest.mark.timeout(600)  # several hundred daemons
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "trial",
    # To the supervisor a picture alone is one as any other.
    [*LIVES, pytest.param(ALPHA, marks=pytest.mark.slow)],
    ids="-".join,
    indirect=True,
)
def test_a_supervisor_killed_at_any_call_loses_nothing_and_makes_no_twin(
    stage: Stage, trial: Trial, every: int, capfd: pytest.CaptureFixture[str]
) -> None:
    survived = crash_everywhere(stage, trial, "supervisor", every)
    tell(capfd, f"supervisor, {trial.task}, {trial.life}", survived)
    assert survived.total() > 70 / every


@pytest.mark.timeout(600)
@pytest.mark.parametrize("trial", [*LIVES, ALPHA], ids="-".join, indirect=True)
def test_a_worker_killed_at_any_call_loses_nothing_and_makes_no_twin(
    stage: Stage, trial: Trial, capfd: pytest.CaptureFixture[str]
) -> None:
    survived = crash_everywhere(stage, trial, "worker")
    tell(capfd, f"worker, {trial.task}, {trial.life}", survived)
    # Its thread writes results and answers, its main thread that it is ready; strace counts each.
    # A result whose hole is of one colour is so small that one write less takes it.
    assert survived.total() > (2 if trial.task == "alpha" else 3)


def tell(capfd: pytest.CaptureFixture[str], scenario: str, survived: Counter[str]) -> None:
    """Print how many crashes were survived, also where tests run in parallel and pass."""
    by_name = ", ".join(f"{name} {number}" for name, number in sorted(survived.items()))
    with capfd.disabled():
        print(f"\n{scenario}: {survived.total()} crashes survived ({by_name})", file=sys.stderr)
