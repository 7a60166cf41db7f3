"""The scan finds every regular file that could be a picture, and trusts nothing in the inbox."""

import os
import socket
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from daemon.intake.scan import MAX_DEPTH, Identity, Scan, scan
from daemon.spool.layout import HIDDEN_ROOMS, HIDDEN_WORK

ODD_NAMES = [
    "two words.jpg",
    "  .jpg",
    "👩‍👧 family.jpg",
    unicodedata.normalize("NFD", "Äpfel.jpg"),
    unicodedata.normalize("NFC", "Äpfel.jpg"),
    os.fsdecode(b"\xff\xfe.jpg"),
    "a" * 251 + ".jpg",
    "é" * 125 + "e.jpg",
    "two\nlines.jpg",
    "tab\tand \x1b[31mred.jpg",
    "-rf.jpg",
    "--help.jpg",
    "*.jpg",
    "back\\slash.jpg",
    'quo"te.jpg',
]


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def paths(found: Scan) -> list[str]:
    return sorted(entry.path for entry in found.pictures)


def test_pictures_in_nested_folders_are_found_with_their_relative_paths(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg")
    put(tmp_path / "shoot" / "day 1" / "b.PNG")
    assert paths(scan(tmp_path)) == ["a.jpg", "shoot/day 1/b.PNG"]


def test_identity_is_that_of_the_file(tmp_path: Path) -> None:
    file = put(tmp_path / "a.jpg", b"12345")
    (entry,) = scan(tmp_path).pictures
    assert entry.identity == Identity.of(file.stat())
    assert entry.identity.size == 5


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_is_found_as_it_is(tmp_path: Path, name: str) -> None:
    put(tmp_path / "in" / name)
    (entry,) = scan(tmp_path).pictures
    assert os.fsencode(entry.path) == os.fsencode(f"in/{name}")


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff"), "two\nlines", "a" * 255, "-r", "👩‍👧"])
def test_a_folder_with_an_odd_name_is_walked(tmp_path: Path, name: str) -> None:
    put(tmp_path / name / "a.jpg")
    assert paths(scan(tmp_path)) == [f"{name}/a.jpg"]


def test_every_suffix_is_read_in_any_case(tmp_path: Path) -> None:
    for name in (
        "a.jpg",
        "b.JPEG",
        "c.Jpe",
        "d.jfif",
        "e.PNG",
        "f.tif",
        "g.TIFF",
        "h.webp",
        "i.bmp",
    ):
        put(tmp_path / name)
    assert len(scan(tmp_path).pictures) == 9


def test_pictures_of_a_kind_not_read_here_are_listed_apart(tmp_path: Path) -> None:
    put(tmp_path / "a.HEIC")
    put(tmp_path / "b.jpg")
    found = scan(tmp_path)
    assert [entry.path for entry in found.unreadable] == ["a.HEIC"]
    assert paths(found) == ["b.jpg"]


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("notes.txt", "jpg", "cat", "cat.jpg.part", ".cat.jpg", "Thumbs.db", "cat."):
        put(tmp_path / name)
    assert scan(tmp_path) == Scan((), (), ())


def test_junk_folders_are_not_entered(tmp_path: Path) -> None:
    put(tmp_path / "@eaDir" / "cat.jpg" / "SYNOPHOTO_THUMB_M.jpg")
    for name in (HIDDEN_WORK, HIDDEN_ROOMS):
        put(tmp_path / name / "job" / "a.jpg")
    assert scan(tmp_path) == Scan((), (), ())


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "cat.jpg" / "dog.jpg")
    assert paths(scan(tmp_path)) == ["cat.jpg/dog.jpg"]


def test_links_pipes_and_sockets_are_passed_over(tmp_path: Path) -> None:
    secret = put(tmp_path / "elsewhere" / "secret.jpg")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "file.jpg").symlink_to(secret)
    (inbox / "folder").symlink_to(secret.parent)
    (inbox / "loop").symlink_to(inbox)
    (inbox / "dangling.jpg").symlink_to("nowhere")
    os.mkfifo(inbox / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(inbox / "socket.jpg"))
        assert scan(inbox) == Scan((), (), ())


def test_the_inbox_itself_may_be_a_link(tmp_path: Path) -> None:
    put(tmp_path / "real" / "a.jpg")
    (tmp_path / "inbox").symlink_to("real")
    assert paths(scan(tmp_path / "inbox")) == ["a.jpg"]


def test_a_missing_inbox_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "gone")


def test_an_inbox_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        scan(put(tmp_path / "inbox"))


def test_one_folder_that_cannot_be_listed_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a" / "a.jpg")
    put(tmp_path / "locked" / "b.jpg")
    put(tmp_path / "z" / "z.jpg")
    listing = os.scandir

    def refuse(fd: int) -> "os._ScandirIterator[str]":
        # Root may list anything, so the refusal is played.
        if Path(f"/proc/self/fd/{fd}").readlink().name == "locked":
            raise PermissionError(13, "Permission denied")
        return listing(fd)

    monkeypatch.setattr(os, "scandir", refuse)
    found = scan(tmp_path)
    assert paths(found) == ["a/a.jpg", "z/z.jpg"]
    assert [Path(str(error.filename)).name for error in found.errors] == ["locked"]


def dig(folder: Path, name: str, depth: int) -> None:
    """Make folders inside each other, with a picture in the last, however long the path gets."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.jpg", os.O_CREAT, dir_fd=here))
    os.close(here)


def test_a_tree_is_walked_a_hundred_folders_deep(tmp_path: Path) -> None:
    dig(tmp_path, "d", MAX_DEPTH)
    assert paths(scan(tmp_path)) == ["d/" * MAX_DEPTH + "a.jpg"]


def test_a_tree_a_thousand_folders_deep_is_told_and_hides_no_other(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg")
    dig(tmp_path, "d", 1100)
    try:
        found = scan(tmp_path)
        assert paths(found) == ["a.jpg"]
        (error,) = found.errors
        assert "more than 100 folders deep" in str(error)
        assert Path(error.filename) == tmp_path / Path(*["d"] * (MAX_DEPTH + 1))
    finally:
        # Python's own way to remove a tree is recursive, and pytest's clean-up would meet it.
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_file_is_found_where_its_path_is_longer_than_a_path_may_be(tmp_path: Path) -> None:
    dig(tmp_path, "d" * 255, 20)
    found = scan(tmp_path)
    assert [entry.path.count("/") for entry in found.pictures] == [20]
    assert found.errors == ()


def test_a_folder_that_becomes_a_link_after_it_was_listed_is_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "outside" / "secret.jpg")
    put(tmp_path / "inbox" / "day" / "a.jpg")
    opened = os.open

    def swap_and_open(path: str, how: int, **more: Any) -> int:
        if path == "day":
            (tmp_path / "inbox" / "day").rename(tmp_path / "gone")
            (tmp_path / "inbox" / "day").symlink_to(tmp_path / "outside")
        return opened(path, how, **more)

    monkeypatch.setattr(os, "open", swap_and_open)
    found = scan(tmp_path / "inbox")
    assert found.pictures == ()
    assert [type(error) for error in found.errors] == [NotADirectoryError]


def test_a_scan_opens_and_changes_no_file(tmp_path: Path) -> None:
    file = put(tmp_path / "a.jpg")
    os.utime(file, ns=(1, 1))
    before = file.stat()
    scan(tmp_path)
    assert file.stat() == before
