"""A smooth surface through what is given around a hole.

Added to what a network made of a hole it takes away the step at the rim: the seamless cloning of
Perez, Gangnet and Blake 2003 (Poisson image editing), where what is interpolated is the difference
at the rim and the surface is a membrane, one whose Laplacian is 0.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

Region = NDArray[np.bool_]
Planes = NDArray[np.float32]

# Lets the surface sag to 0 where nothing holds it, over about a thousand pixels.
_SAG: Final = 1e-6


def stretched(given: Planes, inside: Region) -> Planes:
    """`given` `[H,W,C]` outside, and in `inside` `[H,W]` the membrane that it holds.

    The array's border holds nothing: there the surface ends level. Where nothing is given the
    surface is 0.
    """
    count = int(inside.sum())
    if count == 0:
        return given
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(count)
    total = np.zeros((count, given.shape[2]))
    neighbours = np.full(count, _SAG)
    pairs = []
    for here, there in _sides():
        both = inside[here] & inside[there]
        pairs.append((number[here][both], number[there][both]))
        held = inside[here] & ~inside[there]
        np.add.at(total, number[here][held], given[there][held])
        np.add.at(neighbours, number[here][inside[here]], 1)
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    system = sparse.diags(neighbours) - sparse.coo_array(
        (np.ones(len(rows)), (rows, columns)), shape=(count, count)
    )
    surface = given.copy()
    surface[inside] = linalg.splu(sparse.csc_matrix(system)).solve(total)
    return surface


def _sides() -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Index pairs that shift a plane by one: each pixel, and its neighbour on one side."""
    all_, but_first, but_last = slice(None), slice(1, None), slice(None, -1)
    return [
        ((but_first, all_), (but_last, all_)),
        ((but_last, all_), (but_first, all_)),
        ((all_, but_first), (all_, but_last)),
        ((all_, but_last), (all_, but_first)),
    ]
