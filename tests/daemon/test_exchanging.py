"""A user's file that comes into the way of one of ours at the last moment is never lost."""

import errno
import fcntl
import os
from collections.abc import Callable
from io import BufferedRandom
from pathlib import Path

import pytest
from test_hostile_swaps import EARLIER, in_the_midst_of_publishing
from test_jobs import RESULT

from daemon.places import Place
from daemon.spool import files, recovery
from daemon.spool.files import Ownership
from daemon.spool.layout import Spool

MARK, MINE = b"MARK ", b"the user's only copy"


class Crash(BaseException):
    """As a power cut: nothing catches it."""


def is_ours(content: bytes) -> bool:
    return content.startswith(MARK)


def write(page: Place, content: bytes) -> None:
    files.write_own_page(page, content, Ownership(), is_ours)


@pytest.fixture
def page(tmp_path: Path) -> Place:
    """A page of ours that is there already."""
    page = Place(tmp_path, "index.html")
    write(page, MARK + b"old")
    return page


def found(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


Arrive = Callable[[Path], object]
ARRIVALS: dict[str, Arrive] = {
    "a file": lambda path: path.write_bytes(MINE),
    "a link": lambda path: path.symlink_to("elsewhere"),
    "a folder": lambda path: path.mkdir(),
}


def arrives(
    monkeypatch: pytest.MonkeyPatch,
    path: Path,
    arrive: Arrive = ARRIVALS["a file"],
    *,
    crash: bool = True,
) -> None:
    """Have something come just before ours changes places with what was there; then a crash."""
    real, came = files._exchange, list[Path]()

    def exchange(one: Place, other: Place) -> bool:
        if path.is_file() and not came:
            path.unlink()
            arrive(path)
            came.append(path)
        is_done = real(one, other)
        if crash:
            raise Crash
        return is_done

    monkeypatch.setattr(files, "_exchange", exchange)


@pytest.mark.parametrize("arrive", ARRIVALS.values(), ids=ARRIVALS)
def test_a_users_file_that_came_in_the_way_of_a_page_is_there_after_a_crash(
    page: Place, monkeypatch: pytest.MonkeyPatch, arrive: Arrive
) -> None:
    with monkeypatch.context() as context:
        arrives(context, Path(str(page)), arrive)
        with pytest.raises(Crash):
            write(page, MARK + b"new")
    with pytest.raises(FileExistsError):
        write(page, MARK + b"newer")
    (only,) = page.root.iterdir()
    assert only.name == "index.html"
    assert not only.is_file() or only.read_bytes() == MINE


def test_where_its_name_is_taken_by_then_it_gets_one_beside_it(
    page: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        arrives(context, Path(str(page)))
        with pytest.raises(Crash):
            write(page, MARK + b"new")
    Path(str(page)).write_bytes(b"another of his")
    (page.root / "index.2.html").write_bytes(b"a third")
    with pytest.raises(FileExistsError):
        write(page, MARK + b"newer")
    assert found(page.root) == {
        "index.html": b"another of his",
        "index.2.html": b"a third",
        "index.3.html": MINE,
    }


def test_a_page_that_a_crash_left_hidden_goes(page: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        arrives(context, page.root / "none")
        with pytest.raises(Crash):
            write(page, MARK + b"new")
    assert len(found(page.root)) == 2
    write(page, MARK + b"newer")
    assert found(page.root) == {"index.html": MARK + b"newer"}


def test_a_users_file_that_can_not_be_read_goes_back(
    page: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files._is_page

    def fails(place: Place, is_ours: Callable[[bytes], bool]) -> bool:
        if place.name.startswith(".retouchd") and place.is_there():
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))
        return real(place, is_ours)

    monkeypatch.setattr(files, "_is_page", fails)
    arrives(monkeypatch, Path(str(page)), crash=False)
    with pytest.raises(OSError, match="Input/output"):
        write(page, MARK + b"new")
    assert found(page.root)["index.html"] == MINE
    monkeypatch.undo()
    with pytest.raises(FileExistsError):
        write(page, MARK + b"newer")
    assert found(page.root) == {"index.html": MINE}


@pytest.mark.parametrize("does_come", [True, False])
@pytest.mark.parametrize("does_crash", [True, False])
def test_a_users_file_that_came_between_is_there_after_a_crash(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, does_come: bool, does_crash: bool
) -> None:
    """A job's result is made again and replaces that of its earlier try, and nothing else."""
    in_the_midst_of_publishing(spool)
    result = spool.outbox / "day/cat.png"
    assert result.read_bytes() == EARLIER
    with monkeypatch.context() as context:
        arrives(context, result if does_come else spool.outbox / "none", crash=does_crash)
        try:
            recovery.recover(spool)
        except Crash:
            assert does_crash
    assert recovery.recover(spool).stuck is None
    results = {n: c for n, c in found(result.parent).items() if not n.endswith(".log")}
    if does_come:
        assert results == {"cat.png": MINE, "cat.2.png": RESULT}
    else:
        assert results == {"cat.png": RESULT}


@pytest.mark.parametrize("does_crash", [True, False])
def test_a_users_file_that_took_the_place_of_a_page_that_goes_is_shown_again(
    page: Place, monkeypatch: pytest.MonkeyPatch, does_crash: bool
) -> None:
    real = files.rename

    def rename(source: Place, target: Place) -> None:
        if source == page:
            Path(page.root, page.path).write_bytes(MINE)
        real(source, target)
        if does_crash:
            raise Crash

    monkeypatch.setattr(files, "rename", rename)
    try:
        files.remove_own_page(page, is_ours)
    except Crash:
        assert does_crash
    monkeypatch.undo()
    files.end_page_exchange(page, is_ours)
    assert found(page.root) == {"index.html": MINE}


def test_what_a_crash_left_of_a_copy_is_locked_until_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a process that has just made it could take it for its own meanwhile."""
    left, real, seen = tmp_path / "left", os.unlink, list[str]()
    left.write_bytes(b"half")

    def unlink(name: str, *, dir_fd: int) -> None:
        with left.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(name)
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    with Place(tmp_path).listable() as fd:
        files._remove_left(fd, left.name)
    assert seen == ["left"]
    assert not left.exists()


def test_a_copy_that_another_process_has_begun_anew_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which it can where the file system has no locks."""
    source, target = Place(tmp_path, "in/cat.jpg"), Place(tmp_path, "out/cat.jpg")
    for place in (source, target):
        (tmp_path / place.path).parent.mkdir()
    (tmp_path / source.path).write_bytes(MINE)
    hidden = tmp_path / target.beside(files._name_while_copied(source)).path
    real = files._copy

    def copy(source: Place, file: BufferedRandom, temporary: Place) -> None:
        real(source, file, temporary)
        hidden.unlink()
        hidden.write_bytes(b"the other's")

    def rename(source: Place, _: Place) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))

    monkeypatch.setattr(files, "_copy", copy)
    monkeypatch.setattr(files, "rename", rename)
    with pytest.raises(BlockingIOError):
        files.move(source, target)
    assert hidden.read_bytes() == b"the other's"
    assert (tmp_path / source.path).read_bytes() == MINE
