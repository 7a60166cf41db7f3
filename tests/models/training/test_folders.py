"""One's own folders: splits that stay, pairs by name, and a word on every file left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training.folders import cutouts_of_folder, photos_of_folder, read_masks
from models.training.pack import Cutout, PackError, Photo, read_cutouts, read_photos
from models.training.splits import SPLITS, split_of_name


def _save(path: Path, size: tuple[int, int] = (24, 16), mode: str = "RGB", shade: int = 99) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (shade, 0, 0) if mode == "RGB" else shade
    Image.new(mode, size, colour).save(path)


def _save_cutout(path: Path, softness: float = 0.0) -> None:
    """A cut-out in red whose left half is opaque, and a share of whose width is half so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((40, 100, 4), np.uint8)
    pixels[..., 0] = 250
    pixels[:, :50, 3] = 255
    pixels[:, 50 : 50 + int(100 * softness), 3] = 128
    Image.fromarray(pixels).save(path)


def _all_photos(folder: Path, said: list[str] | None = None) -> list[Photo]:
    said = [] if said is None else said
    return [photo for split in SPLITS for photo in photos_of_folder(folder, split, said.append)]


def _all_cutouts(folder: Path, said: list[str] | None = None) -> list[Cutout]:
    said = [] if said is None else said
    return [c for split in SPLITS for c in cutouts_of_folder(folder, split, said.append)]


def test_each_photo_lies_in_one_split_at_any_depth(tmp_path: Path) -> None:
    for number in range(120):
        _save(tmp_path / f"year{number % 3}" / "trip" / f"{number}.png", shade=number)
    photos = _all_photos(tmp_path)
    assert sorted(int(photo.pixels[0, 0, 0]) for photo in photos) == list(range(120))
    assert all(photo.split == split_of_name(photo.source[:-4]) for photo in photos)


def test_subfolders_named_as_splits_are_the_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        _save(tmp_path / split / "deep" / "a.png")
    assert [photo.name for photo in read_photos(tmp_path, "train")] == ["deep__a.png"]
    assert [photo.split for photo in read_photos(tmp_path, "test")] == ["test"]
    assert read_photos(tmp_path, "validation") == []


def test_one_folder_may_hold_photos_cutouts_and_masks(tmp_path: Path) -> None:
    _save(tmp_path / "photos" / "train" / "a.jpg")
    _save_cutout(tmp_path / "cutouts" / "train" / "b.png")
    _save(tmp_path / "masks" / "c.png", mode="L", shade=255)
    assert [photo.name for photo in read_photos(tmp_path, "train")] == ["a.jpg"]
    assert [cutout.name for cutout in read_cutouts(tmp_path, "train")] == ["b.png"]
    assert len(read_masks(tmp_path)) == 1


def test_pictures_beside_the_parts_and_the_splits_are_named(tmp_path: Path) -> None:
    for name in ("photos/train/a.jpg", "photos/b.jpg", "photos/more/c.jpg", "d.jpg"):
        _save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture, and nobody asks")
    said: list[str] = []
    found = list(photos_of_folder(tmp_path, "train", said.append))
    assert [photo.name for photo in found] == ["a.jpg"]
    assert [Path(line.split(":")[0]).name for line in said] == ["d.jpg", "b.jpg", "c.jpg"]
    assert "in none of the folders train, validation, test and was left out" in said[1]


def test_splits_may_be_named_in_capitals_and_val_for_short(tmp_path: Path) -> None:
    for folder in ("Train", "Val", "TEST"):
        _save(tmp_path / folder / "a.jpg")
    said: list[str] = []
    assert [photo.split for photo in _all_photos(tmp_path, said)] == list(SPLITS)
    assert said == []


def test_twelve_photos_of_ones_own_are_enough_to_train_and_to_validate(tmp_path: Path) -> None:
    for number in range(12):
        _save(tmp_path / f"photo {number}.jpg")
    assert all(split_of_name(f"photo {number}") == "train" for number in range(12))
    splits = [photo.split for photo in _all_photos(tmp_path)]
    assert (splits.count("train"), splits.count("validation")) == (11, 1)


def test_photo_that_cannot_be_used_does_not_stand_for_a_split(tmp_path: Path) -> None:
    """By their names the torn one is for validation, and the others for training."""
    for number in (1, 2):
        _save(tmp_path / f"photo {number}.jpg")
    (tmp_path / "photo 44.jpg").write_bytes(b"torn")
    said: list[str] = []
    assert {photo.split for photo in _all_photos(tmp_path, said)} == {"train", "validation"}
    assert len(said) == 1


def test_cutouts_are_not_taken_for_photos(tmp_path: Path) -> None:
    """Where nothing is told apart by folders, transparency does it; an alpha of 255 is none."""
    _save_cutout(tmp_path / "cut.png")
    _save(tmp_path / "photo.jpg")
    Image.new("RGBA", (9, 9), (1, 2, 3, 255)).save(tmp_path / "opaque.png")
    said: list[str] = []
    assert {photo.name for photo in _all_photos(tmp_path, said)} == {"photo.jpg", "opaque.png"}
    assert len(said) == 1
    assert "cut.png: is transparent in parts, so it is a cut-out and no photo" in said[0]


def test_photo_of_more_than_8_bits_is_left_out_and_named(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (8, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray(ramp.astype(np.int32)).save(tmp_path / "deeper.tif")
    Image.fromarray(ramp.astype(np.float32) / 65535).save(tmp_path / "float.tif")
    said: list[str] = []
    assert _all_photos(tmp_path, said) == []
    assert len(said) == 3
    assert all("Save it with 8 bits a channel. It was left out." in line for line in said)


def test_masks_are_not_taken_for_photos(tmp_path: Path) -> None:
    _save(tmp_path / "masks" / "c.png", mode="L")
    with pytest.raises(PackError, match="holds masks but no folder photos"):
        read_photos(tmp_path, "train")


def test_unreadable_photo_is_left_out_and_named(tmp_path: Path) -> None:
    _save(tmp_path / "train" / "good.png")
    (tmp_path / "train" / "torn.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    (tmp_path / "train" / "notes.txt").write_text("no picture, and nobody asks")
    (tmp_path / "train" / "._good.png").write_bytes(b"left behind by a Mac")
    said: list[str] = []
    assert [photo.name for photo in _all_photos(tmp_path, said)] == ["good.png"]
    assert len(said) == 1
    assert "torn.jpg: is no picture" in said[0]


def test_empty_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="holds no pictures"):
        read_photos(tmp_path, "train")
    with pytest.raises(PackError, match="there is no such folder"):
        list(photos_of_folder(tmp_path / "nowhere", "train"))


def test_soft_and_hard_cutouts_are_told_apart(tmp_path: Path) -> None:
    _save_cutout(tmp_path / "hair.png", softness=0.2)
    _save_cutout(tmp_path / "box.png", softness=0.01)
    assert {c.name: c.kind for c in _all_cutouts(tmp_path)} == {
        "hair.png": "soft",
        "box.png": "hard",
    }


def test_picture_without_transparency_is_no_cutout(tmp_path: Path) -> None:
    _save_cutout(tmp_path / "good.png")
    _save(tmp_path / "photo.png")
    said: list[str] = []
    assert [cutout.name for cutout in _all_cutouts(tmp_path, said)] == ["good.png"]
    assert len(said) == 1
    assert "nothing transparent" in said[0]


def test_two_trees_are_paired_by_name_and_never_by_position(tmp_path: Path) -> None:
    """Two photos and two mattes, of which one pair belongs together."""
    _save(tmp_path / "clip_img" / "1" / "clip_0" / "a.jpg", (100, 40), shade=10)
    _save(tmp_path / "clip_img" / "1" / "clip_0" / "b.jpg", (100, 40), shade=200)
    _save_cutout(tmp_path / "matting" / "1" / "matting_0" / "b.png")
    _save_cutout(tmp_path / "matting" / "1" / "matting_0" / "c.png")
    said: list[str] = []
    (cutout,) = _all_cutouts(tmp_path, said)
    assert cutout.source == "matting/1/matting_0/b.png"
    assert abs(int(cutout.pixels[0, 0, 0]) - 200) < 4
    assert cutout.pixels[0, 0, 3] == 255
    assert not cutout.pixels[0, 99, 3]
    assert {Path(line.split(":")[0]).name for line in said} == {"a.jpg", "c.png"}


def test_equal_names_in_other_folders_are_other_pairs(tmp_path: Path) -> None:
    for number, shade in ((0, 10), (1, 200)):
        _save(tmp_path / "clip" / f"clip_{number}" / "a.png", (100, 40), shade=shade)
        _save_cutout(tmp_path / "matting" / f"matting_{number}" / "a.png")
    found = {c.source: int(c.pixels[0, 0, 0]) for c in _all_cutouts(tmp_path)}
    assert found == {"matting/matting_0/a.png": 10, "matting/matting_1/a.png": 200}


def test_matte_of_another_size_than_its_photo_is_left_out(tmp_path: Path) -> None:
    _save(tmp_path / "clip" / "a.png", (50, 40))
    _save_cutout(tmp_path / "matting" / "a.png")
    said: list[str] = []
    assert _all_cutouts(tmp_path, said) == []
    assert "is not as large as" in said[0]


def test_photos_of_two_trees_are_those_of_the_clip_tree(tmp_path: Path) -> None:
    _save(tmp_path / "clip" / "a.jpg")
    _save_cutout(tmp_path / "matting" / "a.png")
    assert [photo.source for photo in _all_photos(tmp_path)] == ["clip/a.jpg"]


def test_masks_are_0_or_255_and_the_empty_one_is_left_out(tmp_path: Path) -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    _save(tmp_path / "empty.png", mode="L", shade=0)
    said: list[str] = []
    (mask,) = read_masks(tmp_path, said.append)
    assert mask.tolist() == [[0, 0, 255, 255]]
    assert "empty.png: has no hole" in said[0]


def test_folder_of_empty_masks_is_refused(tmp_path: Path) -> None:
    _save(tmp_path / "empty.png", mode="L", shade=0)
    with pytest.raises(PackError, match="White is the hole"):
        read_masks(tmp_path, lambda _: None)
