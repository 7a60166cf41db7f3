"""Choices that are random and yet the same in every evaluation, by the names of things."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

# Another number makes another, equally good, set of test pictures; results then don't compare.
SEED = 20190101

Thing = TypeVar("Thing")


def chance(*names: object) -> np.random.Generator:
    """A generator that depends on the names alone.

    So a picture's crop and hole stay the same whatever other pictures are evaluated with it.
    """
    key = "\n".join(map(str, (SEED, *names)))
    return np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))


def evenly(things: Sequence[Thing], limit: int | None) -> list[Thing]:
    """At most `limit` of the things, evenly spread over their order: the middles of equal parts."""
    if limit is None or limit >= len(things):
        return list(things)
    return [things[(2 * i + 1) * len(things) // (2 * limit)] for i in range(limit)]
