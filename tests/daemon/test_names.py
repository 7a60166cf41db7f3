"""Which names in an inbox are looked at."""

import pytest

from daemon.intake.names import (
    PICTURE_SUFFIXES,
    UNREADABLE_SUFFIXES,
    is_junk_file,
    is_junk_folder,
    split_suffix,
)


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.jpg",
        "._cat.jpg",  # macOS on a share
        ".cat.jpg.Xa81b2",  # rsync
        ".in.cat.jpg",  # lftp
        ".syncthing.cat.jpg.tmp",
        "~$cat.jpg",
        "cat.jpg~",
        "cat.jpg.part",
        "cat.jpg.PARTIAL",
        "cat.jpg.filepart",  # WinSCP
        "cat.jpg.crdownload",
        "Thumbs.db",
        "desktop.ini",
    ],
)
def test_what_uploaders_and_desktops_leave_is_junk(name: str) -> None:
    assert is_junk_file(name)


@pytest.mark.parametrize(
    "name",
    ["cat.jpg", "CAT.JPG", "-rf.jpg", "a b.png", "partial.jpg", "tmp.png", "cat~2.jpg", "\n.jpg"],
)
def test_a_picture_is_no_junk(name: str) -> None:
    assert not is_junk_file(name)


def test_a_newline_does_not_hide_that_a_name_is_junk() -> None:
    assert is_junk_file(".a\nb.jpg")
    assert is_junk_folder(".a\nb")


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".git"],
)
def test_folders_that_nas_boxes_and_desktops_keep_are_junk(name: str) -> None:
    assert is_junk_folder(name)


@pytest.mark.parametrize("name", ["images", "Masks", "day 1", "recycle", "eadir", "tmp"])
def test_an_ordinary_folder_is_no_junk(name: str) -> None:
    assert not is_junk_folder(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cat.JPG", ("cat", ".JPG")),
        ("cat.mask.png", ("cat.mask", ".png")),
        ("cat", ("cat", "")),
        (".cat", (".cat", "")),
        ("cat.", ("cat", ".")),
        ("", ("", "")),
    ],
)
def test_the_suffix_is_what_follows_the_last_dot(name: str, parts: tuple[str, str]) -> None:
    assert split_suffix(name) == parts


def test_no_suffix_is_both_read_and_refused() -> None:
    assert not PICTURE_SUFFIXES & UNREADABLE_SUFFIXES
