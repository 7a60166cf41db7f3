"""Pictures come upright and in 8 bits; those that would come out wrong are refused by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from models.training import decoding
from models.training.decoding import PictureError, decode_picture


def _ramp(height: int = 8) -> np.ndarray:
    return np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (height, 1))


def test_picture_with_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (80, 60)).save(path)
    monkeypatch.setattr(decoding, "MAX_PICTURE_PIXELS", 80 * 60 - 1)
    with pytest.raises(PictureError, match=r"large\.png: has 80 x 60 pixels"):
        decode_picture(path, str(path), "RGB")


def test_photo_is_turned_upright_as_its_camera_noted(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.new("RGB", (80, 60)).save(path, exif=exif)
    assert decode_picture(path, str(path), "RGB").shape == (80, 60, 3)


def test_torn_picture_is_refused_by_name(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray((_ramp(300) >> 8).astype(np.uint8)).save(whole)
    with pytest.raises(PictureError, match=r"^torn\.jpg: is no picture that can be read"):
        decode_picture(whole.read_bytes()[:-800], "torn.jpg", "RGB")


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_grey_of_more_than_8_bits_is_refused_in_every_mode(
    tmp_path: Path, dtype: type[np.generic], mode: str
) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(_ramp().astype(dtype)).save(path)
    with pytest.raises(PictureError, match=r"^deep\.tif: has more than 8 bits .* Save it with 8"):
        decode_picture(path, "deep.tif", mode)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_colours_of_16_bits_are_read_as_their_upper_eight(tmp_path: Path, ending: str) -> None:
    """Pillow scales these by itself, so there is no reason to refuse them."""
    path = tmp_path / f"deep.{ending}"
    cv2.imwrite(str(path), np.dstack([_ramp()] * 3))
    pixels = decode_picture(path, "deep", "RGB")
    assert np.array_equal(pixels, np.dstack([_ramp() >> 8] * 3))


def test_colours_are_the_same_with_alpha_and_without(tmp_path: Path) -> None:
    greys = Image.fromarray((_ramp() >> 8).astype(np.uint8))
    for mode, ending in (("L", "png"), ("P", "png"), ("CMYK", "jpg"), ("RGB", "webp")):
        path = tmp_path / f"{mode}.{ending}"
        greys.convert(mode).save(path)
        pixels = decode_picture(path, mode, "RGBA")
        assert np.array_equal(pixels[..., :3], decode_picture(path, mode, "RGB")), mode
        assert pixels[..., 3].min() == 255
