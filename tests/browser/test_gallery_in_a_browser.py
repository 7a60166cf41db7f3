"""The pages as a real browser shows them: opened as files, looked at, dragged, printed."""

import base64
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Chromium, Page
from chronicles import FACTS, Chronicle, done, snapshot
from driver import Site
from PIL import Image
from real_results import HOSTILE, Outbox, drop_hostile

from daemon.people.pages import Gallery
from daemon.people.pages.albums import PER_PAGE
from daemon.reasons import one_line
from daemon.settings import Settings
from daemon.spool.layout import open_spool

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


def test_without_scripts_half_is_before_and_nothing_is_broken(
    chromium: Chromium, outbox: Outbox
) -> None:
    page = chromium.opened("about:blank")
    page.ask("Emulation.setScriptExecutionDisabled", value=True)
    page.go(outbox.url("index.html"))
    shown = page.value("getComputedStyle(document.querySelector('.before')).clipPath")
    assert "50%" in shown
    assert page.value("document.querySelector('.slider input').hidden") is True
    assert "UTC" in page.value("document.querySelector('time').textContent")


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
    assert shown.count("the preview is no longer here") == 1


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


def test_an_old_status_says_that_it_is_old(chromium: Chromium, tmp_path: Path) -> None:
    spool = open_spool(Settings(spool=tmp_path / "spool"))
    stale = "document.querySelector('[data-stale]').hidden"
    age = "document.querySelector('[data-age]').textContent"
    now = chromium.opened("about:blank").value("Date.now()") / 1000
    for ago, is_hidden, words in ((0, True, "just now"), (7300, False, "2 hours ago")):
        gallery = Gallery(spool, Chronicle())
        gallery.update(snapshot(at=now - ago, ready=(str(ago),)))
        page = chromium.opened((spool.outbox / "status.html").as_uri())
        assert page.value(stale) is is_hidden
        assert words in page.value(age)


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
