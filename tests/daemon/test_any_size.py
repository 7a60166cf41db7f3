"""Pictures from strips to panoramas through the whole program, with the networks that come with it.

Outside the mask nothing changes, the file says what it said, memory is bounded, and what was filled
does not begin with a step.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import any_size
import numpy as np
import pytest
import samples
import tifffile
from any_size import SIZES, Size
from driver import REPOSITORY, Site
from numpy.typing import NDArray
from PIL import Image
from skimage import data

# What the program takes with a picture of hardly any size: torch, a network, its windows.
BASE_MB: Final = 720
# What is held at once for a pixel, mostly while a network looks at windows of it: its samples as
# they were, in 8 bits, and filled, and the mask twice; and some more around a large hole.
BYTES_A_PIXEL: Final = {8: 12, 16: 18}
PATIENCE_S: Final = 600
DPI: Final = 600


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networks that come with retouchd, exported."""
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "export.cli", "starter", "--output", str(folder)]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def photo() -> Iterator[samples.Pixels]:
    """A real photo, small, and no limit on what Pillow takes for a bomb."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    yield data.coffee()
    Image.MAX_IMAGE_PIXELS = limit


@dataclass(frozen=True)
class Worked:
    """What came of a pair: the outbox, and the largest process in megabytes."""

    outbox: Path
    peak_mb: float


def worked(site: Site, model: Path, form: str = "png") -> Worked:
    """Work off the pair in a site's inbox in fresh processes."""
    site.environment |= {
        f"RETOUCHD_{model.stem.upper()}_MODEL": str(model),
        "RETOUCHD_OUTPUT_FORMAT": form,
        "RETOUCHD_WINDOW_MEMORY_GB": "0.5",
        "RETOUCHD_QUIET_PERIOD_S": "0",
        "RETOUCHD_THREADS": "1",
    }
    command = [sys.executable, any_size.__file__, *site.command("once")]
    ran = subprocess.run(command, env=site.variables(), capture_output=True, text=True,
                         timeout=PATIENCE_S, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return Worked(site.outbox, float(ran.stdout.split()[-1]))


def drop(
    site: Site, size: Size, photo: samples.Pixels, companion: samples.Pixels, role: str
) -> Any:
    """Put a pair into the inbox; returns the picture as others decode it."""
    picture: Any = any_size.mirrored(photo, size.width, size.height)
    profile = samples.colour_profile("RGB")
    file = site.inbox / f"picture{size.suffix}"
    if size.bits == 16:
        picture = any_size.in_16_bits(picture)
        tifffile.imwrite(file, picture, photometric="rgb", iccprofile=profile,
                         resolution=(DPI, DPI), resolutionunit="INCH")  # fmt: skip
    else:
        Image.fromarray(picture).save(file, icc_profile=profile, dpi=(DPI, DPI), quality=92)
        with Image.open(file) as image:
            picture = np.asarray(image)
    Image.fromarray(companion).save(site.inbox / f"picture_{role}.png", compress_level=1)
    return picture


def read_back(file: Path, bits: int) -> tuple[NDArray[Any], dict[str, Any]]:
    """The result as others decode it, and what it says of itself."""
    with Image.open(file) as image:
        about = {str(name): value for name, value in image.info.items()}
        pixels: Any = np.asarray(image) if bits == 8 else None
    return (tifffile.imread(file) if bits == 16 else pixels), about


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_picture_of_any_size_is_filled(
    tmp_path: Path, models: Path, photo: samples.Pixels, size: Size
) -> None:
    site = Site(tmp_path / "spool")
    mask = any_size.holes(size.width, size.height)
    picture = drop(site, size, photo, mask, "mask")
    done = worked(site, models / "inpaint.pt", "same" if size.bits == 16 else "png")
    (file,) = (p for p in done.outbox.iterdir() if p.suffix in (".png", ".tif"))
    result, about = read_back(file, size.bits)
    assert (result.dtype, result.shape) == (picture.dtype, picture.shape)
    assert np.array_equal(result[mask == 0], picture[mask == 0])
    assert not np.array_equal(result[mask > 0], picture[mask > 0])
    assert about["icc_profile"] == samples.colour_profile("RGB")
    assert about["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    found = any_size.seams(result, mask)
    print(size.name, f"{done.peak_mb:.0f} MB", found)
    pixels = size.width * size.height
    assert done.peak_mb < BASE_MB + pixels * BYTES_A_PIXEL[size.bits] / 1e6
    # A seam is a step that is larger than those in the photo around it.
    assert found.rim < 1.25 * found.outside + 0.5
    assert not found.borders > 1.5 * found.beside + 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_photo_of_12_megapixels_is_cut_out(
    tmp_path: Path, models: Path, photo: samples.Pixels
) -> None:
    size = SIZES[0]
    site = Site(tmp_path / "spool")
    trimap = any_size.bands(size.width, size.height)
    picture = drop(site, size, photo, trimap, "trimap")
    done = worked(site, models / "matting.pt")
    cutout, about = read_back(next(done.outbox.glob("*.cutout.png")), 8)
    alpha, _ = read_back(next(done.outbox.glob("*.alpha.png")), 8)
    print("cut-out", f"{done.peak_mb:.0f} MB")
    assert np.array_equal(alpha[trimap != 128], trimap[trimap != 128])
    assert np.array_equal(cutout[..., 3], alpha)
    assert np.array_equal(cutout[alpha == 255][:, :3], picture[alpha == 255])
    assert about["icc_profile"] == samples.colour_profile("RGB")
    assert about["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    assert 0 < alpha[trimap == 128].mean() < 255
