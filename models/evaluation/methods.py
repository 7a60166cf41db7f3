"""A method: anything that fills holes or finds mattes, from pixels to pixels.

Artifacts and peers are both made into this one form, so that they are run, timed and judged alike.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
TaskName = Literal["inpaint", "matting"]


class EvaluationError(Exception):
    """An evaluation can't go on. The text says what is wrong and what to do."""


@dataclass(frozen=True)
class Method:
    """`run(picture, guide) -> result`, all uint8 arrays, and what a reader must know of it.

    `picture [H,W,3]` RGB. Inpainting: the guide is the hole `[H,W]`, 0 or 255, the result
    `[H,W,3]`. Matting: the guide is the trimap `[H,W]` of 0, 128 and 255, the result the alpha
    `[H,W]`. `about` goes into the tables. `identity` names everything the result depends on
    beside the input; it is empty where results must not be kept from one evaluation to the next.
    """

    name: str
    kind: Literal["artifact", "peer"]
    about: str
    run: Callable[[Picture, Picture], Picture]
    identity: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def needed(module: str, package: str, purpose: str) -> Any:
    """A module that only an evaluation needs. Raises `EvaluationError` where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EvaluationError(
            f"{purpose} needs the package {package}, which can't be imported here ({error}). "
            f"{how_to_install()}"
        ) from None


def how_to_install() -> str:
    """How to bring the packages that only an evaluation needs into the environment that runs."""
    return (
        "It is in the extra [evaluation]; in retouchd's folder run: uv pip install --python "
        f"{sys.executable} -r pyproject.toml --extra evaluation (the uv that make brings is "
        ".tools/uv/bin/uv)."
    )
