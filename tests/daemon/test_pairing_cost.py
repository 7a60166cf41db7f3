"""Pairing costs as much per file for many files as for few, whatever their names."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from daemon.intake.pairing import pair_up
from daemon.intake.scan import Entry, Identity

FEW, MANY = 200, 800


def lone(number: int) -> list[str]:
    return [f"photo {number}.jpg"]


def paired(number: int) -> list[str]:
    return [f"photo {number}.jpg", f"photo {number}_mask.png"]


def in_trees(number: int) -> list[str]:
    return [f"{number}/images/cat.jpg", f"{number}/masks/cat.png"]


def twins(number: int) -> list[str]:
    """One photo in ever other spellings, and its masks: each mask may belong to each photo."""
    spelt = "".join(
        letter.upper() if number >> at & 1 else letter for at, letter in enumerate("photograph")
    )
    return [f"{spelt}.jpg", f"{spelt}_mask.png"]


def chained(number: int) -> list[str]:
    """Each mask may belong to two photos, and each photo has two masks."""
    return [f"cat{'.jpg' * number}.jpg", f"cat{'.jpg' * number}_mask.png"]


def steps(work: Callable[[], object]) -> int:
    """How many steps the interpreter takes: no clock, so no haste of the machine, is in it."""
    taken = 0

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal taken
        frame.f_trace_opcodes = True
        taken += event == "opcode"
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        work()
    finally:
        sys.settrace(before)
    return taken


def entries(names: Callable[[int], list[str]], count: int) -> list[Entry]:
    paths = [path for number in range(count) for path in names(number)]
    return [Entry(path, Identity(1, at, 10, 0)) for at, path in enumerate(paths)]


@pytest.mark.parametrize("names", [lone, paired, in_trees, twins])
def test_four_times_the_files_cost_four_times_the_steps(names: Callable[[int], list[str]]) -> None:
    few, many = entries(names, FEW), entries(names, MANY)
    pair_up(few)  # what is compiled and remembered once
    assert steps(lambda: pair_up(many)) < 1.3 * MANY / FEW * steps(lambda: pair_up(few))


def test_a_long_chain_costs_little_more_for_each_file() -> None:
    few, many = entries(chained, 15), entries(chained, 60)
    pair_up(few)
    assert steps(lambda: pair_up(many)) < 2 * 4 * steps(lambda: pair_up(few))
