"""Photos of sizes that networks never see, their holes, and how well what fills them fits in.

As a program it runs a command and prints the most memory that any of its processes held:
`any_size.py COMMAND...`.
"""

import resource
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.worker.holes import plan_windows

Pixels = NDArray[np.uint8]
Region = NDArray[np.bool_]

# The starter network's best size, so that the plan of the windows can be made again.
SIDE: Final = 256
# How wide a ring around a hole tells how much neighbouring pixels differ there.
_RING: Final = 4
# A plane shifted by one, down and across.
_NEIGHBOURS: Final = (
    (np.s_[1:], np.s_[:-1]),
    (np.s_[:, 1:], np.s_[:, :-1]),
)


@dataclass(frozen=True)
class Size:
    """A size of the list, and how such a picture is kept."""

    name: str
    width: int
    height: int
    suffix: str
    bits: int = 8


SIZES: Final = (
    Size("photo", 4000, 3000, ".jpg"),
    Size("large photo", 9000, 6000, ".jpg"),
    Size("scan", 4960, 7016, ".tif", 16),
    Size("panorama", 20000, 2000, ".png"),
    Size("strip", 40, 3000, ".png"),
    Size("thin strip", 500, 3, ".png"),
)


def mirrored(photo: Pixels, width: int, height: int) -> Pixels:
    """A photo made larger by laying mirrored copies beside it, or cut to size."""
    down = np.concatenate([photo, photo[::-1]])
    tile = np.concatenate([down, down[:, ::-1]], axis=1)
    copies = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    whole: Pixels = np.tile(tile, copies)[:height, :width]
    return np.ascontiguousarray(whole)


def in_16_bits(picture: Pixels) -> NDArray[np.uint16]:
    """The picture with grain finer than 8 bits tell."""
    grain = np.random.default_rng(0).integers(-128, 129, picture.shape, dtype=np.int32)
    deep: NDArray[np.uint16] = np.clip(picture.astype(np.int32) * 257 + grain, 0, 65535).astype(
        np.uint16
    )
    return deep


def holes(width: int, height: int) -> Pixels:
    """A mask `[H,W]` of what people take out: a scratch, spots, and a large thing.

    All of it in proportion, but for the scratch, which is as thin as scratches are.
    """
    mask = np.zeros((height, width), np.uint8)
    small, middle = min(width, height), (width // 2, height // 2)
    large = max(1, small // 9)
    cv2.circle(mask, (middle[0] - small // 6, middle[1]), large, 255, -1)
    box = cv2.boxPoints(((middle[0] + small / 4, middle[1] + small / 8), (large, large / 3), 30))
    cv2.fillPoly(mask, [np.rint(box).astype(np.int32)], 255)
    for i in range(5):
        at = (width * (i + 1) // 6, height * (1 + 3 * (i % 2)) // 5)
        cv2.circle(mask, at, max(1, min(60, small // 40)), 255, -1)
    end = (width * 2 // 5, height // 3)
    cv2.line(mask, (width // 10, height // 20), end, 255, 1 + min(6, small // 200))
    return mask


def bands(width: int, height: int) -> Pixels:
    """A trimap: an ellipse with a ragged, unknown rim."""
    trimap = np.zeros((height, width), np.uint8)
    axes = np.array([width, height]) // 5
    middle = (width // 2, height // 2)
    cv2.ellipse(trimap, middle, (axes * 1.1).astype(int).tolist(), 0, 0, 360, 128, -1)
    cv2.ellipse(trimap, middle, axes.tolist(), 0, 0, 360, 255, -1)
    return trimap


@dataclass(frozen=True)
class Seams:
    """Mean absolute steps between neighbouring pixels, in levels of 8 bits.

    `rim` from a known pixel to a filled one, `outside` between known ones near the rim, `inside`
    between filled ones; `borders` across the borders of windows within a hole, `beside` between
    filled pixels near those. Nan where there are none.
    """

    rim: float
    outside: float
    inside: float
    borders: float
    beside: float


def seams(picture: NDArray[Any], mask: Pixels) -> Seams:
    """How visible the fill of a picture's holes is where it begins, and where windows meet."""
    hole = mask > 0
    ring = ~hole & (cv2.dilate(mask, np.ones((2 * _RING + 1,) * 2, np.uint8)) > 0)
    plan = plan_windows(mask, SIDE)
    owners = plan.owners.repeat(plan.cell, axis=0).repeat(plan.cell, axis=1)
    owners = np.where(hole, owners[: mask.shape[0], : mask.shape[1]], -1)
    border = np.zeros(mask.shape, np.uint8)
    steps: dict[str, list[NDArray[Any]]] = {name: [] for name in Seams.__annotations__}
    for here, there in _NEIGHBOURS:
        border[here] |= hole[here] & hole[there] & (owners[here] != owners[there])
    near = cv2.dilate(border, np.ones((2 * _RING + 1,) * 2, np.uint8)) > 0
    unit = 257 if picture.dtype == np.uint16 else 1
    for here, there in _NEIGHBOURS:
        both = hole[here] & hole[there]
        meets = both & (owners[here] != owners[there])
        for name, wanted in (
            ("rim", hole[here] != hole[there]),
            ("outside", ring[here] & ring[there]),
            ("inside", both),
            ("borders", meets),
            ("beside", both & ~meets & near[here]),
        ):
            at = np.nonzero(wanted)
            step = picture[here][at].astype(np.int32) - picture[there][at]
            steps[name].append(np.abs(step).ravel() / unit)
    means = {name: np.concatenate(found) for name, found in steps.items()}
    return Seams(**{n: float(f.mean()) if f.size else float("nan") for n, f in means.items()})


def main() -> int:
    """Run a command; on the last line of standard output, megabytes of its largest process."""
    status = subprocess.run(sys.argv[1:], check=False).returncode
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{kilobytes / 1000:.0f}")
    return status


if __name__ == "__main__":
    sys.exit(main())
