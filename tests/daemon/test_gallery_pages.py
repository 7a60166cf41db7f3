"""The gallery in the outbox: what is on its pages, when they are written, whose they are."""

import errno
import hashlib
import html
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from chronicles import FACTS, Chronicle, done, failed, lay_notes, snapshot
from structlog.testing import capture_logs
from test_page_elements import HOSTILE, Reader

from daemon.people.pages import Gallery
from daemon.people.pages.albums import PER_PAGE
from daemon.people.pages.frame import MARK, MARK_WITHIN
from daemon.places import Place
from daemon.reasons import Trouble
from daemon.spool import files
from daemon.spool.entries import Ended
from daemon.spool.layout import Spool
from daemon.worker.bands import Matte
from daemon.worker.filling import Filled
from daemon.worker.holes import Window

SETTLE = 12


@pytest.fixture
def book() -> Chronicle:
    return Chronicle()


@pytest.fixture
def gallery(spool: Spool, book: Chronicle) -> Gallery:
    return Gallery(spool, book)


def update(gallery: Gallery, **more: object) -> None:
    gallery.update(snapshot(**more))


def settled(spool: Spool, book: Chronicle) -> Gallery:
    """A gallery that has written all that is owed."""
    gallery = Gallery(spool, book)
    for _ in range(SETTLE):
        update(gallery)
    return gallery


def text(spool: Spool, page: str = "index.html") -> str:
    return (spool.outbox / page).read_text("utf-8")


def shown(spool: Spool, page: str = "index.html") -> list[str]:
    """The pictures on a page, from top to bottom."""
    return re.findall(r"<h3><bdi>(.*?)</bdi>", text(spool, page))


def names(numbers: range) -> list[str]:
    return [f"cat {number}.jpg" for number in numbers]


def pages(spool: Spool) -> dict[str, int]:
    """The numbered pages, each with its inode: another one is another writing."""
    return {path.name: path.stat().st_ino for path in (spool.outbox / "gallery").iterdir()}


# -- What is on them -------------------------------------------------------------------------------


def test_a_card_shows_before_and_after_and_leads_to_the_files(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    book.entries.append(done(1))
    update(gallery)
    read = Reader(text(spool))
    pictures = [given for element, given in read.elements if element == "img"]
    assert [each["src"] for each in pictures] == ["./holiday/cat%201.preview.jpg"] * 2
    assert pictures[0]["alt"] == "holiday/cat 1.jpg, before and after"
    links = [given["href"] for element, given in read.elements if element == "a"]
    assert [link for link in links if link and "holiday" in link] == [
        "./holiday/cat%201.png",
        "./holiday/cat%201.preview.jpg",
        "./holiday/cat%201.log",
    ]
    assert "Retouched · 4032 x 3024 · 2.5 s" in read.text
    assert "edgeconnect, stage 3, width 64, fp32" in read.text
    assert ".s480x360 { --shape: 480 / 360 }" in text(spool)


def test_the_cut_out_comes_first_among_what_a_cut_out_has(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    made = ("cat.log", "cat.preview.jpg", "cat.trimap.png", "cat.cutout.png", "cat.alpha.png")
    book.entries.append(done(1, "cat.jpg", task="matting", outputs=made))
    update(gallery)
    called = re.findall(r'<a href="\./cat[^"]*">(.*?)</a>', text(spool))
    assert called == ["<strong>Cut-out</strong>", "Alpha matte", "Trimap", "Preview", "Log"]


def folded(spool: Spool) -> str:
    """What is folded away on the index, and not printed."""
    return "".join(re.findall(r"<details>.*?</details>", text(spool)))


def test_a_model_that_is_weak_is_told_once_on_a_page_and_with_how_each_was_made(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    note, other = "the model: a small starter network", "the model: another one"
    book.entries += [done(i, facts=replace(FACTS, notes=(note,))) for i in range(3)]
    book.entries.append(done(3, facts=replace(FACTS, model="matting, fp32", notes=(note,))))
    book.entries.append(done(4, facts=replace(FACTS, model="matting, fp16", notes=(other,))))
    book.entries.append(done(5))
    update(gallery)
    assert re.findall(r"<p>(Made by .*?)</p>", text(spool)) == [
        "Made by matting, fp16: another one",
        "Made by matting, fp32; by edgeconnect, stage 3, width 64, fp32: a small starter network",
    ]
    assert text(spool).count(note) == 4
    assert folded(spool).count(note) == 4


def test_that_a_model_is_untrained_is_told_on_each_card(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    noise = "the model is UNTRAINED: its weights are random"
    book.entries += [done(i, facts=replace(FACTS, notes=(noise,))) for i in range(3)]
    update(gallery)
    assert text(spool).count(f'<p class="warning sentence">{noise}</p>') == 3


def test_what_is_to_be_known_of_a_result_is_not_folded_away(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    unchanged = "the mask marks nothing, so the picture is unchanged"
    new = "whatever a later version says of it"
    book.entries.append(done(1, facts=replace(FACTS, notes=(*FACTS.notes, unchanged, new))))
    update(gallery)
    for note in (unchanged, new):
        assert f'<p class="remark sentence">{note}</p>' in text(spool)
        assert note not in folded(spool)
    assert "Unchanged · 4032 x 3024" in Reader(text(spool)).text
    assert "Retouched · " not in Reader(text(spool)).text


def test_in_which_windows_it_was_done_is_folded_away(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    window = Window(top=0, left=0, height=64, width=64, scale=0.5, number=1)
    blank = np.zeros((256, 256, 3), np.uint8)
    box = (slice(0, 64), slice(0, 64))
    notes = (*Filled(blank, (window,)).notes, *Matte(blank[..., 0], (box,), 0).notes)
    assert len(notes) == 2
    book.entries.append(done(1, facts=replace(FACTS, notes=notes)))
    update(gallery)
    for note in notes:
        assert note in folded(spool)
        assert text(spool).count(note) == 1


def test_what_could_not_be_done_is_counted_by_itself(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    book.entries += [done(i) for i in range(60)]
    update(gallery)
    assert "60 pictures done, the newest first" in text(spool)
    book.entries += [failed(i) for i in range(60, 64)]
    update(gallery)
    assert "60 pictures done, 4 could not be done, the newest first" in text(spool)


def test_only_what_could_not_be_done_is_not_called_done(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    book.entries.append(failed(1))
    update(gallery)
    assert "<p>1 could not be done, the newest first</p>" in text(spool)


def test_who_has_dropped_nothing_yet_is_told_how_to_begin(spool: Spool, gallery: Gallery) -> None:
    update(gallery)
    for page in ("index.html", "status.html"):
        read = Reader(text(spool, page)).text
        assert "cat.jpg and cat_mask.png" in read
        assert "white where the photo shall be retouched" in read
        assert "cat_trimap.png" in read


def test_a_failure_is_told_in_the_words_of_its_reason(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    book.entries.append(failed(1))
    lay_notes(spool.failed, *book.entries)
    update(gallery)
    report = failed(1).report
    assert report is not None
    for page in ("index.html", "status.html"):
        read = Reader(text(spool, page)).text
        assert report.trouble().sentence in read
        assert report.trouble().advice in read
        assert "holiday/cat 1.jpg.reason.txt" in read


def test_a_result_without_a_preview_is_shown_without(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    book.entries.append(done(1, outputs=("a.log", "a.png"), facts=replace(FACTS, preview=None)))
    update(gallery)
    assert "<img" not in text(spool)
    assert "No preview" in text(spool)


def test_a_preview_whose_size_the_book_has_lost_has_the_shape_of_its_picture(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    book.entries.append(done(1, facts=replace(FACTS, preview=None, width=3000, height=4000)))
    update(gallery)
    assert ".s360x480 { --shape: 360 / 480 }" in text(spool)
    assert text(spool).count("<img") == 2


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("entry", [done, failed])
def test_no_name_gets_an_element_or_an_attribute_into_a_page(
    spool: Spool,
    book: Chronicle,
    gallery: Gallery,
    name: str,
    entry: Callable[..., Ended],
) -> None:
    # A slash in a name makes a line for the folder.
    book.entries.append(entry(1, "in/plain.jpg" if "/" in name else "plain.jpg"))
    lay_notes(spool.failed, *book.entries, entry(1, name))
    update(gallery)
    plain = {page: Reader(text(spool, page)) for page in ("index.html", "status.html")}
    book.entries[0] = entry(1, name)
    for path in plain:
        (spool.outbox / path).unlink()
    update(Gallery(spool, book))
    for page, before in plain.items():
        read = Reader(text(spool, page))
        assert [element for element, _ in read.elements] == [
            element for element, _ in before.elements
        ]
        known = {frozenset(given) for _, given in before.elements} | {frozenset({"title"})}
        assert {frozenset(given) for _, given in read.elements} <= known


def test_a_page_is_bounded_whatever_the_names_and_the_notes(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    longest = "/".join(["\u00e9" * 127] * 14) + "/x.jpg"
    facts = replace(FACTS, notes=tuple(f"the model: {i} " + "n" * 9000 for i in range(200)))
    book.entries += [done(i, longest, facts=facts) for i in range(PER_PAGE)]
    update(gallery)
    assert (spool.outbox / "index.html").stat().st_size < 5_000_000


# -- Pages and their order -------------------------------------------------------------------------


def test_the_index_shows_the_newest_first_and_leads_to_the_older(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(PER_PAGE + 10)]
    settled(spool, book)
    assert shown(spool) == names(range(PER_PAGE + 9, 9, -1))
    assert shown(spool, "gallery/0001.html") == names(range(PER_PAGE - 1, -1, -1))
    assert shown(spool, "gallery/0002.html") == names(range(PER_PAGE + 9, PER_PAGE - 1, -1))
    assert 'href="gallery/0001.html" rel="next">Older' in text(spool)
    assert 'href="0002.html" rel="prev">Newer' in text(spool, "gallery/0001.html")
    assert "Newer" not in text(spool, "gallery/0002.html")


@pytest.mark.parametrize("count", [0, 1, PER_PAGE - 1, PER_PAGE, PER_PAGE + 1, 3 * PER_PAGE])
def test_from_the_index_every_entry_is_reached_and_no_link_leads_nowhere(
    spool: Spool, book: Chronicle, count: int
) -> None:
    book.entries += [done(i) for i in range(count)]
    settled(spool, book)
    seen, found, left = set(), set(), [spool.outbox / "index.html"]
    while left:
        page = left.pop()
        seen.add(page)
        found |= set(shown(spool, str(page.relative_to(spool.outbox))))
        for link in re.findall(r'href="([^":]*\.html)"', page.read_text()):
            target = Path(os.path.normpath(page.parent / link))
            assert target.exists(), f"{page.name} leads to {link}"
            if target not in seen:
                left.append(target)
    assert found == set(names(range(count)))


def test_a_full_page_is_never_written_again(spool: Spool, book: Chronicle) -> None:
    book.entries += [done(i) for i in range(2 * PER_PAGE + 5)]
    gallery = settled(spool, book)
    before = pages(spool)
    book.entries.append(done(999))
    update(gallery)
    after = pages(spool)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"0003.html"}


def test_many_that_ended_at_once_are_all_on_pages(spool: Spool, book: Chronicle) -> None:
    book.entries.append(done(0))
    gallery = settled(spool, book)
    book.entries += [done(i) for i in range(1, 5 * PER_PAGE)]
    for _ in range(SETTLE):
        update(gallery)
    for number in range(1, 6):
        first = (number - 1) * PER_PAGE
        expected = names(range(first + PER_PAGE - 1, first - 1, -1))
        assert shown(spool, f"gallery/{number:04d}.html") == expected


# -- When they are written -------------------------------------------------------------------------


def test_nothing_is_written_where_nothing_has_changed(spool: Spool, book: Chronicle) -> None:
    book.entries += [done(i) for i in range(5)]
    gallery = settled(spool, book)
    before = {path: path.stat().st_ino for path in spool.outbox.rglob("*.html")}
    for second in range(5):
        update(gallery, at=snapshot().at + second)
    assert {path: path.stat().st_ino for path in spool.outbox.rglob("*.html")} == before


def test_the_status_alone_is_written_where_only_that_has_changed(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(5)]
    gallery = settled(spool, book)
    before = {path.name: path.stat().st_ino for path in spool.outbox.rglob("*.html")}
    update(gallery, ready=("cat.jpg",))
    after = {path.name: path.stat().st_ino for path in spool.outbox.rglob("*.html")}
    assert {name for name in after if after[name] != before[name]} == {"status.html"}
    assert "cat.jpg" in text(spool, "status.html")


@pytest.mark.parametrize("page", ["index.html", "status.html", "gallery/0001.html"])
def test_a_page_that_was_taken_away_is_made_anew(spool: Spool, book: Chronicle, page: str) -> None:
    book.entries += [done(i) for i in range(PER_PAGE + 5)]
    gallery = settled(spool, book)
    content = (spool.outbox / page).read_bytes()
    (spool.outbox / page).unlink()
    # An old page is missed at the next start, the others at once.
    update(Gallery(spool, book) if "gallery" in page else gallery)
    assert (spool.outbox / page).read_bytes() == content


def test_after_a_restart_nothing_is_read_of_old_pages(spool: Spool, book: Chronicle) -> None:
    book.entries += [done(i) for i in range(20 * PER_PAGE + 5)]
    settled(spool, book)
    before, book.read = pages(spool), 0
    update(Gallery(spool, book))
    assert pages(spool) == before
    assert book.read < 1000 + 3 * PER_PAGE  # the newest page, the index, and the failures


def test_pages_that_a_crash_left_behind_are_brought_up_to_date(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(PER_PAGE - 5)]
    settled(spool, book)
    book.entries += [done(i) for i in range(PER_PAGE - 5, 2 * PER_PAGE + 5)]
    update(Gallery(spool, book))  # the daemon that knew of these is gone
    assert shown(spool, "gallery/0001.html") == names(range(PER_PAGE - 1, -1, -1))
    assert shown(spool, "gallery/0002.html") == names(range(2 * PER_PAGE - 1, PER_PAGE - 1, -1))


def test_pages_of_another_book_are_all_written_anew(spool: Spool, book: Chronicle) -> None:
    book.entries += [done(i) for i in range(3 * PER_PAGE)]
    settled(spool, book)
    other = Chronicle([done(1000 + i) for i in range(3 * PER_PAGE)])
    settled(spool, other)
    assert shown(spool, "gallery/0001.html") == names(range(1000 + PER_PAGE - 1, 999, -1))


def test_pages_that_were_not_all_written_when_it_ended_are_written_by_the_next(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(30 * PER_PAGE)]
    update(Gallery(spool, book))
    assert len(pages(spool)) < 31
    for _ in range(2):
        update(Gallery(spool, book))  # each is ended after one update
    settled(spool, book)
    assert len(pages(spool)) == 31


def test_pages_of_another_book_that_were_not_all_replaced_are_replaced_by_the_next(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(12 * PER_PAGE)]
    settled(spool, book)
    other = Chronicle([done(1000 + i) for i in range(12 * PER_PAGE)])
    update(Gallery(spool, other))
    assert shown(spool, "gallery/0001.html") == names(range(PER_PAGE - 1, -1, -1))
    settled(spool, other)
    assert shown(spool, "gallery/0001.html") == names(range(1000 + PER_PAGE - 1, 999, -1))


# -- Whose they are --------------------------------------------------------------------------------


def _link(path: Path) -> None:
    (path.parent / "elsewhere.txt").write_text("mine")
    path.symlink_to("elsewhere.txt")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a page": lambda path: path.write_text("<!doctype html><title>mine</title>"),
    "an empty file": lambda path: path.write_bytes(b""),
    "a link": _link,
    "a folder": lambda path: path.mkdir(),
    "a mark that comes late": lambda path: path.write_text(" " * MARK_WITHIN + MARK),
}


@pytest.mark.parametrize("page", ["index.html", "status.html", "gallery/0001.html"])
@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_ours_is_left_alone_and_told_once(
    spool: Spool, book: Chronicle, page: str, what: str
) -> None:
    place = spool.outbox / page
    place.parent.mkdir(exist_ok=True)
    FOREIGN[what](place)
    before = place.lstat().st_ino
    with capture_logs() as logged:
        gallery = Gallery(spool, book)
        for number in range(5):
            book.entries.append(done(number))
            update(gallery)
    assert place.lstat().st_ino == before
    told = [each for each in logged if each["event"] == "page_not_written"]
    assert [each["page"] for each in told] == [page]
    others = {"index.html", "status.html", "gallery/0001.html"} - {page}
    assert all(MARK in text(spool, other) for other in others)
    assert not list(spool.outbox.rglob(".retouchd-*"))


def test_what_comes_into_the_place_of_a_page_just_now_is_left_alone(
    spool: Spool, book: Chronicle, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    update(gallery)
    real = files.rename

    def rename_too_late(*arguments: object) -> None:
        if str(arguments[1]).endswith("index.html"):
            (spool.outbox / "index.html").unlink()
            (spool.outbox / "index.html").write_text("mine")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "rename", rename_too_late)
    book.entries.append(done(1))
    update(gallery)
    assert text(spool) == "mine"
    assert not list(spool.outbox.rglob(".retouchd-*"))


def test_a_file_in_the_place_of_the_gallery_is_told_and_the_index_written(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    (spool.outbox / "gallery").write_text("mine")
    book.entries.append(done(1))
    with capture_logs() as logged:
        update(gallery)
        update(gallery)
    assert [each["page"] for each in logged] == ["gallery/0001.html"]
    assert shown(spool) == ["cat 1.jpg"]


@pytest.mark.parametrize("page", ["index.html", "status.html", "gallery/0001.html"])
def test_a_folder_where_a_page_is_made_up_keeps_no_other_page_from_being_written(
    spool: Spool, book: Chronicle, gallery: Gallery, page: str
) -> None:
    folder, name = os.path.split(spool.outbox / page)
    in_the_way = Path(folder, f".retouchd-{hashlib.sha256(name.encode()).hexdigest()[:16]}")
    in_the_way.mkdir(parents=True)
    with capture_logs() as logged:
        for number in range(3):
            book.entries.append(done(number))
            update(gallery, ready=(f"next {number}.jpg",))
    written = {"index.html", "status.html", "gallery/0001.html"} - {page}
    assert all(MARK in text(spool, each) for each in written)
    assert not (spool.outbox / page).exists()
    assert in_the_way.is_dir()
    assert [each["page"] for each in logged] == [page]
    assert str(in_the_way) in logged[0]["why"]


def test_what_is_in_the_way_of_many_pages_is_told_once(spool: Spool, book: Chronicle) -> None:
    (spool.outbox / "gallery").write_text("mine")
    book.entries += [done(i) for i in range(20 * PER_PAGE)]
    with capture_logs() as logged:
        settled(spool, book)
    assert len(logged) == 1
    assert "cat 959.jpg" in shown(spool)


def test_a_full_disk_is_no_single_pages_trouble(
    spool: Spool, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # As the disk itself answers in test_workplace and in the tests of operations.
    monkeypatch.setattr(files, "write_own_page", no_room)
    with capture_logs() as logged, pytest.raises(OSError, match="No space"):
        update(gallery)
    assert logged == []


@pytest.mark.parametrize("is_first", [True, False])
def test_where_the_book_cannot_be_read_the_status_is_told_all_the_same(
    spool: Spool, book: Chronicle, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    book.entries.append(failed(1))
    lay_notes(spool.failed, *book.entries)
    gallery = Gallery(spool, book)
    if not is_first:
        update(gallery)
    trouble = OSError(errno.EIO, "it is no regular file", "/s/work/.book/2026-11.jsonl")
    monkeypatch.setattr(book, "count", Mock(side_effect=trouble))
    with pytest.raises(Trouble, match=r"2026-11\.jsonl"):
        update(gallery, ready=("next.jpg",))
    told = html.unescape(text(spool, "status.html"))
    assert "next.jpg" in told
    assert "What has become of pictures can't be told" in told
    assert "/s/work/.book/2026-11.jsonl can't be read or written (it is no regular file)." in told
    assert "history --rebuild" in told
    assert ("cat 1.jpg" in told) is not is_first
    monkeypatch.undo()
    update(gallery)
    assert "can't be told" not in html.unescape(text(spool, "status.html"))
    assert shown(spool) == ["cat 1.jpg"]


def test_pages_beyond_a_book_from_which_months_were_taken_are_removed(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(5 * PER_PAGE)]
    settled(spool, book)
    mine = spool.outbox / "gallery" / "0005.html"
    mine.unlink()
    mine.write_text("mine")
    del book.entries[: 4 * PER_PAGE - 2]
    settled(spool, book)
    assert sorted(pages(spool)) == ["0001.html", "0002.html", "0005.html"]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("page", ["index.html", "status.html", "gallery/0001.html"])
def test_what_was_in_the_way_of_a_page_when_all_died_is_shown_again_though_no_page_changes(
    spool: Spool, book: Chronicle, page: str
) -> None:
    book.entries += [done(i) for i in range(2 * PER_PAGE)]
    settled(spool, book)
    place = spool.outbox / page
    tag = hashlib.sha256(place.name.encode()).hexdigest()[:16]
    (place.parent / f".retouchd-{tag}-whole").write_text("mine")
    settled(spool, book)
    assert "mine" in [path.read_text() for path in place.parent.glob("[!.]*.html")]
    assert not list(spool.outbox.rglob(".retouchd-*"))


def test_a_page_that_may_not_be_removed_keeps_no_other_from_going(
    spool: Spool, book: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.entries += [done(i) for i in range(8 * PER_PAGE)]
    settled(spool, book)
    real = files.remove_own_page

    def refused(place: Place, is_ours: Callable[[bytes], bool]) -> None:
        if place.name == "0005.html":  # as in a sticky folder, of somebody else's file
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(place))
        real(place, is_ours)

    monkeypatch.setattr(files, "remove_own_page", refused)
    del book.entries[PER_PAGE // 2 :]
    with capture_logs() as logged:
        settled(spool, book)
    assert sorted(pages(spool)) == ["0001.html", "0005.html"]
    assert [each["page"] for each in logged] == ["gallery/0005.html"]
    assert shown(spool) == names(range(PER_PAGE // 2 - 1, -1, -1))


def test_what_a_crash_left_hidden_of_a_page_goes_at_the_next_start(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(PER_PAGE)]
    settled(spool, book)
    folder = spool.outbox / "gallery"
    left = folder / f".retouchd-{hashlib.sha256(b'0001.html').hexdigest()[:16]}"
    left.write_bytes((folder / "0001.html").read_bytes())
    mine = folder / ".retouchd-mine"
    mine.write_text("mine")
    settled(spool, book)
    assert not left.exists()
    assert mine.read_text() == "mine"
    assert (folder / "0001.html").exists()


def test_what_comes_into_the_place_of_a_page_that_is_removed_stays(
    spool: Spool, book: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.entries += [done(i) for i in range(2 * PER_PAGE)]
    settled(spool, book)
    beyond, real = spool.outbox / "gallery" / "0003.html", files.rename

    def rename_too_late(source: Place, target: Place) -> None:
        if source.name == beyond.name:
            beyond.unlink()
            beyond.write_text("mine")
        real(source, target)

    monkeypatch.setattr(files, "rename", rename_too_late)
    del book.entries[PER_PAGE:]
    update(Gallery(spool, book))
    assert beyond.read_text() == "mine"
    assert sorted(pages(spool)) == ["0001.html", "0002.html", "0003.html"]
    assert not list(spool.outbox.rglob(".retouchd-*"))


def test_pages_get_the_mode_of_results_and_the_mark(
    spool: Spool, book: Chronicle, gallery: Gallery
) -> None:
    update(gallery)
    for page in ("index.html", "status.html", "gallery/0001.html"):
        path = spool.outbox / page
        assert path.stat().st_mode & 0o777 == spool.ownership.file_mode
        assert MARK.encode() in path.read_bytes()[:MARK_WITHIN]
    folder = (spool.outbox / "gallery").stat().st_mode & 0o7777
    assert folder == spool.ownership.folder_mode


# -- How long they take ----------------------------------------------------------------------------


def test_fifty_thousand_results_are_updated_in_less_than_a_second(
    spool: Spool, book: Chronicle
) -> None:
    book.entries += [done(i) for i in range(50_000)]
    gallery = Gallery(spool, book)
    times = []
    for number in range(12):
        began = time.process_time()
        update(gallery)
        times.append(time.process_time() - began)
        book.entries.append(done(50_000 + number))
    assert max(times) < 1
    assert shown(spool)[0] == "cat 50010.jpg"
