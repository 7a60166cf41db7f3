"""Sides take turns, the first round warms up, and the budget ends it."""

from side_by_side import Times, side_by_side, timed


class Clock:
    """Stands still but for what is worked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Side:
    """Takes as long as it is told, the first time longer."""

    def __init__(self, clock: Clock, name: str, order: list[str], seconds: float) -> None:
        self._clock, self._name, self._order, self._seconds = clock, name, order, seconds
        self._cold = 5.0

    def __call__(self) -> None:
        self._order.append(self._name)
        self._clock.now += self._seconds + self._cold
        self._cold = 0.0


def sides(clock: Clock, order: list[str]) -> dict[str, Side]:
    return {"a": Side(clock, "a", order, 1.0), "b": Side(clock, "b", order, 2.0)}


def measured(budget_s: float, most_rounds: int = 10) -> tuple[dict[str, Times], list[str], float]:
    clock, order = Clock(), list[str]()
    measures = {name: timed(side, clock) for name, side in sides(clock, order).items()}
    found = side_by_side(measures, budget_s, most_rounds, clock)
    return found, order, clock.now


def test_sides_take_turns_and_each_round_begins_with_the_other() -> None:
    _, order, _ = measured(budget_s=100, most_rounds=3)
    assert "".join(order) == "ab" + "ba" + "ab" + "ba"


def test_warm_up_is_in_no_figure() -> None:
    found, _, _ = measured(budget_s=100)
    assert found["a"] == Times((1.0,) * 10, is_warm=True)
    assert (found["b"].least, found["b"].median) == (2.0, 2.0)


def test_no_round_begins_that_would_not_end_within_the_budget() -> None:
    # The warm-up takes 13 s and a round 3 s, so four of them end at 25 s, and a fifth would at 28.
    found, _, took = measured(budget_s=27)
    assert took == 25
    assert len(found["a"].seconds) == 4


def test_a_cold_round_counts_only_where_it_is_the_only_one() -> None:
    found, order, _ = measured(budget_s=1)
    assert order == ["a", "b"]
    assert found["a"] == Times((6.0,), is_warm=False)


def test_least_and_median_are_those_of_the_rounds() -> None:
    times = Times((3.0, 1.0, 8.0), is_warm=True)
    assert (times.least, times.median) == (1.0, 3.0)
