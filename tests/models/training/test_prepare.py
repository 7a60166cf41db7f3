"""Own folders in one pack, and a summary that tells all that whoever packed them should know."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training.pack import read_cutouts, read_photos
from models.training.prepare import PrepareError, pack_folders
from models.training.splits import SPLITS


def _save(path: Path, size: tuple[int, int] = (24, 16), shade: int = 99) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 0)).save(path)


def _save_cutout(path: Path) -> None:
    """100 pixels long, of which 50 are opaque and 20 half so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((40, 100, 4), 200, np.uint8)
    pixels[..., 3] = np.repeat((255, 128, 0), (50, 20, 30))
    Image.fromarray(pixels).save(path)


def test_own_folders_become_one_pack_that_reads_the_same(tmp_path: Path) -> None:
    for split in SPLITS:
        _save(tmp_path / "photos" / split / "a.png", (1500, 800))
        _save_cutout(tmp_path / "cut" / split / "b.png")
    (tmp_path / "cut" / "train" / "torn.png").write_bytes(b"no")
    pack = tmp_path / "pack.zip"
    summary = pack_folders(pack, photos=tmp_path / "photos", cutouts=tmp_path / "cut")
    assert set(summary.counts.values()) == {1}
    assert len(summary.counts) == 6
    assert summary.size_bytes == pack.stat().st_size
    assert "torn.png" in str(summary)
    (photo,) = read_photos(pack, "validation")
    assert photo.pixels.shape == (640, 1200, 3)
    (cutout,) = read_cutouts(pack, "test")
    assert (cutout.name, cutout.kind, cutout.licence) == ("b.png", "soft", "not stated")
    assert cutout.pixels.shape == (40, 70, 4)


def test_summary_tells_which_split_is_empty_and_what_settles_it(tmp_path: Path) -> None:
    for number in range(12):
        _save(tmp_path / "photos" / f"photo {number}.jpg")
    text = str(pack_folders(tmp_path / "pack.zip", photos=tmp_path / "photos"))
    assert "validation: 1 photos" in text
    assert "no photos for test: sort the photos into subfolders train, validation, test" in text
    assert "no cut-outs" not in text


def test_summary_can_be_printed_whatever_the_files_are_called(tmp_path: Path) -> None:
    _save(tmp_path / "good.jpg")
    _save(tmp_path / os.fsdecode(b"latin\xe9.jpg"))
    summary = pack_folders(tmp_path / "pack.zip", photos=tmp_path)
    assert "latin\\xe9.jpg: its name is not in UTF-8" in str(summary)
    str(summary).encode()


def test_pack_of_a_few_own_photos_is_the_same_bytes_again(tmp_path: Path) -> None:
    for number in (3, 1, 2, 0):
        _save(tmp_path / "one" / f"photo {number}.png", shade=number)
    for number in range(4):
        _save(tmp_path / "two" / f"photo {number}.png", shade=number)
    for name in ("one", "two"):
        pack_folders(tmp_path / f"{name}.zip", photos=tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_nothing_to_pack_is_said(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="No picture could be used"):
        pack_folders(tmp_path / "pack.zip")
