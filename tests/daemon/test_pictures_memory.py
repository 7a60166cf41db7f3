"""How much is held at once while a large picture is decoded and written."""

import io
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import any_size
import cv2
import numpy as np
import pytest
import samples
import tifffile
from PIL import Image
from skimage import data

from daemon.worker import companions, pictures
from daemon.worker.pictures import Picture
from daemon.worker.pictures.parts import Parts

WIDTH, HEIGHT = 3000, 2000
PIXELS: Final = WIDTH * HEIGHT
# What buffers may take beside the pixels; libvips reads through more of them.
SLACK: Final = 8 << 20
DEEP_SLACK: Final = 20 << 20


def held_by(what: Callable[[], Any]) -> tuple[Any, int]:
    """What a call gives, and how many bytes the process held at its peak more than before it.

    The kernel's own count; the peak is set back to what is held now first.
    """
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    given = what()
    return given, memory("VmHWM") - before


def memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@lru_cache
def scan(bits: int, form: str) -> bytes:
    """A file of a photo with grain."""
    photo: Any = any_size.mirrored(data.coffee(), WIDTH, HEIGHT)
    if bits == 8:
        return samples.encoded(Image.fromarray(photo), form)
    deep, out = any_size.in_16_bits(photo), io.BytesIO()
    if form == "PNG":
        return bytes(cv2.imencode(".png", deep, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
    tifffile.imwrite(out, deep, photometric="rgb", rowsperstrip=64)
    return out.getvalue()


CASES = [(8, "JPEG"), (16, "TIFF"), (16, "PNG")]


@pytest.mark.parametrize(("bits", "form"), CASES)
def test_picture_is_decoded_without_a_second_copy_of_its_samples(bits: int, form: str) -> None:
    file, decoded = scan(bits, form), PIXELS * 3 * bits // 8
    picture, held = held_by(lambda: pictures.read_picture(file, PIXELS))
    assert picture.kept.nbytes == decoded
    # Pillow holds RGB in four bytes; nobody holds a second copy of the file.
    more = PIXELS * 4 if bits == 8 else 0
    assert held < decoded + more + (DEEP_SLACK if bits == 16 else SLACK)


def test_mask_is_read_in_a_few_bytes_a_pixel() -> None:
    picture = Picture(np.zeros((HEIGHT, WIDTH), np.uint8), (WIDTH, HEIGHT), 1, "PNG", READ)
    for mode, least in (("L", 1), ("RGBA", 4)):
        mask = Image.fromarray(any_size.holes(WIDTH, HEIGHT)).convert(mode)
        file = samples.encoded(mask, "PNG")
        read, held = held_by(partial(companions.read_mask, file, picture, PIXELS))
        assert read.values.nbytes == PIXELS
        assert held < (least + 2) * PIXELS + SLACK


@pytest.mark.parametrize("form", ["png", "tiff"])
@pytest.mark.parametrize(("bits", "source"), CASES[:2])
def test_result_is_written_without_a_copy_of_the_picture_or_of_the_file(
    tmp_path: Path, bits: int, source: str, form: Any
) -> None:
    picture = pictures.read_picture(scan(bits, source), PIXELS)
    mask, filled = any_size.holes(WIDTH, HEIGHT), picture.rgb()
    before = picture.kept.copy()
    with (tmp_path / "out").open("w+b") as out:
        _, held = held_by(
            lambda: pictures.write_retouched(picture, 255 - filled, mask, out, form, 95)
        )
        assert out.seek(0, io.SEEK_END) > PIXELS / 4
    # The negative, the hole as a mask, and the hole's own samples.
    assert held < (3 + 1 + 1) * PIXELS + SLACK
    assert np.array_equal(picture.kept, before)


READ = pictures.read_picture(samples.encoded(samples.photo(), "PNG"), PIXELS).read


def test_parts_are_read_as_one_file() -> None:
    parts = (b"", b"one", memoryview(b"two"), b"", b"three")
    whole = io.BytesIO(b"".join(parts))
    file = Parts(parts)
    random = np.random.default_rng(0)
    for _ in range(300):
        offset, whence = int(random.integers(0, 14)), int(random.integers(0, 3))
        offset = -min(offset, 11) if whence == 2 else offset
        at = min(whole.seek(offset, whence), 11)
        assert file.seek(offset, whence) == at
        size = int(random.integers(0, 8))
        whole.seek(at)
        assert bytes(file.read(size)) == whole.read(size)
