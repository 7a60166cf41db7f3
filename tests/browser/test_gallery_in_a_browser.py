"""The pages as a real browser shows them: opened as files, looked at, dragged, printed."""

import base64
import io
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import PATIENCE_S, BrowserError, Chromium, Page
from chronicles import FACTS, Chronicle, done, snapshot
from driver import Site
from PIL import Image
from real_results import HOSTILE, Outbox, drop_hostile

from daemon.people.pages import Gallery
from daemon.people.pages.albums import PER_PAGE
from daemon.reasons import one_line
from daemon.settings import Settings
from daemon.spool.layout import Spool, open_spool
from daemon.supervisor.tally import Tally

pytestmark = pytest.mark.browser

CARD = "[...document.querySelectorAll('.card')].find(c => c.textContent.includes('astronaut.tif'))"
# The widths of all pictures of a page, those further down as well, which are loaded later.
LOADED = """Promise.all([...document.images].map(async picture => {
    picture.loading = 'eager';
    await picture.decode().catch(() => 0);
    return picture.naturalWidth;
}))"""
AT_ONCE_S = 1.0


@pytest.fixture
def index(chromium: Chromium, outbox: Outbox) -> Page:
    return chromium.opened(outbox.url("index.html"))


def box(page: Page, what: str) -> tuple[float, float, float, float]:
    """Left, top, width and height of an element on the window."""
    sides = "(({x, y, width, height}) => [x, y, width, height])"
    x, y, width, height = page.value(f"{sides}({what}.getBoundingClientRect())")
    return x, y, width, height


def seen(page: Page) -> Any:
    return np.asarray(Image.open(io.BytesIO(page.picture(quality=95)))).astype(int)


def panels(strip: Path, size: tuple[int, int]) -> list[Any]:
    with Image.open(strip) as image:
        width = image.width // 3
        crops = [image.crop((i * width, 0, (i + 1) * width, image.height)) for i in range(3)]
    return [np.asarray(crop.resize(size)).astype(int) for crop in crops]


def drag(page: Page, to: float) -> tuple[float, float, float, float]:
    """Drag the astronaut's slider from its middle to a share of its width."""
    page.value(f"{CARD}.scrollIntoView()")
    x, y, width, height = box(page, f"{CARD}.querySelector('.slider')")
    page.mouse("Pressed", x + width / 2, y + height / 3)
    for step in range(1, 6):
        page.mouse("Moved", x + width * (0.5 + (to - 0.5) * step / 5), y + height / 3)
    page.mouse("Released", x + width * to, y + height / 3)
    return x, y, width, height


@pytest.mark.parametrize("to", [0.15, 0.85])
def test_the_slider_is_dragged_and_shows_before_left_and_after_right(
    index: Page, outbox: Outbox, to: float
) -> None:
    x, y, width, height = (round(each) for each in drag(index, to))
    value = int(index.value(f"{CARD}.querySelector('input').value"))
    assert value == pytest.approx(to * 100, abs=1)
    part = seen(index)[y : y + height, x : x + width]
    strip = outbox.site.outbox / "portraits" / "astronaut.preview.jpg"
    before, _, after = panels(strip, (part.shape[1], part.shape[0]))
    at, top = int(to * width), slice(0, height // 4)  # above what lies over the picture
    left, right = slice(4, max(8, at - 40)), slice(at + 40, width - 4)
    assert np.abs(part[top, left] - before[top, left]).mean() < 12
    assert np.abs(part[top, right] - after[top, right]).mean() < 12
    assert np.abs(part[top, right] - before[top, right]).mean() > 24


def test_the_slider_is_moved_with_the_keyboard(index: Page) -> None:
    index.value(f"{CARD}.querySelector('input').focus()")
    for _ in range(3):
        index.press("ArrowLeft", 37)
    assert index.value(f"{CARD}.querySelector('input').value") == "47"
    at = index.value(f"getComputedStyle({CARD}.querySelector('.slider')).getPropertyValue('--at')")
    assert at == "47%"


def test_a_slider_has_a_name_and_a_picture_has_words(index: Page) -> None:
    labels = index.value("[...document.querySelectorAll('input')].map(i => i.ariaLabel)")
    assert len(labels) == 4
    assert any("coffee.jpg" in label for label in labels)
    alts = index.value("[...document.querySelectorAll('.after')].map(i => i.alt)")
    assert all("before and after" in alt for alt in alts)


def without_scripts(chromium: Chromium, url: str) -> Page:
    """A page in a browser in which scripts are switched off."""
    page = chromium.opened("about:blank")
    page.ask("Emulation.setScriptExecutionDisabled", value=True)
    page.go(url)
    return page


def test_without_scripts_before_and_after_lie_side_by_side_whole(
    chromium: Chromium, outbox: Outbox
) -> None:
    page = without_scripts(chromium, outbox.url("index.html"))
    assert page.value(LOADED).count(0) == 0
    for number in range(4):
        slider = f"document.querySelectorAll('.slider')[{number}]"
        page.value(f"{slider}.scrollIntoView()")
        left, _, width, height = box(page, f"{slider}.querySelector('.before')")
        right, _, *size = box(page, f"{slider}.querySelector('.after')")
        assert right >= left + width
        assert size == pytest.approx([width, height], abs=0.1)
        strip = page.value(f"(i => [i.naturalWidth, i.naturalHeight])({slider}.children[0])")
        assert width / height == pytest.approx(strip[0] / 3 / strip[1], rel=0.02)
        _, _, whole, high = box(page, f"{slider}.closest('.frame')")
        assert max(width / (whole / 2), height / high) == pytest.approx(1, abs=0.02)
    for hidden in (".slider input", ".bar"):
        assert page.value(f"document.querySelector('{hidden}').checkVisibility()") is False
    clip = page.value("getComputedStyle(document.querySelector('.before')).clipPath")
    assert clip == "none"
    assert "UTC" in page.value("document.querySelector('time').textContent")


def test_a_sentence_begins_with_a_capital_and_its_text_stays_as_it_is(
    chromium: Chromium, outbox: Outbox
) -> None:
    page = chromium.opened(outbox.url("status.html"))
    of = "[...document.querySelectorAll('.list p')].find(p => p.textContent.includes('{}'))"
    begins = f"getComputedStyle({of}, '::first-letter').textTransform"
    assert page.value(begins.format("the picture waits")) == "uppercase"
    assert page.value(begins.format(".heic pictures")) == "none"
    assert page.value(f"{of}.textContent".format("the picture waits")).startswith("the picture")


@pytest.mark.parametrize("name", ["index.html", "status.html", "gallery/0001.html"])
def test_a_page_asks_for_nothing_from_elsewhere_and_nothing_is_refused(
    chromium: Chromium, outbox: Outbox, name: str
) -> None:
    page = chromium.opened(outbox.url(name))
    assert page.complaints() == []
    here = outbox.site.outbox.as_uri()
    assert all(address.startswith(here) for address in page.asked_for())
    assert page.value(LOADED).count(0) == 0


def test_the_policy_lets_no_other_script_run_and_nothing_be_fetched(index: Page) -> None:
    index.value(
        """new Promise(done => {
            const script = document.createElement('script');
            script.textContent = 'window.ran = true';
            const picture = document.createElement('img');
            picture.setAttribute('onerror', 'window.ran = true');
            picture.src = 'https://example.org/x.png';
            document.body.append(script, picture);
            setTimeout(done, 300);
        })"""
    )
    assert index.value("window.ran === undefined") is True
    assert any("Content Security Policy" in each for each in index.complaints())
    failed = index.browser.wait_for(index.session, "Network.loadingFailed")
    assert failed["blockedReason"] == "csp"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path) -> Outbox:
    """What the daemon leaves of pictures with hostile names, done and failed and waiting."""
    environment = {
        "RETOUCHD_INPAINT_MODEL": str(inpaint_model),
        "RETOUCHD_PREVIEWS": "true",
        "RETOUCHD_PAGES": "true",
    }
    site = Site(tmp_path_factory.mktemp("hostile") / "spool", environment)
    drop_hostile(site)
    ended = site.once()
    assert f"{len(HOSTILE) // 2} done, {(len(HOSTILE) + 1) // 2} failed" in ended.stdout
    return Outbox(site)


@pytest.mark.parametrize("name", ["index.html", "status.html", "gallery/0001.html"])
def test_hostile_names_are_text_and_run_no_script(
    chromium: Chromium, hostile: Outbox, name: str
) -> None:
    page = chromium.opened(hostile.url(name))
    assert page.value("document.title") in {
        "Retouched pictures",
        "Retouched pictures, page 1",
        "What retouchd is doing",
    }
    assert page.complaints() == []
    shown = page.value("document.body.innerText")
    for each in HOSTILE:
        if "status" in name:
            assert one_line(f"alone/{each}") in shown
        else:
            assert all(part in shown for part in one_line(each).split("/"))
    inner = page.value("document.querySelectorAll('bdi *').length")
    assert inner == 0


def test_previews_and_results_with_hostile_names_are_found_by_their_links(
    chromium: Chromium, hostile: Outbox
) -> None:
    page = chromium.opened(hostile.url("index.html"))
    assert len(page.value(LOADED)) == 2 * (len(HOSTILE) // 2)
    assert page.value(LOADED).count(0) == 0
    links = page.value("[...document.querySelectorAll('.files a')].map(a => a.href)")
    assert len(links) == 3 * (len(HOSTILE) // 2)
    for link in links:
        page.go(link)
        assert page.value("location.href") == link
        assert page.value("document.body !== null") is True


def test_a_preview_that_was_taken_away_is_told(
    chromium: Chromium, outbox: Outbox, tmp_path: Path
) -> None:
    shutil.copytree(outbox.site.outbox, tmp_path / "outbox")
    (tmp_path / "outbox" / "coffee.preview.jpg").unlink()
    page = chromium.opened((tmp_path / "outbox" / "index.html").as_uri())
    assert page.value(LOADED).count(0) == 2
    shown = page.value("document.body.innerText")
    assert shown.count("The preview is no longer here") == 1


def test_one_of_fifty_thousand_results_is_opened_at_once(
    chromium: Chromium, outbox: Outbox, tmp_path: Path
) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    strip = outbox.site.outbox / "coffee.preview.jpg"
    book = Chronicle([done(i, f"cat {i}.jpg", facts=FACTS) for i in range(50_000)])
    for number in range(49_900, 50_000):
        shutil.copyfile(strip, spool.outbox / f"cat {number}.preview.jpg")
    Gallery(spool, book).update(snapshot())
    page = chromium.opened("about:blank")
    times = [page.go((spool.outbox / "index.html").as_uri()) for _ in range(3)]
    assert page.value("document.querySelectorAll('.card').length") == PER_PAGE
    assert min(times) < AT_ONCE_S


def test_pictures_that_nobody_has_scrolled_to_are_printed_as_well(
    chromium: Chromium, outbox: Outbox, tmp_path: Path
) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    with Image.open(outbox.site.outbox / "coffee.preview.jpg") as strip:
        for number in range(PER_PAGE):
            strip.rotate(number).save(spool.outbox / f"cat {number}.preview.jpg")
    book = Chronicle([done(i, f"cat {i}.jpg") for i in range(PER_PAGE)])
    Gallery(spool, book).update(snapshot())
    page = chromium.opened((spool.outbox / "index.html").as_uri())
    assert page.value("[...document.images].every(i => i.complete)") is False
    printed = base64.b64decode(page.ask("Page.printToPDF")["data"])
    assert printed.count(b"/Subtype /Image") >= PER_PAGE


HEADS = """[...document.querySelectorAll('.state')].filter(box => box.checkVisibility())
    .map(box => [box.querySelector('strong').textContent, getComputedStyle(box).color])"""
AGE = "document.querySelector('[data-age]').textContent"


def status_of(chromium: Chromium, spool: Spool, ago_s: float, **more: bool) -> Page:
    """The status page that a gallery wrote so long ago, of a daemon that was at work."""
    now = chromium.opened("about:blank").value("Date.now()") / 1000
    at_work = snapshot(at=now - ago_s, tally=Tally(ready=2), ready=("next.jpg",) * 100)
    Gallery(spool, Chronicle([done(1)])).update(at_work, **more)
    return chromium.opened((spool.outbox / "status.html").as_uri())


def test_an_old_status_says_so_first_and_nothing_of_it_is_green(
    chromium: Chromium, tmp_path: Path
) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    page = status_of(chromium, spool, 0)
    ((heading, green),) = page.value(HEADS)
    assert heading == "At work"
    assert "just now" in page.value(AGE)
    page = status_of(chromium, spool, 7300)
    (lost, red), (heading, grey) = page.value(HEADS)
    assert lost.startswith("Not heard of since ")
    assert heading == "At work"
    assert len({green, red, grey}) == 3
    assert "2 hours ago" in page.value(AGE)


def test_the_status_of_who_was_stopped_stays_as_it_is(chromium: Chromium, tmp_path: Path) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    page = status_of(chromium, spool, 7300, is_over=True)
    assert [heading for heading, _ in page.value(HEADS)] == ["Not running"]


def test_without_scripts_a_new_status_does_not_say_that_it_is_old(
    chromium: Chromium, tmp_path: Path
) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    status_of(chromium, spool, 0)
    page = without_scripts(chromium, (spool.outbox / "status.html").as_uri())
    shown = page.value("document.body.innerText")
    assert "Not heard of" not in shown
    assert "This page was written at 20" in shown
    assert [heading for heading, _ in page.value(HEADS)] == ["At work"]


def test_an_open_status_shows_what_is_new_at_the_place_that_was_being_read(
    chromium: Chromium, tmp_path: Path
) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    page = status_of(chromium, spool, 0)
    page.value("scrollTo(0, 200)")
    text = (spool.outbox / "status.html").read_text()
    (spool.outbox / "status.html").write_text(text.replace("next.jpg", "later.jpg"))
    reload_after(page, "0")
    until(page, "document.body.innerText.includes('later.jpg')")
    until(page, "scrollY === 200")


def test_an_open_status_stays_while_something_is_marked_on_it(
    chromium: Chromium, tmp_path: Path
) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    page = status_of(chromium, spool, 0)
    page.value("window.isThere = true; getSelection().selectAllChildren(document.body)")
    reload_after(page, "0")
    page.value("new Promise(done => setTimeout(done, 4500))")  # it is looked every two seconds
    assert page.value("window.isThere") is True
    page.value("getSelection().removeAllRanges()")
    until(page, "window.isThere === undefined")


def reload_after(page: Page, seconds: str) -> None:
    """Have a status page be opened anew sooner than after half a minute."""
    page.value(f"document.querySelector('[data-reload]').dataset.reload = '{seconds}'")


def until(page: Page, is_so: str) -> None:
    """Wait for something to be so on a page, which may be just being loaded."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(BrowserError):
            if page.value(is_so):
                return
        assert time.monotonic() < deadline, is_so
        time.sleep(0.1)


def test_only_the_status_is_opened_anew_by_itself(chromium: Chromium, outbox: Outbox) -> None:
    found = "document.querySelectorAll('[data-reload], meta[http-equiv=refresh]').length"
    for name in ("index.html", "gallery/0001.html"):
        assert without_scripts(chromium, outbox.url(name)).value(found) == 0
    assert without_scripts(chromium, outbox.url("status.html")).value(found) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "status.html"])
def test_all_words_stand_out_from_what_is_behind_them(
    chromium: Chromium, outbox: Outbox, name: str, scheme: str
) -> None:
    page = chromium.opened(outbox.url(name), scheme=scheme)
    assert page.value(_LEAST_CONTRAST) >= 4.5  # WCAG 2.2, 1.4.3, level AA


# The least contrast of any text with the nearest background that is there (WCAG 2.2, 1.4.3).
_LEAST_CONTRAST = """(() => {
    const numbers = c => c.match(/[\\d.]+/g).map(Number);
    const light = c => {
        const [r, g, b] = numbers(c).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if ((numbers(c)[3] ?? 1) > 0.5) return c;
        }
    };
    let least = 21;
    for (const e of document.body.querySelectorAll('*')) {
        if (e.closest('.frame') || !e.checkVisibility()) continue;
        if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
        least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return least;
})()"""


@pytest.mark.parametrize(("width", "height"), [(360, 740), (800, 600), (1920, 1080)])
@pytest.mark.parametrize("which", ["outbox", "hostile"])
@pytest.mark.parametrize("name", ["index.html", "status.html"])
def test_no_page_is_wider_than_its_window(
    chromium: Chromium,
    request: pytest.FixtureRequest,
    which: str,
    name: str,
    width: int,
    height: int,
) -> None:
    shown: Outbox = request.getfixturevalue(which)
    page = chromium.opened(shown.url(name), width, height)
    assert page.value("document.documentElement.scrollWidth") <= width


def test_printed_each_picture_is_shown_before_mask_and_after(
    chromium: Chromium, outbox: Outbox
) -> None:
    page = chromium.opened(outbox.url("index.html"), 800, 1100, medium="print")
    for hidden in ("nav", ".slider input", ".bar", ".before", ".files"):
        assert page.value(f"document.querySelector('{hidden}').checkVisibility()") is False
    assert page.value(LOADED).count(0) == 0
    _, _, width, height = box(page, f"{CARD}.querySelector('.after')")
    with Image.open(outbox.site.outbox / "portraits" / "astronaut.preview.jpg") as strip:
        assert width / height == pytest.approx(strip.width / strip.height, rel=0.02)
