"""Settings of folders in the real daemon: one mask for all, transparency, format and originals."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver import Daemon, Site, hole, inverted, load, photo, save

from daemon.worker.trimaps import draw_trimap

Start = Callable[..., Daemon]


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A mask for a folder, which lies outside the spool."""
    return save(hole(), tmp_path / "etc" / "dust.png")


def settle(site: Site, text: str) -> None:
    """Give the site a settings file."""
    file = site.root.with_name("retouchd.toml")
    file.write_text(text, encoding="utf-8")
    site.environment["RETOUCHD_SETTINGS"] = str(file)


def logged(stderr: str, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def test_a_picture_alone_is_filled_by_its_folders_mask_and_one_with_its_own_by_that(
    site: Site, mask: Path
) -> None:
    settle(site, f'[folders.scans]\nmask = "{mask}"\n')
    before, own = (mask.read_bytes(), mask.stat()), np.roll(hole(), 7, axis=1)
    alone = ("scans/cat.png", "scans/day 1/dog.png", "scans/images/cow.png")
    with_own = ("scans/own.png", "scans/images/tree.png")
    for name in (*alone, *with_own, "else/waits.png"):
        save(photo(), site.inbox / name)
    for name in ("scans/own_mask.png", "scans/masks/tree.png", "scans/lost_mask.png"):
        save(own, site.inbox / name)
    for name in ("a.png", "a_mask.png", "a.mask.png"):  # rivals wait, as everywhere
        save(photo(), site.inbox / "scans" / "rivals" / name)
    done = site.once()
    assert done.returncode == 0, done.stderr
    for names, meant in ((alone, hole()), (with_own, own)):
        for name in names:
            assert (load(site.outbox / name) == inverted(photo(), meant)).all()
    assert site.files("inbox") == [
        "else/waits.png",
        "scans/lost_mask.png",
        *(f"scans/rivals/{name}" for name in ("a.mask.png", "a.png", "a_mask.png")),
    ]
    masks = ("scans/own_mask.png", "scans/masks/tree.png")
    assert site.files("archive") == sorted((*alone, *with_own, *masks))
    assert (mask.read_bytes(), mask.stat()) == before
    assert [path.name for path in mask.parent.iterdir()] == ["dust.png"]
    check_told(site, mask, done.stderr)


def check_told(site: Site, mask: Path, stderr: str) -> None:
    """The log beside a result, and the daemon's own, name the mask and what made the pair."""
    sha = hashlib.sha256(mask.read_bytes()).hexdigest()
    log = (site.outbox / "scans" / "cat.log").read_text()
    (line,) = [line for line in log.splitlines() if line.startswith("mask:")]
    assert str(mask) in line
    assert f"sha256 {sha}" in line
    assert line.endswith("the mask of its folder")
    claimed = {each["picture"]: each for each in logged(stderr, "pair_claimed")}
    assert {name: each["how"] for name, each in claimed.items()} == {
        **dict.fromkeys(("scans/cat.png", "scans/day 1/dog.png", "scans/images/cow.png"), "folder"),
        "scans/own.png": "beside",
        "scans/images/tree.png": "trees",
    }
    assert claimed["scans/cat.png"]["companion"] == str(mask)
    finished = logged(stderr, "job_finished")
    (cat,) = [each for each in finished if each["picture"] == "scans/cat.png"]
    assert cat["companion_sha256"] == sha


@pytest.mark.slow
def test_in_a_matting_folder_a_trimap_is_made_from_the_folders_mask(both: Site, mask: Path) -> None:
    settle(
        both,
        f'matting_folders = ["shop"]\ntrimap_band_percent = 5\n[folders.shop]\nmask = "{mask}"\n',
    )
    save(photo(), both.inbox / "shop" / "cat.png")
    done = both.once()
    assert done.returncode == 0, done.stderr
    made = draw_trimap(hole() > 0, np.zeros(hole().shape, np.bool_), 3).values
    assert (load(both.outbox / "shop" / "cat.trimap.png") == made).all()
    assert both.files("archive") == ["shop/cat.png"]


def test_what_is_wrong_with_the_mask_keeps_its_pictures_waiting_and_fails_none(
    site: Site, mask: Path, start: Start
) -> None:
    settle(site, f'scan_interval_s = 0.3\n[folders.scans]\nmask = "{mask}"\n')
    content = mask.read_bytes()
    mask.unlink()
    for name in ("scans/cat.png", "scans/dog.png", "other.png"):
        save(photo(), site.inbox / name)
    save(hole(), site.inbox / "other_mask.png")
    daemon = start(site)
    daemon.wait_for("job_finished", picture="other.png")
    mask.write_bytes(b"no picture at all")
    given_back = daemon.wait_for("pair_given_back", reason="folder_mask_unusable")
    assert f"the mask of its folder, {mask}, can't be used: the mask is no" in given_back["says"]
    both = ["scans/cat.png", "scans/dog.png"]
    daemon.wait_until(lambda: site.files("inbox") == both and not site.jobs(), "both are back")
    assert {each["picture"] for each in daemon.seen("pair_claimed")} <= {*both, "other.png"}
    mask.with_name("new.png").write_bytes(content)
    mask.with_name("new.png").replace(mask)
    for name in both:
        daemon.wait_for("job_finished", picture=name)
        assert (load(site.outbox / name) == inverted(photo(), hole())).all()
    assert daemon.seen("job_failed") == []
    save(np.roll(hole(), 5, axis=0), mask)  # and each job reads it as it is then
    save(photo(), site.inbox / "scans" / "late.png")
    save(photo(width=50, height=40), site.inbox / "scans" / "small.png")
    daemon.wait_for("job_finished", picture="scans/late.png")
    late = load(site.outbox / "scans" / "late.png")
    assert (late == inverted(photo(), np.roll(hole(), 5, axis=0))).all()
    failed = daemon.wait_for("job_failed", picture="scans/small.png")
    assert failed["reason"] == "folder_mask_size"
    assert f"50 x 40 pixels and the mask of its folder, {mask}, is 96 x 64" in failed["says"]
    assert site.files("failed") == ["scans/small.png", "scans/small.png.reason.txt"]
    assert mask.exists()


def test_format_originals_and_marker_are_the_folders(site: Site, mask: Path) -> None:
    settle(
        site,
        f'[folders.scans]\nmask = "{mask}"\noutput_format = "tiff"\noriginals = "delete"\n'
        '[folders."scans/web"]\noutput_format = "webp"\noriginals = "archive"\n'
        f'[folders.marked]\ndone_marker = true\nmask = "{mask}"\n',
    )
    for name in ("scans/cat.png", "scans/web/dog.png", "marked/cow.png", "marked/hen.png"):
        save(photo(), site.inbox / name)
    save(hole(), site.inbox / "marked" / "cow_mask.png")
    (site.inbox / "marked" / "hen.done").touch()
    (site.inbox / "scans" / "cat.done").touch()  # nobody asks for it there
    done = site.once()
    assert done.returncode == 0, done.stderr
    assert site.files("outbox") == [
        *("marked/hen.log", "marked/hen.png"),
        *("scans/cat.log", "scans/cat.tif", "scans/web/dog.log", "scans/web/dog.webp"),
    ]
    assert site.files("archive") == ["marked/hen.png", "scans/web/dog.png"]
    assert site.files("inbox") == ["marked/cow.png", "marked/cow_mask.png", "scans/cat.done"]
    assert mask.exists()


def test_holes_drawn_as_transparency_are_filled_and_what_lacks_them_is_told(site: Site) -> None:
    settle(site, "[folders.cut]\nalpha_as_mask = true\n")
    alpha = np.where(hole() > 0, 0, 255).astype(np.uint8)
    save(np.dstack([photo(), alpha]), site.inbox / "cut" / "cat.png")
    save(np.dstack([photo(), alpha]), site.inbox / "cut" / "own.png")
    save(255 - alpha, site.inbox / "cut" / "own_mask.png")
    save(photo(), site.inbox / "cut" / "opaque.png")
    save(photo(), site.inbox / "cut" / "photo.jpg")
    done = site.once()
    assert done.returncode == 1
    # Black is what lies under transparency, whatever the file says; its negative is white.
    filled = np.where(hole()[..., None] > 0, 255, photo())
    assert np.array_equal(load(site.outbox / "cut" / "cat.png"), filled)
    assert load(site.outbox / "cut" / "own.png").shape[2] == 4  # a mask's hole stays transparent
    log = (site.outbox / "cut" / "cat.log").read_text()
    assert "mask:                 where the picture itself is wholly transparent\n" in log
    how = {each["picture"]: each["how"] for each in logged(done.stderr, "pair_claimed")}
    assert how == {"cut/cat.png": "alpha", "cut/own.png": "beside", "cut/opaque.png": "alpha"}
    (failed,) = logged(done.stderr, "job_failed")
    assert (failed["picture"], failed["reason"]) == ("cut/opaque.png", "nothing_transparent")
    assert site.files("inbox") == ["cut/photo.jpg"]
    assert "a .jpg file can't be transparent" in done.stdout
    assert site.files("archive") == ["cut/cat.png", "cut/own.png", "cut/own_mask.png"]
