"""A file is taken when it has been still for a while by our own clock, whatever its times say."""

import pytest

from daemon.intake.quiet import IncompleteBook, QuietBook
from daemon.intake.scan import Entry, Folder, Identity
from daemon.reasons import Report

PATH = "a.jpg"


def entry(path: str = PATH, inode: int = 1, size: int = 100, mtime_ns: int = 0) -> Entry:
    return Entry(path, Identity(1, inode, size, mtime_ns))


def observe(book: QuietBook, now: float, *entries: Entry) -> None:
    """See these files, and no others, in the inbox itself."""
    book.observe({"": Folder({entry.path: entry for entry in entries})}, now)


def test_a_still_file_is_quiet_one_period_after_it_was_first_seen() -> None:
    book = QuietBook(5.0)
    for now in (10.0, 12.0, 14.9):
        observe(book, now, entry())
    assert book.quiet_at(entry()) == 15.0


@pytest.mark.parametrize(
    "changed",
    [
        entry(size=101),
        entry(size=99),
        entry(mtime_ns=1),
        entry(mtime_ns=-1),  # some tools set the time backwards
        entry(inode=2),
        Entry(PATH, Identity(2, 1, 100, 0)),
    ],
    ids=["grown", "shrunk", "touched", "set back", "replaced", "other disk"],
)
def test_any_change_starts_the_period_anew(changed: Entry) -> None:
    book = QuietBook(5.0)
    observe(book, 10.0, entry())
    observe(book, 14.0, changed)
    assert book.quiet_at(changed) == 19.0


def test_a_mount_has_a_period_of_its_own() -> None:
    book = QuietBook(5.0)
    book.periods_s = {"scanner": 10.0, "scanner/disk": 5.0}
    files = [entry("a.jpg"), entry("scanner/b.jpg"), entry("scanner/disk/day/c.jpg")]
    folders = [file.path.rpartition("/")[0] for file in files]
    book.observe(
        {at: Folder({file.path: file}) for at, file in zip(folders, files, strict=True)}, 100.0
    )
    assert [book.quiet_at(file) for file in files] == [105.0, 110.0, 105.0]
    assert book.period_of("scanners") == 5.0


def test_a_change_and_back_starts_the_period_anew() -> None:
    book = QuietBook(5.0)
    observe(book, 10.0, entry())
    observe(book, 11.0, entry(size=101))
    observe(book, 12.0, entry())
    assert book.quiet_at(entry()) == 17.0


def test_an_empty_file_is_never_quiet() -> None:
    book = QuietBook(0.0)
    observe(book, 10.0, entry(size=0))
    assert book.quiet_at(entry(size=0)) is None


def test_a_file_that_was_away_for_a_scan_starts_anew() -> None:
    book = QuietBook(5.0)
    observe(book, 10.0, entry())
    observe(book, 11.0)
    observe(book, 12.0, entry())
    assert book.quiet_at(entry()) == 17.0


def test_one_file_changing_leaves_the_others_quiet() -> None:
    book = QuietBook(5.0)
    observe(book, 10.0, entry("a.jpg"), entry("b.jpg"))
    observe(book, 13.0, entry("a.jpg"), entry("b.jpg", size=7))
    assert book.quiet_at(entry("a.jpg")) == 15.0
    assert book.quiet_at(entry("b.jpg", size=7)) == 18.0


def test_each_folder_has_its_own_times_and_one_that_went_and_came_starts_anew() -> None:
    day, night = (Folder({"a.jpg": entry(f"{name}/a.jpg")}) for name in ("day", "night"))
    book = QuietBook(5.0)
    book.observe({"day": day}, 10.0)
    book.observe({"day": day, "night": night}, 11.0)
    assert book.quiet_at(entry("day/a.jpg")) == 15.0
    assert book.quiet_at(entry("night/a.jpg")) == 16.0
    book.observe({"night": night}, 12.0)
    book.observe({"day": day, "night": night}, 13.0)
    assert book.quiet_at(entry("day/a.jpg")) == 18.0
    assert book.quiet_at(entry("night/a.jpg")) == 16.0


def test_without_a_period_a_file_is_quiet_at_once() -> None:
    book = QuietBook(0.0)
    observe(book, 10.0, entry())
    assert book.quiet_at(entry()) == 10.0


CUT_OFF = Report("incomplete", {"role": "picture", "detail": "its end is missing"})
WHOLE = (Identity(1, 1, 100, 0), Identity(1, 2, 50, 0))
CHANGED = (Identity(1, 1, 200, 0), Identity(1, 2, 50, 0))


def test_a_cut_off_pair_waits_with_its_reason_while_it_is_unchanged() -> None:
    book = IncompleteBook(3600.0)
    book.remember(PATH, WHOLE, 10.0, CUT_OFF)
    assert book.waits(PATH, WHOLE, 11.0) == CUT_OFF


def test_a_cut_off_pair_is_tried_again_when_either_file_has_changed() -> None:
    book = IncompleteBook(3600.0)
    book.remember(PATH, WHOLE, 10.0, CUT_OFF)
    assert book.waits(PATH, CHANGED, 11.0) is None


def test_a_cut_off_pair_is_given_up_when_it_stayed_so_for_long() -> None:
    book = IncompleteBook(3600.0)
    book.remember(PATH, WHOLE, 10.0, CUT_OFF)
    assert not book.is_given_up(PATH, 3609.9)
    assert book.is_given_up(PATH, 3610.0)
    assert book.waits(PATH, WHOLE, 3610.0) is None


def test_a_cut_off_pair_that_only_has_another_inode_is_the_same() -> None:
    """As on sshfs, where each try, which moves it away and back, gives it one."""
    book = IncompleteBook(3600.0)
    before, after = (tuple(entry(inode=inode).identity for _ in "ab") for inode in (1, 2))
    book.remember(PATH, before, 10.0, CUT_OFF)
    assert book.waits(PATH, after, 11.0) == CUT_OFF
    book.remember(PATH, after, 3000.0, CUT_OFF)
    assert book.is_given_up(PATH, 3610.0)


def test_trying_a_cut_off_pair_again_does_not_prolong_its_time() -> None:
    book = IncompleteBook(3600.0)
    book.remember(PATH, WHOLE, 10.0, CUT_OFF)
    book.remember(PATH, WHOLE, 3000.0, CUT_OFF)
    assert book.is_given_up(PATH, 3610.0)


def test_a_cut_off_pair_that_grew_gets_its_whole_time_again() -> None:
    book = IncompleteBook(3600.0)
    book.remember(PATH, WHOLE, 10.0, CUT_OFF)
    book.remember(PATH, CHANGED, 3000.0, CUT_OFF)
    assert not book.is_given_up(PATH, 6599.0)
    assert book.is_given_up(PATH, 6600.0)


def test_with_no_time_given_a_cut_off_pair_is_given_up_at_once() -> None:
    book = IncompleteBook(0.0)
    book.remember(PATH, WHOLE, 10.0, CUT_OFF)
    assert book.is_given_up(PATH, 10.0)


def test_a_pair_never_found_cut_off_does_not_wait() -> None:
    book = IncompleteBook(3600.0)
    assert book.waits(PATH, WHOLE, 10.0) is None
    assert not book.is_given_up(PATH, 10.0)


def test_the_next_giving_up_is_the_earliest_that_is_still_to_come() -> None:
    book = IncompleteBook(100.0)
    assert book.due(0.0) is None
    book.remember("b.jpg", WHOLE, 20.0, CUT_OFF)
    book.remember("a.jpg", WHOLE, 10.0, CUT_OFF)
    assert book.due(50.0) == 110.0
    assert book.due(110.0) == 120.0
    assert book.due(120.0) is None


def test_what_left_the_inbox_is_forgotten() -> None:
    book = IncompleteBook(100.0)
    book.remember("a.jpg", WHOLE, 10.0, CUT_OFF)
    book.remember("b.jpg", WHOLE, 10.0, CUT_OFF)
    book.forget_all_but(["b.jpg"])
    assert book.waits("a.jpg", WHOLE, 11.0) is None
    assert book.waits("b.jpg", WHOLE, 11.0) == CUT_OFF
