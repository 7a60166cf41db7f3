"""What the status page says first: how the work goes, and whether people are needed."""

from daemon.people.pages.beginning import how_to_begin
from daemon.people.pages.elements import Html, cut, tag
from daemon.people.pages.frame import MOST_LISTED, MOST_OF_A_TEXT, moment, what_to_do
from daemon.reasons import Report, Trouble
from daemon.supervisor.snapshot import Snapshot


def boxes(snapshot: Snapshot, failures: int, *, is_new: bool, is_over: bool) -> tuple[Html, ...]:
    """The one thing to know, and where that is how the work goes, what waits for people as well.

    `failures` is how many nobody has looked after; the rest is as on the whole page.
    """
    state = _stopped() if is_over else _state(snapshot)
    wanted = _wanted(snapshot.lacking_count, failures)
    if state and wanted:
        return state, wanted
    return (state or wanted or (_nothing_yet() if is_new else _all_done()),)


def _state(snapshot: Snapshot) -> Html | None:
    """How the work goes; None where there is none."""
    tally = snapshot.tally
    if snapshot.holds:
        return _trouble("All work is held up", snapshot.holds, snapshot.holds_since)
    if snapshot.is_paused:
        return _box("Paused", "Nothing new is taken until it is resumed: retouchd resume.", "warn")
    if snapshot.stuck:
        return _trouble("One picture is stuck, the others go on", snapshot.stuck, None)
    if not snapshot.devices:
        return _box("Starting", "The models are being loaded. Pictures are taken after that.")
    if tally.running or tally.ready:
        return _box("At work", "Each result appears in the outbox when it is done.", "good")
    return None


def _wanted(files: int, failures: int) -> Html | None:
    """That people are needed; None where they are not."""
    heads = []
    if files:
        heads.append("1 file waits for you" if files == 1 else f"{files:,} files wait for you")
    if failures:
        many = f"{failures} or more" if failures >= MOST_LISTED else str(failures)
        heads.append(f"{many} {'picture' if failures == 1 else 'pictures'} could not be done")
    if not heads:
        return None
    return _box(", and ".join(heads), "What to do about each of them stands below.", "warn")


def _all_done() -> Html:
    return _box("All done", "Nothing waits for its turn, and nothing waits for you.", "good")


def _nothing_yet() -> Html:
    return tag("div", tag("strong", "Nothing was dropped yet"), how_to_begin(), class_="state")


def _stopped() -> Html:
    says = "retouchd was stopped. What lies in the inbox is taken when it is started again."
    return _box("Not running", says, "warn")


def _trouble(heading: str, report: Report, since: float | None) -> Html:
    trouble = report.trouble()
    more = [what_to_do(trouble.advice)]
    if since is not None:
        more.append(tag("p", "Since ", moment(since)))
    return _box(heading, sentence(trouble), "bad", *more)


def sentence(trouble: Trouble) -> Html:
    """What happened. It is shown with a capital, unless it begins with a name."""
    begins_with_a_word = trouble.reason.says[0].isalpha()
    said = cut(trouble.sentence, MOST_OF_A_TEXT)
    return tag("p", said, class_="sentence" if begins_with_a_word else None)


def _box(heading: str, says: str, kind: str = "", *more: Html) -> Html:
    """A box of the page's head; what it says may be a paragraph already."""
    words = says if isinstance(says, Html) else tag("p", says)
    return tag("div", tag("strong", heading), words, *more, class_=f"state {kind}".strip())
