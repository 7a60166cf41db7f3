"""Whose turn is next: new drops before the backlog, folders in turn, and nobody for ever last."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.intake.pairing import Pair
from daemon.intake.scan import Entry, Identity
from daemon.supervisor.order import BACKLOG_EVERY, Order, Ready


def ready(path: str, since: float = 0.0) -> Ready:
    name, identity = path.removesuffix(".jpg"), Identity(1, 1, 1, 1)
    picture, mask = Entry(path, identity), Entry(f"{name}_mask.png", identity)
    return Ready(since, path, Pair(picture, mask, "mask", "inpaint", ".jpg", "_mask.png"))


def filled(new: list[Ready] = [], backlog: list[Ready] = []) -> Order:  # noqa: B006 - not changed
    order = Order()
    order.fill(new, backlog)
    return order


def taken(order: Order) -> list[str]:
    """The pictures of all pairs, in the order of their turns."""
    paths = []
    while (pair := order.take()) is not None:
        paths.append(pair.picture.path)
    return paths


def test_within_a_folder_the_one_that_has_waited_for_longest_is_first() -> None:
    order = filled([ready("a/c.jpg", 3), ready("a/a.jpg", 2), ready("a/b.jpg", 1)])
    assert order.since == 1
    assert taken(order) == ["a/b.jpg", "a/a.jpg", "a/c.jpg"]
    assert order.since is None
    assert len(order) == 0


def test_who_got_ready_together_goes_by_name() -> None:
    assert taken(filled([ready("b.jpg"), ready("a.jpg")])) == ["a.jpg", "b.jpg"]


def test_a_new_drop_goes_before_ten_thousand_of_last_night() -> None:
    order = filled([ready("one.jpg", 99)], [ready(f"{n:05}.jpg") for n in range(10_000)])
    assert order.since == 99
    pair = order.take()
    assert pair is not None
    assert pair.picture.path == "one.jpg"


def test_while_new_ones_keep_coming_every_fourth_turn_is_the_backlogs() -> None:
    order = filled([], [ready(f"old/{n}.jpg") for n in range(5)])
    turns = []
    for number in range(12):
        order.put(ready(f"new/{number:02}.jpg", 10 + number), is_new=True)
        pair = order.take()
        assert pair is not None
        turns.append(pair.picture.path.partition("/")[0])
    assert turns == ["new", "new", "new", "old"] * 3


def test_the_backlog_saves_up_no_turns_while_it_does_not_wait() -> None:
    order = filled([ready(f"new/{n:02}.jpg") for n in range(20)])
    for _ in range(10):
        order.take()
    order.put(ready("old/late.jpg"), is_new=False)
    assert taken(order).index("old/late.jpg") == BACKLOG_EVERY - 1


def test_folders_take_turns_and_the_inbox_itself_is_one_of_them() -> None:
    order = filled(
        [
            *(ready(f"scans/{n}.jpg", n) for n in range(4)),
            *(ready(f"shop/deep/{n}.jpg", 10 + n) for n in range(2)),
            ready("cat.jpg", 20),
        ]
    )
    assert taken(order) == [
        *("scans/0.jpg", "shop/deep/0.jpg", "cat.jpg"),
        *("scans/1.jpg", "shop/deep/1.jpg"),
        *("scans/2.jpg", "scans/3.jpg"),
    ]


def test_turns_go_on_where_they_were_after_a_look() -> None:
    order = Order()
    waiting = [ready(f"{folder}/{n}.jpg") for folder in "abc" for n in range(3)]
    paths = []
    while waiting:
        order.fill([], waiting)
        pair = order.take()
        assert pair is not None
        paths.append(pair.picture.path)
        waiting = [each for each in waiting if each.path != paths[-1]]
    assert paths == [f"{folder}/{n}.jpg" for n in range(3) for folder in "abc"]


def test_a_folder_that_is_filled_one_by_one_gets_no_more_than_its_turns() -> None:
    order = filled([], [ready(f"a/{n:02}.jpg") for n in range(10)])
    turns = []
    for number in range(10):
        if "b" not in (each.picture.path[0] for each in order.upcoming(99)):
            order.put(ready(f"b/{number}.jpg", 100 + number), is_new=False)
        pair = order.take()
        assert pair is not None
        turns.append(pair.picture.path[0])
    assert Counter(turns) == {"a": 5, "b": 5}


def test_one_that_could_not_be_claimed_is_put_back_and_has_a_turn_again() -> None:
    order = filled([ready("a.jpg", 1), ready("b.jpg", 2)])
    pair = order.take()
    assert pair is not None
    order.put(Ready(3, "a.jpg", pair), is_new=True)
    assert len(order) == 2
    assert taken(order) == ["b.jpg", "a.jpg"]


# What holds whatever comes.

FOLDER = st.sampled_from(["", "a/", "b/", "c/x/"])


@dataclass
class World:
    """Drops and turns, with all that was ever put in; times only grow."""

    order: Order = field(default_factory=Order)
    waiting: dict[str, tuple[Ready, bool]] = field(default_factory=dict)
    turns: list[str] = field(default_factory=list)
    put_in: int = 0

    def drop(self, folder: str, *, is_new: bool) -> Ready:
        self.put_in += 1
        one = ready(f"{folder}{self.put_in:04}.jpg", float(self.put_in))
        self.waiting[one.path] = one, is_new
        return one

    def look(self) -> None:
        """As the inbox fills the order anew at each look."""
        self.order.fill(
            [one for one, is_new in self.waiting.values() if is_new],
            [one for one, is_new in self.waiting.values() if not is_new],
        )

    def take(self) -> str | None:
        pair = self.order.take()
        if pair is None:
            return None
        self.turns.append(pair.picture.path)
        del self.waiting[pair.picture.path]
        return pair.picture.path

    def age(self) -> None:
        """What waits becomes backlog."""
        self.waiting = {path: (one, False) for path, (one, _) in self.waiting.items()}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("drop"), FOLDER, st.booleans()),
        st.tuples(st.just("take")),
        st.tuples(st.just("look")),
        st.tuples(st.just("age")),
    ),
    max_size=60,
)


def lived(steps: list[Any]) -> World:
    world = World()
    for step, *details in steps:
        if step == "drop":
            folder, is_new = details
            world.order.put(world.drop(folder, is_new=is_new), is_new=is_new)
        elif step == "age":
            world.age()
            world.look()
        else:
            getattr(world, step)()
    return world


@given(STEPS)
def test_each_pair_is_taken_exactly_once(steps: list[Any]) -> None:
    world = lived(steps)
    assert len(world.order) == len(world.waiting)
    while world.take():
        assert len(world.order) == len(world.waiting)
    assert world.waiting == {}
    assert len(world.turns) == len(set(world.turns)) == world.put_in


@given(STEPS, st.integers(0, 100))
def test_what_is_said_to_come_does_come(steps: list[Any], most: int) -> None:
    world = lived(steps)
    foretold = [pair.picture.path for pair in world.order.upcoming(most)]
    first, gone = world.order.since, len(world.turns)
    assert world.order.oldest == min((one.since for one, _ in world.waiting.values()), default=None)
    sinces = {path: one.since for path, (one, _) in world.waiting.items()}
    while world.take():
        pass
    assert world.turns[gone:][:most] == foretold
    assert first == (sinces[world.turns[gone]] if sinces else None)


@given(STEPS, FOLDER, st.booleans(), st.integers(0, 1000))
def test_whatever_is_dropped_later_a_pair_waits_for_a_number_of_turns_that_is_known(
    steps: list[Any], folder: str, is_new: bool, seed: int
) -> None:
    """A round for each that was before it in its folder, and one; and these once in four turns."""
    world, random = lived(steps), Random(seed)
    mine = world.drop(folder, is_new=is_new)
    world.order.put(mine, is_new=is_new)
    world.look()
    in_front = sum(one.folder == mine.folder for one, _ in world.waiting.values())
    crowds = ["", "a/", "b/", "c/x/", "late 1/", "late 2/", "late 3/"]
    for _ in range(BACKLOG_EVERY * (in_front + 1) * len(crowds)):
        for is_late_new in (True, False):
            crowd = random.choice(crowds)
            world.order.put(world.drop(crowd, is_new=is_late_new), is_new=is_late_new)
        if random.random() < 0.2:
            world.look()
        if world.take() == mine.path:
            return
    raise AssertionError(f"{mine.path} still waits")


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9), min_size=1))
def test_no_folder_gets_two_turns_more_than_another_that_waits(sizes: dict[str, int]) -> None:
    order = filled([ready(f"{name}/{n}.jpg") for name, size in sizes.items() for n in range(size)])
    served: Counter[str] = Counter()
    for path in taken(order):
        waiting = [folder for folder, size in sizes.items() if served[folder] < size]
        served[path[0]] += 1
        assert all(served[path[0]] - served[folder] <= 1 for folder in waiting)


@given(st.lists(st.tuples(FOLDER, st.booleans()), max_size=40))
def test_a_new_drop_waits_for_one_turn_of_the_backlog_at_most_in_four(
    drops: list[tuple[str, bool]],
) -> None:
    world = lived([("drop", *drop) for drop in drops])
    kinds = {path: new for path, (_, new) in world.waiting.items()}
    while world.take():
        pass
    last_new = max((at for at, path in enumerate(world.turns) if kinds[path]), default=-1)
    backlog = [at for at, path in enumerate(world.turns[: last_new + 1]) if not kinds[path]]
    assert all(later - earlier >= BACKLOG_EVERY for earlier, later in pairwise([-1, *backlog]))


def test_to_take_one_of_a_hundred_thousand_costs_as_few_comparisons_as_its_logarithm() -> None:
    class Counted(Ready):
        compared = 0

        def __lt__(self, other: Any) -> bool:
            Counted.compared += 1
            return tuple.__lt__(self[:2], other[:2])

    many = 100_000
    everything: list[Ready] = [
        Counted(*ready(f"{n % 100}/{n}.jpg", float(n * 7919 % many))) for n in range(many)
    ]
    order = filled(everything[: many // 2], everything[many // 2 :])
    turns, per_take = 1000, []
    for _ in range(turns):
        before = Counted.compared
        assert order.take() is not None
        per_take.append(Counted.compared - before)
    assert max(per_take) < 100  # four heaps' heights, of 100 folders and of 500 in each
    before = Counted.compared
    assert len(order.upcoming(1000)) == 1000
    assert Counted.compared - before < 1000 * 100
