"""The gallery's pages: the newest results on `index.html`, all of them on numbered pages.

The pages are numbered from the oldest on, so that a full one never changes: whatever comes later
goes on later pages. The page of the newest is there even when nothing is on it yet, so that the one
before it can name it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from daemon.people.pages.beginning import how_to_begin
from daemon.people.pages.cards import card, shapes
from daemon.people.pages.elements import Html, joined, tag
from daemon.people.pages.frame import foot, page
from daemon.people.pages.remarks import of_models
from daemon.spool.entries import Ended

INDEX: Final = "index.html"
STATUS: Final = "status.html"
FOLDER: Final = "gallery"
# Pictures on a page: some rows of them, and at most a few megabytes of previews.
PER_PAGE: Final = 48

# More pages than these digits can count there never are.
_LONGEST_NUMBER: Final = 12

_HEADING: Final = "Retouched pictures"
_REACH: Final = re.compile(rb'<meta name="retouchd-reach" content="(\d+) ([0-9A-Za-z-]*)">')


@dataclass(frozen=True)
class Reach:
    """How far the pages go: so many entries of the book are on them, the last of them this job's.

    It stands in the index, which is written last, so all that it says is so.
    """

    count: int = 0
    job: str = ""

    def html(self) -> Html:
        """For the index's head."""
        return tag("meta", name="retouchd-reach", content=f"{self.count} {self.job}")

    @classmethod
    def in_page(cls, content: bytes) -> "Reach":
        """What an index says of it; nothing where it does not."""
        found = _REACH.search(content)
        return cls(int(found[1]), found[2].decode("ascii")) if found else cls()


def page_name(number: int) -> str:
    """The path of a numbered page in the outbox; the first has the oldest results."""
    return f"{FOLDER}/{number:04d}.html"


def number_of(name: str) -> int | None:
    """The number of a page by its file's name in its folder; None for another file."""
    base = name.removesuffix(".html")
    is_number = base.isascii() and base.isdecimal() and len(base) < _LONGEST_NUMBER
    return int(base) if is_number and page_name(int(base)) == f"{FOLDER}/{name}" else None


def page_of(position: int) -> int:
    """The number of the page on which the entry of this position is; the oldest has position 0."""
    return position // PER_PAGE + 1


def span(number: int) -> tuple[int, int]:
    """The positions of a page's entries, from and to."""
    return (number - 1) * PER_PAGE, number * PER_PAGE


def album(number: int, entries: Sequence[Ended], *, is_full: bool) -> bytes:
    """A numbered page of these entries, oldest first in the book and last on the page."""
    ways = [tag("a", "Newest", href=f"../{INDEX}")]
    if is_full:
        ways.append(tag("a", "Newer", href=f"{number + 1:04d}.html", rel="prev"))
    ways.append(tag("span", f"Page {number}" + ("" if number > 1 else ", the oldest pictures")))
    if number > 1:
        ways.append(tag("a", "Older", href=f"{number - 1:04d}.html", rel="next"))
    ways.append(tag("a", "What is going on", href=f"../{STATUS}"))
    about = "" if entries else "Nothing is on this page yet."
    return _page(f"{_HEADING}, page {number}", about, entries, ways, up="../")


def index(count: int, failures: int, newest: Sequence[Ended], reach: Reach) -> bytes:
    """The first page: the newest of `count` entries, in the book's order. `failures` of all were
    given up."""
    ways = [tag("a", "What is going on", href=STATUS)]
    older = count - len(newest)
    if older:
        ways.append(tag("a", "Older", href=page_name(page_of(older - 1)), rel="next"))
    if page_of(older - 1) > 1:
        ways.append(tag("a", "Oldest", href=page_name(1)))
    about = f"{_counted(count - failures, failures)}, the newest first" if count else "None so far"
    begin = None if count else how_to_begin()
    return _page(_HEADING, about, newest, ways, up="./", head=reach.html(), begin=begin)


def _counted(done: int, failures: int) -> str:
    """How many there are, those that could not be done by themselves."""
    lost = f"{failures:,} could not be done" if failures else ""
    if not done:
        return lost
    return f"{done:,} {'picture' if done == 1 else 'pictures'} done" + (lost and f", {lost}")


def _page(
    title: str,
    about: str,
    entries: Sequence[Ended],
    ways: Sequence[Html],
    *,
    up: str,
    head: Html | None = None,
    begin: Html | None = None,
) -> bytes:
    """A page of these entries; where there are none, with `begin`."""
    body = [
        tag("header", tag("h1", title), tag("p", about)),
        tag("nav", *ways, aria_label="Pages"),
    ]
    if entries:
        body.append(of_models(reversed(entries)))
        cards = [card(each, up) for each in reversed(entries)]
        body.append(tag("main", tag("ol", *cards, class_="cards")))
        body.append(tag("nav", *ways, aria_label="Pages, again"))
    else:
        body.append(tag("main", begin or ""))
    return page(title, joined(*body, foot()), style=shapes(entries), about=head)
