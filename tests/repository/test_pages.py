"""The tables of docs/ say what the code says; `make pages` writes them anew where they don't."""

import re
from pathlib import Path

import pages
import pytest

from daemon.events import Event
from daemon.reasons import REASONS, Kind


@pytest.mark.parametrize("page", pages.TABLES)
def test_the_tables_of_a_page_are_as_the_code_has_them(page: str) -> None:
    assert pages.written_anew(page) == (pages.DOCS / page).read_text("utf-8"), "run: make pages"


def test_every_reason_leads_from_the_troubleshooting_page_to_its_words() -> None:
    page = (pages.DOCS / "operations" / "troubleshooting.md").read_text("utf-8")
    linked = dict(re.findall(r"\[`(\w+)`\]\(\.\./reasons\.md#([\w-]+)\)", page))
    words = (pages.DOCS / "reasons.md").read_text("utf-8")
    sections = {pages.anchor(part.partition("\n")[0]): part for part in words.split("\n## ")}
    assert linked.keys() == REASONS.keys()
    for key, reason in REASONS.items():
        assert f"| `{key}` | {reason.says} | {reason.advice} |" in sections[linked[key]]


def test_the_events_by_which_reasons_show_exist() -> None:
    texts = [*pages.SHOWS.values(), *pages.SHOWS_ELSEWHERE.values()]
    named = {word for text in texts for word in re.findall(r"`(\w+_\w+)`", text)}
    assert named <= {event.value for event in Event}
    assert set(pages.SHOWS) == set(Kind)
    assert pages.SHOWS_ELSEWHERE.keys() <= REASONS.keys()


def test_a_table_that_went_stale_is_written_anew_and_the_text_around_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (pages.DOCS / "reasons.md").read_text("utf-8")
    stale = page.replace("no space is left", "some space is left")
    assert stale != page
    (tmp_path / "reasons.md").write_text(stale, "utf-8")
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    assert pages.written_anew("reasons.md") == page


def test_a_page_that_lost_a_heading_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reasons.md").write_text("# Reasons\n", "utf-8")
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    with pytest.raises(ValueError, match="It waits"):
        pages.written_anew("reasons.md")
