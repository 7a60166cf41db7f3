"""An outbox as the daemon leaves it: the demo's photos, by the starter networks, and what it can't
do."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo_photos import JOBS
from driver import REPOSITORY, Daemon, Site, hole, photo, save

# Names that a page must show as they are: each of them gets a small picture, done or given up.
HOSTILE: Final = (
    "<script>document.title='run'<!--.png",
    "\"><img src=x onerror=document.title='run'>.png",
    "' onmouseover='document.title=1.png",
    "photo\u202egpj.exe.png",
    "two\nlines\tof text.png",
    os.fsdecode(b"caf\xe9 \xff.png"),
    "شعار الشركة.png",
    "javascript:document.title='run'.png",
    "%3Cb%3E&lt;b&gt;#?.png",
)


# Beside the outbox: the status as it was when something was being worked on.
LIVELY: Final = "lively"


@dataclass(frozen=True)
class Outbox:
    """An outbox, or another folder of a spool, with pages to open."""

    site: Site
    folder: str = "outbox"

    def url(self, page: str) -> str:
        return (self.site.root / self.folder / page).as_uri()


def networks_in(folder: Path) -> Path:
    """The starter networks, exported."""
    subprocess.run(
        [sys.executable, "-m", "export.cli", "starter", "--output", str(folder)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


def fill_outbox(root: Path, networks: Path) -> Outbox:
    """Have a real daemon do the demo's photos and leave pages."""
    site = Site(
        root,
        {
            "RETOUCHD_INPAINT_MODEL": str(networks / "inpaint.pt"),
            "RETOUCHD_MATTING_MODEL": str(networks / "matting.pt"),
            "RETOUCHD_PREVIEWS": "true",
            "RETOUCHD_PAGES": "true",
            "RETOUCHD_THREADS": "1",
        },
    )
    for job in JOBS:
        for picture, path in (
            (job.photo(), job.photo_path),
            (job.companion(), job.companion_path),
        ):
            (site.inbox / path).parent.mkdir(parents=True, exist_ok=True)
            picture.save(site.inbox / path, quality=92)
    _drop_others(site)
    daemon = Daemon(site, ())
    try:
        daemon.wait_until(lambda: _is_all_done(site), "all to be done and shown")
    finally:
        daemon.stop()
    return Outbox(site)


def _is_all_done(site: Site) -> bool:
    """Looks at the status, and keeps the last that says what is being worked on."""
    index, status = site.outbox / "index.html", site.outbox / "status.html"
    if not status.exists():
        return False
    if "Being worked on" in (text := status.read_text()):
        (site.root / LIVELY).mkdir(exist_ok=True)
        (site.root / LIVELY / "status.html").write_text(text)
    is_at_rest = "At work" not in text and "wait for you, and 1 picture could not" in text
    return is_at_rest and index.read_text().count("<h3>") > len(JOBS)


def drop_hostile(site: Site) -> None:
    """Every other one has a mask of another size, and fails."""
    for number, name in enumerate(HOSTILE):
        stem = name.removesuffix(".png")
        save(photo(number), site.inbox / name)
        mask = hole() if number % 2 else hole(60, 45)
        save(mask, site.inbox / f"{stem}_mask.png")
        save(photo(), site.inbox / "alone" / name)


def _drop_others(site: Site) -> None:
    """One whose mask is of another size, and some that wait."""
    save(photo(1, 120, 90), site.inbox / "shop" / "blue vase.jpg")
    save(hole(120, 80), site.inbox / "shop" / "blue vase_mask.png")
    save(photo(2), site.inbox / "shop" / "red vase.jpg")
    save(hole(), site.inbox / "scans" / "page 7_mask.png")
    (site.inbox / "phone").mkdir()
    (site.inbox / "phone" / "IMG_2041.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (site.inbox / "phone" / "IMG_2041_mask.png").write_bytes(b"")
