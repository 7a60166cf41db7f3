"""The page that says what is going on: what runs, what waits and for what, what went wrong."""

from collections.abc import Iterator, Sequence
from typing import Final

from daemon.intake.pairing import Waiting
from daemon.people.pages.albums import INDEX
from daemon.people.pages.cards import failure
from daemon.people.pages.elements import Html, cut, joined, name_of, tag
from daemon.people.pages.frame import foot, moment, page
from daemon.reasons import Report
from daemon.spool.book import Ended
from daemon.supervisor.snapshot import Running, Served, Snapshot

# Of each list; what is more is counted.
MOST_LISTED: Final = 100
_MOST_OF_A_TEXT: Final = 600

_TASKS: Final = {"inpaint": "its holes are filled", "matting": "it is cut out"}
_WORK: Final = {"inpaint": "Holes are filled", "matting": "Cut-outs are made"}
_STALE: Final = (
    "Nothing has changed since then, or retouchd is not running; a file can't tell which. If new "
    "pictures are not taken either, ask whoever looks after the machine: retouchd status tells."
)


def status_body(snapshot: Snapshot, failures: Sequence[Ended], *, is_over: bool = False) -> Html:
    """All but the moment at which it was written.

    `failures` are those not done since, newest first; `is_over` says that nothing comes any more.
    """
    ready = [tag("li", name_of(path)) for path in snapshot.ready]
    settling = [tag("li", name_of(path)) for path in snapshot.settling]
    lacking = sum(snapshot.waiting_for.values())
    in_turn = max(len(ready), snapshot.tally.ready - len(settling))
    parts = [
        _stopped() if is_over else _state(snapshot),
        _numbers(snapshot, lacking),
        _section("Being worked on", [_running(each) for each in snapshot.running]),
        _section(
            "Waiting for something",
            [_waiting(each) for each in snapshot.waiting],
            "It stays in the inbox until that is there.",
            of=lacking,
        ),
        _section(
            "Could not be done",
            [tag("li", name_of(each.picture), *failure(each)) for each in failures],
            "The newest first. What has been done since is left out.",
        ),
        _section("Next in turn", ready, of=in_turn, class_="names"),
        _section(
            "Just arrived", settling, "Taken after some seconds without a change.", class_="names"
        ),
        _section("With which models", _models(snapshot)),
    ]
    running_since = tag("p", "Running since ", moment(snapshot.started_at), ".", class_="quiet")
    return joined(*parts, running_since)


def status_page(body: Html, written_at: float) -> bytes:
    """The whole page."""
    title = "What retouchd is doing"
    written = tag(
        "p", "as of ", moment(written_at, data_written="yes"), tag("span", data_age="yes")
    )
    ways = tag("nav", tag("a", "Retouched pictures", href=INDEX), aria_label="Pages")
    stale = tag("p", _STALE, class_="quiet", data_stale="yes")
    header = tag("header", tag("h1", title), written)
    return page(title, joined(header, ways, stale, tag("main", body), foot()))


def _state(snapshot: Snapshot) -> Html:
    """The one thing to know first."""
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
    return _box("All done", "Nothing waits for its turn.", "good")


def _stopped() -> Html:
    says = "retouchd was stopped. What lies in the inbox is taken when it is started again."
    return _box("Not running", says, "warn")


def _trouble(heading: str, report: Report, since: float | None) -> Html:
    trouble = report.trouble()
    more = [tag("p", tag("b", "What to do: "), cut(trouble.advice, _MOST_OF_A_TEXT))]
    if since is not None:
        more.append(tag("p", "Since ", moment(since)))
    return _box(heading, cut(trouble.sentence, _MOST_OF_A_TEXT), "bad", *more)


def _box(heading: str, says: str, kind: str = "", *more: Html) -> Html:
    return tag("div", tag("strong", heading), tag("p", says), *more, class_=f"state {kind}".strip())


def _numbers(snapshot: Snapshot, lacking: int) -> Html:
    tally = snapshot.tally
    told = (
        ("in work", tally.running),
        ("waiting their turn", tally.ready),
        ("waiting for something", lacking),
        ("done since the start", tally.done),
        ("failed since the start", tally.failed),
    )
    pairs = [tag("div", tag("dt", what), tag("dd", f"{number:,}")) for what, number in told]
    return tag("dl", *pairs, class_="numbers")


def _section(
    heading: str, items: Sequence[Html], about: str = "", of: int = 0, class_: str = "list"
) -> Html:
    """A list under its heading, cut at `MOST_LISTED`; nothing where nothing is on it. There are
    `of` such, where not all are told."""
    if not items:
        return Html("")
    shown = list(items[:MOST_LISTED])
    more = max(of, len(items)) - len(shown)
    if more:
        shown.append(tag("li", f"and {more:,} more", class_="quiet"))
    words = [tag("p", about, class_="quiet")] if about else []
    return tag("section", tag("h2", heading), *words, tag("ul", *shown, class_=class_))


def _running(running: Running) -> Html:
    tries = f", try {running.attempt}" if running.attempt > 1 else ""
    since = tag("span", "since ", moment(running.since), class_="when")
    says = tag("p", f"{_TASKS[running.task]}{tries}", class_="quiet")
    return tag("li", since, name_of(running.picture), says)


def _waiting(waiting: Waiting) -> Html:
    trouble = waiting.report.trouble()
    return tag(
        "li",
        name_of(waiting.path),
        tag("p", cut(trouble.sentence, _MOST_OF_A_TEXT)),
        tag("p", tag("b", "What to do: "), cut(trouble.advice, _MOST_OF_A_TEXT)),
    )


def _models(snapshot: Snapshot) -> list[Html]:
    return [each for served in snapshot.devices for each in _served(served)]


def _served(served: Served) -> Iterator[Html]:
    for task, model in served.models.items():
        yield tag("li", f"{_WORK[task]} on {served.device}", tag("p", cut(model, _MOST_OF_A_TEXT)))
    for own in served.folders:
        says = own.model or "The folder's model can't be used; its pictures wait."
        work = f"{_WORK[own.task]} on {served.device}, in "
        yield tag("li", work, name_of(own.folder), tag("p", cut(says, _MOST_OF_A_TEXT)))
