"""What all pages have in common: their head, what they may load, how they look."""

import base64
import hashlib
import time
from pathlib import Path
from typing import Final

import daemon
from daemon.people.pages.elements import Html, cut, joined, tag

# By this a page is known as one of ours, which may be replaced.
MARK: Final = '<meta name="generator" content="retouchd">'
# It stands among the first so many bytes.
MARK_WITHIN: Final = 512

# Of each list; what is more is counted.
MOST_LISTED: Final = 100
# Of a sentence or an advice, in which names may be long.
MOST_OF_A_TEXT: Final = 600

_STYLE: Final = Path(__file__).with_name("page.css").read_text("utf-8")
_SCRIPT: Final = Path(__file__).with_name("page.js").read_text("utf-8")


def page(title: str, body: Html, *, style: str = "", about: Html | None = None) -> bytes:
    """A page, whole. It loads nothing but pictures that lie beside it, and runs no script but ours.

    `style` comes after what all pages have, `about` into the head.
    """
    style = _STYLE + style
    head = joined(
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        about or Html(""),
        tag("title", title),
        tag("style", Html(style)),
    )
    whole = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MARK}\n{head}\n'
        f"</head>\n<body>\n{body}\n{tag('script', Html(_SCRIPT))}\n</body>\n</html>\n"
    )
    return whole.encode("utf-8")


def moment(seconds: float, **attributes: str) -> Html:
    """A moment, in UTC; the script shows it by the reader's own clock."""
    at = time.gmtime(seconds)
    return tag(
        "time",
        time.strftime("%Y-%m-%d %H:%M UTC", at),
        datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", at),
        **attributes,
    )


def is_own(content: bytes) -> bool:
    """Whether a page that begins so is one of ours."""
    return MARK.encode("ascii") in content[:MARK_WITHIN]


def foot() -> Html:
    """The last lines of a page."""
    return tag("footer", f"retouchd {daemon.__version__}")


def _policy(style: str) -> str:
    """What a browser may load and run. A page that is opened as a file is not always `self`."""
    return (
        f"default-src 'none'; img-src 'self' file:; style-src {_hash_of(style)}; "
        f"script-src {_hash_of(_SCRIPT)}; base-uri 'none'; form-action 'none'"
    )


def _hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def what_to_do(advice: str) -> Html:
    """The advice on what went wrong, or waits."""
    return tag("p", tag("b", "What to do: "), cut(advice, MOST_OF_A_TEXT))
