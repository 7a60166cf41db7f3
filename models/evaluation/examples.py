"""The evaluation's sheet: what every method made of some cases, chosen by rule and not by looks.

The rule: the groups take turns, and the rows go evenly through the sorted cases.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from PIL import Image

from models.evaluation.methods import Picture
from models.evaluation.sheet import Cell, Row, draw_sheet
from models.evaluation.tasks import Case, Task

# A cell's width and height; a part of larger pictures is shown, pixel by pixel.
CELL_PX: Final = 256

RULE: Final = (
    "Held-out pictures, chosen by rule: kinds take turns, photos evenly over their sorted names. "
    "No row was chosen, or left out, for its looks."
)


def choose_cases(cases: Sequence[Case], rows: int) -> list[Case]:
    """`rows` of the cases: row k is of kind k modulo their number, and from the k-th part of it.

    A case's kind is its narrowest group. With few cases there are fewer rows, none twice.
    """
    kinds = list(dict.fromkeys(case.groups[-1] for case in cases))
    chosen: dict[str, Case] = {}
    for row in range(rows):
        of_kind = [case for case in cases if case.groups[-1] == kinds[row % len(kinds)]]
        case = of_kind[(2 * row + 1) * len(of_kind) // (2 * rows)]
        chosen.setdefault(case.name, case)
    return list(chosen.values())


def draw_examples(
    task: Task,
    title: str,
    cases: Sequence[Case],
    results: Mapping[str, Mapping[str, Picture]],
    scores: Mapping[tuple[str, str], float],
    size: int,
) -> Image.Image:
    """The sheet of the chosen cases. `scores` by case and method, of the task's leading metric."""
    rows = [_row(task, case, results[case.name], scores) for case in cases]
    side = min(CELL_PX, size)
    return draw_sheet("retouchd-evaluate", title, RULE, rows, cell=(side, side))


def _row(
    task: Task,
    case: Case,
    results: Mapping[str, Picture],
    scores: Mapping[tuple[str, str], float],
) -> Row:
    window = _window(case)
    metric = task.leading
    made = [
        (result, f"{name}: {scores[case.name, name]:.{metric.decimals}f}")
        for name, result in results.items()
    ]
    if task.name == "inpaint":
        pictures = [(case.picture, "given"), *made, (case.truth, "original")]
    else:
        given = [(case.picture, "given"), (case.guide, "trimap"), (case.truth, "true alpha")]
        pictures = [*given, *made]
    cells = [Cell(Image.fromarray(pixels[window]), caption) for pixels, caption in pictures]
    return Row(case.name, metric.heading, cells)


def _window(case: Case) -> tuple[slice, slice]:
    """The cell-sized part of a case with the most to find out; the first of equals."""
    unknown = case.guide == 128 if case.truth.ndim == 2 else case.guide > 0
    total = np.pad(unknown.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = (min(CELL_PX, side) for side in unknown.shape)
    count = (
        total[height:, width:]
        - total[:-height, width:]
        - total[height:, :-width]
        + total[:-height, :-width]
    )
    top, left = np.unravel_index(int(count.argmax()), count.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)
