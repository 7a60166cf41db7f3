"""The page that says what is going on: what runs, what waits and for what, what went wrong."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from daemon.intake.pairing import Waiting
from daemon.people.circles import in_circles
from daemon.people.pages.albums import INDEX
from daemon.people.pages.cards import failure
from daemon.people.pages.elements import Html, cut, joined, name_of, tag
from daemon.people.pages.frame import MOST_LISTED, MOST_OF_A_TEXT, foot, moment, page, what_to_do
from daemon.people.pages.headline import boxes, sentence
from daemon.spool.entries import Ended
from daemon.supervisor.snapshot import Running, Served, Snapshot

_TASKS: Final = {"inpaint": "Its holes are filled", "matting": "It is cut out"}
_WORK: Final = {"inpaint": "Holes are filled", "matting": "Cut-outs are made"}
# A page that is younger than that shows what is so; a browser opens it anew as often.
RELOAD_S: Final = 30
# While retouchd runs it is written at least as often, so that it can be known when it does not run.
# The script calls it old after twice as long.
LIFE_S: Final = 300
_LOST: Final = (
    "While retouchd runs it writes this page anew every five minutes at the latest, and it has not "
    "since then: it does not run, or can't write here; or the clocks of the two machines disagree. "
    "Ask whoever looks after the machine: retouchd status tells. What follows is how it was then."
)
_WITHOUT_SCRIPT: Final = (
    ". While retouchd runs that is no more than some minutes ago. If it is longer ago, retouchd "
    "does not run, or can't write here: ask whoever looks after the machine."
)


def status_body(
    snapshot: Snapshot, failures: Sequence[Ended], *, is_new: bool = False, is_over: bool = False
) -> Html:
    """All but the moment at which it was written.

    `failures` are those that nobody has looked after, newest first; `is_new` says that nothing was
    ever done or given up, `is_over` that nothing comes any more.
    """
    ready = [tag("li", name_of(path)) for path in snapshot.ready]
    lacking = snapshot.lacking[:MOST_LISTED]
    in_turn = max(len(ready), snapshot.tally.ready - snapshot.settling_count)
    parts = [
        *boxes(snapshot, len(failures), is_new=is_new, is_over=is_over),
        _numbers(snapshot),
        _section("Being worked on", [_running(each) for each in snapshot.running]),
        _section(
            "Waiting for something",
            _entries(lacking),
            "It stays in the inbox until that is there.",
            more=max(0, snapshot.lacking_count - len(lacking)),
        ),
        _section(
            "Could not be done",
            [tag("li", name_of(each.picture), *failure(each)) for each in failures],
            "The newest first. What has been done since, or taken out of failed, is left out.",
        ),
        _section("Next in turn", ready, more=in_turn - len(ready), class_="names"),
        _just_arrived(snapshot),
        _section("With which models", _models(snapshot)),
    ]
    running_since = tag("p", "Running since ", moment(snapshot.started_at), ".", class_="quiet")
    return joined(*parts, "" if is_over else running_since)


def status_page(body: Html, written_at: float, *, is_over: bool = False) -> bytes:
    """The whole page. Where `is_over`, it stays as true as it is, however old it gets."""
    title = "What retouchd is doing"
    written = tag(
        "p",
        "As of ",
        moment(written_at, data_written="yes", data_reload=str(RELOAD_S)),
        tag("span", data_age="yes"),
    )
    ways = tag("nav", tag("a", "Retouched pictures", href=INDEX), aria_label="Pages")
    # The script does it without losing the place on the page.
    again = tag("noscript", tag("meta", http_equiv="refresh", content=RELOAD_S))
    lost = Html("") if is_over else _lost(written_at)
    header = tag("header", tag("h1", title), written)
    return page(title, joined(header, ways, lost, tag("main", body), foot()), about=again)


def _lost(written_at: float) -> Html:
    """What is to be read where the page is old: with a script only then."""
    heading = tag("strong", "Not heard of since ", moment(written_at))
    says = tag("p", "This page was written at ", moment(written_at), _WITHOUT_SCRIPT)
    return joined(
        tag("div", heading, tag("p", _LOST), class_="state bad", data_lost=LIFE_S * 2, hidden=True),
        tag("noscript", says),
    )


def _numbers(snapshot: Snapshot) -> Html:
    tally = snapshot.tally
    told = (
        ("In work", tally.running),
        ("Waiting their turn", tally.ready),
        ("Waiting for something", snapshot.lacking_count),
        ("Done since retouchd was started", tally.done),
        ("Failed since retouchd was started", tally.failed),
    )
    pairs = [tag("div", tag("dt", what), tag("dd", f"{number:,}")) for what, number in told]
    return tag("dl", *pairs, class_="numbers")


def _section(
    heading: str, items: Sequence[Html], about: str = "", more: int = 0, class_: str = "list"
) -> Html:
    """A list under its heading, cut at `MOST_LISTED`; nothing where nothing is on it. There are so
    many `more` that are not among its items."""
    if not items:
        return Html("")
    shown = list(items[:MOST_LISTED])
    more += len(items) - len(shown)
    if more:
        shown.append(tag("li", f"and {more:,} more", class_="quiet"))
    words = [tag("p", about, class_="quiet")] if about else []
    return tag("section", tag("h2", heading), *words, tag("ul", *shown, class_=class_))


def _running(running: Running) -> Html:
    tries = f", try {running.attempt}" if running.attempt > 1 else ""
    since = tag("span", "since ", moment(running.since), class_="when")
    says = tag("p", f"{_TASKS[running.task]}{tries}", class_="quiet")
    return tag("li", since, name_of(running.picture), says)


def _just_arrived(snapshot: Snapshot) -> Html:
    """What only has to stay as it is: with the words for that, or where the list of reasons was cut
    before them the names alone."""
    told = snapshot.unquiet[:MOST_LISTED]
    if not told:
        names = [tag("li", name_of(path)) for path in snapshot.settling]
        words = "Taken after some seconds without a change."
        more = snapshot.settling_count - len(names)
        return _section("Just arrived", names, words, more, class_="names")
    more = snapshot.waiting_for["not_quiet"] - len(told)
    return _section("Just arrived", _entries(told), more=more)


def _entries(told: Iterable[Waiting]) -> list[Html]:
    """One for each circle. In it pictures come first, since masks have longer names."""
    circles = (sorted(each, key=lambda w: (len(w.path), w.path)) for each in in_circles(told))
    return [_waiting(circle) for circle in circles]


def _waiting(circle: Sequence[Waiting]) -> Html:
    trouble = circle[0].report.trouble()
    first, *others = (name_of(each.path) for each in circle)
    return tag(
        "li",
        first,
        *(tag("div", name) for name in others),
        sentence(trouble),
        what_to_do(trouble.advice),
    )


def _models(snapshot: Snapshot) -> list[Html]:
    return [each for served in snapshot.devices for each in _served(served)]


def _served(served: Served) -> Iterator[Html]:
    for task, model in served.models.items():
        yield tag("li", f"{_WORK[task]} on {served.device}", tag("p", cut(model, MOST_OF_A_TEXT)))
    for own in served.folders:
        says = own.model or "The folder's model can't be used; its pictures wait."
        work = f"{_WORK[own.task]} on {served.device}, in "
        yield tag("li", work, name_of(own.folder), tag("p", cut(says, MOST_OF_A_TEXT)))
