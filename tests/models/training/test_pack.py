"""A pack gives back what was put into it, is the same bytes each time, and is refused in words."""

import json
import resource
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training.pack import (
    Cutout,
    PackError,
    Photo,
    Pixels,
    Split,
    read_cutouts,
    read_photos,
    write_pack,
)


def _smooth(height: int, width: int, channels: int) -> Pixels:
    """A picture without fine detail, which JPEG keeps nearly as it is."""
    y, x = np.mgrid[:height, :width]
    ramps = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height), y * 0 + 90]
    return np.dstack(ramps[:channels]).astype(np.uint8)


def _photo(name: str, split: Split = "train") -> Photo:
    return Photo(name, f"{name}s", split, "a camera", "CC0-1.0", _smooth(40, 60, 3))


def _cutout(name: str, split: Split = "train") -> Cutout:
    pixels = np.random.default_rng(3).integers(0, 256, (30, 20, 4)).astype(np.uint8)
    pixels[:5, :, 3] = 0
    return Cutout(name, f"{name}s", split, "a stamp", "GPL-2", "soft", pixels)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "pack.zip"
    photos = [_photo("b"), _photo("a"), _photo("a", "test"), _photo("c", "validation")]
    write_pack(path, photos, [_cutout("z"), _cutout("y", "test")])
    return path


def test_photos_of_a_split_come_back_sorted_with_all_they_were_labelled(pack: Path) -> None:
    first, second = read_photos(pack, "train")
    assert (first.name, second.name) == ("a", "b")
    assert replace(first, pixels=second.pixels) == replace(_photo("a"), pixels=second.pixels)
    assert [photo.name for photo in read_photos(pack, "validation")] == ["c"]
    assert first.pixels.dtype == np.uint8
    difference = np.abs(first.pixels.astype(int) - _smooth(40, 60, 3))
    assert difference.mean() < 3


def test_cutouts_come_back_to_the_bit(pack: Path) -> None:
    (cutout,) = read_cutouts(pack, "train")
    assert cutout.kind == "soft"
    assert np.array_equal(cutout.pixels, _cutout("z").pixels)


def test_test_photos_keep_their_full_chroma(pack: Path) -> None:
    layers = {}
    with zipfile.ZipFile(pack) as file:
        for split in ("train", "test"):
            with file.open(f"photos/{split}/a.jpg") as photo, Image.open(photo) as picture:
                layers[split] = picture.layer[0][1:3]  # type: ignore[attr-defined]
    assert layers == {"train": (2, 2), "test": (1, 1)}


def test_same_pictures_in_another_order_give_the_same_bytes(pack: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    photos = [_photo("c", "validation"), _photo("a", "test"), _photo("a"), _photo("b")]
    write_pack(again, photos, [_cutout("y", "test"), _cutout("z")])
    assert again.read_bytes() == pack.read_bytes()


def test_everything_is_stored_without_further_compression(pack: Path) -> None:
    with zipfile.ZipFile(pack) as file:
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
        manifest = json.loads(file.read("manifest.json"))
        listed = [e["file"] for e in manifest["photos"] + manifest["cutouts"]]
        assert sorted(file.namelist()) == sorted(["manifest.json", *listed])


def test_two_pictures_of_one_name_are_refused_and_an_older_pack_stays(pack: Path) -> None:
    before = pack.read_bytes()
    with pytest.raises(PackError, match="Two pictures are called a"):
        write_pack(pack, [_photo("a"), _photo("a")], [])
    assert pack.read_bytes() == before


def test_pack_above_the_limit_is_not_written(pack: Path) -> None:
    before = pack.read_bytes()
    with pytest.raises(PackError, match="at most 100 are wanted"):
        write_pack(pack, [_photo("a")], [], limit_bytes=100)
    assert pack.read_bytes() == before
    assert [path.name for path in pack.parent.iterdir()] == ["pack.zip"]


def test_missing_foreign_and_torn_packs_are_refused_in_words(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="there is no such pack"):
        read_photos(tmp_path / "nowhere.zip", "train")
    torn = tmp_path / "torn.zip"
    torn.write_bytes(pack.read_bytes()[:-50])
    with pytest.raises(PackError, match="cut short"):
        read_photos(torn, "train")
    foreign = tmp_path / "foreign.zip"
    with zipfile.ZipFile(foreign, "w") as file:
        file.writestr("holiday.txt", "sun")
    with pytest.raises(PackError, match="has no manifest"):
        read_cutouts(foreign, "train")


def test_pack_of_a_later_version_is_refused(tmp_path: Path) -> None:
    later = tmp_path / "later.zip"
    manifest = {"format": "retouchd-pack", "version": 2, "photos": [], "cutouts": []}
    with zipfile.ZipFile(later, "w") as file:
        file.writestr("manifest.json", json.dumps(manifest))
    with pytest.raises(PackError, match="version 2, and 1 is known"):
        read_photos(later, "train")


def test_picture_with_a_flipped_bit_is_refused_by_name(pack: Path) -> None:
    with zipfile.ZipFile(pack) as file:
        info = file.getinfo("cutouts/train/z.webp")
    data = bytearray(pack.read_bytes())
    data[info.header_offset + 200] ^= 1
    pack.write_bytes(bytes(data))
    with pytest.raises(PackError, match=r"cutouts/train/z\.webp is missing or damaged"):
        read_cutouts(pack, "train")
    assert len(read_photos(pack, "train")) == 2


def test_only_a_pack_is_replaced(pack: Path, tmp_path: Path) -> None:
    """A slip in the name of the output must not cost a photo, whatever it is or holds."""
    photo, foreign = tmp_path / "keep.jpg", tmp_path / "foreign.zip"
    Image.new("RGB", (9, 9)).save(photo)
    with zipfile.ZipFile(foreign, "w") as file:
        file.writestr("manifest.json", "[]")
    for path in (photo, foreign):
        before = path.read_bytes()
        with pytest.raises(PackError, match="is no pack, so it is not replaced"):
            write_pack(path, [_photo("a")], [])
        assert path.read_bytes() == before
    with pytest.raises(PackError, match=r"is a folder\. Name a file in it"):
        write_pack(tmp_path, [_photo("a")], [])
    write_pack(pack, [_photo("new")], [])
    assert [photo.name for photo in read_photos(pack, "train")] == ["new"]


def test_disk_that_takes_no_more_is_told_with_the_name_of_the_pack(pack: Path) -> None:
    before = pack.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            write_pack(pack, [_photo("new")], [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert error.value.filename == str(pack)
    assert pack.read_bytes() == before
    assert [path.name for path in pack.parent.iterdir()] == ["pack.zip"]
