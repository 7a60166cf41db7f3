"""The page that says what is going on, in the words of the reasons."""

import re
import time
from pathlib import Path

import pytest
from chronicles import AT, Chronicle, done, failed, lay_notes, snapshot
from paragraphs import Paragraphs
from test_page_elements import HOSTILE, Reader

from daemon.intake.pairing import Waiting
from daemon.people.failures import still_lies
from daemon.people.pages import Gallery
from daemon.people.pages.elements import text_of
from daemon.people.pages.frame import MOST_LISTED
from daemon.people.pages.status import LIFE_S, status_body, status_page
from daemon.reasons import REASONS, Kind, Report
from daemon.spool.entries import Ended
from daemon.spool.layout import Spool
from daemon.supervisor.snapshot import MOST_TOLD, OfFolder, Running, Served, Snapshot
from daemon.supervisor.tally import Tally

FACTS: dict[str, str | int | float] = {
    "stem": "cat", "purpose": "fill holes", "role": "mask", "where": "beside it", "files": "a, b",
    "name": "cat.jpg", "seconds": 5, "task": "matting", "setting": "matting_model",
    "suffix": ".heic", "path": "/srv/<spool>", "detail": "its end is missing",
}  # fmt: skip


OWN = (OfFolder("hair/long", "matting", "small, hair.pt"), OfFolder("scans", "inpaint", None))


def read(given: Snapshot, *failures: Ended) -> str:
    return Reader(status_page(status_body(given, list(failures)), AT).decode()).text


def section(heading: str, text: str) -> str:
    """What stands below a heading."""
    return text.partition(heading)[2]


@pytest.mark.parametrize(
    "key", [key for key, reason in REASONS.items() if reason.kind is Kind.WAIT]
)
def test_what_waits_is_told_with_its_reason_and_what_to_do(key: str) -> None:
    report = Report(key, dict(FACTS))
    waiting = (Waiting("holiday/cat.jpg", report),)
    heading = "Just arrived" if key == "not_quiet" else "Waiting for something"
    page = read(snapshot(waiting=waiting, waiting_for={key: 1}))
    told = section(heading, page.partition("Running since")[0])
    assert "holiday/cat.jpg" in told
    assert report.trouble().sentence in told
    assert report.trouble().advice in told


@pytest.mark.parametrize(
    "key", [key for key, reason in REASONS.items() if reason.kind in (Kind.WORLD, Kind.WAIT)]
)
def test_what_holds_all_work_up_is_told_first(key: str) -> None:
    report = Report(key, dict(FACTS))
    told = read(snapshot(holds=report, holds_since=AT - 60))
    assert "All work is held up" + report.trouble().sentence in told
    assert report.trouble().advice in told
    assert "2026-11-23 05:59 UTC" in told


@pytest.mark.parametrize(
    "key", [key for key, reason in REASONS.items() if reason.kind in (Kind.FILE, Kind.RETRY)]
)
def test_what_failed_is_told_with_its_reason_and_what_to_do(key: str) -> None:
    report = Report(key, dict(FACTS))
    told = section("Could not be done", read(snapshot(), failed(1, report=report, attempts=3)))
    assert report.trouble(attempts=3).sentence in told
    assert report.trouble(attempts=3).advice in told


def test_one_stuck_job_is_told_and_does_not_look_like_a_standstill() -> None:
    report = Report("mount_away", {"path": "/srv/disk", "detail": "gone"})
    told = read(snapshot(stuck=report))
    assert "the others go on" in told
    assert report.trouble().advice in told


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "All done"),
        ({"tally": Tally(ready=1)}, "At work"),
        ({"devices": ()}, "Starting"),
        ({"is_paused": True}, "Paused"),
    ],
)
def test_the_state_is_told_in_a_word(more: dict[str, object], says: str) -> None:
    assert says in read(snapshot(**more))


def boxes(given: Snapshot, *failures: Ended, **more: bool) -> list[tuple[str, str]]:
    """The kind of each box of the page's head, and its heading."""
    body = status_body(given, list(failures), **more)
    return re.findall(r'<div class="state ?(.*?)"><strong>(.*?)</strong>', body)


LACKING = {"companion_missing": 9, "empty": 3, "not_quiet": 5}


@pytest.mark.parametrize(
    ("more", "failures", "says"),
    [
        ({"waiting_for": {"empty": 1}}, 0, "1 file waits for you"),
        ({"waiting_for": LACKING}, 0, "12 files wait for you"),
        ({}, 1, "1 picture could not be done"),
        ({"waiting_for": LACKING}, 4, "12 files wait for you, and 4 pictures could not be done"),
        ({}, MOST_LISTED, f"{MOST_LISTED} or more pictures could not be done"),
    ],
)
def test_what_needs_people_is_the_headline_and_not_green(
    more: dict[str, object], failures: int, says: str
) -> None:
    assert boxes(snapshot(**more), *map(failed, range(failures))) == [("warn", says)]


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ({"tally": Tally(running=1)}, "At work"),
        ({"is_paused": True}, "Paused"),
        ({"devices": ()}, "Starting"),
        ({"holds": Report("disk_full", {"path": "/srv"})}, "All work is held up"),
    ],
)
def test_what_needs_people_is_told_beside_how_the_work_goes(
    more: dict[str, object], first: str
) -> None:
    told = boxes(snapshot(waiting_for=LACKING, **more))
    assert [heading for _, heading in told] == [first, "12 files wait for you"]


def test_what_only_has_to_stay_as_it_is_needs_nobody() -> None:
    assert boxes(snapshot(waiting_for={"not_quiet": 3}))[0][1] == "All done"


def test_on_a_new_spool_it_is_told_how_to_begin_and_nothing_is_green() -> None:
    assert boxes(snapshot(), is_new=True) == [("", "Nothing was dropped yet")]
    assert boxes(snapshot(tally=Tally(ready=1)), is_new=True)[0][1] == "At work"


def test_files_of_one_ambiguity_are_one_entry() -> None:
    files = ["two.jpg", "two.mask.png", "two_mask.png"]
    waiting = [
        Waiting(path, Report("ambiguous", {"files": ", ".join([path, *(set(files) - {path})])}))
        for path in reversed(files)
    ]
    other = Waiting("x.jpg", Report("ambiguous", {"files": "x.jpg, x_mask.png, x-mask.png"}))
    more = {"ambiguous": 10}
    body = status_body(snapshot(waiting=(*waiting, other), waiting_for=more), [])
    entries = Paragraphs(body).lists["Waiting for something"]
    assert [lines[:-2] for lines in entries[:-1]] == [files, ["x.jpg"]]
    assert entries[-1] == ["and 6 more"]


def test_a_sentence_has_its_capital_and_a_name_is_as_it_is() -> None:
    named, worded = Report("unreadable_kind", {"suffix": ".gif"}), Report("empty")
    waiting = (Waiting("a.gif", named), Waiting("b.png", worded))
    body = status_body(snapshot(waiting=waiting), [])
    assert f'<p class="sentence">{text_of(worded.trouble().sentence)}</p>' in body
    assert f"<p>{named.trouble().sentence}</p>" in body


def test_who_was_stopped_says_so() -> None:
    body = status_body(snapshot(devices=()), [], is_over=True)
    page = status_page(body, AT, is_over=True).decode()
    assert "Not running" in page
    assert "Starting" not in page
    assert "Running since" not in page
    assert "Not heard of" not in page


def test_what_runs_waits_and_has_just_arrived_is_listed() -> None:
    told = read(
        snapshot(
            tally=Tally(done=1234, failed=5, running=1, ready=3),
            running=(Running("j", "a/run.jpg", "matting", AT - 60, 2),),
            ready=("b/next.jpg", "b/later.jpg"),
            settling=("c/new.jpg",),
            devices=(Served("cuda:0", {"matting": "deep image matting, fp16"}, OWN),),
        )
    )
    assert "a/run.jpg" in section("Being worked on", told).partition("Next in turn")[0]
    assert "try 2" in told
    assert "b/next.jpg" in section("Next in turn", told).partition("Just arrived")[0]
    assert "c/new.jpg" in section("Just arrived", told)
    models = section("With which models", told)
    assert "deep image matting, fp16" in section("cuda:0", models)
    assert "small, hair.pt" in section("hair/long", models).partition("Holes")[0]
    assert "can't be used; its pictures wait" in section("scans", models)
    assert "1,234" in told


def test_what_has_just_arrived_is_one_entry_and_waits_for_nothing_else() -> None:
    settling = tuple(f"new{number}.jpg" for number in range(MOST_LISTED + 2))
    arrived = [Waiting(path, Report("not_quiet", {"seconds": 10})) for path in settling]
    body = status_body(
        snapshot(
            settling=settling,
            waiting=(Waiting("lone.jpg", Report("empty")), *arrived),
            waiting_for={"empty": 1, "not_quiet": len(settling)},
        ),
        [],
    )
    lists = Paragraphs(body).lists
    assert [lines[0] for lines in lists["Waiting for something"]] == ["lone.jpg"]
    entry, more = lists["Just arrived"]
    assert entry[:MOST_LISTED] == list(settling[:MOST_LISTED])
    assert entry[MOST_LISTED] == REASONS["not_quiet"].says.format(seconds=10.0)
    assert more == ["and 2 more"]


@pytest.mark.parametrize("is_told", [True, False])
def test_of_thousands_that_have_just_arrived_none_is_next_in_turn(is_told: bool) -> None:
    settling = tuple(f"new{number}.jpg" for number in range(MOST_TOLD))
    why = Report("not_quiet", {"seconds": 10}) if is_told else Report("empty")
    body = status_body(
        snapshot(
            tally=Tally(ready=5_002),
            ready=("next.jpg", "later.jpg"),
            settling=settling,
            waiting=tuple(Waiting(path, why) for path in settling),
            waiting_for={"empty": MOST_TOLD, "not_quiet": 5_000},
        ),
        [],
    )
    lists = Paragraphs(body).lists
    assert lists["Next in turn"] == [["next.jpg"], ["later.jpg"]]
    assert lists["Just arrived"][-1] == ["and 4,900 more"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_anything_but_text(name: str) -> None:
    def elements(path: str) -> list[str]:
        given = snapshot(
            running=(Running("j", path, "inpaint", AT, 1),),
            ready=(path,),
            settling=(path,),
            waiting=(Waiting(path, Report("ambiguous", {"files": path})),),
            holds=Report("io_error", {"path": path, "detail": path}),
            devices=(Served(path, {"inpaint": path}, (OfFolder(path, "inpaint", path),)),),
        )
        return [element for element, _ in Reader(status_body(given, [])).elements]

    assert elements(name) == elements("plain.jpg")


def test_a_full_inbox_gives_a_page_of_bounded_size_that_counts_the_rest() -> None:
    path = "x" * 250 + "/" + "y" * 250
    waiting = tuple(
        Waiting(path, Report("ambiguous", {"files": f"{i}{path}"})) for i in range(MOST_TOLD)
    )
    body = status_body(
        snapshot(
            tally=Tally(ready=40_000),
            ready=(path,) * MOST_TOLD,
            waiting=waiting,
            waiting_for={"ambiguous": 70_000},
        ),
        [failed(i) for i in range(MOST_LISTED)],
    )
    assert len(body) < 1_000_000
    assert f"and {70_000 - MOST_LISTED:,} more" in body
    assert f"and {40_000 - MOST_LISTED:,} more" in body


def test_when_it_was_written_stands_in_it_and_that_it_may_be_old() -> None:
    page = status_page(status_body(snapshot(), []), AT).decode()
    assert '<time datetime="2026-11-23T06:00:00Z" data-written="yes" data-reload="30">' in page
    assert "As of 2026-11-23 06:00 UTC" in Reader(page).text
    assert "Not heard of since 2026-11-23 06:00 UTC" in Reader(page).text
    script_off = re.findall("<noscript>(.*?)</noscript>", page)
    assert script_off[0] == '<meta http-equiv="refresh" content="30">'
    assert "This page was written at 2026-11-23 06:00 UTC." in Reader(script_off[1]).text


def test_now_and_then_it_is_written_though_nothing_has_changed(spool: Spool) -> None:
    gallery = Gallery(spool, Chronicle())

    def written(after_s: float) -> int:
        gallery.update(snapshot(at=AT + after_s))
        return (spool.outbox / "status.html").stat().st_ino

    first = written(0)
    assert written(LIFE_S / 2) == first
    assert written(LIFE_S) != first


def test_a_failure_is_listed_until_its_picture_is_done(spool: Spool) -> None:
    book = Chronicle([failed(1), failed(2), done(3), failed(4)])
    lay_notes(spool.failed, *book.entries)
    gallery = Gallery(spool, book)
    gallery.update(snapshot())
    assert _failures(spool) == ["holiday/cat 4.jpg", "holiday/cat 2.jpg", "holiday/cat 1.jpg"]
    book.entries += [done(2), failed(1)]
    gallery.update(snapshot())
    assert _failures(spool) == ["holiday/cat 1.jpg", "holiday/cat 4.jpg"]


def test_a_failure_that_somebody_took_away_is_not_listed(spool: Spool) -> None:
    book = Chronicle([failed(1), failed(2)])
    lay_notes(spool.failed, *book.entries)
    gallery = Gallery(spool, book)
    gallery.update(snapshot())
    assert len(_failures(spool)) == 2
    (spool.failed / "holiday" / "cat 2.jpg.reason.txt").unlink()
    gallery.update(snapshot())
    assert _failures(spool) == ["holiday/cat 1.jpg"]
    assert "1 picture could not be done" in (spool.outbox / "status.html").read_text()


def test_of_very_many_failures_the_newest_are_listed(spool: Spool) -> None:
    book = Chronicle([failed(i) for i in range(5 * MOST_LISTED)])
    lay_notes(spool.failed, *book.entries)
    Gallery(spool, book).update(snapshot())
    newest = range(5 * MOST_LISTED - 1, 4 * MOST_LISTED - 1, -1)
    assert _failures(spool) == [f"holiday/cat {number}.jpg" for number in newest]


def test_older_failures_are_listed_when_the_newest_are_done_or_gone(spool: Spool) -> None:
    more = MOST_LISTED + 2
    book = Chronicle([failed(i) for i in range(more)])
    lay_notes(spool.failed, *book.entries)
    gallery = Gallery(spool, book)
    gallery.update(snapshot())
    for number in range(4, more):
        (spool.failed / f"holiday/cat {number}.jpg.reason.txt").unlink()
    book.entries += [done(3), done(2)]
    gallery.update(snapshot())
    assert _failures(spool) == ["holiday/cat 1.jpg", "holiday/cat 0.jpg"]


def test_what_was_taken_away_is_looked_for_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands, and on a NAS each look takes its time."""
    looked_for: list[str] = []

    def counted(ended: Ended, root: Path) -> bool:
        looked_for.append(ended.picture)
        return still_lies(ended, root)

    monkeypatch.setattr("daemon.people.pages.gallery.still_lies", counted)
    book = Chronicle([failed(i) for i in range(3)])
    lay_notes(spool.failed, book.entries[0])
    gallery = Gallery(spool, book)
    gallery.update(snapshot())
    assert len(looked_for) == 3
    gallery.update(snapshot())
    assert looked_for[3:] == [book.entries[0].picture]
    assert _failures(spool) == ["holiday/cat 0.jpg"]


def _failures(spool: Spool) -> list[str]:
    page = (spool.outbox / "status.html").read_text()
    return re.findall(r"<li><bdi>(.*?)</bdi><p><b>Could not be done", page)


def test_a_status_with_a_full_inbox_is_made_in_no_time() -> None:
    waiting = tuple(Waiting(f"{i}.jpg", Report("empty")) for i in range(MOST_TOLD))
    began = time.process_time()
    status_body(snapshot(ready=("a.jpg",) * MOST_TOLD, waiting=waiting), [])
    assert time.process_time() - began < 0.5
