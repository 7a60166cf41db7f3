"""What a page says where the book can't be read."""

from daemon.people.pages.elements import Html, cut, tag
from daemon.people.pages.frame import MOST_OF_A_TEXT, what_to_do
from daemon.people.standing import advice_for_book
from daemon.reasons import Trouble


def unread(trouble: Trouble) -> Html:
    """A box that says so and what to do."""
    return tag(
        "div",
        tag("strong", "What has become of pictures can't be told"),
        tag("p", cut(trouble.sentence, MOST_OF_A_TEXT)),
        what_to_do(advice_for_book(trouble)),
        class_="state warn",
    )
