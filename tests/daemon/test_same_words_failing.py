"""Why a pair fails is told everywhere in the same words; see test_same_words.py."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mutations_jpeg as jpeg
import numpy as np
import poisons
import pytest
import samples
import tiny
from driver import Daemon, Site, hole, photo, save
from recipes import DIES, FAILED, FAILS, drop, write_settings
from test_jobs import claim, saved
from wording import Row, check, told_everywhere, wait_until_told

from daemon.people import standing
from daemon.people.questions import scene as scenes
from daemon.settings import Settings
from daemon.spool.layout import open_spool
from daemon.spool.record import State

Start = Callable[..., Daemon]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "WATCHED_S", 0.2)
    monkeypatch.setattr(standing, "MOST_FAILURES", 50)  # else status has the newest five


# What fails.


@pytest.fixture(scope="module")
def failing_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has failed at every pair that there is a reason to fail at."""
    root = tmp_path_factory.mktemp("failing")
    model = tiny.write_inpaint(root / "invert.pt", smallest_size=4)
    site = Site(
        root / "spool",
        {
            "RETOUCHD_INPAINT_MODEL": str(model),
            "RETOUCHD_SETTINGS": write_settings(root / "settings.toml"),
            "RETOUCHD_MAX_PIXELS": "1000000",
            "RETOUCHD_MAX_FILE_MB": "1",
            "RETOUCHD_INCOMPLETE_S": "0",
            "RETOUCHD_OUTPUT_FORMAT": "webp",
        },
    )
    spool = open_spool(Settings(spool=site.root))
    superseded = claim(spool, "older")
    saved(spool, superseded, state=State.INBOX)
    (site.inbox / "older.jpg").touch()  # a newer one, which waits to be written
    vanished = claim(spool, "gone")
    (site.work / vanished.job / "in" / "picture").unlink()
    (site.outbox / "taken.png").write_bytes(b"a file where a folder would have to be")
    good = samples.encoded(samples.photo(), "PNG")
    drop(site, "corrupt.png", good[: len(good) // 2])
    drop(site, "text.png", b"no picture at all, but words")
    drop(site, "pages.tif", two_pages())
    drop(site, "deep.tif", samples.deep("TIFF", colour=True, dtype="float32"))
    drop(site, "lab.tif", samples.encoded(samples.in_mode("LAB"), "TIFF"))
    drop(site, "mismatch.png", mask=hole(width=50))
    drop(site, "pixels.png", np.zeros((1001, 1000, 3), np.uint8))
    drop(site, "bytes.png", good + bytes(1_000_000))
    drop(site, "bomb.jpg", jpeg.scan_bomb(samples.sample("jpeg"), 900, 900, 40_000))
    drop(site, "small.png", np.zeros((3, 3, 3), np.uint8), np.eye(3, dtype=np.uint8) * 255)
    drop(site, "white.png", mask=np.full_like(hole(), 255))
    wide = np.zeros((8, 16_384), np.uint8)
    wide[2:4, 2:4] = 255
    drop(site, "wide.png", np.zeros((8, 16_384, 3), np.uint8), wide)
    drop(site, "taken.png/one.png")
    save(photo(width=50), site.inbox / "dusty/size.png")
    save(photo(), site.inbox / "clear/solid.png")
    save(np.zeros((20, 20, 4), np.uint8), site.inbox / "clear/glass.png")
    daemon = told_everywhere(site).start()
    daemon.wait_until(
        lambda: (
            not site.jobs()
            and all(daemon.seen("job_failed", picture=name) for name in FAILS.values())
        ),
        "the end of all",
    )
    yield daemon
    daemon.stop()


def two_pages() -> bytes:
    return samples.encoded(
        samples.photo(), "TIFF", save_all=True, append_images=[samples.photo().rotate(180)]
    )


@pytest.mark.parametrize("reason", FAILS)
def test_what_fails_is_told_alike(reason: str, failing_site: Daemon) -> None:
    row = Row(reason, FAILS[reason], FAILED)
    wait_until_told(failing_site, row)
    check(failing_site.site, failing_site, row)


@pytest.fixture(scope="module")
def dying_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose pairs end their worker, or make it give up; each is tried once."""
    root = tmp_path_factory.mktemp("dying")
    model = poisons.write_moody(root / "moody.pt")
    timeout = str(poisons.TIMEOUT_S)
    site = poisons.site(root, model, RETOUCHD_MAX_ATTEMPTS="1", RETOUCHD_JOB_TIMEOUT_S=timeout)
    for name, poison in DIES.items():
        poison.drop(site.inbox / f"{name}.png")
    daemon = told_everywhere(site).start()
    daemon.wait_for("job_failed", times=len(DIES))
    yield daemon
    daemon.stop()


@pytest.mark.slow
@pytest.mark.parametrize("reason", DIES)
def test_what_is_given_up_after_its_tries_is_told_alike(reason: str, dying_site: Daemon) -> None:
    row = Row(reason, f"{reason}.png", FAILED)
    wait_until_told(dying_site, row)
    check(dying_site.site, dying_site, row)


@pytest.mark.slow
def test_a_mask_without_an_edge(both: Site) -> None:
    both.environment["RETOUCHD_MATTING_FOLDERS"] = "."
    drop(both, "cat.png", mask=np.zeros_like(hole()))
    check(both, logged_once(both), Row("mask_without_edge", "cat.png", FAILED))


@pytest.mark.slow
def test_windows_that_are_too_large(site: Site, tmp_path: Path) -> None:
    hungry = tiny.write_inpaint(tmp_path / "h.pt", memory_bytes_per_pixel=10**6, best_size=1000)
    site.environment["RETOUCHD_INPAINT_MODEL"] = str(hungry)
    drop(site, "cat.png", photo(width=1000, height=500), hole(width=1000, height=500))
    check(site, logged_once(site), Row("too_large_for_memory", "cat.png", FAILED))


def logged_once(site: Site) -> list[dict[str, Any]]:
    """What `retouchd once` logs, when it has done all there is."""
    ended = told_everywhere(site).once()
    return [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]


def test_a_stray_file(site: Site, start: Start) -> None:
    held = site.work / "20261122T065415-8b593955" / "in" / "picture"
    held.parent.mkdir(parents=True)
    site.work.chmod(0o700)
    held.write_bytes(b"whose is it?")
    daemon = start(site)
    daemon.wait_for("stray_set_aside")
    path = "stray/20261122T065415-8b593955/picture"
    check(site, daemon, Row("stray", path, ("log", "note", "why")))
