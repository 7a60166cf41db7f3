"""`retouchd status`: how it stands, for people on a terminal, for pipes, and for programs."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driver import BECOME_NOBODY, PATIENCE_S, REPOSITORY, Daemon, Site, hole, photo, save
from rich.console import Console
from test_audience import HOSTILE, SNAPSHOT
from test_book import ended, failed
from test_jobs import claim

from daemon.intake.pairing import Waiting, ambiguous
from daemon.people import standing as standing_module
from daemon.people import status
from daemon.people.outline import MOST_SHOWN, outline
from daemon.people.reach import OutOfReachError, reached_work
from daemon.people.standing import SILENT_AFTER_S, LastHour, Life, Standing, look
from daemon.people.state import write_state
from daemon.people.status import as_data, fitting, plain, show_status, view
from daemon.places import Place
from daemon.reasons import REASONS, Kind, Reason, Report, Trouble
from daemon.settings import Settings
from daemon.spans import span
from daemon.spool import jobs
from daemon.spool.book import Book
from daemon.spool.layout import Spool, is_locked, locked, open_spool
from daemon.spool.pausing import pause
from daemon.supervisor.snapshot import Snapshot
from daemon.supervisor.tally import Tally

WELL = replace(SNAPSHOT, holds=None, holds_since=None, stuck=None, is_paused=False)


@pytest.fixture
def settings(spool: Spool) -> Settings:
    return Settings(spool=spool.inbox.parent)


def standing(snapshot: Snapshot | None = WELL, **more: Any) -> Standing:
    whole: dict[str, Any] = {
        "at": SNAPSHOT.at + 2,
        "work": Path("/spool/work"),
        "is_running": True,
        "snapshot": snapshot,
        "paused_since": None,
        "last_hour": LastHour(5, 1, 1.25),
        "failures": (failed(picture="bad.jpg"),),
        **more,
    }
    return Standing(**whole)


def says(shown: Standing) -> str:
    return plain(outline(shown))


def test_the_models_of_folders_are_told_with_their_devices() -> None:
    assert (
        "device:    cuda:0 (inpaint: tiny, fp32; inpaint in faces: tiny, fp32, f.pt; "
        "matting in .: can not be used, its pictures wait)"
    ) in says(standing())


@pytest.mark.parametrize(
    ("shown", "life", "is_well"),
    [
        (standing(is_running=False), Life.STOPPED, False),
        (standing(None, is_running=False), Life.STOPPED, False),
        (standing(None), Life.STARTING, True),
        (standing(at=SNAPSHOT.at + SILENT_AFTER_S + 1), Life.SILENT, False),
        (standing(replace(WELL, holds=SNAPSHOT.holds)), Life.HOLDING, False),
        (standing(paused_since=1.0), Life.PAUSED, True),
        (standing(), Life.WORKING, True),
        (standing(replace(WELL, tally=Tally(3, 1, 0, 0))), Life.IDLE, True),
        (standing(replace(WELL, devices=())), Life.STARTING, True),
    ],
    ids=lambda value: value.name if isinstance(value, Life) else None,
)
def test_the_daemons_life_is_told_in_a_word_and_whether_somebody_must_act(
    shown: Standing, life: Life, is_well: bool
) -> None:
    assert (shown.life, shown.is_well) == (life, is_well)
    assert says(shown).startswith("retouchd: ")


def test_all_that_people_ask_for_is_in_the_lines() -> None:
    lines = says(standing())
    assert "running (pid 42), working" in lines
    assert "told:      2 s ago" in lines
    assert "cuda:0 (inpaint: tiny, fp32; " in lines
    assert "3 in this run, 5 in the last hour, 1.25 s each (median)" in lines
    assert "1 in this run, 1 in the last hour" in lines
    assert "2 ready or settling, the oldest for 17 min" in lines
    assert "1 must stay unchanged for a while yet" in lines
    assert "inpaint, try 2, for 2 s" in lines
    assert f"bad.jpg: {time.strftime('%Y-', time.localtime(1.795e9))}" in lines


def test_of_a_daemon_that_was_killed_no_clock_runs_on_and_what_becomes_of_its_jobs_is_told() -> (
    None
):
    lines = says(standing(is_running=False, at=SNAPSHOT.at + 600))
    assert "running since" not in lines
    assert "of a run that began at" in lines
    assert "in work when it ended:" in lines
    assert "inpaint, try 2, is taken up again at the next start" in lines
    assert "for 10 min" not in lines
    assert "3 in that run" in lines


def test_the_headline_counts_the_files_that_wait_for_their_people() -> None:
    def headline(**waiting_for: int) -> str:
        idle = replace(WELL, tally=Tally(3, 1, 0, 0), waiting_for=waiting_for)
        return says(standing(idle)).split("\n")[0]

    assert headline(not_quiet=4).endswith("nothing to do")
    assert headline(empty=1).endswith("nothing to do; 1 file waits for its people")
    found = headline(not_quiet=4, empty=3, companion_missing=12)
    assert found.endswith("nothing to do; 15 files wait for their people")


def test_files_that_are_entangled_have_one_line_and_the_others_are_counted_rightly() -> None:
    files = ("two.png", "two.tif", "two_mask.png")
    tangle = [Waiting(each, ambiguous(each, list(files))) for each in files]
    empty = [Waiting(f"{n}.jpg", Report("empty")) for n in range(MOST_SHOWN + 1)]
    snapshot = replace(
        WELL, waiting=(*tangle, *empty), waiting_for={"ambiguous": 3, "empty": len(empty)}
    )
    lines = says(standing(snapshot))
    assert lines.count("which of these belong together") == 1
    assert "  two.png, and 2 more: which of these belong together can't be told: two.png" in lines
    assert f"  {MOST_SHOWN - 2}.jpg: " in lines
    assert "  ...: and 2 more" in lines


def test_what_settles_has_one_line_apart_from_what_waits_for_something() -> None:
    settling = tuple(f"s{n}.jpg" for n in range(MOST_SHOWN + 2))
    not_quiet = [Waiting(each, Report("not_quiet", {"seconds": 5})) for each in settling]
    snapshot = replace(
        WELL,
        settling=settling,
        waiting=(Waiting("lone.jpg", Report("empty")), *not_quiet),
        waiting_for={"empty": 1, "not_quiet": len(settling)},
    )
    _, _, after = says(standing(snapshot)).partition("\nsettling:\n")
    listed, _, waiting = after.partition("\nwaiting:\n")
    (line,) = listed.splitlines()
    assert line.startswith(f"  s0.jpg, and {MOST_SHOWN + 1} more: it has changed or arrived less")
    assert waiting.split("\n")[0].startswith("  lone.jpg: ")
    assert "less than" not in waiting


def test_of_what_comes_next_ten_are_named_and_the_rest_is_counted() -> None:
    ready = tuple(f"{n}.jpg" for n in range(18))
    lines = says(standing(replace(WELL, tally=Tally(0, 0, 1, 18), ready=ready, settling=())))
    assert lines.count("waits for its turn") == MOST_SHOWN
    assert "  ...: and 8 more" in lines


@pytest.mark.parametrize("size", [(80, 24), (100, 34), (80, 60), (40, 12), (200, 200), (20, 5)])
def test_what_is_watched_fits_the_terminal_or_says_that_it_does_not(size: tuple[int, int]) -> None:
    width, height = size
    waiting = tuple(Waiting(f"{number}.jpg", Report("empty")) for number in range(30))
    failures = tuple(failed(f"j{n}", picture=f"bad{n}.jpg") for n in range(5))
    shown = standing(replace(WELL, waiting=waiting, waiting_for={"empty": 30}), failures=failures)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, markup=False)
    console.print(fitting(console, shown))
    text = out.getvalue()
    assert text.count("\n") <= height
    is_whole = "failed lately" in text and "waiting" in text and "and " in text
    assert is_whole or "more than fits" in text
    assert ("failed lately" in text) == (height >= 24)


def test_what_holds_and_what_is_stuck_is_told_with_what_to_do() -> None:
    lines = says(standing(replace(SNAPSHOT, is_paused=False)))
    for trouble in (Trouble("disk_full", path="/outbox"), Trouble("mount_away", path="/inbox/a")):
        assert trouble.sentence.split("(")[0] in lines
        assert trouble.advice in lines


@pytest.mark.parametrize(
    "reason", [each for each in REASONS.values() if each.kind is Kind.WAIT], ids=lambda r: r.key
)
def test_a_file_that_waits_is_told_in_the_words_of_its_reason(reason: Reason) -> None:
    report = Report(reason.key, dict.fromkeys(reason.fields(), 7))
    snapshot = replace(WELL, waiting=(Waiting("a.jpg", report),), waiting_for={reason.key: 1})
    trouble = report.trouble()
    assert f"  a.jpg: {trouble.sentence} {trouble.advice}" in says(standing(snapshot))
    (told,) = as_data(standing(snapshot))["state"]["waiting"]
    assert told == {
        "path": "a.jpg",
        "reason": reason.key,
        "says": trouble.sentence,
        "advice": trouble.advice,
    }


@pytest.mark.parametrize(
    "reason",
    [each for each in REASONS.values() if each.kind in (Kind.FILE, Kind.RETRY)],
    ids=lambda r: r.key,
)
def test_a_failure_is_told_in_the_words_of_its_reason(reason: Reason) -> None:
    facts: dict[str, str | int | float] = dict.fromkeys(reason.fields() - {"attempts"}, "x")
    entry = replace(failed(), report=Report(reason.key, facts), attempts=3)
    trouble = Report(reason.key, facts).trouble(attempts=3)
    shown = standing(failures=(entry,))
    assert f"{trouble.sentence} {trouble.advice}" in says(shown)
    (told,) = as_data(shown)["failures"]
    assert (told["says"], told["advice"]) == (trouble.sentence, trouble.advice)


def test_of_long_lists_some_are_shown_and_the_rest_is_counted() -> None:
    report = Report.of(Trouble("empty"))
    waiting = tuple(Waiting(f"{number}.jpg", report) for number in range(1000))
    lines = says(standing(replace(WELL, waiting=waiting, waiting_for={"empty": 100_000})))
    assert lines.count(".jpg: the file is empty") <= MOST_SHOWN
    assert f"  ...: and {100_000 - MOST_SHOWN} more" in lines


def test_a_hostile_name_forges_no_line_and_colours_nothing() -> None:
    name = HOSTILE + "[red]x[/red] :cat: \x1b[2J"
    snapshot = replace(
        WELL,
        ready=(name,),
        waiting=(Waiting(name, Report.of(Trouble("empty"))),),
        waiting_for={"empty": 1},
    )
    shown = outline(standing(snapshot, failures=(failed(picture=name),)))
    lines = plain(shown)
    assert all(line.isprintable() for line in lines.split("\n"))
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=600, markup=False, emoji=False).print(view(shown))
    text = out.getvalue()
    assert "\x1b[2J" not in text
    assert "[red]x[/red] :cat:" in text
    json.dumps(as_data(standing(snapshot))).encode("ascii")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (720, "12 min"), (3.5 * 3600, "3.5 h"), (5 * 86400, "5.0 days")],
)
def test_a_span_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_the_last_hour_is_counted_from_the_book(settings: Settings, spool: Spool) -> None:
    now = time.time()
    book = Book(spool.books)
    facts = ended().facts
    assert facts is not None
    book.append(failed("f0", now - 9000, picture="old.jpg"))
    for at, seconds in ((now - 7200, 9.0), (now - 3000, 1.0), (now - 20, 2.0), (now - 10, 4.0)):
        steps = {"wait": 100.0, "read": seconds / 2, "network": seconds / 2}
        book.append(ended(f"j{at}", at, facts=replace(facts, seconds=steps)))
    book.append(failed("f1", now - 5))
    for name in ("old.jpg", "day/cat.jpg"):
        lay(spool.failed / name)
    found = look(settings)
    assert found.last_hour == LastHour(done=3, failed=1, median_s=2.0)
    assert [each.job for each in found.failures] == ["f1", "f0"]


def test_failures_are_looked_for_in_the_newest_of_a_large_book_only(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_module, "_MOST_LINES", 20)
    long_ago = time.time() - 90_000
    Book(spool.books).append(failed("old", long_ago, picture="old.jpg"))
    lay(spool.failed / "old.jpg")
    for number in range(30):
        Book(spool.books).append(ended(f"j{number}", long_ago + number))
    assert look(settings).failures == ()
    monkeypatch.undo()
    assert [each.job for each in look(settings).failures] == ["old"]


def lay(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_failure_is_told_while_its_files_lie_in_failed_and_it_was_not_done_since(
    settings: Settings, spool: Spool
) -> None:
    for name in ("retried", "dropped anew", "moved by hand", "still there"):
        jobs.fail(spool, claim(spool, name), Trouble("mask_covers_everything"))
    Book(spool.books).append(ended("later", time.time(), picture="dropped anew.jpg"))
    for name in ("retried.jpg", "retried_mask.png", "retried.jpg.reason.txt"):
        (spool.failed / name).unlink()
    for name in ("moved by hand.jpg", "moved by hand_mask.png"):
        (spool.failed / name).rename(spool.inbox / name)
    found = look(settings)
    assert [each.picture for each in found.failures] == ["still there.jpg"]
    assert found.last_hour.failed == 4
    (spool.failed / "still there.jpg.reason.txt").unlink()  # which people may
    assert [each.picture for each in look(settings).failures] == ["still there.jpg"]


def test_a_failure_of_a_name_that_is_no_utf8_is_told_while_it_lies_there(
    settings: Settings, spool: Spool
) -> None:
    name = os.fsdecode(b"caf\xe9")
    jobs.fail(spool, claim(spool, name), Trouble("mask_covers_everything"))
    assert [each.picture for each in look(settings).failures] == [f"{name}.jpg"]
    for path in (spool.failed / f"{name}.jpg", spool.failed / f"{name}_mask.png"):
        path.unlink()
    assert look(settings).failures == ()


def test_a_daemon_is_known_by_its_lock(settings: Settings, spool: Spool) -> None:
    write_state(spool.books, replace(WELL, at=time.time()))
    assert not look(settings).is_running
    with locked(spool):
        assert look(settings).is_running
        assert look(settings).is_running  # and asking has not taken it away
        assert is_locked(Place(spool.work))
    assert look(settings).life is Life.STOPPED


def test_a_daemon_that_works_in_a_hidden_folder_is_known_by_the_lock_there(
    settings: Settings, spool: Spool
) -> None:
    hidden = spool.inbox / ".retouchd-work"
    hidden.mkdir(mode=0o700)
    with locked(replace(spool, work=hidden)):
        assert look(settings).is_running


def test_looking_changes_nothing(settings: Settings, spool: Spool) -> None:
    before = sorted(spool.inbox.parent.rglob("*"))
    look(settings)
    assert sorted(spool.inbox.parent.rglob("*")) == before


def test_where_nothing_has_run_yet_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutOfReachError, match="nothing has run with these settings yet"):
        reached_work(Settings(spool=tmp_path / "gone"))


def test_status_of_a_running_daemon_in_lines_and_as_json(
    site: Site, start: Callable[..., Daemon]
) -> None:
    save(photo(), site.inbox / "lone.png")
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    daemon = start(site)
    daemon.wait_for("job_finished")
    time.sleep(1.5)  # a change is told within a second, or at the turn after it
    told = site.run("status")
    assert told.returncode == 0, told.stderr
    assert f"running (pid {daemon.pid}), nothing to do" in told.stdout
    assert "1 in this run, 1 in the last hour" in told.stdout
    assert "lone.png: the picture waits for its mask or trimap." in told.stdout
    assert "\x1b" not in told.stdout
    data = json.loads(site.run("status", "--json").stdout)
    assert (data["running"], data["well"], data["life"]) == (True, True, "nothing to do")
    assert data["state"]["devices"][0]["device"] == "cpu"
    assert data["state"]["waiting_for"] == {"companion_missing": 1}
    daemon.stop()
    stopped = site.run("status")
    assert stopped.returncode == 1
    assert "not running; it last told of itself at" in stopped.stdout


def test_status_without_a_spool_ends_with_1_and_what_to_do(site: Site) -> None:
    done = site.run("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not there, so nothing has run" in done.stderr


def test_status_with_a_bad_setting_ends_with_2(site: Site) -> None:
    assert site.run("status", "--max-attempts", "no").returncode == 2


@pytest.mark.parametrize("name", ["status", "pause", "resume"])
def test_who_may_not_read_the_work_folder_is_told_who_may(name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        spool = open_spool(Settings(spool=root / "spool"))
        done = as_nobody(name, "--spool", str(root / "spool"))
        assert not (spool.work / ".paused").exists()
    assert done.returncode == 1
    assert "may be read by the user root alone, and you are nobody" in done.stderr
    assert "Traceback" not in done.stderr


def as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys, daemon.cli\n{BECOME_NOBODY}\nsys.exit(daemon.cli.main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_watch_says_it_again_until_somebody_has_had_enough(
    settings: Settings,
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        pause(spool.books)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(status._slept, "__defaults__", (nap,))
    write_state(spool.books, replace(WELL, at=time.time()))
    with locked(spool):
        assert show_status(settings, as_json=True, watch=True)
    lines = [json.loads(line)["life"] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["working", "paused", "paused"]
    assert naps == [status.WATCH_EVERY_S] * 3


def test_a_reader_that_has_seen_enough_is_no_error(site: Site, spool: Spool) -> None:
    write_state(spool.books, replace(WELL, at=time.time()))
    shell = ["sh", "-c", '"$@" | true; exec "$@" | head -n 1', "sh"]
    done = subprocess.run(
        [*shell, *site.command("status")],
        env=site.variables(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("retouchd: ")
