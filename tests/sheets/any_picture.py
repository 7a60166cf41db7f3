"""Draws a sheet of pictures of all sizes, filled: can the seams be found?

For each size the whole with its holes marked, and at full size what lies at the rim of a hole and
where windows meet, before and after. Run it as a program:

    python tests/sheets/any_picture.py --output sheet.png [--photos FOLDER] [--models FOLDER]

The photos are the folder's, the largest that fit; without a folder those of scikit-image, mirrored
to size. The networks are the starter ones, exported anew where no folder of them is given.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isnan
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

REPOSITORY: Final = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "daemon")]

import any_size  # noqa: E402
import tifffile  # noqa: E402
from any_size import SIDE, SIZES, Pixels, Seams, Size  # noqa: E402
from driver import Site  # noqa: E402

from daemon.worker.holes import plan_windows  # noqa: E402
from daemon.worker.pictures.depth import to_8_bits  # noqa: E402

WIDTH: Final = 2400
CROP: Final = 220
GAP: Final = 8
SPOTS: Final = 4
WHOLE: Final = (WIDTH - SPOTS * (2 * CROP + 2 * GAP) - 2 * GAP, 2 * CROP)
LINE: Final = 22
LARGE: Final = 7_000_000
PAPER, INK, MARK = (250, 250, 248), (20, 20, 20), (230, 30, 60)
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Row:
    """A picture before and after, in 8 bits, and what there is to say of it."""

    size: Size
    source: str
    before: Pixels
    after: Pixels
    mask: Pixels
    seconds: float
    peak_mb: float
    seams: Seams


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="folder of large photos")
    parser.add_argument("--models", type=Path, help="folder of inpaint.pt")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        models = options.models or exported(Path(scratch))
        rows = [worked(size, options.photos, models, Path(scratch)) for size in SIZES]
    drawn(rows).save(options.output, optimize=True)
    return 0


def exported(folder: Path) -> Path:
    """The starter networks as artifacts."""
    command = [sys.executable, "-m", "export.cli", "starter", "--output", str(folder / "models")]
    subprocess.run(command, check=True, cwd=REPOSITORY)
    return folder / "models"


def worked(size: Size, photos: Path | None, models: Path, scratch: Path) -> Row:
    """Have a picture of a size filled by the program itself."""
    site = Site(scratch / size.name, {"RETOUCHD_INPAINT_MODEL": str(models / "inpaint.pt")})
    site.environment |= {"RETOUCHD_QUIET_PERIOD_S": "0", "RETOUCHD_OUTPUT_FORMAT": "png"}
    before, source = photo_for(size, photos)
    file = site.inbox / f"picture{'.tif' if size.bits == 16 else '.png'}"
    if size.bits == 16:
        tifffile.imwrite(file, any_size.in_16_bits(before), photometric="rgb")
    else:
        Image.fromarray(before).save(file, compress_level=1)
    mask = any_size.holes(size.width, size.height)
    Image.fromarray(mask).save(site.inbox / "picture_mask.png", compress_level=1)
    start = time.monotonic()
    ran = subprocess.run(
        [sys.executable, any_size.__file__, *site.command("once")],
        env=site.variables(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - start
    result: Any = cv2.imread(str(site.outbox / "picture.png"), cv2.IMREAD_UNCHANGED)
    result = np.ascontiguousarray(result[..., ::-1])
    seams = any_size.seams(result, mask)
    peak = float(ran.stdout.split()[-1])
    print(size.name, f"{seconds:.1f} s, {peak:.0f} MB", seams)
    return Row(size, source, before, to_8_bits(result), mask, seconds, peak, seams)


def photo_for(size: Size, folder: Path | None) -> tuple[Pixels, str]:
    """A photo of that size, and where it is from."""
    if folder is None:
        photo, name = data.coffee(), "scikit-image's coffee"
    else:
        files = sorted(folder.glob("*.jpg"))
        file = max(files, key=lambda each: fit(each, size))
        with Image.open(file) as image:
            photo, name = np.asarray(image.convert("RGB")), file.stem.replace("_", " ")
    is_cut = photo.shape[0] >= size.height and photo.shape[1] >= size.width
    how = "cut to size" if is_cut else f"{photo.shape[1]} x {photo.shape[0]}, mirrored to size"
    return any_size.mirrored(photo, size.width, size.height), f"{name}, {how}"


def fit(file: Path, size: Size) -> tuple[bool, bool, int]:
    """Whether a photo covers a size, or is large at least; of those that are alike any will do."""
    with Image.open(file) as image:
        covers = image.width >= size.width and image.height >= size.height
        is_large = image.width * image.height > LARGE
        return covers, is_large, zlib.crc32((file.name + size.name).encode())


def spots(row: Row) -> Iterator[tuple[str, int, int]]:
    """What is worth a look at full size, and where its middle is, row and column."""
    height, width = row.mask.shape
    small, middle = min(width, height), (height // 2, width // 2)
    large = max(1, small // 9)
    yield "rim of the large hole", middle[0] - large, middle[1] - small // 6
    hole = row.mask > 0
    plan = plan_windows(row.mask, SIDE)
    owners = plan.owners.repeat(plan.cell, axis=0).repeat(plan.cell, axis=1)[:height, :width]
    owners = np.where(hole, owners, -1)
    meets = np.argwhere((owners[1:] != owners[:-1]) & hole[1:] & hole[:-1])
    if len(meets):
        down, across = meets[len(meets) // 2]
        yield "where windows meet", int(down), int(across)
    yield "a spot", height // 5 * 1, width // 6
    yield "corner of the bar", middle[0] + small // 8, middle[1] + small // 4 - large // 3


def drawn(rows: Sequence[Row]) -> Image.Image:
    """The sheet."""
    font = ImageFont.load_default(15)
    tops = list(accumulate((height_of(row) for row in rows), initial=GAP))
    sheet = Image.new("RGB", (WIDTH, tops[-1] + 3 * LINE), PAPER)
    pen = ImageDraw.Draw(sheet)
    for top, row in zip(tops, rows, strict=False):
        for line, text in enumerate(captions(row)):
            pen.text((GAP, top + line * LINE), text, INK, font)
        at = top + 2 * LINE
        sheet.paste(whole(row), (GAP, at))
        for i, (name, down, across) in enumerate(spots(row)):
            left = WHOLE[0] + 2 * GAP + i * (2 * CROP + 2 * GAP)
            box = around(row, down, across)
            sheet.paste(Image.fromarray(marked(row.before, row.mask)[box]), (left, at))
            sheet.paste(Image.fromarray(row.after[box]), (left + CROP + 2, at))
            pen.text((left, at + shown_of(row)), name, INK, font)
    words = (
        "Filled by the starter network, which is small and was trained on 256 x 256 pixels: what "
        "it paints in a hole is its own.",
        "Full size, one pixel for one. A large hole is filled in a window that is scaled down, and "
        "has the resolution of that scale and no grain: that it is soft shows, its rim does not.",
    )
    for line, text in enumerate(words):
        pen.text((GAP, tops[-1] + line * LINE), text, INK, font)
    return sheet


def shown_of(row: Row) -> int:
    """How high a row's crops are."""
    return min(CROP, row.size.height)


def height_of(row: Row) -> int:
    """How high a row is, with what is written above and below."""
    return shown_of(row) + 3 * LINE + 2 * GAP


def captions(row: Row) -> tuple[str, str]:
    """What stands above a row."""
    size, seen = row.size, row.seams
    depth = "16-bit TIFF" if size.bits == 16 else "8 bits"
    steps = f"{seen.rim:.2f} levels at the rim, {seen.outside:.2f} just outside it"
    if not isnan(seen.borders):
        steps += f"; {seen.borders:.2f} where windows meet, {seen.beside:.2f} beside"
    return (
        f"{size.name}, {size.width} x {size.height}, {depth}; {row.source}; "
        f"{row.seconds:.1f} s and at most {row.peak_mb:.0f} MB from start to end",
        f"mean step between neighbours: {steps}; {seen.inside:.2f} within",
    )


def around(row: Row, down: int, across: int) -> tuple[slice, slice]:
    """A crop with a place in its middle, as far as the picture goes."""
    height, width = row.mask.shape
    top = min(max(0, down - CROP // 2), max(0, height - CROP))
    left = min(max(0, across - CROP // 2), max(0, width - CROP))
    return slice(top, min(top + CROP, height)), slice(left, min(left + CROP, width))


def marked(picture: Pixels, mask: Pixels) -> Pixels:
    """The picture with its holes in a colour that no photo has much of."""
    shown: NDArray[np.uint8] = np.where(mask[..., None] > 0, np.array(MARK, np.uint8), picture)
    return shown


def whole(row: Row) -> Image.Image:
    """All of a picture, small, its holes marked so that thin ones are seen too."""
    image = Image.fromarray(row.before)
    image.thumbnail((WHOLE[0], CROP), Image.Resampling.LANCZOS)
    holes = Image.fromarray(row.mask).reduce(max(1, row.mask.shape[1] // image.width))
    grown = np.asarray(holes.resize(image.size)) > 0
    pixels = np.asarray(image).copy()
    pixels[grown] = MARK
    return Image.fromarray(pixels)


if __name__ == "__main__":
    sys.exit(main())
