"""The program that posts a job's facts to a URL; `hooks` runs it as it runs a hook.

A process and no function: looking up a name knows no time limit, and a server that sends a byte now
and then keeps to every one that a socket has. A process can be ended from outside. It imports the
standard library alone, so that it is there in a moment.

    echo '{"job": "…"}' | RETOUCHD_WEBHOOK_URL=https://… python webhook.py

Exit status 0 where the server answered 200 to 299; else 1, with why on standard error.
"""

import http.client
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

URL_VARIABLE: Final = "RETOUCHD_WEBHOOK_URL"
# Who starts this ends it sooner.
_LONGEST_WAIT_S: Final = 3600.0
# These repeat a line that the server has sent, and a server may send back what it was sent.
_REPEATING: Final = (http.client.BadStatusLine, http.client.UnknownProtocol)


class _NoOtherPlace(urllib.request.HTTPRedirectHandler):
    """A redirection would turn the POST into a GET, or lead where nobody meant."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: bytes) -> str | None:
    """Send it; None where it arrived, else why not, in a line. Of the URL, which may hold a secret,
    only the server's name is told.

    HTTPS is verified against the system's certificates.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "retouchd"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - checked with the settings
    server = urllib.parse.urlsplit(url).hostname
    try:
        opener = urllib.request.build_opener(_NoOtherPlace)
        with opener.open(request, timeout=_LONGEST_WAIT_S):
            return None
    except urllib.error.HTTPError as error:
        # What it says besides is not told: it may hold the URL, as many pages of errors do.
        error.close()
        # Nor what stands behind the number: it is told as HTTP names it.
        name = http.client.responses.get(error.code, "")
        return f"{server} answered {error.code} {name}".rstrip()
    except urllib.error.URLError as error:
        return f"{server} can't be reached: {_words(error.reason)}"
    except UnicodeError:  # two dots in a row, or a part of more than 63 letters
        return f"{server} can't be reached: no server can have that name"
    except (OSError, http.client.HTTPException) as error:
        return f"{server} did not answer as a server does: {_words(error)}"


def _words(error: str | BaseException) -> str:
    words = error.strerror if isinstance(error, OSError) else None
    if isinstance(error, _REPEATING) and not isinstance(error, OSError):
        words = "what it sent is no HTTP"
    return _one_line(words or str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    why = post(os.environ[URL_VARIABLE], sys.stdin.buffer.read())
    if why is not None:
        sys.exit(why)
