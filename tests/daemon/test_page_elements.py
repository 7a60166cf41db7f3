"""Whatever a file is called, a page shows it as text and links to that very file."""

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.people.pages.elements import Html, cut, joined, link_to, name_of, tag, text_of

HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "' onmouseover='alert(1).jpg",
    "javascript:alert(1).jpg",
    "a\nb\r\tc.jpg",
    "&lt;b&gt;&#60;.jpg",
    "--><!--.jpg",
    "photo\u202egpj.exe",
    "شعار.jpg",
    os.fsdecode(b"caf\xe9 \xff.jpg"),
    "%2e%2e%2f?#;.jpg",
    "..jpg",
    " .jpg ",
    "\u2028\u2029\x00\x1b[31m\x85.jpg",
]
NAMES = st.binary(min_size=1, max_size=60).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"/")))


class Reader(HTMLParser):
    """Reads HTML as a browser does: elements and their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_an_element_and_in_an_attribute(name: str) -> None:
    read = Reader(tag("p", name, title=name))
    assert [element for element, _ in read.elements] == ["p"]
    assert set(read.elements[0][1]) == {"title"}
    assert read.text == read.elements[0][1]["title"]
    assert read.text.isprintable()


@given(NAMES)
def test_any_name_is_text_and_its_link_leads_to_its_bytes(name: str) -> None:
    read = Reader(tag("a", name_of(name), href=link_to(name, "../")))
    assert [element for element, _ in read.elements] == ["a", "bdi"]
    link = read.elements[0][1]["href"]
    assert link is not None
    assert link.startswith("../")
    assert unquote_to_bytes(link.removeprefix("../")) == os.fsencode(name)
    assert link.isascii()
    assert not set(link) & set("\"'<>?#:\\ \n")


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\0" not in name])
def test_a_browser_finds_the_file_by_its_link(name: str, tmp_path: Path) -> None:
    page = (tmp_path / "outbox" / "index.html").as_uri()
    found = urljoin(page, link_to(f"a b/{name}", "./"))
    assert unquote_to_bytes(found.removeprefix("file://")) == os.fsencode(
        tmp_path / "outbox" / "a b" / name
    )


def test_a_name_that_looks_like_another_is_told_apart() -> None:
    assert Reader(name_of("photo\u202egpj.exe")).text == "photo\\u202egpj.exe"
    assert Reader(name_of("a\nb.jpg")).text == "a\\nb.jpg"
    assert Reader(name_of(os.fsdecode(b"\xff.jpg"))).text == "\\xff.jpg"


def test_a_name_is_kept_apart_from_the_text_around_it() -> None:
    assert joined("in ", name_of("شعار.jpg"), " now").startswith("in <bdi>شعار.jpg</bdi> now")


def test_a_long_name_is_cut_in_its_middle_and_whole_to_the_pointer() -> None:
    name = "a" * 300 + "-front.jpg"
    read = Reader(name_of(name))
    assert len(read.text) <= 90
    assert read.text.startswith("aaa")
    assert read.text.endswith("-front.jpg")
    assert read.elements == [("bdi", {"title": name})]
    longest = Reader(name_of("b" * 5000)).elements[0][1]["title"]
    assert longest is not None
    assert len(longest) <= 1000


@pytest.mark.parametrize("most", [4, 9, 10])
def test_what_is_cut_is_as_long_as_it_may_be(most: int) -> None:
    assert cut("0123456789", most) in ("0123456789", "01…9", "01234…789")
    assert len(cut("0123456789", most)) == most


def test_what_is_html_already_is_left_as_it_is_and_what_is_not_is_not() -> None:
    inner = tag("b", "a < b")
    assert tag("p", inner, "<i>") == "<p><b>a &lt; b</b>&lt;i&gt;</p>"
    assert text_of(Html("<hr>")) == "<hr>"


def test_attributes_that_are_not_there_are_left_out() -> None:
    assert tag("input", hidden=True, title=None, checked=False, aria_label="a", class_="b") == (
        '<input hidden aria-label="a" class="b">'
    )
