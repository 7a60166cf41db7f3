"""Small pictures share the worker's memory; a large one has it alone, and nobody overtakes it."""

import threading
from collections.abc import Iterator

import pytest

from daemon.worker.elbowroom import Elbowroom

SOON_S = 10.0
# For what must not happen: it would at once.
A_WHILE_S = 0.1


class Guest(threading.Thread):
    """Comes in as soon as it may, and stays until it is told to leave."""

    def __init__(self, room: Elbowroom, *, alone: bool) -> None:
        super().__init__(daemon=True)
        self._room = room
        self._alone = alone
        self._is_in = threading.Event()
        self._may_leave = threading.Event()

    def run(self) -> None:
        with self._room.taken(alone=self._alone):
            self._is_in.set()
            self._may_leave.wait(SOON_S)

    def is_let_in(self) -> bool:
        return self._is_in.wait(SOON_S)

    def waits(self) -> bool:
        return not self._is_in.wait(A_WHILE_S)

    def leave(self) -> None:
        self._may_leave.set()
        self.join(SOON_S)


class House:
    """A room and those who have come, in their order."""

    def __init__(self) -> None:
        self.room = Elbowroom()
        self.guests: list[Guest] = []

    def comes(self, *, alone: bool = False) -> Guest:
        waiting = self.room.waiting_count()
        guest = Guest(self.room, alone=alone)
        guest.start()
        while not (guest._is_in.is_set() or self.room.waiting_count() > waiting):
            threading.Event().wait(0.001)
        self.guests.append(guest)
        return guest


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    for guest in house.guests:
        guest.leave()


def test_small_ones_share(house: House) -> None:
    guests = [house.comes() for _ in range(5)]
    assert all(guest.is_let_in() for guest in guests)


def test_a_large_one_waits_until_all_have_left_and_then_is_alone(house: House) -> None:
    small, another = house.comes(), house.comes()
    large = house.comes(alone=True)
    small.leave()
    assert large.waits()
    another.leave()
    assert large.is_let_in()
    late = house.comes()
    assert late.waits()
    large.leave()
    assert late.is_let_in()


def test_nobody_overtakes_a_large_one_that_waits(house: House) -> None:
    first = house.comes()
    large = house.comes(alone=True)
    small = house.comes()
    assert small.waits()
    first.leave()
    assert large.is_let_in()
    assert small.waits()
    large.leave()
    assert small.is_let_in()


def test_two_large_ones_come_after_each_other(house: House) -> None:
    one, other = house.comes(alone=True), house.comes(alone=True)
    assert one.is_let_in()
    assert other.waits()
    one.leave()
    assert other.is_let_in()


def test_who_fails_inside_has_left() -> None:
    room = Elbowroom()
    with pytest.raises(MemoryError), room.taken(alone=True):
        raise MemoryError
    with room.taken(alone=True):
        pass


def test_who_has_been_here_meanwhile_is_known_also_when_he_has_left() -> None:
    room = Elbowroom()
    with room.taken(alone=False) as had_company:
        assert not had_company()
        with room.taken(alone=False) as has_company:
            assert has_company()
        assert had_company()
    with room.taken(alone=True) as had_company:
        assert not had_company()
