"""HTML in which whatever is not said to be HTML is shown as text.

The names of files are a stranger's: they reach a page through `tag`, `name_of` or `link_to` only,
and there is no other way to make `Html` of them.
"""

import html
import os
from typing import Final
from urllib.parse import quote

from daemon.reasons import one_line

# What has no content and no end.
_VOID: Final = frozenset({"img", "input", "meta"})
# More of a name than this says nothing more; all of it is shown by a pointer that rests on it.
MOST_SHOWN: Final = 90
_MOST_IN_A_TITLE: Final = 1000


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(element: str, /, *content: str, **attributes: str | int | bool | None) -> Html:
    """An element. Content that is no `Html` is text, and all characters of it are shown.

    An attribute that is False or None is left out; `class_` is `class`, `aria_label` `aria-label`.
    """
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text_of(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inside = "".join(text_of(part) for part in content)
    return Html(f"<{element}{told}>" + ("" if element in _VOID else f"{inside}</{element}>"))


def joined(*parts: str) -> Html:
    """One after the other; what is no `Html` is text."""
    return Html("".join(text_of(part) for part in parts))


def text_of(value: object) -> Html:
    """A text as HTML that shows it, on one line; `Html` as it is."""
    return value if isinstance(value, Html) else Html(html.escape(one_line(str(value))))


def name_of(path: str, most: int = MOST_SHOWN) -> Html:
    """The name of a file: cut where it is long, and never running into the text around it.

    Names that are written from right to left, and such as only pretend to be, stay in their place.
    """
    whole = one_line(path)
    shown = cut(whole, most)
    return tag("bdi", shown, title=cut(whole, _MOST_IN_A_TITLE) if shown != whole else None)


def cut(text: str, most: int) -> str:
    """A text without its middle where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def link_to(path: str, up: str) -> str:
    """Where a link to a file leads, `up` being the way from the page to the outbox.

    By the very bytes of its name, of which none but the slash means anything in a link.
    """
    return up + quote(os.fsencode(path), safe="/")
