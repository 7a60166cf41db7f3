"""Pictures of the pages, of real results, as docs/outbox.md shows them.

Written into a temporary folder, or into the one that SCREENSHOTS names: `make screenshots`.
"""

import io
import os
from pathlib import Path

import pytest
from chromium import Chromium
from PIL import Image, ImageDraw
from real_results import LIVELY, Outbox

pytestmark = pytest.mark.browser

# Sliders as people leave them, and time for the pictures.
_MOVED = """new Promise(done => {
    document.querySelectorAll('.slider input').forEach((input, at) => {
        input.value = [18, 52, 30, 64][at % 4];
        input.dispatchEvent(new Event('input'));
    });
    setTimeout(done, 300);
})"""
MOST_BYTES = 300_000
GAP, CORNER, GROUND = 36, 14, (120, 124, 132)
DESKTOP, PHONE = (1180, 900), (390, 844)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(os.environ.get("SCREENSHOTS") or tmp_path)


@pytest.mark.parametrize(
    ("name", "picture"), [("index.html", "gallery.jpg"), ("status.html", "status-page.jpg")]
)
def test_a_page_looks_good_light_and_dark_on_a_desk_and_on_a_phone(
    chromium: Chromium, outbox: Outbox, folder: Path, name: str, picture: str
) -> None:
    shown = outbox if name == "index.html" else Outbox(outbox.site, LIVELY)
    sheet = Image.new("RGB", (DESKTOP[0] + PHONE[0] + 3 * GAP, DESKTOP[1] + 2 * GAP), GROUND)
    for (width, height), scheme, left in (
        (DESKTOP, "light", GAP),
        (PHONE, "dark", DESKTOP[0] + 2 * GAP),
    ):
        page = chromium.opened(shown.url(name), width, height, scheme=scheme)
        page.value(_MOVED)
        window = Image.open(io.BytesIO(page.picture(quality=95))).resize((width, height))
        grey = [window.getpixel((width // 2, y)) for y in range(0, height, 3)]
        assert len(set(grey)) > 10, "an empty page"
        sheet.paste(window, (left, GAP), _rounded(width, height))
    sheet.save(folder / picture, quality=84, optimize=True)
    assert (folder / picture).stat().st_size < MOST_BYTES


def _rounded(width: int, height: int) -> Image.Image:
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width - 1, height - 1), CORNER, fill=255)
    return mask
