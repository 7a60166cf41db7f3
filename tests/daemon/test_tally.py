"""How the work goes, in one line, and what is said at the end."""

import pytest

from daemon.reasons import Trouble
from daemon.supervisor.tally import MOST_LISTED, Count, Tally

FULL = Trouble("disk_full", path="/outbox")
GONE = Trouble("folder_missing", path="/outbox")


@pytest.mark.parametrize(
    ("tally", "words"),
    [
        (Tally(), "0 done, 0 failed, nothing to do"),
        (Tally(3, 1, 0, 0), "3 done, 1 failed, nothing to do"),
        (
            Tally(3, 1, 0, 0, 1),
            "3 done, 1 failed; 1 file waits in the inbox: `retouchd status` says for what",
        ),
        (
            Tally(lacking=2),
            "0 done, 0 failed; 2 files wait in the inbox: `retouchd status` says for what",
        ),
        (Tally(3, 1, 1, 7), "3 done, 1 failed, 1 in work, 7 waiting their turn"),
        (Tally(0, 0, 0, 1), "0 done, 0 failed, 0 in work, 1 waiting their turn"),
    ],
)
def test_the_status_says_how_far_the_work_is(tally: Tally, words: str) -> None:
    assert tally.in_words() == words


def test_the_status_says_why_all_work_holds_before_it_says_why_one_job_does() -> None:
    tally = Tally(3, 1, 1, 7)
    assert tally.in_words(FULL, GONE) == f"holding: {FULL.sentence} {FULL.advice}"
    assert tally.in_words(None, GONE) == (
        f"3 done, 1 failed; one job is stuck: {GONE.sentence} {GONE.advice}"
    )


def test_the_summary_counts_all_failures_and_lists_the_last() -> None:
    count = Count()
    count.add_done()
    for number in range(MOST_LISTED + 5):
        count.add_failed(f"job {number}", f"{number}.jpg", "it is no picture.")
    summary = count.summary(waiting=[], held=FULL, was_stopped=True)
    assert (summary.done, summary.failures) == (1, MOST_LISTED + 5)
    assert len(summary.failed) == MOST_LISTED
    assert summary.failed[-1] == (f"{MOST_LISTED + 4}.jpg", "it is no picture.")
    assert (summary.held, summary.was_stopped) == (FULL, True)
