"""`retouchd status` on a real terminal, in tmux; and the picture of it in the docs."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import REPOSITORY, Daemon, Site, hole, photo, save
from terminal import Terminal, opened_terminal

from daemon.spool.pausing import pause

pytestmark = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")

PICTURE = REPOSITORY / "docs" / "status.svg"


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    # A socket's address holds 107 bytes, and tmp_path may be longer.
    with tempfile.TemporaryDirectory() as folder, opened_terminal(Path(folder)) as terminal:
        yield terminal


@pytest.fixture
def busy(site: Site, start: Callable[..., Daemon]) -> Daemon:
    """A daemon that has done something, could not do another, and waits for a third."""
    for name in ("beach", "harbour/boats"):
        save(photo(), site.inbox / f"{name}.png")
        save(hole(), site.inbox / f"{name}_mask.png")
    save(photo(), site.inbox / "portrait.png")
    save(hole(50, 41), site.inbox / "portrait_mask.png")
    save(photo(), site.inbox / "scan 0231.tif")
    daemon = start(site)
    daemon.wait_for("job_finished", times=2)
    daemon.wait_for("job_failed")
    return daemon


def test_a_terminal_shows_it_framed_and_watched_until_it_is_interrupted(
    busy: Daemon, terminal: Terminal
) -> None:
    site = busy.site
    terminal.start(site.command("status", "--watch"), site.variables())
    text = terminal.wait_for(lambda text: "2 in this run" in text, "two that are done")
    assert f"retouchd: running (pid {busy.pid}), nothing to do" in text
    assert "scan 0231.tif" in text
    assert "portrait.png" in text
    assert "╭" in text
    assert max(map(len, text.splitlines())) <= terminal.width
    picture = terminal.picture("retouchd status --watch")
    pause(site.work)
    terminal.wait_for(lambda text: "paused" in text, "the pause to be seen")
    terminal.press("C-c")
    ended = terminal.wait_for(lambda text: "ended with" in text, "its end")
    assert "ended with 0" in ended
    assert "Traceback" not in ended
    assert "scan&#160;0231.tif" in picture
    if os.environ.get("SCREENSHOTS"):
        PICTURE.write_text(picture)


def test_a_terminal_that_is_small_shows_what_matters_most(busy: Daemon) -> None:
    with tempfile.TemporaryDirectory() as folder, opened_terminal(Path(folder), 40, 12) as small:
        small.start(busy.site.command("status", "--watch"), busy.site.variables())
        text = small.wait_for(lambda text: "retouchd: running" in text, "the headline")
        time.sleep(0.2)
        assert "done" in text


def test_a_terminal_shows_it_once_and_ends(busy: Daemon, terminal: Terminal) -> None:
    terminal.start(busy.site.command("status"), busy.site.variables())
    text = terminal.wait_for(lambda text: "ended with" in text, "its end")
    assert "ended with 0" in text
    assert "╭" in text


def test_the_picture_in_the_docs_is_of_this_view_and_loads_nothing() -> None:
    picture = PICTURE.read_text()
    for words in ("retouchd&#160;status", "in&#160;the&#160;last&#160;hour", "failed&#160;lately"):
        assert words in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")
