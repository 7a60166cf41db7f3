"""The colours of what was cut out, without the background that shone through.

PyMatting compiles itself when it is imported, and keeps what it compiled on the disk: what lies
there is code. A confined worker can't write there, so it is compiled by this module as a program,
in a process that sees no picture and is not confined: `python -m daemon.worker.foreground`.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


# numba tells everybody that a confined process has no semaphores; one process needs none.
warnings.filterwarnings("ignore", message="Could not obtain multiprocessing lock")


def estimate_foreground(picture: Pixels, alpha: Pixels) -> Pixels:
    """Foreground colours `[H,W,3]` behind a matte `[H,W]`; the picture's own where it is opaque.

    Multi-level estimation (Germer et al. 2020, arXiv 2006.14970), by PyMatting.
    """
    if alpha.size == 1:  # no neighbour to estimate from
        return picture
    # Imported here: it compiles itself, and who only fills holes should not wait for it.
    from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml

    estimated = estimate_foreground_ml(picture / 255.0, alpha / 255.0)
    colours = np.clip(np.rint(estimated * 255), 0, 255).astype(np.uint8)
    return np.where((alpha == 255)[..., None], picture, colours)


def compile_it() -> None:
    """Have everything compiled that an estimation needs; quick where it was before."""
    estimate_foreground(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))


if __name__ == "__main__":
    compile_it()
