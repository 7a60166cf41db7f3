"""A page as a person reads it: what stands in each entry of its lists and in its boxes, by line."""

from collections import defaultdict
from html.parser import HTMLParser

# What begins a line of its own; all else runs on within one.
_LINES = {"p", "h1", "h2", "h3", "li", "div", "strong", "summary", "details", "ul", "dt", "dd"}


class Paragraphs(HTMLParser):
    """`lists` has the list items by the heading above them, `boxes` what stands in boxes with a
    heading of their own; each as its lines."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.lists: defaultdict[str, list[list[str]]] = defaultdict(list)
        self.boxes: list[list[str]] = []
        self._open: list[tuple[str, list[str] | None]] = []
        self._is_new_line = True
        self._heading = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._is_new_line |= tag in _LINES
        lines: list[str] | None = None
        if tag == "li":
            self.lists[self._heading].append(lines := [])
        elif tag == "div" and "state" in (dict(attrs).get("class") or "").split():
            self.boxes.append(lines := [])
        if tag not in ("img", "input", "meta"):  # which have no end
            self._open.append((tag, lines))

    def handle_endtag(self, tag: str) -> None:
        self._is_new_line |= tag in _LINES
        assert self._open.pop()[0] == tag, tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "h2":
            self._heading = data
        lines = next((found for _, found in reversed(self._open) if found is not None), None)
        if lines is None:
            return
        if self._is_new_line:
            lines.append(data)
        else:
            lines[-1] += data
        self._is_new_line = False
