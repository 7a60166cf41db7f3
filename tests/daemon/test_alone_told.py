"""Pictures alone, in all that people and programs are told: pages, hooks, book, metrics, retry."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import PATIENCE_S, Pixels, Site, hole, load, photo, save
from PIL import Image
from scipy.ndimage import binary_erosion
from test_hooks import hook
from test_previews import PHOTO

from daemon.people.history import show_history
from daemon.people.rebuilding import rebuild_book
from daemon.settings import Settings
from daemon.spool.book import FOLDER, Book

# What JPEG may do to a picture with such holes.
LOSS = 25


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, inpaint_model: Path) -> Site:
    """A run over a folder with a mask and one of drawn holes, with everything on that tells."""
    root = tmp_path_factory.mktemp("alone")
    save(hole(), root / "dust.png")
    (root / "calls").mkdir()
    (root / "settings.toml").write_text(
        f'[folders.scans]\nmask = "{root / "dust.png"}"\n[folders.cut]\nalpha_as_mask = true\n'
    )
    site = Site(
        root / "spool",
        {
            "RETOUCHD_INPAINT_MODEL": str(inpaint_model),
            "RETOUCHD_SETTINGS": str(root / "settings.toml"),
            "RETOUCHD_PREVIEWS": "true",
            "RETOUCHD_PAGES": "true",
            "RETOUCHD_METRICS_FILE": str(root / "retouchd.prom"),
            "RETOUCHD_ON_SUCCESS": hook(root / "calls"),
            "RETOUCHD_ON_FAILURE": hook(root / "calls"),
        },
    )
    save(PHOTO, site.inbox / "scans" / "cat.png")
    save(photo(width=40, height=40), site.inbox / "scans" / "small.png")
    save(np.dstack([PHOTO, _opacity()]), site.inbox / "cut" / "dog.png")
    save(PHOTO, site.inbox / "cut" / "opaque.png")
    done = site.once()
    assert site.files("inbox") == [], done.stderr
    return site


def _opacity() -> Pixels:
    return np.where(hole() > 0, 0, 255).astype(np.uint8)


def panels(path: Path) -> list[Any]:
    with Image.open(path) as image:
        strip = np.asarray(image).astype(int)
    return np.split(strip, 3, axis=1)


def inside() -> Any:
    """The hole, less what JPEG mixes with what lies around it."""
    return binary_erosion(hole() > 0, iterations=4)


def test_the_preview_of_a_drawn_hole_shows_it_clear_then_marked_then_filled(told: Site) -> None:
    before, marked, after = panels(told.outbox / "cut" / "dog.preview.jpg")
    assert before[inside()].min() > 214 - LOSS  # the squares that stand for nothing
    red, green, blue = marked[inside()].mean(axis=0)
    assert red > 200 > blue > green
    assert after[inside()].mean() > 255 - LOSS  # the negative of black
    assert np.abs(after - load(told.outbox / "cut" / "dog.png")).mean() < LOSS


def test_the_preview_by_a_folders_mask_is_as_any(told: Site) -> None:
    before, marked, after = panels(told.outbox / "scans" / "cat.preview.jpg")
    assert np.abs(before - PHOTO).mean() < LOSS
    assert np.abs(after - load(told.outbox / "scans" / "cat.png")).mean() < LOSS
    assert marked[inside()].mean(axis=0)[0] > 150


def test_hooks_are_told_which_mask_served(told: Site) -> None:
    calls = told.root.with_name("calls").glob("*.json")
    jobs = {job["picture"]: job for job in (json.loads(path.read_bytes()) for path in calls)}
    assert {name: (job["outcome"], job["companion"]) for name, job in jobs.items()} == {
        "scans/cat.png": ("done", str(told.root.with_name("dust.png"))),
        "scans/small.png": ("failed", str(told.root.with_name("dust.png"))),
        "cut/dog.png": ("done", "cut/dog.png"),
        "cut/opaque.png": ("failed", "cut/opaque.png"),
    }
    assert jobs["scans/small.png"]["reason"] == "folder_mask_size"
    assert jobs["cut/dog.png"]["result"] == str(told.outbox / "cut" / "dog.png")


def test_pages_and_metrics_count_them(told: Site) -> None:
    index = (told.outbox / "index.html").read_text()
    assert 'src="./scans/cat.preview.jpg"' in index
    assert 'src="./cut/dog.preview.jpg"' in index
    assert "opaque.png" in (told.outbox / "status.html").read_text()
    metrics = told.root.with_name("retouchd.prom").read_text()
    assert 'retouchd_jobs_finished_total{task="inpaint",outcome="done"} 2' in metrics
    assert 'retouchd_jobs_finished_total{task="inpaint",outcome="failed"} 2' in metrics


def test_history_tells_what_served_as_the_mask(
    told: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(spool=told.root)
    assert show_history(settings, "cut/dog.png")
    assert "mask: its own transparency" in " ".join(capsys.readouterr().out.split())
    assert show_history(settings, "scans/cat.png")
    assert str(told.root.with_name("dust.png")) in capsys.readouterr().out


def test_a_lost_book_is_made_anew_from_their_logs_and_notes(told: Site, tmp_path: Path) -> None:
    settings = Settings(
        work=tmp_path / "work",
        spool=told.root,
    )
    (tmp_path / "work").mkdir(mode=0o700)
    assert not (tmp_path / "work" / FOLDER).exists()
    assert rebuild_book(settings) == 4
    found = {ended.picture: ended for ended in Book(tmp_path / "work").newest()}
    known = {ended.picture: ended for ended in Book(told.work).newest()}
    for name in ("scans/cat.png", "cut/dog.png"):
        both = [(e.job, e.outcome, e.role, e.companion) for e in (found[name], known[name])]
        assert both[0] == both[1]
    small = found["scans/small.png"]
    assert (small.companion, small.role) == (str(told.root.with_name("dust.png")), "mask")
    assert found["cut/opaque.png"].outcome == "failed"


def test_what_failed_alone_goes_back_alone_and_why_tells_of_it(told: Site) -> None:
    why = _say(told, "why", str(told.failed / "cut" / "opaque.png"))
    assert "nothing" in why.stdout
    assert "transparent" in why.stdout
    retried = _say(told, "retry")
    assert retried.returncode == 0, retried.stderr + retried.stdout
    assert told.files("inbox") == ["cut/opaque.png", "scans/small.png"]
    assert told.files("failed") == []
    asked = _say(told, "why", "cut/opaque.png")
    assert asked.returncode in (0, 1)
    assert "here transparency is one" in asked.stdout


def _say(site: Site, command: str, *asked: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        site.command(command, *asked),
        env=site.variables(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
