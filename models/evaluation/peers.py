"""Methods of others that need no training: what a network must beat to be of use.

Each is run with its library's own defaults; what had to be chosen is in its `about`. The libraries
are imported when first used, with one clear sentence where one is missing.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.evaluation.methods import (
    EvaluationError,
    Method,
    Picture,
    TaskName,
    how_to_install,
    needed,
)
from models.prefill import SmoothFill
from models.sides import Sides

# OpenCV has no default radius; 3 px is what its own samples use.
OPENCV_RADIUS_PX = 3


@dataclass(frozen=True)
class Peer:
    """A peer before its library is loaded. `packages` are those its results depend on.

    `keep` is false where the code is this project's own: it changes with no version to tell.
    """

    name: str
    task: TaskName
    about: str
    packages: tuple[str, ...]
    run: Callable[[Picture, Picture], Picture]
    keep: bool = True

    def as_method(self) -> Method:
        """The peer as it runs here. Raises `EvaluationError` where a package is missing."""
        versions = {package: _version(package, self.name) for package in self.packages}
        identity = f"{self.name}; {self.about}; {versions}" if self.keep else ""
        return Method(self.name, "peer", self.about, self.run, identity, {"versions": versions})


def peer_names(task: TaskName) -> list[str]:
    """What the peers of a task are called."""
    return [peer.name for peer in PEERS if peer.task == task]


def choose_peers(task: TaskName, wanted: str) -> list[Method]:
    """The peers of a task by `all`, `none` or their names with commas between.

    Raises `EvaluationError` for a name that is none, and for a library that is missing.
    """
    of_task = {peer.name: peer for peer in PEERS if peer.task == task}
    if wanted == "none":
        return []
    names = list(of_task) if wanted == "all" else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in of_task:
            raise EvaluationError(
                f"--peers {wanted}: {name!r} is no peer of {task}. "
                f"Choose from {', '.join(of_task)}, or say all or none."
            )
    return [of_task[name].as_method() for name in dict.fromkeys(names)]


def _opencv(flag: str, picture: Picture, hole: Picture) -> Picture:
    cv2 = needed("cv2", "opencv-python-headless", "OpenCV's inpainting")
    filled: Picture = cv2.inpaint(picture, hole, OPENCV_RADIUS_PX, getattr(cv2, flag))
    return filled


def _biharmonic(picture: Picture, hole: Picture) -> Picture:
    restoration = needed("skimage.restoration", "scikit-image", "Biharmonic inpainting")
    return to_bytes(restoration.inpaint_biharmonic(picture, hole > 0, channel_axis=-1))


def _smooth_fill(picture: Picture, hole: Picture) -> Picture:
    with torch.inference_mode():
        filled = SmoothFill()(_tensor(picture), torch.from_numpy(hole > 0)[None, None])
    return to_bytes(filled[0].permute(1, 2, 0).numpy())


def _colour_lines(picture: Picture, trimap: Picture) -> Picture:
    hint = torch.from_numpy(_hint(trimap))[None, None].to(torch.float32)
    with torch.inference_mode():
        seen = Sides()(_tensor(picture), hint)
    return to_bytes(seen[0, 0].numpy())


def _pymatting(function: str, picture: Picture, trimap: Picture) -> Picture:
    pymatting = needed("pymatting", "pymatting", "PyMatting's mattes")
    try:
        # It prints that a factorisation has to be tried again; what it finds is the same.
        with redirect_stdout(io.StringIO()):
            return to_bytes(getattr(pymatting, function)(picture / 255.0, _hint(trimap)))
    except (ValueError, AssertionError) as error:  # no convergence; a picture it can't take
        raise EvaluationError(
            f"PyMatting's {function} failed on a picture of {picture.shape[1]} x "
            f"{picture.shape[0]} px ({error}). Leave this peer out with --peers."
        ) from None


def _tensor(picture: Picture) -> Tensor:
    """uint8 `[H,W,3]` as float32 `[1,3,H,W]` in 0..1."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].to(torch.float32) / 255


def _hint(trimap: Picture) -> npt.NDArray[np.float64]:
    """What a trimap says of alpha, `[H,W]`: 0 background, 1 foreground, 1/2 all that is unknown."""
    return np.where(trimap == 0, 0.0, np.where(trimap == 255, 1.0, 0.5))


def to_bytes(values: Any) -> Picture:
    """0..1 to the nearest of 0..255; what is outside is clipped."""
    pixels: Picture = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return pixels


def _version(package: str, peer: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise EvaluationError(
            f"the peer {peer} needs the package {package}, which is not installed. "
            f"{how_to_install()} Or leave this peer out with --peers."
        ) from None


def _matting_peer(name: str, function: str, about: str) -> Peer:
    packages = ("pymatting", "numba", "numpy", "scipy")
    return Peer(name, "matting", about, packages, partial(_pymatting, function))


PEERS: Sequence[Peer] = (
    Peer(
        "telea",
        "inpaint",
        f"OpenCV INPAINT_TELEA, radius {OPENCV_RADIUS_PX} px (Telea 2004)",
        ("opencv-python-headless",),
        partial(_opencv, "INPAINT_TELEA"),
    ),
    Peer(
        "navier-stokes",
        "inpaint",
        f"OpenCV INPAINT_NS, radius {OPENCV_RADIUS_PX} px (Bertalmio, Bertozzi and Sapiro 2001)",
        ("opencv-python-headless",),
        partial(_opencv, "INPAINT_NS"),
    ),
    Peer(
        "biharmonic",
        "inpaint",
        "scikit-image inpaint_biharmonic (Damelin and Hoang 2018)",
        ("scikit-image", "scipy", "numpy"),
        _biharmonic,
    ),
    Peer(
        "smooth-fill",
        "inpaint",
        "this project's own smooth fill, which a network may start from; no network",
        ("torch",),
        _smooth_fill,
        keep=False,
    ),
    Peer(
        "colour-lines",
        "matting",
        "this project's own first alpha, which a network may start from; no network",
        ("torch",),
        _colour_lines,
        keep=False,
    ),
    _matting_peer(
        "closed-form", "estimate_alpha_cf", "PyMatting estimate_alpha_cf (Levin et al. 2007)"
    ),
    _matting_peer("knn", "estimate_alpha_knn", "PyMatting estimate_alpha_knn (Chen et al. 2013)"),
    _matting_peer(
        "learning-based",
        "estimate_alpha_lbdm",
        "PyMatting estimate_alpha_lbdm (Zheng and Kambhamettu 2009)",
    ),
    _matting_peer(
        "large-kernel", "estimate_alpha_lkm", "PyMatting estimate_alpha_lkm (He, Sun and Tang 2010)"
    ),
)
