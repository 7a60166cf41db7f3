"""A smooth surface through what is given around a hole.

Added to what a network made of a hole it takes away the step at the rim: the seamless cloning of
Perez, Gangnet and Blake 2003 (Poisson image editing), where what is interpolated is the difference
at the rim and the surface is a membrane, one whose Laplacian is 0.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import linalg

Region = NDArray[np.bool_]
Planes = NDArray[np.float32]
Pixels = NDArray[np.uint8]

# Lets the surface sag to 0 where nothing holds it, over about a thousand pixels.
_SAG: Final = 1e-6


def stretched(given: Planes, inside: Region) -> Planes:
    """`given` `[H,W,C]` outside, and in `inside` `[H,W]` the membrane that it holds.

    The array's border holds nothing: there the surface ends level. Where nothing is given the
    surface is 0.
    """
    if not inside.any():
        return given
    pull = np.zeros((int(inside.sum()), given.shape[2]))
    number = _numbers(inside)
    for here, there in _sides():
        held = inside[here] & ~inside[there]
        np.add.at(pull, number[here][held], given[there][held])
    surface = given.copy()
    surface[inside] = _solved(number, pull)
    return surface


def without_step(picture: Pixels, filled: Region, hole: Region, width: int) -> Planes:
    """What is to be added to `filled` `[H,W]` pixels of a picture `[H,W,C]`, `[N,C]`, in order.

    `hole` `[H,W]` is what is yet to be filled; all else is known. With it the step from each known
    pixel to the filled one beside it is taken away, and ever less of it farther inside, nothing
    deeper than `width` pixels: grain, and lines that end at the rim, fade out and are not cut off.
    """
    unknown = filled | hole
    deep = ndimage.minimum_filter(unknown.view(np.uint8), 2 * width + 1, mode="constant", cval=1)
    band = unknown & (deep == 0)
    pull = np.zeros((int(band.sum()), picture.shape[2]))
    number = _numbers(band)
    for here, there in _sides():
        rim = filled[here] & ~unknown[there]
        step = picture[there][rim].astype(np.int16) - picture[here][rim]
        np.add.at(pull, number[here][rim], step)
    shift = np.zeros((int(filled.sum()), picture.shape[2]), np.float32)
    if len(pull):
        shift[band[filled]] = _solved(number, pull)[filled[band]]
    return shift


def _numbers(inside: Region) -> NDArray[np.int32]:
    """The pixels inside, counted; -1 elsewhere."""
    number = np.full(inside.shape, -1, np.int32)
    number[inside] = np.arange(np.count_nonzero(inside), dtype=np.int32)
    return number


def _solved(number: NDArray[np.int32], pull: NDArray[np.float64]) -> NDArray[np.float64]:
    """The membrane's height at each numbered pixel, `[N,C]`.

    `pull` is the sum of what the neighbours without a number hold it at.
    """
    count = len(pull)
    neighbours = np.full(count, _SAG)
    pairs = []
    for here, there in _sides():
        both = (number[here] >= 0) & (number[there] >= 0)
        pairs.append((number[here][both], number[there][both]))
        np.add.at(neighbours, number[here][number[here] >= 0], 1)
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    system = sparse.diags(neighbours) - sparse.coo_array(
        (np.ones(len(rows)), (rows, columns)), shape=(count, count)
    )
    solved: NDArray[np.float64] = linalg.splu(sparse.csc_matrix(system)).solve(pull)
    return solved


def _sides() -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Index pairs that shift a plane by one: each pixel, and its neighbour on one side."""
    all_, but_first, but_last = slice(None), slice(1, None), slice(None, -1)
    return [
        ((but_first, all_), (but_last, all_)),
        ((but_last, all_), (but_first, all_)),
        ((all_, but_first), (all_, but_last)),
        ((all_, but_last), (all_, but_first)),
    ]
