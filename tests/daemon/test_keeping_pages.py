"""Pages are kept up to date beside the work, which never waits for them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from chronicles import Chronicle, done, snapshot
from driver import Daemon, Site, hole, photo, save
from structlog.testing import capture_logs

from daemon.people.pages import Gallery, Keeping
from daemon.spool.layout import Spool

PATIENCE_S = 20.0


@contextmanager
def keeping(spool: Spool, book: Chronicle, pause_s: float = 0.01) -> Iterator[Keeping]:
    kept = Keeping(Gallery(spool, book), pause_s, troubled_s=pause_s)
    try:
        yield kept
    finally:
        kept.end()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_shown_comes_to_be_on_the_pages(spool: Spool) -> None:
    book = Chronicle([done(1)])
    with keeping(spool, book) as kept:
        kept.show(snapshot())
        until(lambda: (spool.outbox / "status.html").exists())
        assert "cat 1.jpg" in (spool.outbox / "index.html").read_text()
        kept.show(snapshot(ready=("next.jpg",)))
        until(lambda: "next.jpg" in (spool.outbox / "status.html").read_text())


def test_a_disk_is_not_written_to_several_times_a_second(spool: Spool) -> None:
    book = Chronicle()
    with keeping(spool, book, pause_s=3600) as kept:
        kept.show(snapshot())
        until(lambda: (spool.outbox / "status.html").exists())
        book.entries.append(done(1))
        kept.show(snapshot())
        time.sleep(0.3)
        assert "cat 1.jpg" not in (spool.outbox / "index.html").read_text()
    # What was shown last is written at the end all the same.
    assert "cat 1.jpg" in (spool.outbox / "index.html").read_text()


def test_old_pages_that_are_owed_are_written_though_nothing_more_happens(spool: Spool) -> None:
    book = Chronicle([done(i) for i in range(500)])
    with keeping(spool, book) as kept:
        kept.show(snapshot())
        until(lambda: len(list((spool.outbox / "gallery").glob("*.html"))) == 11)


def test_nobody_waits_for_a_disk_that_hangs(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    gallery = Gallery(spool, Chronicle())
    monkeypatch.setattr(gallery, "update", lambda *_, **__: goes_on.wait(PATIENCE_S))
    kept = Keeping(gallery)
    began = time.monotonic()
    for _ in range(100):
        kept.show(snapshot())
    kept.end(most_s=0.2)
    assert time.monotonic() - began < 2
    goes_on.set()


def test_an_outbox_that_is_away_is_told_once_and_tried_again(spool: Spool) -> None:
    away = spool.outbox.rename(spool.outbox.parent / "away")
    with capture_logs() as logged, keeping(spool, Chronicle()) as kept:
        kept.show(snapshot())
        until(lambda: bool(logged))
        time.sleep(0.2)
        assert [each["event"] for each in logged] == ["page_not_written"]
        assert "is not there" in logged[0]["why"]
        away.rename(spool.outbox)
        until(lambda: (spool.outbox / "status.html").exists())
    assert len(logged) == 1


def test_an_error_of_our_own_is_told_once_and_the_next_is_tried(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery(spool, Chronicle())
    asked = []

    def update(given: object, **more: object) -> bool:
        asked.append(given)
        if len(asked) < 3:
            raise ZeroDivisionError("a mistake")
        return True

    monkeypatch.setattr(gallery, "update", update)
    with capture_logs() as logged:
        kept = Keeping(gallery, pause_s=0.01, troubled_s=0.01)
        kept.show(snapshot())
        until(lambda: len(asked) == 3)
        kept.end()
    assert len(asked) == 4  # at the end once more
    assert [each["why"] for each in logged] == ["ZeroDivisionError: a mistake"]


def test_a_run_leaves_its_results_on_the_pages(site: Site) -> None:
    site.environment |= {"RETOUCHD_PAGES": "true", "RETOUCHD_PREVIEWS": "true"}
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    save(photo(1), site.inbox / "dog.png")
    save(hole(40, 30), site.inbox / "dog_mask.png")
    save(photo(2), site.inbox / "lonely.png")
    save(photo(3), site.inbox / "as it was.png")
    save(0 * hole(), site.inbox / "as it was_mask.png")
    site.once()
    index = (site.outbox / "index.html").read_text()
    assert 'src="./cat.preview.jpg"' in index
    assert ".s96x64 {" in index
    assert "the mask is 40 x 30" in index
    assert "2 pictures done, 1 could not be done" in index
    assert '<p class="remark sentence">the mask marks nothing, so the picture is unchanged' in index
    status = (site.outbox / "status.html").read_text()
    assert "Not running" in status
    assert "1 file waits for you, and 1 picture could not be done" in status
    assert "lonely_mask.png" in status
    assert "the mask is 40 x 30" in status
    assert (site.outbox / "gallery" / "0001.html").exists()


def test_a_running_daemon_shows_each_result_soon(site: Site, start: Callable[..., Daemon]) -> None:
    site.environment |= {"RETOUCHD_PAGES": "true", "RETOUCHD_PREVIEWS": "true"}
    daemon = start(site)
    daemon.wait_until(lambda: (site.outbox / "status.html").exists(), "a status page")
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    daemon.wait_for("job_finished")
    index = site.outbox / "index.html"
    daemon.wait_until(lambda: "cat.preview.jpg" in index.read_text(), "the picture in the gallery")
    assert "Not running" not in (site.outbox / "status.html").read_text()
    daemon.stop()
    assert "Not running" in (site.outbox / "status.html").read_text()


def test_without_the_setting_there_are_no_pages(site: Site) -> None:
    save(photo(), site.inbox / "cat.png")
    save(hole(), site.inbox / "cat_mask.png")
    assert site.once("--no-pages").returncode == 0
    assert not [name for name in site.files("outbox") if name.endswith(".html")]
