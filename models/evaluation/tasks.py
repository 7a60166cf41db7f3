"""The two tasks as an evaluation sees them: a case, what of a result counts, and its errors."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from models.evaluation.fill_errors import fill_errors
from models.evaluation.matte_errors import matte_errors
from models.evaluation.methods import EvaluationError, Picture, TaskName


@dataclass(frozen=True)
class Case:
    """One picture that every method gets, and the truth that none sees.

    `picture [H,W,3]`, `guide [H,W]` (hole or trimap), `truth` the original `[H,W,3]` or the alpha
    `[H,W]`. `groups` are those it is reported under; cases of one `subject` are not independent.
    """

    name: str
    groups: tuple[str, ...]
    subject: str
    picture: Picture
    guide: Picture
    truth: Picture
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A column: its key in the results, its heading, whether more is better, its decimals.

    `compared` is false where a table of differences would say what another one says.
    """

    key: str
    heading: str
    more_is_better: bool
    decimals: int
    compared: bool = True


@dataclass(frozen=True)
class Task:
    """How results of a task are made comparable and judged. `leading` is the metric of captions.

    `settle(case, result)` puts back what the method was told, so that only what it had to find out
    is judged; `errors(case, settled)` gives a number for each of `metrics`.
    """

    name: TaskName
    metrics: tuple[Metric, ...]
    leading: Metric
    settle: Callable[[Case, Picture], Picture]
    errors: Callable[[Case, Picture], dict[str, float]]


def _compose(case: Case, filled: Picture) -> Picture:
    _check_shape(case, filled)
    return np.where(case.guide[:, :, None] > 0, filled, case.picture)


def _with_known_regions(case: Case, alpha: Picture) -> Picture:
    _check_shape(case, alpha)
    known = (case.guide == 0) | (case.guide == 255)
    return np.where(known, case.guide, alpha)


def _check_shape(case: Case, result: Picture) -> None:
    if result.shape != case.truth.shape:
        raise EvaluationError(
            f"{case.name}: a method gave {list(result.shape)}, where {list(case.truth.shape)} is "
            "due. Is it made for this task?"
        )


PSNR_HOLE = Metric("psnr_hole", "PSNR in the hole, dB", True, 2)
SAD = Metric("sad", "SAD", False, 3)

INPAINT = Task(
    name="inpaint",
    metrics=(
        Metric("l1_hole", "L1 in the hole", False, 2),
        PSNR_HOLE,
        Metric("ssim_hole", "SSIM in the hole", True, 4),
        Metric("psnr_whole", "PSNR whole, dB", True, 2, compared=False),
        Metric("ssim_whole", "SSIM whole", True, 4, compared=False),
    ),
    leading=PSNR_HOLE,
    settle=_compose,
    errors=lambda case, filled: asdict(fill_errors(filled, case.truth, case.guide)),
)

MATTING = Task(
    name="matting",
    metrics=(
        SAD,
        Metric("mse", "MSE", False, 5),
        Metric("gradient", "Gradient", False, 3),
        Metric("connectivity", "Connectivity", False, 3),
    ),
    leading=SAD,
    settle=_with_known_regions,
    errors=lambda case, alpha: asdict(matte_errors(alpha, case.truth, case.guide)),
)
