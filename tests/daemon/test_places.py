"""Files below a root are reached without following a link."""

import os
import stat
from pathlib import Path

import pytest

from daemon.places import Place


def test_a_place_never_leads_out_of_its_root() -> None:
    for path in ("/etc/passwd", "../x", "a/../../x", ".."):
        with pytest.raises(ValueError, match="leads out"):
            Place(Path("/spool"), path)


def test_a_place_knows_its_name_and_its_folder() -> None:
    place = Place(Path("/spool"), "day 1/cat.jpg")
    assert str(place) == "/spool/day 1/cat.jpg"
    assert (place.name, place.parent) == ("cat.jpg", Place(Path("/spool"), "day 1"))
    assert place.parent.parent == Place(Path("/spool")) == Place(Path("/spool")).parent
    assert place.beside("x") == Place(Path("/spool"), "day 1/x")
    assert Place(Path("/spool")) / "a" / "b" == Place(Path("/spool"), "a/b")


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_text("x")
    (tmp_path / "inbox").symlink_to("disk")
    assert Place(tmp_path / "inbox", "a").is_there()
    assert [name for name, _ in Place(tmp_path / "inbox").listing()] == ["a"]


def test_a_link_below_the_root_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "day").symlink_to(tmp_path / "outside")
    assert Place(root, "day").is_there()
    assert not Place(root, "day").is_folder()
    assert not Place(root, "day/a").is_there()
    with pytest.raises(NotADirectoryError) as caught, Place(root, "day").opened():
        pass
    assert caught.value.filename == str(root / "day")
    with pytest.raises(NotADirectoryError):
        Place(root, "day").listing()


def test_what_lies_at_a_link_is_the_link(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    about = Place(tmp_path, "a").about()
    assert about is not None
    assert stat.S_ISLNK(about.st_mode)


def test_names_that_no_file_system_holds_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in ("gone", "gone/a", "file/a", "x" * 300, "loop/a"):
        assert not Place(tmp_path, path).is_there(), path


def test_a_listing_tells_each_name_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "a").write_text("four")
    (tmp_path / "day" / "b").mkdir()
    found = dict(Place(tmp_path, "day").listing())
    assert sorted(found) == ["a", "b"]
    assert isinstance(found["a"], os.stat_result)
    assert found["a"].st_size == 4


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        Place(tmp_path, "a/b").listing()
        Place(tmp_path, "a/b/c").is_there()
        Place(tmp_path, "a/gone/c").is_there()
    assert len(os.listdir("/proc/self/fd")) == len(before)
